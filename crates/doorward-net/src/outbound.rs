//! Small requests to other services, such as an identity provider: one response within limits of size and time, without
//! redirects, and to private addresses only if the operator configured them (attacks T11, T12).

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use url::Url;

use crate::dial::Dialer;
use crate::resolver::Resolver;
use crate::tls::{cause_chain, trusted};
use doorward_config::{Secret, is_trustworthy};
use doorward_core::address::{address_of, is_public};
use doorward_core::collect::Gathered;

/// How long an answer may take, all in all, and how long it may be.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST: usize = 512 << 10;

/// Who wrote the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The operator: any address.
    Operator,
    /// The operator, who may send it unencrypted within their own network.
    OperatorsNetwork,
    /// Somebody else: public addresses alone.
    Stranger,
}

impl Author {
    /// With what trust a URL is asked that was read at another, which was asked with this one. At another port of the
    /// host there may be something else, which trusts whoever is near, so that the trust goes on within the origin
    /// alone, unless the operator says that the host is one.
    pub fn of_what_is_named(self, named: &Url, at: &Url, same_host: bool) -> Self {
        let near = named.origin() == at.origin() || (same_host && named.host() == at.host());
        if near { self } else { Self::Stranger }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} is not an https:// URL, nor http:// on loopback")]
    Insecure(String),
    #[error("{0} is not a public address")]
    Forbidden(String),
    #[error("no answer within {0} s")]
    Timeout(u64),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("{0}")]
    Failed(String),
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// A JSON object of a successful answer.
    pub fn object(&self) -> Result<serde_json::Map<String, Value>, Error> {
        if !self.status.is_success() {
            return Err(Error::Failed(format!("HTTP {}", self.status.as_u16())));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::Failed(format!("no JSON object: {error}")))
    }
}

/// The header that shows a user and password (RFC 7617). `None` if that is not a valid header value.
pub fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let both = STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {both}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The same for a client of an authorization server's: both are encoded before they are joined
/// (RFC 6749 section 2.3.1).
pub fn client_basic(id: &str, secret: &Secret) -> Option<HeaderValue> {
    basic(&form_encoded(id), &form_encoded(secret.expose()))
}

/// A name or a value as it stands in a form, or in a query.
pub fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The header that shows a token (RFC 6750 section 2.1). `None` if that is not a valid header value.
pub fn bearer(token: &str) -> Option<HeaderValue> {
    let text = zeroize::Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::try_from(&**text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub async fn get(url: &Url, author: Author) -> Result<Answer, Error> {
    get_with(url, author, HeaderMap::new()).await
}

pub async fn get_with(url: &Url, author: Author, headers: HeaderMap) -> Result<Answer, Error> {
    send(Method::GET, url, author, headers, Bytes::new()).await
}

/// The same for an answer that may be larger, and may take longer.
pub async fn get_large(
    url: &Url,
    author: Author,
    patience: Duration,
    most: usize,
) -> Result<Answer, Error> {
    let (headers, body) = (HeaderMap::new(), Bytes::new());
    send_within(Method::GET, url, author, headers, body, (patience, most)).await
}

/// Posts a form.
pub async fn post_form(
    url: &Url,
    author: Author,
    mut headers: HeaderMap,
    fields: &[(&str, &str)],
) -> Result<Answer, Error> {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    send(Method::POST, url, author, headers, form.into()).await
}

pub async fn post_json(url: &Url, author: Author, body: &Value) -> Result<Answer, Error> {
    let json = HeaderValue::from_static("application/json");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
    send(Method::POST, url, author, headers, body.to_string().into()).await
}

/// Posts a body, of the type that the headers say.
pub async fn post(
    url: &Url,
    author: Author,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, Error> {
    send(Method::POST, url, author, headers, body).await
}

async fn send(
    method: Method,
    url: &Url,
    author: Author,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, Error> {
    send_within(method, url, author, headers, body, (PATIENCE, MOST)).await
}

async fn send_within(
    method: Method,
    url: &Url,
    author: Author,
    mut headers: HeaderMap,
    body: Bytes,
    (patience, most): (Duration, usize),
) -> Result<Answer, Error> {
    check(url, author)?;
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = url.as_str().parse().map_err(|_| Error::Failed("no URL".into()))?;
    *request.headers_mut() = headers;
    let client = match author {
        Author::Operator | Author::OperatorsNetwork => &*ANYWHERE,
        Author::Stranger => &*PUBLIC,
    };
    let answering = async {
        let response = client.request(request).await;
        let response = response.map_err(|error| Error::Failed(cause_chain(&error)))?;
        let (head, mut body) = response.into_parts();
        let mut gathered = Gathered::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Error::Failed(cause_chain(&error)))?;
            let Ok(data) = frame.into_data() else { continue };
            gathered.add(data, most).map_err(|_| Error::TooLarge(most))?;
        }
        Ok(Answer { status: head.status, headers: head.headers, body: gathered.take() })
    };
    let timeout = Err(Error::Timeout(patience.as_secs()));
    tokio::time::timeout(patience, answering).await.unwrap_or(timeout)
}

/// What can be told from the URL alone. Names are judged when they are looked up.
fn check(url: &Url, author: Author) -> Result<(), Error> {
    let plain = author == Author::OperatorsNetwork && url.scheme() == "http";
    if !is_trustworthy(url) && !plain {
        return Err(Error::Insecure(url.as_str().into()));
    }
    match (author, address_of(url)) {
        (Author::Stranger, _) if url.scheme() != "https" => {
            Err(Error::Insecure(url.as_str().into()))
        }
        (Author::Stranger, Some(address)) if !is_public(address) => {
            Err(Error::Forbidden(address.to_string()))
        }
        _ => Ok(()),
    }
}

type Outbound = Client<HttpsConnector<Dialer>, Full<Bytes>>;

static ANYWHERE: LazyLock<Outbound> =
    LazyLock::new(|| client(Resolver { public_only: false, pinned: None }));
static PUBLIC: LazyLock<Outbound> =
    LazyLock::new(|| client(Resolver { public_only: true, pinned: None }));

fn client(resolver: Resolver) -> Outbound {
    let tls = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(trusted().clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(Dialer::by_tunnel(resolver, PATIENCE));
    // Asked now and then, from any thread: a connection belongs to the runtime it was made on, which
    // may be another one the next time.
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(0)
        .build(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_reach_public_addresses_only() {
        for (url, allowed) in [
            ("https://example.com/x", true),
            ("https://93.184.216.34/", true),
            ("https://[2606:2800:220:1:248:1893:25c8:1946]/", true),
            ("http://example.com/", false),
            ("http://127.0.0.1/", false),
            ("https://127.0.0.1/", false),
            ("https://localhost./", true), // Judged when it is looked up.
            ("https://169.254.169.254/latest", false),
            ("https://0x7f.1/", false),
            ("https://2130706433/", false),
            ("https://10.0.0.1/", false),
            ("https://100.64.0.1/", false),
            ("https://0.0.0.0/", false),
            ("https://[::1]/", false),
            ("https://[::]/", false),
            ("https://[::ffff:169.254.169.254]/", false),
            ("https://[2002:a9fe:a9fe::]/", false),
            ("https://[64:ff9b::a9fe:a9fe]/", false),
            ("https://[64:ff9b:1::1]/", false),
            ("https://[fec0::1]/", false),
            ("https://[fd00::1]/", false),
            ("https://[fe80::1]/", false),
            ("https://user@example.com/", false),
            ("ftp://example.com/", false),
            ("file:///etc/passwd", false),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!(check(&parsed, Author::Stranger).is_ok(), allowed, "{url}");
        }
        assert!(check(&Url::parse("https://10.0.0.1/").unwrap(), Author::Operator).is_ok());
        assert!(check(&Url::parse("http://127.0.0.1:1/").unwrap(), Author::Operator).is_ok());
        assert!(check(&Url::parse("http://10.0.0.1/").unwrap(), Author::Operator).is_err());
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused_when_it_is_looked_up() {
        let url = Url::parse("https://localhost:9/").unwrap();
        let refused = get(&url, Author::Stranger).await.unwrap_err().to_string();
        assert!(refused.contains("no public address"), "{refused}");
        let reached = get(&url, Author::Operator).await.unwrap_err().to_string();
        assert!(!reached.contains("no public address"), "{reached}");
    }
}
