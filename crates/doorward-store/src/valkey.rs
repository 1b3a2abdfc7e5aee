//! The connection to Valkey or Redis for everything that gateways share.

use std::time::Duration;

use redis::Client;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

/// How long the store may take.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// Says what is wrong with an URL.
pub fn check(url: &str) -> Result<(), String> {
    let known = ["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme));
    if known && Client::open(url).is_ok() {
        return Ok(());
    }
    Err("expected redis://HOST:PORT or rediss://HOST:PORT".into())
}

/// Prepares to use a store, which need not be there yet. Must be called within the runtime that the
/// connection shall live on.
pub fn connect(url: &str) -> Result<ConnectionManager, String> {
    // What the error says may repeat the URL, and with it the password.
    let client = Client::open(url).map_err(|_| "the URL cannot be read".to_owned())?;
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_number_of_retries(1)
        .set_max_delay(PATIENCE);
    ConnectionManager::new_lazy_with_config(client, config)
        .map_err(|error| error.category().to_owned())
}

/// What an answer comes to, in time. The error is in words.
pub async fn in_time<T>(
    asked: impl Future<Output = Result<T, redis::RedisError>>,
) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| error.category().to_owned()),
        Err(_) => Err("no answer in time".into()),
    }
}
