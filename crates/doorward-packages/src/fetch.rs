//! Downloads: by the gateway's one outbound client, within bounds of size and time. A registry is what the operator
//! configured; the files that it names may be on other hosts, over TLS only.

use std::time::Duration;

use bytes::Bytes;
use doorward_net::outbound::{self, Author};
use http::header::{ACCEPT, HeaderMap, HeaderValue, LOCATION};
use url::Url;

use crate::error::{Error, Result};

/// Largest document of a registry, which lists all versions of a package.
pub const MAX_DOCUMENT: usize = 128 << 20;
/// Largest package.
pub const MAX_ARTIFACT: usize = 256 << 20;
/// How long one download may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// Redirects of one download.
const MAX_REDIRECTS: usize = 5;

/// A document of a registry. `None` if it does not have it.
///
/// # Errors
/// If the registry cannot be reached, answers with an error, or with too much.
pub async fn document(url: &Url, accept: &'static str) -> Result<Option<Bytes>> {
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
    let answer = outbound::get_within(url, Author::Operator, headers, PATIENCE, MAX_DOCUMENT).await;
    let answer = answer.map_err(|error| unreachable(url, error.to_string()))?;
    match answer.status.as_u16() {
        200 => Ok(Some(answer.body)),
        404 | 410 => Ok(None),
        status => Err(unreachable(url, format!("HTTP {status}"))),
    }
}

/// A file that a registry names. It may be at another host than the registry itself, but then over TLS.
///
/// # Errors
/// As `document`, and if it does not exist, or is named by a URL that is not accepted.
pub async fn artifact(url: &Url, registry: &Url) -> Result<Bytes> {
    if url.scheme() != "https" && url.origin() != registry.origin() {
        return Err(Error::refused(format!("{url} is not an https:// URL")));
    }
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("*/*"))]);
    let answer = outbound::get_within(url, Author::Operator, headers, PATIENCE, MAX_ARTIFACT).await;
    let answer = answer.map_err(|error| unreachable(url, error.to_string()))?;
    match answer.status.as_u16() {
        200 => Ok(answer.body),
        status => Err(unreachable(url, format!("HTTP {status}"))),
    }
}

/// A file at a URL that the operator wrote. Redirects are followed; those to another origin over TLS and to public
/// addresses only.
///
/// # Errors
/// As `artifact`, and after too many redirects.
pub async fn file(url: &Url) -> Result<Bytes> {
    let (mut at, mut author) = (url.clone(), Author::Operator);
    for _ in 0..=MAX_REDIRECTS {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("*/*"))]);
        let answer = outbound::get_within(&at, author, headers, PATIENCE, MAX_ARTIFACT).await;
        let answer = answer.map_err(|error| unreachable(&at, error.to_string()))?;
        match answer.status.as_u16() {
            200 => return Ok(answer.body),
            301 | 302 | 303 | 307 | 308 => {
                let place = answer.headers.get(LOCATION).and_then(|place| place.to_str().ok());
                let next = place.and_then(|place| at.join(place).ok());
                let next =
                    next.ok_or_else(|| unreachable(&at, "a redirect without location".into()))?;
                author = author.for_linked_url(&next, &at, false);
                at = next;
            }
            status => return Err(unreachable(&at, format!("HTTP {status}"))),
        }
    }
    Err(unreachable(url, format!("more than {MAX_REDIRECTS} redirects")))
}

fn unreachable(url: &Url, why: String) -> Error {
    // Not its query: there may be secrets in it.
    let mut named = url.clone();
    named.set_query(None);
    Error::Unreachable { url: named.into(), why }
}

/// A registry's URL with a path below its own.
///
/// # Errors
/// If that is no URL.
pub fn below(registry: &Url, path: &str) -> Result<Url> {
    let text = format!("{}/{path}", registry.as_str().trim_end_matches('/'));
    Url::parse(&text).map_err(|error| Error::unsupported(format!("{text}: {error}")))
}
