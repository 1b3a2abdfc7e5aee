//! The connection to Valkey or Redis for everything that gateways share.

use std::time::Duration;

use redis::Client;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

/// Timeout of a request to the store.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// Validates a URL; the error is for users.
pub fn check(url: &str) -> Result<(), String> {
    let known = ["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme));
    if known && Client::open(url).is_ok() {
        return Ok(());
    }
    Err("expected redis://HOST:PORT or rediss://HOST:PORT".into())
}

/// Prepares a connection to a store, which may be unreachable for now. Must be called within the runtime that the
/// connection will use.
pub fn connect(url: &str) -> Result<ConnectionManager, String> {
    // The error's text may repeat the URL and its password.
    let client = Client::open(url).map_err(|_| "the URL cannot be read".to_owned())?;
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_number_of_retries(1)
        .set_max_delay(PATIENCE);
    ConnectionManager::new_lazy_with_config(client, config)
        .map_err(|error| error.category().to_owned())
}

/// Awaits a response with the timeout. The error is for users.
pub async fn in_time<T>(
    asked: impl Future<Output = Result<T, redis::RedisError>>,
) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| error.category().to_owned()),
        Err(_) => Err("no answer in time".into()),
    }
}
