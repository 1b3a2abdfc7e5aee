//! The audit log: every call has a record, which is on disk before a call that can change something; a call that
//! cannot be recorded is refused.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::client::{Answer, Handshake, Modern, get};
use crate::support::services::postgres;
use crate::support::{Gateway, store_in, told, wait_for};
use doorward_bench::backend::{self, Era};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const WRITES: &str = "servers: {sample: {sample: true, tools: {add: {write: true}}}}\n";

fn add(client: &Modern) -> Answer {
    client.call("sample__add", json!({ "a": 1, "b": 1 }))
}

fn search(gateway: &Gateway, arguments: &[&str]) -> Vec<Value> {
    let told = gateway.told(&[&["audit", "search", "--json"], arguments].concat());
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verified(gateway: &Gateway) -> String {
    gateway.told(&["audit", "verify"])
}

#[test]
fn a_record_says_who_did_what_and_what_came_of_it() {
    let gateway = Gateway::start(&format!(
        "{WRITES}audit: {{payloads: {{sample/echo: {{arguments: true, result: true}}}}, mask: [pin]}}\n"
    ));
    let key = gateway.key(&["--user", "alice", "--in-tenant", "acme", "--in-team", "support"]);
    let client = Modern::new(&gateway, "/mcp").bearing(&key);
    assert_eq!(add(&client).text(), "2");
    let spoken =
        json!({ "text": "mine is ghp_0123456789abcdefABCD", "pin": "4711", "password": "hunter2" });
    client.call("sample__echo", spoken);
    client.call("sample__absent", json!({}));
    Modern::new(&gateway, "/mcp")
        .bearing("dwk_aaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
        .ask("tools/list", json!({}));
    let session = Handshake::open_bearing(&gateway, "/mcp", "2025-11-25", json!({}), Some(&key));
    session.call(2, "sample__add", json!({ "b": 1, "a": 1.0 }));
    session.end();
    wait_for("the session's end is recorded", || {
        !search(&gateway, &["--text", "session.end"]).is_empty()
    });
    let all = search(&gateway, &["--tool", "add"]);
    let record = &all[0];
    for (name, expected) in [
        ("tenant", "acme"),
        ("user", "alice"),
        ("server", "sample"),
        ("target", "add"),
        ("class", "writes"),
        ("method", "tools/call"),
        ("revision", "2026-07-28"),
        ("protocol", "mcp"),
        ("authentication", "key"),
        ("credential", "none"),
        ("outcome", "ok"),
        ("address", "127.0.0.1"),
    ] {
        assert_eq!(record[name], expected, "{name}: {record}");
    }
    assert_eq!(record["key"].as_str().unwrap(), &key[4..16]);
    assert_eq!(record["write"], true);
    assert_eq!(record["teams"], json!(["support"]));
    assert!(record["gateway_us"].is_u64() && record["upstream_us"].is_u64());
    // RFC 8785: equal arguments have the same hash, however they are written.
    assert_eq!(all[1]["arguments"]["sha256"], record["arguments"]["sha256"]);
    assert!(all[1]["session"].is_string() && all[1]["session"].as_str().unwrap().len() == 16);
    assert!(record.get("payload").is_none() && record["arguments"].get("payload").is_none());
    let echo = &search(&gateway, &["--tool", "echo"])[0];
    let told = echo["arguments"]["payload"].to_string() + &echo["result"]["payload"].to_string();
    for secret in ["ghp_0123", "4711", "hunter2"] {
        assert!(!told.contains(secret), "{told}");
    }
    assert!(told.contains("mine is [SECRET]"), "{told}");
    // Calls that were refused earlier are recorded as well.
    assert_eq!(search(&gateway, &["--text", "sample__absent", "--outcome", "error"]).len(), 0);
    assert_eq!(search(&gateway, &["--text", "caller.refused"])[0]["protocol"], "mcp");
    let acts = search(&gateway, &["--class", "acts", "--text", "\"key.create\""]);
    assert_eq!(acts[0]["actor"]["via"], "machine");
    let id = record["id"].as_str().unwrap();
    let shown = gateway.told(&["audit", "show", id]);
    assert!(shown.contains("\"opened\"") && shown.contains("\"closed\""), "{shown}");
    assert!(verified(&gateway).contains("the audit log is intact"));
    // The database contains no secret.
    let database = std::fs::read(gateway.folder.path().join("doorward.db-wal")).unwrap();
    let secret = key.as_bytes();
    assert!(!database.windows(secret.len()).any(|part| part == secret));
}

/// kill -9 at any moment: acknowledged calls are recorded, open calls are closed as unknown once, the chains are
/// intact, and no call reached the server without a record.
#[test]
fn kill_9_under_load_loses_no_acknowledged_record() {
    let rounds: usize =
        std::env::var("DOORWARD_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap());
    let runtime = tokio_runtime();
    let backend = runtime.block_on(backend::start(Era::Modern, 1)).unwrap();
    let folder = crate::support::folder();
    let store = store_in(folder.path());
    let config = format!("store: {store}\nservers: {{behind: {{url: '{}'}}}}\n", backend.url());
    let (sent, acknowledged) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for round in 0..rounds {
        let gateway = Gateway::start(&config);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                let client = Modern::new(&gateway, "/mcp");
                let (ended, sent, acknowledged) = (&ended, &sent, &acknowledged);
                scope.spawn(move || {
                    while !ended.load(Ordering::Relaxed) {
                        sent.fetch_add(1, Ordering::Relaxed);
                        let asking = || client.call("behind__echo", json!({ "text": "x" })).status;
                        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(asking)) {
                            Ok(200) => _ = acknowledged.fetch_add(1, Ordering::Relaxed),
                            Ok(_) => {}
                            Err(_) => break,
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(60 + 97 * (round as u64 % 7)));
            gateway.signal(Signal::SIGKILL);
            std::thread::sleep(Duration::from_millis(20));
            ended.store(true, Ordering::Relaxed);
        });
    }
    let gateway = Gateway::start(&config);
    let told = |arguments: &[&str]| told(&store, arguments);
    let all = told(&["audit", "search", "--json", "--tool", "echo", "--limit", "10000000"]);
    let count = |outcome: &str| {
        all.lines().filter(|line| line.contains(&format!("\"outcome\":\"{outcome}\""))).count()
    };
    let (ok, unknown, cancelled, recorded) =
        (count("ok"), count("unknown"), count("cancelled"), all.lines().count());
    let (sent, acknowledged) = (sent.into_inner(), acknowledged.into_inner());
    println!(
        "{rounds} kills: sent {sent}, acknowledged {acknowledged}; recorded {recorded}: {ok} ok, {unknown} unknown, \
         {cancelled} cancelled"
    );
    assert!(ok + unknown >= acknowledged, "{ok} + {unknown} < {acknowledged}");
    assert!(recorded <= sent && unknown > 0);
    assert_eq!(ok + unknown + cancelled, recorded);
    let report: Value = serde_json::from_str(&told(&["audit", "verify", "--json"])).unwrap();
    assert_eq!(report["findings"], json!([]));
    drop(gateway);
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn readiness(gateway: &Gateway) -> u16 {
    get(&gateway.admin, "/readyz").0
}

/// While the database is down, calls that must be recorded are refused and not sent; reads continue as long as the
/// queue has room; and the gateway recovers by itself.
#[test]
fn while_the_database_is_away_nothing_is_done_unrecorded() {
    let folder = crate::support::folder();
    let (database, url) = postgres(folder.path());
    let gateway =
        Gateway::start(&format!("store: {url}\n{WRITES}audit: {{write_timeout: 500ms}}\n"));
    let client = Modern::new(&gateway, "/mcp");
    assert_eq!(add(&client).status, 200);
    // The database hangs: the write has a deadline.
    database.signal(Signal::SIGSTOP);
    database.signal_children(Signal::SIGSTOP);
    let refused = add(&client);
    assert_eq!(
        (refused.status, refused.kind().as_str()),
        (503, "audit_unavailable"),
        "{}",
        refused.body
    );
    wait_for("readiness turns red", || readiness(&gateway) == 503);
    assert_eq!(get(&gateway.admin, "/healthz").0, 200);
    let read = client.call("sample__echo", json!({ "text": "x" }));
    assert_eq!(read.text(), "x");
    database.signal_children(Signal::SIGCONT);
    database.signal(Signal::SIGCONT);
    wait_for("it is written again", || add(&client).status == 200);
    wait_for("readiness turns green", || readiness(&gateway) == 200);
    let told = |arguments: &[&str]| told(&url, arguments);
    let refusals = told(&["audit", "search", "--json", "--outcome", "refused"]);
    assert!(
        refusals.lines().count() >= 1,
        "what was refused is on the record once it can be written"
    );
    drop(gateway);
    assert!(told(&["audit", "verify", "--trust-database"]).contains("the audit log is intact"));
}

/// A disk of a few megabytes. Only root can create one.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "none"]).arg(path).output();
        mounted.is_ok_and(|done| done.status.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_what_must_be_recorded_and_room_brings_it_back() {
    let folder = crate::support::folder();
    let disk = folder.path().join("disk");
    let Some(_mounted) = SmallDisk::mount(&disk) else {
        eprintln!("not run: no disk can be mounted here");
        return;
    };
    let gateway = Gateway::start(&format!(
        "store: {}\n{WRITES}audit: {{write_timeout: 500ms, reads: before}}\n",
        store_in(&disk)
    ));
    let client = Modern::new(&gateway, "/mcp");
    assert_eq!(add(&client).status, 200);
    let ballast = disk.join("ballast");
    let _ = std::fs::write(&ballast, vec![0; 8 << 20]);
    wait_for("there is no room", || add(&client).kind() == "audit_unavailable");
    wait_for("readiness turns red", || readiness(&gateway) == 503);
    std::fs::remove_file(&ballast).unwrap();
    wait_for("there is room again", || add(&client).status == 200);
    wait_for("readiness turns green", || readiness(&gateway) == 200);
    assert!(told(&store_in(&disk), &["audit", "verify"]).contains("the audit log is intact"));
}

#[test]
fn an_end_that_was_cut_off_while_nobody_wrote_contradicts_the_anchor() {
    let folder = crate::support::folder();
    let anchor = folder.path().join("anchor");
    let config =
        format!("{WRITES}audit: {{anchor: '{}', checkpoints: {{records: 5}}}}\n", anchor.display());
    let mut gateway = Gateway::start(&config);
    let client = Modern::new(&gateway, "/mcp");
    (0..20).for_each(|_| assert_eq!(add(&client).status, 200));
    gateway.signal(Signal::SIGTERM);
    gateway.wait();
    assert!(verified(&gateway).contains("the audit log is intact"));
    // Delete everything since the tenth record, and all traces of it.
    let script = "import sqlite3, sys\n\
                  db = sqlite3.connect(sys.argv[1])\n\
                  db.execute(\"DELETE FROM audit_blocks WHERE writer <> 'acts' AND last_seq > 10\")\n\
                  last = db.execute(\"SELECT MAX(last_seq) FROM audit_blocks WHERE writer <> 'acts'\").fetchone()[0]\n\
                  body = db.execute(\"SELECT body FROM audit_blocks WHERE last_seq = ? AND writer <> 'acts'\", (last,)).fetchone()[0]\n\
                  db.execute(\"UPDATE audit_writers SET seq = ?, hash = ? WHERE id <> 'acts'\", (last, body[-45:-2]))\n\
                  db.commit()\n";
    let path = gateway.folder.path().join("doorward.db");
    let done = Command::new("python3").args(["-c", script]).arg(&path).status().unwrap();
    assert!(done.success());
    let output = gateway.run(&["audit", "verify"]);
    let found = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && found.contains("no record says so"), "{found}");
    let script = "import sqlite3, sys\n\
                  db = sqlite3.connect(sys.argv[1])\n\
                  db.execute(\"UPDATE audit_writers SET ended = NULL\")\n\
                  db.commit()\n";
    assert!(Command::new("python3").args(["-c", script]).arg(&path).status().unwrap().success());
    assert!(
        verified(&gateway).contains("the audit log is intact"),
        "the database alone cannot tell"
    );
    let output = gateway.run(&["audit", "verify", "--anchor", anchor.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && told.contains("truncated"), "{told}");
}

#[test]
fn policies_are_tried_on_what_was_recorded() {
    let gateway =
        Gateway::start("servers: {sample: {sample: true}}\naudit: {policy_arguments: true}\n");
    let keys = ["alice", "bob"].map(|user| gateway.key(&["--user", user]));
    let folder = gateway.folder.path().to_owned();
    std::fs::write(
        folder.join("old.cedar"),
        "@id(\"all\") @arguments(\"a?: Long\") permit (principal, action, resource);",
    )
    .unwrap();
    std::fs::write(
        folder.join("new.cedar"),
        "@id(\"all\") permit (principal, action, resource);\n\
         @id(\"small\") @reason(\"Sums are small\") @arguments(\"a?: Long\") forbid (principal, action, resource == Tool::\"sample/add\")\n\
         when { context.arguments has a && context.arguments.a > 10 };",
    )
    .unwrap();
    gateway.told(&["policy", "apply", folder.join("old.cedar").to_str().unwrap()]);
    wait_for("the policies are active", || gateway.logged("policies are active"));
    for key in &keys {
        let client = Modern::new(&gateway, "/mcp").bearing(key);
        for a in [1, 50, 60] {
            client.call("sample__add", json!({ "a": a, "b": 1 }));
        }
    }
    wait_for("all is on the record", || search(&gateway, &["--tool", "add"]).len() == 6);
    let simulated = gateway.told(&[
        "policy",
        "simulate",
        folder.join("new.cedar").to_str().unwrap(),
        "--since",
        "1h",
        "--json",
    ]);
    let simulated: Value = serde_json::from_str(&simulated).unwrap();
    assert_eq!(simulated["decided"], 6);
    let groups = simulated["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2, "{simulated}");
    for (group, user) in groups.iter().zip(["alice", "bob"]) {
        assert_eq!(
            (group["turn"].as_str(), group["principal"].as_str()),
            (Some("refused"), Some(user))
        );
        assert_eq!(
            (group["tool"].as_str(), group["group"]["count"].as_i64()),
            (Some("sample/add"), Some(2))
        );
        assert_eq!(group["group"]["reason"], "Sums are small");
    }
    let nothing = gateway.told(&["policy", "simulate", folder.join("old.cedar").to_str().unwrap()]);
    assert!(
        nothing.contains("evaluated 6 recorded calls; 0 would be decided differently"),
        "{nothing}"
    );
}
