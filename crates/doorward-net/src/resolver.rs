//! DNS: names are resolved, cached, and their addresses checked. The addresses that were checked are the ones that are
//! connected to (attacks T11, T12).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use doorward_core::address::is_public;
use hyper_util::client::legacy::connect::dns::Name;
use parking_lot::Mutex;
use tower::Service;

/// How long addresses are cached, and how long they are still used if the name cannot be resolved again.
const FRESH: Duration = Duration::from_secs(30);
const STALE: Duration = Duration::from_secs(10 * 60);
const MOST: usize = 1_000;

/// Addresses, and when they were resolved.
type Found = (Instant, Vec<SocketAddr>);

static KNOWN: LazyLock<Mutex<HashMap<String, Found>>> = LazyLock::new(Mutex::default);

/// Resolves names, and returns only addresses that may be connected to.
#[derive(Debug, Clone)]
pub struct Resolver {
    pub public_only: bool,
    /// Only this one of the addresses that a name has.
    pub pinned: Option<IpAddr>,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { public_only, pinned } = *self;
        Box::pin(async move {
            let mut allowed = match pinned {
                Some(address) => vec![SocketAddr::from((address, 0))],
                None => look_up(name.as_str()).await?,
            };
            allowed.retain(|address| !public_only || is_public(address.ip()));
            if allowed.is_empty() {
                let why = format!("'{}' has no public address", name.as_str().escape_debug());
                return Err(std::io::Error::other(why));
            }
            Ok(allowed.into_iter())
        })
    }
}

/// The current addresses of a name, sorted.
pub async fn addresses(name: &str) -> std::io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    let mut addresses: Vec<_> = found.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

async fn look_up(name: &str) -> std::io::Result<Vec<SocketAddr>> {
    let known = KNOWN.lock().get(name).cloned();
    if let Some((since, addresses)) = &known
        && since.elapsed() < FRESH
    {
        return Ok(addresses.clone());
    }
    let found = match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => found.collect::<Vec<_>>(),
        Err(error) => match known.filter(|(since, _)| since.elapsed() < STALE) {
            Some((_, addresses)) => {
                tracing::debug!(name = %name.escape_debug(), %error, "using cached addresses");
                return Ok(addresses);
            }
            None => return Err(error),
        },
    };
    let mut all = KNOWN.lock();
    if all.len() >= MOST {
        all.retain(|_, (since, _)| since.elapsed() < FRESH);
    }
    if all.len() < MOST {
        all.insert(name.to_owned(), (Instant::now(), found.clone()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_cached_and_checked_each_time() {
        let look = |public_only| async move {
            let name: Name = "localhost".parse().unwrap();
            Resolver { public_only, pinned: None }.call(name).await
        };
        assert!(look(false).await.unwrap().next().unwrap().ip().is_loopback());
        assert!(KNOWN.lock().contains_key("localhost"));
        assert!(look(true).await.unwrap_err().to_string().contains("no public address"));
        // Cached addresses are checked at each use.
        let fake = vec![SocketAddr::from(([93, 184, 216, 34], 0))];
        KNOWN.lock().insert("flips.example".into(), (Instant::now(), fake));
        let mut resolver = Resolver { public_only: true, pinned: None };
        let found = resolver.call("flips.example".parse().unwrap()).await.unwrap();
        assert_eq!(found.count(), 1);
        let inner = vec![SocketAddr::from(([169, 254, 169, 254], 0))];
        KNOWN.lock().insert("flips.example".into(), (Instant::now(), inner));
        assert!(resolver.call("flips.example".parse().unwrap()).await.is_err());
    }
}
