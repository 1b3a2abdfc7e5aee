//! HTTP/2: calls, streams and refusals behave as over HTTP/1.1.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::sync::Arc;
use std::time::Duration;

use crate::support::client::Modern;
use crate::support::issuer::{Issuer, now, unsigned};
use crate::support::{Gateway, made};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::time::timeout;

fn start(more: &str) -> Gateway {
    let (cert, key) = (made("first.pem"), made("first.key"));
    Gateway::start(&format!(
        "tls: {{cert: {}, key: {}}}\nservers: {{sample: {{sample: true}}}}\n{more}",
        cert.display(),
        key.display()
    ))
}

/// One connection, which a test uses for everything.
struct Client {
    sender: SendRequest<Full<Bytes>>,
    modern: Modern,
}

impl Client {
    async fn connect(gateway: &Gateway) -> Self {
        Self::connect_with(gateway, Builder::new(TokioExecutor::new())).await
    }

    async fn connect_with(gateway: &Gateway, builder: Builder<TokioExecutor>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(made("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let socket = tokio::net::TcpStream::connect(&gateway.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let tls = connector.connect(name, socket).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) = builder.handshake(TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, modern: Modern::new(gateway, "/mcp") }
    }

    async fn send(&self, host: &str, body: &Value, more: &[(&str, &str)]) -> Response<Incoming> {
        let mut request = Request::post(format!("https://{host}/mcp"))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        for (name, value) in Modern::headers(body) {
            request = request.header(name, value);
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.to_string().into())).unwrap();
        self.sender.clone().send_request(request).await.unwrap()
    }

    async fn ask(&self, body: &Value, more: &[(&str, &str)]) -> (StatusCode, HeaderMap, Value) {
        let (head, body) = self.send("localhost", body, more).await.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, serde_json::from_slice(&text).unwrap_or_default())
    }

    fn add(&self) -> Value {
        let params = json!({ "name": "sample__add", "arguments": { "a": 20, "b": 3 } });
        self.modern.body("tools/call", params)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_and_a_stream_share_a_connection() {
    let gateway = start("");
    let client = Arc::new(Client::connect(&gateway).await);
    let listen = client.modern.body(
        "subscriptions/listen",
        json!({ "notifications": { "resourceSubscriptions": ["sample+sample://clock"] } }),
    );
    let mut stream = client.send("localhost", &listen, &[]).await.into_body();
    let all: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.ask(&client.add(), &[]).await.2 })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap()["result"]["content"][0]["text"], "23");
    }
    let mut told = String::new();
    while !told.contains("notifications/resources/updated") {
        let frame =
            timeout(crate::support::PATIENCE, stream.frame()).await.unwrap().unwrap().unwrap();
        told.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    assert!(told.contains("notifications/subscriptions/acknowledged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_origins_are_checked() {
    let gateway = start("");
    let client = Client::connect(&gateway).await;
    let add = client.add();
    for (host, more, status) in [
        ("localhost", vec![], 200),
        ("evil.example", vec![], 403),
        ("localhost", vec![("host", "evil.example")], 403),
        ("evil.example", vec![("host", "localhost")], 403),
        ("localhost", vec![("origin", "https://evil.example")], 403),
    ] {
        assert_eq!(client.send(host, &add, &more).await.status(), status, "{host} {more:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_refused_as_over_http_1() {
    let issuer = Issuer::start();
    let gateway = start(&format!(
        "public_url: https://gw.example\nidentity: {{issuers: {{test: {{issuer: '{}', leeway: 0s}}}}}}\npolicy: {{files: [open.cedar]}}",
        issuer.url
    ));
    let client = Client::connect(&gateway).await;
    let add = client.add();
    let resource = "https://gw.example/mcp";
    let metadata =
        "resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource/mcp\"";
    let bearer = |token: String| format!("Bearer {token}");
    let good = bearer(issuer.token(resource));
    assert_eq!(
        client.ask(&add, &[("authorization", &good)]).await.2["result"]["content"][0]["text"],
        "23"
    );
    let with = |changes: Value| bearer(issuer.token_with(resource, changes));
    for (what, shown, status, error) in [
        ("nothing", None, 401, ""),
        ("another scheme", Some("Basic YTpi".to_owned()), 401, ""),
        ("rubbish", Some("Bearer x y".to_owned()), 400, "error=\"invalid_request\", "),
        ("expired", Some(with(json!({ "exp": now() - 60 }))), 401, "error=\"invalid_token\", "),
        (
            "for another",
            Some(with(json!({ "aud": "https://gw.example/mcp/sample" }))),
            401,
            "error=\"invalid_token\", ",
        ),
        (
            "of another",
            Some(with(json!({ "iss": "https://evil.example" }))),
            401,
            "error=\"invalid_token\", ",
        ),
        (
            "unsigned",
            Some(bearer(unsigned(&json!({ "alg": "none" }), &issuer.claims(resource)))),
            401,
            "error=\"invalid_token\", ",
        ),
    ] {
        let headers: Vec<_> = shown.iter().map(|shown| ("authorization", shown.as_str())).collect();
        let (came, head, _) = client.ask(&add, &headers).await;
        let challenge = head.get("www-authenticate").unwrap().to_str().unwrap();
        assert_eq!(
            (came.as_u16(), challenge),
            (status, format!("Bearer {error}{metadata}").as_str()),
            "{what}"
        );
    }
    // The header appears twice in one request.
    let (came, ..) = client.ask(&add, &[("authorization", &good), ("authorization", &good)]).await;
    assert_eq!(came, 400);
    // A stream ends with its token, and the connection stays open.
    let short = with(json!({ "exp": now() + 2 }));
    let listen = client
        .modern
        .body("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    let mut stream =
        client.send("localhost", &listen, &[("authorization", &short)]).await.into_body();
    let ended = async { while let Some(Ok(_)) = stream.frame().await {} };
    timeout(Duration::from_secs(8), ended).await.unwrap();
    assert_eq!(client.ask(&add, &[("authorization", &short)]).await.0, 401);
    assert_eq!(client.ask(&add, &[("authorization", &good)]).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authorization_server_says_the_same() {
    let provider = Issuer::start();
    let gateway = start(&format!(
        "store_key: 'a master key of thirty-two characters'\nidentity:\n  scopes: [read]\n  authorization_server:\n    \
         provider: {{issuer: '{}', client_id: doorward, client_secret: 'as the provider gave it'}}\n    clients: {{desk: \
         {{name: Desk, redirect_uris: ['https://app.example/callback']}}}}\n",
        provider.url
    ));
    let client = Client::connect(&gateway).await;
    let fetch = async |method: &str, path: &str, headers: &[(&str, &str)], body: String| {
        let mut request = Request::builder().method(method).uri(format!("https://localhost{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let (head, body) = client.sender.clone().send_request(request).await.unwrap().into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), head.headers, String::from_utf8(text.to_vec()).unwrap())
    };
    let origin = format!("https://{}", gateway.address);
    let (status, _, text) =
        fetch("GET", "/.well-known/oauth-authorization-server", &[], String::new()).await;
    let metadata: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &metadata["issuer"]), (200, &json!(origin)));
    let wanted = |uri: &str, method: &str| {
        crate::support::login::form(&[
            ("response_type", "code"),
            ("client_id", "desk"),
            ("redirect_uri", uri),
            ("code_challenge", &crate::support::login::challenge()),
            ("code_challenge_method", method),
        ])
    };
    let authorize = |query: String| format!("/oauth/authorize?{query}");
    let path = authorize(wanted("https://app.example/callback/", "S256"));
    let (status, headers, _) = fetch("GET", &path, &[], String::new()).await;
    assert_eq!((status, headers.get("location")), (400, None));
    let path = authorize(wanted("https://app.example/callback", "plain"));
    let (status, headers, _) = fetch("GET", &path, &[], String::new()).await;
    let to = headers["location"].to_str().unwrap();
    assert!(status == 303 && to.contains("error=invalid_request") && to.contains("iss="), "{to}");
    let path = authorize(wanted("https://app.example/callback", "S256"));
    let (status, headers, page) = fetch("GET", &path, &[], String::new()).await;
    assert_eq!((status, headers["x-frame-options"].to_str().unwrap()), (200, "DENY"));
    let cookie = headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let fields = crate::support::login::form(&[
        ("request", &crate::support::login::sealed(&page)),
        ("decision", "allow"),
    ]);
    // In HTTP/2 each cookie may come in a separate field (RFC 9113 section 8.2.3).
    let cookies = [form[0], ("cookie", "another=one"), ("cookie", &*cookie), ("origin", &*origin)];
    let (status, headers, _) = fetch("POST", "/oauth/consent", &cookies, fields.clone()).await;
    assert!(status == 303 && headers["location"].to_str().unwrap().starts_with(&provider.url));
    let (status, headers, _) = fetch("POST", "/oauth/consent", &form, fields).await;
    assert_eq!((status, headers.get("location")), (400, None));
    for (body, status, word) in [
        ("grant_type=password&client_id=desk", 400, "unsupported_grant_type"),
        ("grant_type=authorization_code&client_id=desk&code=x", 400, "invalid_grant"),
        ("grant_type=refresh_token&client_id=desk&refresh_token=x", 400, "invalid_grant"),
        ("grant_type=refresh_token&client_id=nobody&refresh_token=x", 401, "invalid_client"),
        ("grant_type=a&grant_type=b&client_id=desk", 400, "invalid_request"),
    ] {
        let (told, headers, text) = fetch("POST", "/oauth/token", &form, body.into()).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((told, answer["error"].as_str().unwrap()), (status, word), "{body}");
        assert_eq!(headers["cache-control"], "no-store");
    }
    assert_eq!(fetch("GET", "/oauth/token", &[], String::new()).await.0, 405);
    let (status, _, _) = fetch("GET", "/oauth/callback?code=x&state=y", &[], String::new()).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_request_ends_in_time() {
    let (cert, key) = (made("first.pem"), made("first.key"));
    let gateway = Gateway::start(&format!(
        "tls: {{cert: {}, key: {}}}\ntimeouts: {{headers: 3s, idle: 5s, keep_alive: 200ms}}\n\
         servers: {{sample: {{sample: true}}}}\n",
        cert.display(),
        key.display()
    ));
    // This client answers every ping and sends no request.
    let silent = Client::connect(&gateway).await;
    let mut sender = silent.sender.clone();
    let closed = async {
        while sender.ready().await.is_ok() && !sender.is_closed() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(crate::support::PATIENCE, closed).await.unwrap();
    // A client that has sent a request may stay idle for longer, and a stream does not count as idle.
    let asked = Client::connect(&gateway).await;
    assert_eq!(asked.ask(&asked.add(), &[]).await.0, 200);
    let listening = Client::connect(&gateway).await;
    let body = listening.modern.body("subscriptions/listen", json!({ "notifications": {} }));
    let _stream = listening.send("localhost", &body, &[]).await.into_body();
    timeout(crate::support::PATIENCE, async {
        while !asked.sender.is_closed() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!listening.sender.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_is_ended_in_time() {
    let gateway = start("timeouts: {write: 1s}");
    let mut builder = Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let client = Client::connect_with(&gateway, builder).await;
    for _ in 0..3 {
        let mut body = client.send("localhost", &client.add(), &[]).await.into_body();
        let ended = timeout(crate::support::PATIENCE, body.frame()).await.unwrap();
        assert!(matches!(ended, Some(Err(_))), "{ended:?}");
    }
}

/// Silent connections are closed to make room, even before the TLS handshake.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_of_one_address_hold_up_nobody_elses() {
    let gateway =
        start("limits: {connections: 64, connections_per_address: 8}\ntimeouts: {headers: 10m}");
    let mut silent = Vec::new();
    for _ in 0..60 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        silent.push(socket.connect(gateway.address.parse().unwrap()).await.unwrap());
    }
    let client = timeout(crate::support::PATIENCE, Client::connect(&gateway)).await.unwrap();
    assert_eq!(client.ask(&client.add(), &[]).await.0, 200);
    // Only the address's share of connections stays open.
    let mut open = usize::MAX;
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    while open > 8 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
        open = silent.iter().filter(|socket| socket.try_read(&mut [0; 1]).is_err()).count();
    }
    assert!(open <= 8, "{open}");
}
