//! Events that are sent as signed webhooks: every kind, triggered by a real event, with retries, restarts and kills.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::client::Modern;
use crate::support::services::{free_port, postgres};
use crate::support::{Gateway, store_in, told, wait_for};

const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SAMPLE: &str = "servers: {mail: {sample: true}}\n";

/// A request that was received, and the status it was answered with.
#[derive(Debug, Clone)]
struct Received {
    id: String,
    body: Value,
    status: u16,
}

/// A receiver that verifies every signature by itself, and responds with the given statuses first.
#[derive(Clone)]
struct Receiver {
    port: u16,
    all: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    fn start() -> Self {
        Self::at(free_port())
    }

    fn at(port: u16) -> Self {
        let this = Self { port, all: Arc::default(), answers: Arc::default() };
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let receiver = this.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let receiver = receiver.clone();
                std::thread::spawn(move || receiver.serve(stream));
            }
        });
        this
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    fn serve(&self, mut stream: std::net::TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                if line.trim().is_empty() {
                    break;
                }
                continue;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let header = |name: &str| {
            let found = headers.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        verify(
            &header("webhook-id"),
            &header("webhook-timestamp"),
            &header("webhook-signature"),
            &body,
        );
        assert_eq!(header("content-type"), "application/json");
        let mut answers = self.answers.lock().unwrap();
        let status = if answers.is_empty() { 200 } else { answers.remove(0) };
        drop(answers);
        let body = serde_json::from_str(&body).unwrap();
        self.all.lock().unwrap().push(Received { id: header("webhook-id"), body, status });
        let to =
            if status == 302 { format!("location: {}\r\n", self.url()) } else { String::new() };
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\n{to}content-length: 0\r\nconnection: close\r\n\r\n"
        );
    }

    /// The requests of one kind.
    fn of(&self, kind: &str) -> Vec<Received> {
        let all = self.all.lock().unwrap();
        all.iter().filter(|one| one.body["type"] == kind).cloned().collect()
    }

    /// The accepted requests of one kind, one per id.
    fn taken(&self, kind: &str) -> Vec<Received> {
        let mut seen = BTreeSet::new();
        let mut taken = self.of(kind);
        taken.retain(|one| one.status == 200 && seen.insert(one.id.clone()));
        taken
    }

    fn first(&self, kind: &str) -> Value {
        wait_for(&format!("{kind} has come"), || !self.taken(kind).is_empty());
        self.taken(kind)[0].body.clone()
    }
}

/// Follows the Standard Webhooks specification, written separately from the code under test.
fn verify(id: &str, timestamp: &str, signatures: &str, body: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let sent: u64 = timestamp.parse().unwrap();
    assert!(now.abs_diff(sent) < 60, "{timestamp} is no time of now");
    assert!(id.starts_with("msg_") && !id.contains('.'), "{id}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(KEY).unwrap());
    let signed = format!("{id}.{timestamp}.{body}");
    let good = signatures.split(' ').any(|one| {
        let encoded = one.strip_prefix("v1,").unwrap();
        hmac::verify(&key, signed.as_bytes(), &STANDARD.decode(encoded).unwrap()).is_ok()
    });
    assert!(good, "the signature {signatures} is wrong");
}

/// The configuration of a webhook, with more settings.
fn hook(name: &str, url: &str, more: &str) -> String {
    format!("  {name}: {{url: '{url}', secret: whsec_{KEY}, retry_pause: 100ms{more}}}\n")
}

fn stop(store: &str, name: &str) {
    told(store, &["stop", "server", name, "--why", "a drill"]);
}

#[test]
fn a_stop_is_told_to_those_who_want_to_hear_of_it_once_and_signed() {
    let (all, some, none) = (Receiver::start(), Receiver::start(), Receiver::start());
    let config = format!(
        "webhooks:\n{}{}{}{SAMPLE}",
        hook("all", &all.url(), ""),
        hook("some", &some.url(), ", kinds: ['stop.*'], servers: ['mail']"),
        hook("none", &none.url(), ", kinds: ['server.*', 'budget.near']"),
    );
    let gateway = Gateway::start(&config);
    wait_for("it has begun with the acts", || gateway.logged("ready"));
    let said = gateway.told(&["stop", "server", "mail", "--why", "a drill"]);
    let id = said.rsplit('(').next().unwrap().trim_end_matches(')').to_owned();
    let event = all.first("stop.set");
    assert_eq!(event["data"]["stop"], id.as_str());
    assert_eq!(event["data"]["name"], "mail");
    assert_eq!(event["data"]["why"], "a drill");
    assert_eq!(event["data"]["actor"]["via"], "machine");
    gateway.told(&["stop", "undo", &id, "--why", "over"]);
    assert_eq!(all.first("stop.lifted")["data"]["why"], "over");
    gateway.told(&["stop", "server", "files", "--why", "of another server"]);
    wait_for("that has come, too", || all.taken("stop.set").len() == 2);
    some.first("stop.lifted");
    assert_eq!(some.all.lock().unwrap().len(), 2);
    assert!(none.all.lock().unwrap().is_empty());
    // Creating a key sends no event.
    assert_eq!(all.all.lock().unwrap().len(), 3);
}

#[test]
fn what_is_refused_is_sent_again_under_the_same_id_until_it_is_taken() {
    let receiver = Receiver::start();
    receiver.answers.lock().unwrap().extend([500, 302, 503]);
    let config = format!("webhooks:\n{}{SAMPLE}", hook("all", &receiver.url(), ""));
    let gateway = Gateway::start(&config);
    gateway.told(&["webhooks", "test", "all", "--config", gateway.config.to_str().unwrap()]);
    wait_for("it was taken", || !receiver.taken("webhook.test").is_empty());
    let received = receiver.of("webhook.test");
    let statuses: Vec<u16> = received.iter().map(|one| one.status).collect();
    // A redirect counts as a failed attempt and is not followed.
    assert_eq!(statuses, [500, 302, 503, 200]);
    let ids: BTreeSet<&str> = received.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids.len(), 1);
    let list = || {
        let text = gateway.told(&["webhooks", "deliveries", "--json"]);
        serde_json::from_str::<Value>(&text).unwrap()
    };
    wait_for("it is in the log", || list()[0]["state"] == "delivered");
    let entry = &list()[0];
    assert_eq!((&entry["attempts"], &entry["status"]), (&json!(4), &json!(200)));
    // A manual redelivery sends the same event.
    gateway.told(&["webhooks", "redeliver", entry["id"].as_str().unwrap()]);
    wait_for("it has come again", || receiver.of("webhook.test").len() == 5);
    assert_eq!(receiver.taken("webhook.test").len(), 1);
    // 410 Gone is not retried.
    receiver.answers.lock().unwrap().push(410);
    gateway.told(&["webhooks", "test", "all", "--config", gateway.config.to_str().unwrap()]);
    wait_for("it is given up", || list()[0]["state"] == "failed");
    assert_eq!(list()[0]["error"], "HTTP 410");
    let shown = gateway.told(&["webhooks", "deliveries", "--state", "failed"]);
    assert!(shown.contains("HTTP 410") && !shown.contains("delivered"), "{shown}");
    assert!(gateway.metric("doorward_webhook_failed_attempts_total") >= 4.0);
    let listed = gateway.told(&["webhooks", "list", "--config", gateway.config.to_str().unwrap()]);
    assert!(listed.contains("stop.set") && !listed.contains(KEY), "{listed}");
}

#[test]
fn an_event_is_given_up_when_its_time_is_over() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/");
    let config = format!("webhooks:\n{}{SAMPLE}", hook("all", &url, ", retry_for: 1s"));
    let gateway = Gateway::start(&config);
    gateway.told(&["webhooks", "test", "all", "--config", gateway.config.to_str().unwrap()]);
    let failed = || gateway.told(&["webhooks", "deliveries", "--state", "failed"]);
    wait_for("it is given up", || failed().contains("webhook.test"));
    assert!(gateway.logged("an event was given up"));
}

#[test]
fn an_event_survives_that_its_gateway_is_killed_and_is_one_event_for_all_replicas() {
    let folder = crate::support::folder();
    let (_database, url) = postgres(folder.path());
    let port = free_port();
    let receiver_url = format!("http://127.0.0.1:{port}/hook");
    let config = format!("store: {url}\nwebhooks:\n{}{SAMPLE}", hook("all", &receiver_url, ""));
    let first = Gateway::start(&config);
    let waiting = || told(&url, &["webhooks", "deliveries", "--state", "waiting"]);
    // No receiver is running.
    stop(&url, "mail");
    wait_for("it was tried", || waiting().contains("stop.set") && !waiting().contains(" 0 "));
    first.signal(Signal::SIGKILL);
    drop(first);
    let second = Gateway::start(&config);
    let third = Gateway::start(&config);
    let receiver = Receiver::at(port);
    receiver.first("stop.set");
    // Each act is sent once, whichever gateway was first.
    for number in 0..20 {
        stop(&url, &format!("s{number}"));
    }
    wait_for("all have come", || receiver.taken("stop.set").len() == 21);
    let names: BTreeSet<String> = receiver
        .taken("stop.set")
        .iter()
        .map(|one| one.body["data"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 21);
    wait_for("nothing waits", || !waiting().contains("stop.set"));
    assert_eq!(receiver.taken("stop.set").len(), 21);
    drop((second, third));
}

#[test]
fn a_server_that_is_down_is_told_once_and_when_it_is_back() {
    let receiver = Receiver::start();
    let address = format!("127.0.0.1:{}", free_port());
    let config = format!(
        "webhooks:\n{}servers: {{mail: {{url: 'http://{address}/mcp/sample'}}, files: {{sample: true}}}}\n",
        hook("all", &receiver.url(), ""),
    );
    let gateway = Gateway::start_unready(&config);
    let client = Modern::new(&gateway, "/mcp");
    let event = receiver.first("server.down");
    assert_eq!(event["data"]["server"], "mail");
    assert!(receiver.of("server.up").is_empty(), "who was never down is not told to be up");
    // Another server at the same address.
    let again = Gateway::start_listening("servers: {sample: {sample: true}}", &address);
    wait_for("it is up", || {
        client.call("mail__echo", json!({ "text": "x" })).json().get("result").is_some()
    });
    assert_eq!(receiver.first("server.up")["data"]["server"], "mail");
    assert_eq!(receiver.taken("server.down").len(), 1);
    drop(again);
}

#[test]
fn refusals_spend_and_exports_are_told() {
    let receiver = Receiver::start();
    let dead = free_port();
    let config = format!(
        "webhooks:\n{}events: {{refusals_per_minute: 5}}\n\
         billing:\n  alerts: {{at: [50]}}\n  prices: {{all: {{tools: '*', call: 1}}}}\n\
         policy: {{files: [open.cedar]}}\n\
         audit: {{exports: {{siem: {{every: 100ms, http: {{url: 'http://127.0.0.1:{dead}/'}}}}}}}}\n{SAMPLE}",
        hook("all", &receiver.url(), "")
    );
    let gateway = Gateway::start(&config);
    let key = gateway.key(&["--user", "ann", "--in-tenant", "acme"]);
    let client = Modern::new(&gateway, "/mcp").bearing(&key);
    let event = receiver.first("export.behind");
    assert_eq!(event["data"]["export"], "siem");
    gateway.told(&["credits", "grant", "--tenant", "acme", "4"]);
    // Calls are only counted until the gateway knows the account; from then on they use up the credit.
    wait_for("the credit is used up", || {
        let answer = client.call("mail__add", json!({ "a": 1, "b": 1 }));
        answer.kind() == "out_of_credit"
    });
    let event = receiver.first("budget.near");
    assert_eq!(event["data"]["account"], "tenant/acme");
    assert_eq!(event["data"]["percent"], 50);
    let stranger = Modern::new(&gateway, "/mcp").bearing("dwk_nobody");
    for _ in 0..6 {
        assert_eq!(stranger.ask("tools/list", json!({})).status, 401);
    }
    let event = receiver.first("refusals.high");
    assert!(event["data"]["refused"].as_u64().unwrap() >= 5);
    std::thread::sleep(Duration::from_millis(1_200));
    for kind in ["export.behind", "budget.near", "refusals.high"] {
        assert_eq!(receiver.taken(kind).len(), 1, "{kind}");
    }
}

#[test]
fn a_webhook_that_cannot_be_is_refused_with_the_reason() {
    for (more, why) in [
        ("url: 'http://h/', secret: short", "secret"),
        ("url: 'ftp://h/', secret: a-text-of-more-than-24-characters", "url"),
        ("url: 'http://h/', secret: a-text-of-more-than-24-characters, kinds: [stops]", "kinds"),
    ] {
        let folder = crate::support::folder();
        let file = folder.path().join("doorward.yaml");
        std::fs::write(&file, format!("webhooks: {{x: {{{more}}}}}\n{SAMPLE}")).unwrap();
        let checked = crate::support::doorward().arg("check").arg(&file).output().unwrap();
        let told = String::from_utf8_lossy(&checked.stdout).into_owned()
            + &String::from_utf8_lossy(&checked.stderr);
        assert!(!checked.status.success() && told.contains(why), "{told}");
    }
}

#[test]
fn proposals_reviews_that_are_due_and_quarantines_are_told() {
    let receiver = Receiver::start();
    let config = format!(
        "webhooks:\n{}servers:\n  mail: {{sample: true, owner: sam, review_by: '2020-01-31'}}\n  files: {{sample: true}}\n",
        hook("all", &receiver.url(), ""),
    );
    let gateway = Gateway::start(&config);
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let at = format!("http://{}", gateway.admin);
    let servers = |words: &[&str]| {
        let mut command = crate::support::doorward();
        command.arg("servers").args(words).args(["--admin-url", &at, "--key", &admin]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let event = receiver.first("server.review_due");
    assert_eq!(
        (&event["data"]["server"], &event["data"]["review_by"]),
        (&json!("mail"), &json!("2020-01-31"))
    );
    let why = ["--reason", "for the help desk"];
    servers(
        &[&["propose", "tickets", "--url", "https://tickets.example.com/mcp"], &why[..]].concat(),
    );
    let event = receiver.first("server.proposed");
    assert_eq!(event["data"]["subject"], "tickets");
    assert_eq!(event["data"]["why"], "for the help desk");
    assert_eq!(event["data"]["actor"]["name"], "user \"root\"");
    servers(&["quarantine", "files", "--reason", "it lies"]);
    let event = receiver.first("server.quarantined");
    assert_eq!(
        (&event["data"]["subject"], &event["data"]["why"]),
        (&json!("files"), &json!("it lies"))
    );
    // A second proposal sends a second event; each of the others is sent once.
    servers(&["propose", "tickets", "--url", "https://other.example.com/mcp"]);
    wait_for("that has come, too", || receiver.taken("server.proposed").len() == 2);
    for kind in ["server.review_due", "server.quarantined"] {
        assert_eq!(receiver.taken(kind).len(), 1, "{kind}");
    }
}

#[test]
fn a_definition_that_is_withheld_is_told_once_for_all_replicas() {
    let receiver = Receiver::start();
    let hooks = hook("hook", &receiver.url(), ", kinds: ['definition.*']");
    let config = format!("pins: {{mode: \"on\"}}\nwebhooks:\n{hooks}{SAMPLE}");
    let gateway = Gateway::start_unready(&config);
    let of_add = || {
        let taken = receiver.taken("definition.drifted");
        taken.into_iter().filter(|one| one.body["data"]["name"] == "add").collect::<Vec<_>>()
    };
    wait_for("it is told", || !of_add().is_empty());
    let told = &of_add()[0].body["data"];
    assert_eq!((&told["server"], &told["type"]), (&json!("mail"), &json!("tool")), "{told}");
    assert!(told["digest"].as_str().unwrap().starts_with("sha256:"), "{told}");
    // Another gateway on the same store sees the same state and has no new event.
    let store = store_in(gateway.folder.path());
    let other = Gateway::start_unready(&format!("store: {store}\n{config}"));
    wait_for("it has seen it", || other.metric("doorward_definitions_withheld") > 0.0);
    assert_eq!(of_add().len(), 1);
}

#[test]
fn calls_that_wait_for_approval_are_reported_and_so_are_decisions() {
    let receiver = Receiver::start();
    let config = format!(
        "policy: {{files: [open.cedar]}}\nwebhooks:\n{}{SAMPLE}",
        hook("all", &receiver.url(), ", kinds: ['approval.*']")
    );
    let gateway = Gateway::start(&config);
    let policies = r#"permit (principal, action in Action::"use", resource);
        @id("adding") @reason("Adding is serious") @approval("role:lead") @approval_by("2")
        forbid (principal, action == Action::"call", resource == Tool::"mail/add");"#;
    std::fs::write(gateway.folder.path().join("open.cedar"), policies).unwrap();
    let client = Modern::new(&gateway, "/mcp").bearing(&gateway.key(&["--user", "ann"]));
    let sum = json!({ "a": 1, "b": 2 });
    wait_for("the policies are active", || {
        client.call("mail__add", sum.clone()).body.contains("approval_required")
    });
    let event = receiver.first("approval.waiting");
    let id = event["data"]["subject"].as_str().unwrap().to_owned();
    for (member, value) in [
        ("server", "mail"),
        ("name", "add"),
        ("asker", "ann"),
        ("reason", "Adding is serious"),
        ("approvers", "2 of role:lead"),
    ] {
        assert_eq!(event["data"][member], value, "{event}");
    }
    // One of two approvals decides nothing.
    gateway.told(&["approvals", "approve", &id]);
    client.call("mail__add", sum.clone());
    gateway.told(&["approvals", "approve", &id]);
    assert!(receiver.taken("approval.decided").is_empty());
    let other = client.call("mail__add", json!({ "a": 3, "b": 2 })).json();
    let other = other["error"]["data"]["approval"].as_str().unwrap().to_owned();
    gateway.told(&["approvals", "refuse", &other, "--reason", "no"]);
    let decided = receiver.first("approval.decided");
    assert_eq!(
        (&decided["data"]["subject"], &decided["data"]["state"]),
        (&json!(other), &json!("refused"))
    );
    // Events of different calls may come in any order.
    wait_for("both are told", || receiver.taken("approval.waiting").len() == 2);
    assert_eq!(receiver.taken("approval.decided").len(), 1);
}
