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

/// Total timeout of a request, and maximum size of its response in bytes.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST: usize = 512 << 10;

/// Who chose the URL, which determines the addresses it may point to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The operator: any address.
    Operator,
    /// The operator, including unencrypted requests within their own network.
    OperatorsNetwork,
    /// Anyone else: public addresses only.
    Stranger,
}

impl Author {
    /// The trust in a URL that was read at `at`, which itself had this trust. It is passed on within the same origin
    /// only, because another port of the host may be another service that trusts local clients. With `same_host`, the
    /// operator declares the whole host to be one service.
    pub fn for_linked_url(self, linked: &Url, at: &Url, same_host: bool) -> Self {
        let near = linked.origin() == at.origin() || (same_host && linked.host() == at.host());
        if near { self } else { Self::Stranger }
    }
}

/// Why there is no response.
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

/// A response, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The JSON object of a successful response.
    pub fn object(&self) -> Result<serde_json::Map<String, Value>, Error> {
        if !self.status.is_success() {
            return Err(Error::Failed(format!("HTTP {}", self.status.as_u16())));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::Failed(format!("no JSON object: {error}")))
    }
}

/// A header with a user name and password (RFC 7617). `None` if they are not valid in a header.
pub fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let both = STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {both}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A header with client credentials for an authorization server: both are form-encoded before they are joined
/// (RFC 6749 section 2.3.1).
pub fn client_basic(id: &str, secret: &Secret) -> Option<HeaderValue> {
    basic(&form_encoded(id), &form_encoded(secret.expose()))
}

/// Encodes a text for a form or a query.
pub fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A header with a token (RFC 6750 section 2.1). `None` if it is not valid in a header.
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

/// Sends a GET request with another timeout and maximum size.
pub async fn get_large(
    url: &Url,
    author: Author,
    patience: Duration,
    most: usize,
) -> Result<Answer, Error> {
    let (headers, body) = (HeaderMap::new(), Bytes::new());
    send_within(Method::GET, url, author, headers, body, (patience, most)).await
}

/// The same with headers, of which `Accept` may be one.
pub async fn get_within(
    url: &Url,
    author: Author,
    headers: HeaderMap,
    patience: Duration,
    most: usize,
) -> Result<Answer, Error> {
    send_within(Method::GET, url, author, headers, Bytes::new(), (patience, most)).await
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

/// Posts a body with the content type in `headers`.
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
    let accepted = HeaderValue::from_static("application/json, */*;q=0.5");
    headers.entry(ACCEPT).or_insert(accepted);
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

/// Checks the URL itself. Host names are checked when they are resolved.
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
    // Requests are rare and come from any thread. A pooled connection would belong to the runtime that opened it, so
    // none are pooled.
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
            ("https://localhost./", true), // Checked when it is resolved.
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
    async fn a_name_of_this_machine_is_refused_when_it_is_resolved() {
        let url = Url::parse("https://localhost:9/").unwrap();
        let refused = get(&url, Author::Stranger).await.unwrap_err().to_string();
        assert!(refused.contains("no public address"), "{refused}");
        let reached = get(&url, Author::Operator).await.unwrap_err().to_string();
        assert!(!reached.contains("no public address"), "{reached}");
    }
}
