//! Credit, prices and usage: exactly the answered calls are charged, whatever happens.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::client::Modern;
use crate::support::services::postgres;
use crate::support::{Gateway, wait_for};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const PRICES: &str = "
servers: {sample: {sample: true}}
policy: {files: [open.cedar]}
billing:
  prices:
    add: {tools: sample/add, call: 1}
    long: {tools: sample/echo, unit: {field: content, price: 0.5}, kb: 1, reserve: 3}
    slow: {tools: sample/slow, second: 10, reserve: 5}
audit: {reads: before}
";

fn of_acme(gateway: &Gateway) -> Modern {
    let key = gateway.key(&["--user", "alice", "--in-tenant", "acme", "--in-team", "support"]);
    Modern::new(gateway, "/mcp").bearing(&key)
}

fn add(client: &Modern) -> u16 {
    client.call("sample__add", json!({ "a": 1, "b": 1 })).status
}

fn account(gateway: &Gateway, id: &str) -> Value {
    let all: Value = serde_json::from_str(&gateway.told(&["credits", "list", "--json"])).unwrap();
    let found = all.as_array().unwrap().iter().find(|account| account["id"] == id);
    found.cloned().unwrap_or_default()
}

/// The gateway learns about accounts at its next poll of the store.
fn granted(gateway: &Gateway, arguments: &[&str]) {
    gateway.told(&[&["credits"], arguments].concat());
    std::thread::sleep(Duration::from_millis(700));
}

#[test]
fn what_is_used_is_charged_and_what_is_used_up_is_refused() {
    let gateway = Gateway::start(PRICES);
    let client = of_acme(&gateway);
    // Without an account, a call is only counted.
    assert_eq!(add(&client), 200);
    granted(&gateway, &["grant", "--tenant", "acme", "5"]);
    let passed = (0..8).filter(|_| add(&client) == 200).count();
    assert_eq!(passed, 5);
    let refused = client.call("sample__add", json!({ "a": 1, "b": 1 }));
    assert_eq!(
        (refused.status, refused.kind().as_str()),
        (402, "out_of_credit"),
        "{}",
        refused.body
    );
    wait_for("all is settled", || account(&gateway, "tenant/acme")["spent"] == "5");
    // A failed call costs nothing and releases its held credit.
    granted(&gateway, &["grant", "--tenant", "acme", "4"]);
    for _ in 0..6 {
        assert_eq!(client.call("sample__echo", json!({})).result()["isError"], true);
    }
    // One block of content, and about a tenth of a kilobyte.
    let length = client.call("sample__echo", json!({ "text": "x" })).result().to_string().len();
    assert!(length > 20);
    wait_for("the units are charged", || {
        let spent: f64 =
            account(&gateway, "tenant/acme")["spent"].as_str().unwrap().parse().unwrap();
        (5.5..5.9).contains(&spent)
    });
    let books = gateway.told(&["credits", "check"]);
    assert!(books.contains("total 0;") && books.contains("the ledger is consistent"), "{books}");
    let usage = || gateway.told(&["usage", "--by", "tenant,user,tool", "--format", "csv"]);
    wait_for("all is counted", || usage().contains("acme,alice,add,10,"));
    let usage = usage();
    let line = usage.lines().find(|line| line.starts_with("acme,alice,add,")).unwrap();
    assert!(line.starts_with("acme,alice,add,10,4,0,6,"), "{usage}");
    let month = jiff::Timestamp::now().strftime("%Y-%m").to_string();
    let invoice = gateway.told(&["usage", "--invoice", &month]);
    assert!(invoice.contains("\nacme,sample,add,10,4,0,6,"), "{invoice}");
}

#[test]
fn budgets_hold_within_a_tenant_and_adjustments_are_entries() {
    let gateway = Gateway::start(PRICES);
    let client = of_acme(&gateway);
    gateway.told(&["credits", "grant", "--tenant", "acme", "100"]);
    granted(&gateway, &["budget", "--user", "alice", "3", "--each", "day"]);
    assert_eq!((0..6).filter(|_| add(&client) == 200).count(), 3);
    let refused = client.call("sample__add", json!({ "a": 1, "b": 1 }));
    assert!(refused.body.contains("user/alice"), "{}", refused.body);
    // A raised daily budget takes effect at once.
    granted(&gateway, &["budget", "--user", "alice", "6", "--each", "day"]);
    assert!((0..8).filter(|_| add(&client) == 200).count() >= 3);
    gateway.told(&["credits", "adjust", "--tenant", "acme", "--note", "a mistake", "-10"]);
    let entries = gateway.told(&["credits", "entries", "--tenant", "acme"]);
    assert!(entries.contains("adjust") && entries.contains("a mistake"), "{entries}");
    assert!(gateway.told(&["credits", "check"]).contains("the ledger is consistent"));
}

#[test]
fn alerts_come_once_for_each_part_of_the_credit() {
    let received = std::sync::Arc::new(std::sync::Mutex::new(Vec::<Value>::new()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = received.clone();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let mut stream = stream;
            let mut text = Vec::new();
            let mut chunk = [0; 4096];
            // Requests are small: head and body arrive within two reads.
            while !String::from_utf8_lossy(&text).contains('}') {
                let read = stream.read(&mut chunk).unwrap_or(0);
                if read == 0 {
                    break;
                }
                text.extend_from_slice(&chunk[..read]);
            }
            // The first delivery fails and must be retried.
            let status = if number == 0 { "500 No" } else { "200 OK" };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(text.to_lowercase().contains("authorization: bearer hook-token-0123456789"));
            if number > 0 {
                let body = text.split("\r\n\r\n").nth(1).unwrap();
                seen.lock().unwrap().push(serde_json::from_str(body).unwrap());
            }
        }
    });
    let alerts = format!(
        "billing:\n  alerts: {{at: [50, 100], webhook: 'http://{address}/hook', token: hook-token-0123456789}}\n"
    );
    let gateway = Gateway::start(&PRICES.replace("billing:\n", &alerts));
    let client = of_acme(&gateway);
    granted(&gateway, &["grant", "--tenant", "acme", "4"]);
    (0..6).for_each(|_| _ = add(&client));
    wait_for("both alerts have come", || received.lock().unwrap().len() >= 2);
    std::thread::sleep(Duration::from_secs(3));
    let all = received.lock().unwrap().clone();
    let percents: Vec<i64> = all.iter().map(|alert| alert["percent"].as_i64().unwrap()).collect();
    assert_eq!(percents, [50, 100], "{all:?}");
    assert_eq!(all[0]["account"], "tenant/acme");
}

/// Two gateways on one PostgreSQL, one of which is killed repeatedly: every acknowledged call is charged and
/// recorded, the ledger is consistent, and the audit chains are intact.
#[test]
fn no_credit_is_lost_or_made_when_gateways_are_killed() {
    let folder = crate::support::folder();
    let (_database, url) = postgres(folder.path());
    let config = format!("store: '{url}'\nstore_key: 0123456789abcdef0123456789abcdef\n{PRICES}");
    let run = |arguments: &[&str]| crate::support::told(&url, arguments);
    let key = run(&["keys", "create", "--user", "alice", "--in-tenant", "acme"]);
    run(&["credits", "grant", "--tenant", "acme", "100000"]);
    let start = || {
        let config = config.replace(&format!("store: '{url}'"), &format!("store: {url}"));
        Gateway::start_in(&config, &[("DOORWARD_STORE_KEY", "0123456789abcdef0123456789abcdef")])
    };
    let (acknowledged, sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let steady = start();
    for round in 0..6 {
        let mortal = start();
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for gateway in [&steady, &mortal] {
                for _ in 0..3 {
                    let client = Modern::new(gateway, "/mcp").bearing(&key);
                    let (ended, acknowledged, sent) = (&ended, &acknowledged, &sent);
                    scope.spawn(move || {
                        while !ended.load(Ordering::Relaxed) {
                            sent.fetch_add(1, Ordering::Relaxed);
                            let body = client.body(
                                "tools/call",
                                json!({ "name": "sample__add", "arguments": { "a": 1, "b": 1 } }),
                            );
                            // The gateway may be gone; then nothing was acknowledged.
                            let answered =
                                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                                    client.send(&body, &[]).status
                                }));
                            match answered {
                                Ok(200) => _ = acknowledged.fetch_add(1, Ordering::Relaxed),
                                Ok(_) => {}
                                Err(_) => break,
                            }
                        }
                    });
                }
            }
            std::thread::sleep(Duration::from_millis(400 + 130 * round));
            mortal.signal(Signal::SIGKILL);
            std::thread::sleep(Duration::from_millis(50));
            ended.store(true, Ordering::Relaxed);
        });
    }
    // The next gateway closes the open calls.
    let heir = start();
    drop(steady);
    let last = start();
    wait_for("the dead are buried", || {
        last.logged("a gateway stopped unexpectedly")
            || heir.logged("a gateway stopped unexpectedly")
    });
    drop((heir, last));
    let last = start();
    wait_for("all are buried", || {
        let writers =
            run(&["audit", "search", "--json", "--class", "events", "--text", "writer.died"]);
        writers.lines().count() >= 9
    });
    let (acknowledged, sent) = (acknowledged.into_inner(), sent.into_inner());
    let books: Value = serde_json::from_str(&run(&["credits", "check", "--json"])).unwrap();
    assert_eq!(books["sum"], "0");
    let records = run(&["audit", "search", "--json", "--tool", "add", "--limit", "1000000"]);
    let records: Vec<Value> =
        records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let with = |outcome: &str| records.iter().filter(|it| it["outcome"] == outcome).count();
    let (ok, unknown, cancelled) = (with("ok"), with("unknown"), with("cancelled"));
    println!(
        "sent {sent}, acknowledged {acknowledged}, recorded {ok} ok, {unknown} unknown, {cancelled} cancelled; books {books}"
    );
    assert!(ok + unknown >= acknowledged && records.len() <= sent, "{ok} {unknown} {acknowledged}");
    assert!(unknown > 0, "nobody was killed in the middle of anything");
    let charged: i64 = records.iter().filter_map(|it| it["price"].as_i64()).sum();
    let spent = books["spent"].as_str().unwrap().parse::<i64>().unwrap() * 1_000_000;
    assert_eq!(charged, spent);
    assert_eq!(charged, i64::try_from(ok + unknown).unwrap() * 1_000_000);
    let used = run(&["usage", "--by", "tool", "--format", "json"]);
    let used: Value = serde_json::from_str(&used).unwrap();
    drop(last);
    assert_eq!(used[0]["calls"].as_i64().unwrap(), i64::try_from(records.len()).unwrap(), "{used}");
    // Only this test writes to the database, and the key is stored in it.
    let verified = run(&["audit", "verify", "--trust-database"]);
    assert!(verified.contains("the audit log is intact"), "{verified}");
}
