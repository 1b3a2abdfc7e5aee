//! External checks: what the gateway sends them, what their verdicts can do, and what happens when one misbehaves.
#![allow(clippy::unwrap_used)]

mod definitions;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::approvals::world::{World, id_of, url};
use crate::support::client::{Answer, Modern};
use crate::support::hostile::{self, Era, Hostile, said, scripted};
use crate::support::{Gateway, wait_for};

/// A request as the check receives it.
#[derive(Debug, Clone)]
struct Request {
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}

type Behaviour = dyn Fn(&Request, &mut TcpStream) + Send + Sync;

/// A check with scripted responses. Each connection carries one request.
struct Checker {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
    behaves: Arc<Mutex<Arc<Behaviour>>>,
}

impl Checker {
    fn start(behaves: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let behaves: Arc<Mutex<Arc<Behaviour>>> = Arc::new(Mutex::new(Arc::new(behaves)));
        let (kept, behaviour) = (asked.clone(), behaves.clone());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (kept, behaviour) = (kept.clone(), behaviour.clone());
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                    let Some(request) = read(&stream) else { return };
                    kept.lock().unwrap().push(request.clone());
                    let behaves = behaviour.lock().unwrap().clone();
                    behaves(&request, &mut stream);
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { address, asked, behaves }
    }

    /// A check that responds with JSON.
    fn saying(says: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Self {
        Self::start(move |request, stream| answer(stream, &says(&request.json())))
    }

    fn behave(&self, behaves: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) {
        *self.behaves.lock().unwrap() = Arc::new(behaves);
    }

    fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    fn check(&self, more: &Value) -> Value {
        let mut check = json!({ "url": format!("http://{}/check", self.address) });
        for (name, value) in more.as_object().unwrap() {
            check[name] = value.clone();
        }
        check
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body: String::from_utf8(body).ok()? })
}

fn whole(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into_bytes()
}

fn answer(stream: &mut TcpStream, value: &Value) {
    let _ =
        stream.write_all(&whole("200 OK", "application/json; charset=utf-8", &value.to_string()));
}

fn allow() -> Value {
    json!({ "action": "allow" })
}

/// A server whose tool `send` returns its arguments, and whose `read` returns structured content.
fn server() -> Hostile {
    let tools = json!([
        { "name": "send", "inputSchema": { "type": "object", "additionalProperties": false, "required": ["to"],
            "properties": { "to": { "type": "string", "maxLength": 20 }, "text": { "type": "string" } } } },
        { "name": "read", "inputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true },
          "outputSchema": { "type": "object", "required": ["n"], "properties": { "n": { "type": "integer" }, "who": { "type": "string" } } } },
    ]);
    scripted(Era::Modern, move |asked| match asked.message["method"].as_str()? {
        "tools/list" => Some(json!({ "tools": tools, "ttlMs": 600_000, "cacheScope": "public" })),
        "tools/call" => match asked.message["params"]["name"].as_str()? {
            "read" => {
                let content = json!({ "n": 1, "who": "dana" });
                Some(
                    json!({ "content": [{ "type": "text", "text": content.to_string() }], "structuredContent": content }),
                )
            }
            _ => Some(said(&asked.message["params"]["arguments"].to_string())),
        },
        _ => None,
    })
}

/// A gateway with one server and these checks. Circuit breakers are off unless a test needs them.
fn gateway(server: &Hostile, checks: &Value, more: &str) -> Gateway {
    let mut checks = checks.clone();
    for check in checks.as_object_mut().unwrap().values_mut() {
        if check.get("breaker").is_none() {
            check["breaker"] = json!({ "off": true });
        }
    }
    Gateway::start(&format!(
        "servers: {{s: {{url: \"{}\"{more}}}}}\nchecks: {checks}\n",
        server.url()
    ))
}

fn send(client: &Modern, to: &str) -> Answer {
    client.call("send", json!({ "to": to }))
}

fn message(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_check_is_told_the_call_and_its_request_is_signed() {
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let server = server();
    let checker =
        Checker::saying(|_| json!({ "action": "allow", "labels": ["seen"], "data": ["pii"] }));
    let check = checker.check(&json!({
        "secret": KEY, "headers": { "Authorization": "Bearer static-1234567890" }, "targets": ["s/send"],
    }));
    let gateway = gateway(&server, &json!({ "dlp": check }), "");
    let client = Modern::new(&gateway, "/mcp/s");
    let arguments = json!({ "to": "dana", "text": "use ghp_0123456789abcdefABCD now" });
    assert!(client.call("send", arguments.clone()).text().contains("ghp_0123456789abcdefABCD"));
    // The check does not apply to the other tool.
    assert_eq!(client.call("read", json!({})).result()["structuredContent"]["n"], 1);
    let asked = checker.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let (request, body) = (&asked[0], asked[0].json());
    assert_eq!(request.path, "/check");
    assert_eq!(request.header("authorization"), "Bearer static-1234567890");
    for (name, value) in [
        ("version", json!(1)),
        ("when", json!("before")),
        ("server", json!("s")),
        ("name", json!("send")),
        ("method", json!("tools/call")),
        ("write", json!(true)),
        ("labels", json!([])),
        ("data", json!([])),
    ] {
        assert_eq!(body[name], value, "{name}: {body}");
    }
    assert_eq!(body["arguments"]["to"], "dana");
    let text = body["arguments"]["text"].as_str().unwrap();
    assert!(
        text.starts_with("use [") && text.ends_with("] now") && !text.contains("ghp_"),
        "{text}"
    );
    assert!(body["principal"]["id"].is_string() && body["call"].is_string(), "{body}");
    let key = STANDARD.decode(KEY.strip_prefix("whsec_").unwrap()).unwrap();
    let signed = format!(
        "{}.{}.{}",
        request.header("webhook-id"),
        request.header("webhook-timestamp"),
        request.body
    );
    let signature =
        STANDARD.decode(request.header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes(), &signature).unwrap();

    wait_for("it is recorded", || {
        let records = gateway.told(&["audit", "search", "--json", "--tool", "send"]);
        records.lines().any(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let said = &record["checks"][0];
            said["check"] == "dlp"
                && said["when"] == "before"
                && said["action"] == "allow"
                && said["labels"] == json!(["seen"])
                && said["sent_sha256"].as_str().is_some_and(|it| it.len() == 64)
        })
    });
    assert_eq!(gateway.metric("doorward_check_answers_total{check=\"dlp\",action=\"allow\"}"), 1.0);
    assert_eq!(gateway.metric("doorward_check_seconds_count{check=\"dlp\"}"), 1.0);
}

#[test]
fn a_check_refuses_or_changes_a_call_before_the_server_sees_it() {
    let server = server();
    let checker = Checker::saying(|body| match body["arguments"]["to"].as_str().unwrap() {
        "eve" => json!({ "action": "refuse", "reason": "eve is\n\u{1b}[31m not a customer" }),
        "bob" => json!({ "action": "change", "patch": { "to": "bob2", "text": "checked" } }),
        "long" => json!({ "action": "change", "patch": { "to": "x".repeat(100) } }),
        "none" => json!({ "action": "change", "patch": { "to": null } }),
        "twice" => json!({ "action": "change", "patch": { "To": "other" } }),
        _ => allow(),
    });
    let gateway = gateway(&server, &json!({ "crm": checker.check(&json!({})) }), "");
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(send(&client, "dana").text(), "{\"to\":\"dana\"}");
    let refused = send(&client, "eve");
    assert_eq!((refused.kind().as_str(), refused.code()), ("check_refused", -31026));
    assert_eq!(
        message(&refused),
        "The check 'crm' refused the call: eve is\\n\\u{1b}[31m not a customer"
    );
    assert_eq!(refused.json()["error"]["data"]["retryable"], false);
    assert_eq!(send(&client, "bob").text(), "{\"to\":\"bob2\",\"text\":\"checked\"}");
    let before = server.calls();
    // Arguments that the check changed are validated like those of a client.
    for to in ["long", "none"] {
        let invalid = send(&client, to);
        assert_eq!(invalid.json()["result"]["isError"], true, "{}", invalid.body);
        assert!(invalid.body.contains("invalid_arguments"), "{}", invalid.body);
    }
    let twice = send(&client, "twice");
    assert_eq!(twice.kind(), "check_failed", "{}", twice.body);
    assert_eq!(server.calls(), before);
}

#[test]
fn a_changed_call_is_decided_by_the_policies_once_more() {
    let world = World::new(
        r#"permit (principal, action in Action::"use", resource);
@id("evil") @reason("not there") @arguments("url?: String")
forbid (principal, action == Action::"call", resource) when { context.arguments has url && context.arguments.url == "evil" };
@id("cards") @reason("no cards") forbid (principal, action == Action::"call", resource) when { context.data.contains("card") };
"#,
    );
    let checker = Checker::saying(|body| match body["arguments"]["url"].as_str().unwrap() {
        "good" => json!({ "action": "change", "patch": { "url": "evil" } }),
        "card" => json!({ "action": "allow", "data": ["card"] }),
        _ => allow(),
    });
    let checks = json!({ "c": checker.check(&json!({})) });
    let gateway = world.start_with(&format!("checks: {checks}\n"));
    let ann = world.client(&gateway, &["--user", "ann"]);
    let denied = ann.call("get", url("good"));
    assert_eq!(message(&denied), "not there", "{}", denied.body);
    let denied = ann.call("get", url("card"));
    assert_eq!(message(&denied), "no cards", "{}", denied.body);
    assert!(world.called().is_empty());
    assert_eq!(ann.call("get", url("other")).text(), "get");
}

#[test]
fn a_check_holds_a_call_until_its_approvers_have_decided() {
    let world = World::new(r#"permit (principal, action in Action::"use", resource);"#);
    let checker = Checker::saying(|body| match body["arguments"]["url"].as_str().unwrap() {
        "own" => {
            json!({ "action": "hold", "reason": "a large transfer", "approvers": ["role:lead"], "ttl": "30m" })
        }
        "usual" => json!({ "action": "hold" }),
        _ => allow(),
    });
    let approval = json!({ "approval": { "approvers": ["role:lead"] } });
    let checks = json!({ "risk": checker.check(&approval) });
    let gateway = world.start_with(&format!("checks: {checks}\n"));
    let ann = world.client(&gateway, &["--user", "ann"]);
    let dana = world.lead();
    for text in ["own", "usual"] {
        let calls = world.called().len();
        let answer = ann.call("get", url(text));
        let id = id_of(&answer);
        let why =
            if text == "own" { "a large transfer" } else { "The check 'risk' requires approval" };
        assert!(message(&answer).contains(why), "{}", answer.body);
        assert_eq!(world.called().len(), calls);
        world.decide(&gateway, &dana, &id, "approve", 200);
        assert_eq!(ann.call("get", url(text)).text(), "get");
        assert_eq!(world.called().len(), calls + 1);
    }
    let records = world.told(&["audit", "search", "--json", "--text", "check:risk"]);
    assert!(records.contains("\"held_by\":\"check:risk\""), "{records}");
}

/// All kinds of bad responses of a check.
fn misbehaviours() -> Vec<(&'static str, &'static str, Arc<Behaviour>)> {
    let fixed = |bytes: Vec<u8>| -> Arc<Behaviour> {
        Arc::new(move |_: &Request, stream: &mut TcpStream| {
            let _ = stream.write_all(&bytes);
        })
    };
    let json = "application/json";
    let good = r#"{"action":"allow"}"#;
    let endless: Arc<Behaviour> = Arc::new(|_, stream| {
        let _ =
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"a\":\"");
        while stream.write_all(&[b'x'; 64 << 10]).is_ok() {}
    });
    let slow: Arc<Behaviour> = Arc::new(|_, stream| {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let hangs: Arc<Behaviour> = Arc::new(|_, stream| {
        let _ = stream.read(&mut [0]);
    });
    vec![
        ("hangs", "timeout", hangs),
        ("drips", "timeout", slow),
        ("endless", "too_large", endless),
        ("announces too much", "too_large", fixed(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n{".to_vec())),
        ("closes", "stream_ended", fixed(Vec::new())),
        ("garbage", "stream_ended", fixed(b"\x16\x03\x01\x02\x00 what is this".to_vec())),
        ("no JSON", "invalid_answer", fixed(whole("200 OK", json, "allow"))),
        ("another JSON", "invalid_answer", fixed(whole("200 OK", json, "{\"allowed\":true}"))),
        ("two meanings", "invalid_answer", fixed(whole("200 OK", json, r#"{"action":"refuse","action":"allow"}"#))),
        ("no UTF-8", "invalid_answer", fixed(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 22\r\n\r\n{\"action\":\"allow\xff\xff\",1:1".to_vec())),
        ("another type", "content_type", fixed(whole("200 OK", "text/html", good))),
        ("no type", "content_type", fixed(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{good}", good.len()).into_bytes())),
        ("no content", "http_status", fixed(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())),
        ("redirects", "http_status", fixed(b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-type: application/json\r\ncontent-length: 18\r\n\r\n{\"action\":\"allow\"}".to_vec())),
        ("fails", "http_status", fixed(whole("500 X", json, good))),
        ("forbids", "http_status", fixed(whole("403 X", json, good))),
    ]
}

#[test]
fn a_check_that_does_not_answer_as_it_should_lets_nothing_through_unless_it_may_fail() {
    let server = server();
    let quick = json!({ "timeout": "400ms", "max_answer": "64KiB" });
    let (closed, open) = (Checker::saying(|_| allow()), Checker::saying(|_| allow()));
    let mut lenient = open.check(&quick);
    lenient["on_failure"] = "allow".into();
    lenient["targets"] = json!(["s/read"]);
    let mut strict = closed.check(&quick);
    strict["targets"] = json!(["s/send"]);
    let gateway = gateway(&server, &json!({ "strict": strict, "lenient": lenient }), "");
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(send(&client, "dana").text(), "{\"to\":\"dana\"}");
    for (what, kind, behaviour) in misbehaviours() {
        let before = server.calls();
        let (one, other) = (behaviour.clone(), behaviour);
        closed.behave(move |request, stream| one(request, stream));
        let began = Instant::now();
        let refused = send(&client, "dana");
        assert_eq!(
            (refused.kind().as_str(), refused.code()),
            ("check_failed", -31027),
            "{what}: {}",
            refused.body
        );
        assert_eq!(message(&refused), format!("The check 'strict' failed: {kind}"), "{what}");
        assert_eq!(server.calls(), before, "{what}");
        assert!(began.elapsed() < Duration::from_secs(4), "{what}");
        let failures = format!("doorward_check_failures_total{{check=\"strict\",kind=\"{kind}\"}}");
        assert!(gateway.metric(&failures) >= 1.0, "{what}");
        open.behave(move |request, stream| other(request, stream));
        assert_eq!(client.call("read", json!({})).result()["structuredContent"]["n"], 1, "{what}");
    }
    // Calls succeed again as soon as the check recovers.
    closed.behave(|_, stream| answer(stream, &allow()));
    assert_eq!(send(&client, "dana").text(), "{\"to\":\"dana\"}");
}

#[test]
fn an_answer_that_is_cut_anywhere_is_no_answer() {
    let server = server();
    let at = Arc::new(AtomicUsize::new(0));
    let cut = at.clone();
    let bytes = Arc::new(whole("200 OK", "application/json", r#"{"action":"allow"}"#));
    let sent = bytes.clone();
    let checker = Checker::start(move |_, stream| {
        let _ = stream.write_all(&sent[..cut.load(Ordering::SeqCst)]);
    });
    let gateway = gateway(&server, &json!({ "c": checker.check(&json!({})) }), "");
    let client = Modern::new(&gateway, "/mcp/s");
    for cut in 0..bytes.len() {
        at.store(cut, Ordering::SeqCst);
        let refused = send(&client, "dana");
        assert_eq!(refused.kind(), "check_failed", "{cut}: {}", refused.body);
    }
    assert_eq!(server.calls(), 0);
    at.store(bytes.len(), Ordering::SeqCst);
    assert_eq!(send(&client, "dana").text(), "{\"to\":\"dana\"}");
    assert_eq!(server.calls(), 1);
}

#[test]
fn a_result_is_refused_or_changed_within_its_schema_and_bounds() {
    let server = server();
    let says = Arc::new(Mutex::new(allow()));
    let said = says.clone();
    let checker = Checker::saying(move |_| said.lock().unwrap().clone());
    let check =
        checker.check(&json!({ "when": ["after"], "max_answer": "64MiB", "timeout": "10s" }));
    let gateway = gateway(&server, &json!({ "out": check }), ", cache: {ttl: 1m}");
    let client = Modern::new(&gateway, "/mcp/s");
    let read = || client.call("read", json!({}));
    assert_eq!(read().result()["structuredContent"], json!({ "n": 1, "who": "dana" }));
    let body = checker.asked()[0].json();
    assert_eq!(
        (&body["when"], &body["result"]["structuredContent"]["who"]),
        (&json!("after"), &json!("dana"))
    );
    assert!(body.get("arguments").is_none(), "{body}");

    // A cached result is checked for each caller.
    *says.lock().unwrap() = json!({ "action": "change", "patch": { "structuredContent": { "who": "[PERSON]" }, "content": [] } });
    let changed = read().result();
    assert_eq!(changed["structuredContent"], json!({ "n": 1, "who": "[PERSON]" }));
    assert_eq!(changed["_meta"]["doorward/cache"]["status"], "hit");
    assert_eq!(server.calls(), 1);
    *says.lock().unwrap() = json!({ "action": "refuse", "reason": "secret" });
    let refused = read();
    assert_eq!(refused.kind(), "check_refused");
    assert_eq!(
        message(&refused),
        "The server was called, but the check 'out' refused the result: secret"
    );
    assert!(!refused.body.contains("dana"));
    // A result cannot be held for approval, since the call has already run.
    *says.lock().unwrap() = json!({ "action": "hold", "approvers": ["role:lead"] });
    assert_eq!(read().kind(), "check_refused");
    for (patch, why) in [
        (json!({ "structuredContent": { "n": "many" } }), "output schema"),
        (json!({ "structuredContent": null }), "output schema"),
        (json!({ "resultType": "input_required", "inputRequests": {} }), "another kind of result"),
        (json!({ "structuredContent": { "who": "x".repeat(17 << 20) } }), "larger than the limit"),
    ] {
        *says.lock().unwrap() = json!({ "action": "change", "patch": patch });
        let refused = read();
        assert_eq!(refused.kind(), "check_failed", "{why}: {:.300}", refused.body);
        assert!(message(&refused).contains(why), "{why}: {}", message(&refused));
    }
    *says.lock().unwrap() = allow();
    assert_eq!(read().result()["structuredContent"]["who"], "dana");
    let records = gateway.told(&["audit", "search", "--json", "--tool", "read", "--limit", "100"]);
    assert!(records.contains("\"when\":\"after\",\"action\":\"change\""), "{records}");
}

#[test]
fn checks_of_one_order_are_asked_at_the_same_time_and_later_ones_see_what_they_have_changed() {
    let server = server();
    // Each check responds only after both were called, which proves that they run in parallel.
    let both = Arc::new(std::sync::Barrier::new(2));
    let meet = |patch: Value| {
        let both = both.clone();
        Checker::saying(move |_| {
            both.wait();
            json!({ "action": "change", "patch": patch })
        })
    };
    let (one, two) = (meet(json!({ "to": "one" })), meet(json!({ "text": "two" })));
    let last = Checker::saying(|_| allow());
    let checks = json!({
        "one": one.check(&json!({ "order": 1, "timeout": "5s" })),
        "two": two.check(&json!({ "order": 1, "timeout": "5s" })),
        "a-last": last.check(&json!({ "order": 2 })),
    });
    let gateway = gateway(&server, &checks, "");
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(send(&client, "dana").text(), "{\"to\":\"one\",\"text\":\"two\"}");
    assert_eq!(last.asked()[0].json()["arguments"], json!({ "to": "one", "text": "two" }));
    assert_eq!(one.asked()[0].json()["arguments"], json!({ "to": "dana" }));
    // A refusal does not wait for the other checks, and later checks are not called.
    one.behave(|_, stream| answer(stream, &json!({ "action": "refuse" })));
    two.behave(|_, stream| {
        let _ = stream.read(&mut [0]);
    });
    let began = Instant::now();
    assert_eq!(message(&send(&client, "dana")), "The check 'one' refused the call");
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(last.asked().len(), 1);
}

#[test]
fn a_check_that_fails_is_left_alone_for_a_while_and_then_asked_again() {
    let server = server();
    let works = Arc::new(AtomicBool::new(false));
    let healthy = works.clone();
    let checker = Checker::start(move |_, stream| match healthy.load(Ordering::SeqCst) {
        true => answer(stream, &allow()),
        false => {
            let _ = stream.write_all(&whole("503 X", "text/plain", ""));
        }
    });
    let breaker = json!({ "breaker": { "min_calls": 3, "open": "500ms", "probes": 1 } });
    let gateway = gateway(&server, &json!({ "c": checker.check(&breaker) }), "");
    let client = Modern::new(&gateway, "/mcp/s");
    for _ in 0..3 {
        assert_eq!(message(&send(&client, "dana")), "The check 'c' failed: http_status");
    }
    let asked = checker.asked().len();
    assert_eq!(message(&send(&client, "dana")), "The check 'c' failed: circuit_open");
    assert_eq!((asked, checker.asked().len()), (3, 3));
    works.store(true, Ordering::SeqCst);
    wait_for("it is asked again", || send(&client, "dana").kind().is_empty());
    assert!(gateway.logged("the check answers again"));
    assert_eq!(server.calls(), 1);
}

#[test]
fn addresses_that_are_not_public_are_not_reached_where_only_public_ones_may_be() {
    let server = server();
    let checker = Checker::saying(|_| allow());
    let mut check = checker.check(&json!({ "public_only": true }));
    check["url"] = format!("http://localhost:{}/", checker.address.port()).into();
    let gateway = gateway(&server, &json!({ "c": check }), "");
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(message(&send(&client, "dana")), "The check 'c' failed: unreachable");
    assert!(checker.asked().is_empty() && server.calls() == 0);
}

#[test]
fn open_policy_agent_and_a_moderation_endpoint_are_asked_in_their_own_forms() {
    let server = server();
    // These follow the published formats that the documentation names.
    let opa = Checker::saying(|body| match body["input"]["arguments"]["to"].as_str().unwrap() {
        "dana" => json!({ "result": true, "decision_id": "1" }),
        "eve" => json!({ "result": { "allow": false, "reason": "eve has left" } }),
        "bob" => json!({ "result": { "allow": true, "patch": { "to": "bob2" } } }),
        _ => json!({ "decision_id": "2" }),
    });
    let moderation = Checker::saying(|body| {
        let flagged = |text: &Value| text.as_str().unwrap().contains("bad words");
        let result = |text| json!({ "flagged": flagged(text), "categories": { "violence": flagged(text), "hate": false }, "category_scores": { "violence": 0.9, "hate": 0.0 } });
        let results: Vec<Value> = body["input"].as_array().unwrap().iter().map(result).collect();
        json!({ "id": "modr-1", "model": body["model"], "results": results })
    });
    let checks = json!({
        "opa": opa.check(&json!({ "form": "opa", "url": format!("http://{}/v1/data/mcp/decision", opa.address) })),
        "words": moderation.check(&json!({ "form": "moderation", "order": 1, "moderation": { "model": "omni-moderation-latest" } })),
    });
    let gateway = gateway(&server, &checks, "");
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(send(&client, "dana").text(), "{\"to\":\"dana\"}");
    assert_eq!(opa.asked()[0].path, "/v1/data/mcp/decision");
    assert_eq!(
        moderation.asked()[0].json(),
        json!({ "input": ["dana"], "model": "omni-moderation-latest" })
    );
    assert_eq!(message(&send(&client, "eve")), "The check 'opa' refused the call: eve has left");
    assert_eq!(
        message(&send(&client, "nobody")),
        "The check 'opa' refused the call: the policy is undefined for this call"
    );
    assert_eq!(send(&client, "bob").text(), "{\"to\":\"bob2\"}");
    let flagged = client.call("send", json!({ "to": "dana", "text": "some bad words" }));
    assert_eq!(message(&flagged), "The check 'words' refused the call: it was flagged: violence");
}

#[test]
fn checks_are_taken_over_with_the_configuration() {
    let server = server();
    let checker = Checker::saying(|_| json!({ "action": "refuse" }));
    let gateway = gateway(&server, &json!({}), "");
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(send(&client, "dana").text(), "{\"to\":\"dana\"}");
    let checks = json!({ "c": checker.check(&json!({})) });
    let config = format!("servers: {{s: {{url: \"{}\"}}}}\nchecks: {checks}\n", server.url());
    std::fs::write(&gateway.config, config).unwrap();
    gateway.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for("the check is asked", || send(&client, "dana").kind() == "check_refused");
}

#[test]
fn what_a_server_says_in_an_error_is_checked_too() {
    let server = hostile::start(Era::Modern, |asked, stream| {
        let error = json!({ "code": -32000, "message": "no such customer: dana@example.org", "data": { "n": 1 } });
        let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{error}}}", asked.id());
        hostile::answer(stream, 200, "application/json", body.as_bytes());
    });
    let says = Arc::new(Mutex::new(
        json!({ "action": "change", "patch": { "message": "no such customer" } }),
    ));
    let said = says.clone();
    let checker = Checker::saying(move |_| said.lock().unwrap().clone());
    let gateway = gateway(
        &server,
        &json!({ "c": checker.check(&json!({ "when": ["after"], "send": { "result": "whole" } })) }),
        "",
    );
    let client = Modern::new(&gateway, "/mcp/s");
    let changed = client.call("bad", json!({}));
    assert_eq!((message(&changed).as_str(), changed.code()), ("no such customer", -32000));
    assert_eq!(checker.asked()[0].json()["error"]["message"], "no such customer: dana@example.org");
    *says.lock().unwrap() = json!({ "action": "refuse", "reason": "an address" });
    let refused = client.call("bad", json!({}));
    assert_eq!(refused.kind(), "check_refused", "{}", refused.body);
    assert!(!refused.body.contains("dana"));
    *says.lock().unwrap() = json!({ "action": "change", "patch": { "code": null } });
    assert_eq!(client.call("bad", json!({})).kind(), "check_failed");
    // Errors of the gateway itself are not checked.
    let asked = checker.asked().len();
    assert!(client.call("nothing", json!({})).body.contains("Unknown tool"));
    assert_eq!(checker.asked().len(), asked);
}

#[test]
fn labels_of_a_check_count_for_the_call_itself() {
    let world = World::new(
        "permit (principal, action, resource);\n\
         @id(\"flow\") forbid (principal, action == Action::\"call\", resource)\n\
         when { context.flow.contains(\"finance\") };\n",
    );
    let checker = Checker::saying(|request| {
        let labels =
            if request.to_string().contains("pay") { json!(["finance"]) } else { json!([]) };
        json!({ "action": "allow", "labels": labels })
    });
    let checks = json!({ "label": checker.check(&json!({})) });
    let gateway = world.start_with(&format!("checks: {checks}\nflow: {{after_start: clean}}\n"));
    let ann = world.client(&gateway, &["--user", "ann"]);
    assert_eq!(ann.call("get", url("a")).text(), "get");
    let denied = ann.call("get", url("pay"));
    assert!(denied.json().get("result").is_none(), "{}", denied.body);
    assert_eq!(world.called().len(), 1);
}
