//! A client that subscribes to something unavailable, or leaves early, does not affect other clients that listen to
//! the same server.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use crate::support::client::{Handshake, Modern, send};
use crate::support::hostile::{
    Asked, Era, Hostile, answer, begin_stream, event, result_text, until_closed, with_habit,
};
use crate::support::{Gateway, PROMPT, wait_for};
use serde_json::{Value, json};

/// The subscriptions that the server received, the latest last.
type Seen = Arc<Mutex<Vec<BTreeSet<String>>>>;

/// A server with resources. `habit` handles a request to listen itself where it returns `true`.
fn start(
    habit: impl Fn(&[String], &Asked, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> (Hostile, Seen) {
    let seen = Seen::default();
    let kept = seen.clone();
    let server = with_habit(Era::Modern, move |asked, out| {
        match asked.message["method"].as_str().unwrap_or_default() {
            "server/discover" => {
                let result = json!({ "supportedVersions": ["2026-07-28"], "resultType": "complete",
                    "capabilities": { "resources": { "subscribe": true, "listChanged": true } },
                    "ttlMs": 60_000, "cacheScope": "public" });
                answer(out, 200, "application/json", result_text(asked, &result).as_bytes());
            }
            "resources/list" => {
                let result = json!({ "resources": [], "resultType": "complete",
                    "ttlMs": 60_000, "cacheScope": "public" });
                answer(out, 200, "application/json", result_text(asked, &result).as_bytes());
            }
            "subscriptions/listen" => {
                let filter = &asked.message["params"]["notifications"];
                let uris = filter["resourceSubscriptions"].as_array().cloned().unwrap_or_default();
                let uris: Vec<String> =
                    uris.iter().map(|uri| uri.as_str().unwrap().to_owned()).collect();
                kept.lock().unwrap().push(uris.iter().cloned().collect());
                if !habit(&uris, asked, out) {
                    acknowledge(asked, out);
                    until_closed(out);
                }
            }
            _ => return false,
        }
        true
    });
    (server, seen)
}

fn acknowledge(asked: &Asked, out: &mut TcpStream) {
    begin_stream(out);
    let said = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": { "notifications": asked.message["params"]["notifications"],
            "_meta": { "io.modelcontextprotocol/subscriptionId": asked.message["id"] } } });
    event(out, &said.to_string());
}

fn refuse(asked: &Asked, out: &mut TcpStream) {
    let error = json!({ "jsonrpc": "2.0", "id": asked.message["id"],
        "error": { "code": -32602, "message": "Unknown resource" } });
    answer(out, 200, "application/json", error.to_string().as_bytes());
}

fn gateway(server: &Hostile) -> Gateway {
    Gateway::start(&format!("servers: {{s: {{url: \"{}\"}}}}", server.url()))
}

fn wants(uri: &str) -> Value {
    json!({ "resourceSubscriptions": [uri] })
}

/// Listens to a resource. Returns whether it was granted, and the stream.
fn listen(client: &Modern, uri: &str) -> (bool, crate::support::client::Stream) {
    let mut stream =
        client.open(&client.body("subscriptions/listen", json!({ "notifications": wants(uri) })));
    let first = stream.message().unwrap();
    let granted = &first["params"]["notifications"]["resourceSubscriptions"];
    (*granted == json!([uri]), stream)
}

#[test]
fn who_leaves_before_the_server_has_agreed_is_subscribed_no_more() {
    let (server, seen) = start(|uris, _, out| {
        // The server leaves these requests unanswered until the other side disconnects.
        let left = uris.iter().any(|uri| uri.starts_with("left:"));
        if left {
            until_closed(out);
        }
        left
    });
    let gateway = gateway(&server);
    let client = Modern::new(&gateway, "/mcp/s");
    for number in 0..5 {
        let uri = format!("left:{number}");
        let body = client.body("subscriptions/listen", json!({ "notifications": wants(&uri) }));
        let left = client.begin(&body);
        wait_for("it is asked for", || seen.lock().unwrap().iter().any(|uris| uris.contains(&uri)));
        drop(left);
    }
    let (granted, _stream) = listen(&client, "a:1");
    assert!(granted);
    wait_for("nobody's wishes are asked for no more", || {
        *seen.lock().unwrap().last().unwrap() == BTreeSet::from(["a:1".to_owned()])
    });
}

/// A subscription that the server refuses, with an error or a status, is refused at once to the client that requested
/// it. Other clients get theirs, and their notifications.
#[test]
fn a_wish_that_is_refused_is_refused_to_one_alone() {
    type Refusal = fn(&Asked, &mut TcpStream);
    let statuses: [Refusal; 2] = [refuse, |_, out| answer(out, 413, "text/plain", b"too large")];
    for refusal in statuses {
        let open = Arc::new(Mutex::new(Vec::new()));
        let kept = open.clone();
        let (server, seen) = start(move |uris, asked, out| {
            if uris.iter().any(|uri| uri.starts_with("bad:")) {
                refusal(asked, out);
                return true;
            }
            acknowledge(asked, out);
            kept.lock().unwrap().push(out.try_clone().unwrap());
            until_closed(out);
            true
        });
        let gateway = gateway(&server);
        let client = Modern::new(&gateway, "/mcp/s");
        let (granted, mut first) = listen(&client, "a:1");
        assert!(granted);
        let began = std::time::Instant::now();
        let mut bad = Vec::new();
        for number in 0..4 {
            let (granted, stream) = listen(&client, &format!("bad:{number}"));
            assert!(!granted);
            bad.push(stream);
            assert!(listen(&client, &format!("a:2{number}")).0);
        }
        assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
        let is_bad = |uris: &&BTreeSet<String>| uris.iter().any(|uri| uri.starts_with("bad:"));
        wait_for("all but the first have left", || {
            let seen = seen.lock().unwrap();
            let accepted = seen.iter().filter(|uris| !is_bad(uris)).count();
            *seen.last().unwrap() == BTreeSet::from(["a:1".to_owned()])
                && open.lock().unwrap().len() == accepted
        });
        let told = r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1"}}"#;
        for stream in open.lock().unwrap().iter_mut() {
            event(stream, told);
        }
        assert_eq!(first.message().unwrap()["params"]["uri"], "a:1");
    }
}

#[test]
fn a_uri_and_what_a_client_says_of_itself_are_bounded() {
    let (server, seen) = start(|_, _, _| false);
    let gateway = gateway(&server);
    let client = Modern::new(&gateway, "/mcp/s");
    let long = format!("a:{}", "x".repeat(9 << 10));
    for (method, params) in [
        ("subscriptions/listen", json!({ "notifications": wants(&long) })),
        ("resources/read", json!({ "uri": "a:".to_owned() + &"x".repeat(8 << 10) })),
    ] {
        let refused = client.ask(method, params);
        assert!(refused.body.contains("8192"), "{}", refused.body);
    }
    let big = "x".repeat(40 << 10);
    let said = json!({ "experimental": { "a": { "b": big } } });
    let refused = Handshake::initialize_bearing(&gateway, "/mcp", "2025-11-25", said.clone(), None);
    assert!(refused.body.contains("32768"), "{}", refused.body);
    let refused = client.clone().with(said).ask("resources/list", json!({}));
    assert!(refused.body.contains("32768"), "{}", refused.body);
    let fits = json!({ "experimental": { "a": { "b": "x".repeat(30 << 10) } } });
    Handshake::open_bearing(&gateway, "/mcp", "2025-11-25", fits, None);
    assert!(seen.lock().unwrap().iter().flatten().all(|uri| uri.len() < 100));
}

#[test]
fn a_host_is_a_name_and_a_port_on_both_listeners() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    for address in [&gateway.address, &gateway.admin] {
        let status = |head: &str| {
            use std::io::{Read, Write};
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            answer.split(' ').nth(1).unwrap_or_default().to_owned()
        };
        for host in ["localhost:x@evil.example", "localhost:evil.example", "[::1]evil.example"] {
            assert_eq!(status(&format!("GET /servers HTTP/1.1\r\nHost: {host}")), "403", "{host}");
        }
        let refused = status("GET /servers HTTP/1.0");
        assert!(["400", "403"].contains(&refused.as_str()), "{refused}");
    }
    let own = [("host", "localhost:80")];
    assert_eq!(
        send(&gateway.admin, "GET", "/admin/v1/servers/status", &own, b"").unwrap().status,
        200
    );
}

/// If a server does not respond, three subscriptions delay a listener no longer than one, and a stream that has
/// already begun acknowledges them later.
#[test]
fn wishes_are_tried_beside_one_another_and_acknowledged_on_a_stream_that_has_begun() {
    let (server, _) = start(|uris, _, out| {
        let is_silent = uris.iter().any(|uri| uri.contains("silent"));
        if is_silent {
            until_closed(out);
        }
        is_silent
    });
    let gateway = Gateway::start(&format!(
        "timeouts: {{stream_after: 1s}}\nservers: {{s: {{url: \"{}\"}}}}",
        server.url()
    ));
    let client = Modern::new(&gateway, "/mcp/s");
    let began = std::time::Instant::now();
    let wanted: Vec<String> = (0..3).map(|number| format!("test://silent/{number}")).collect();
    let wanted = json!({ "notifications": { "resourceSubscriptions": wanted } });
    let mut stream = client.open(&client.body("subscriptions/listen", wanted));
    let first = stream.message().unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    assert!(began.elapsed() < std::time::Duration::from_secs(9), "{:?}", began.elapsed());
}
