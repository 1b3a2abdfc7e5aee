//! Tampering with a stopped gateway's database, its anchor and its exports, and what the commands report.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::process::Command;

use crate::support::client::{Answer, Modern};
use crate::support::{Gateway, wait_for};
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

/// Runs SQL on a gateway's database, as an intruder with write access would.
fn tamper(gateway: &Gateway, statements: &str) {
    let script = "import sqlite3, sys\n\
                  db = sqlite3.connect(sys.argv[1], timeout=20)\n\
                  db.executescript(sys.argv[2])\n";
    let path = gateway.folder.path().join("doorward.db");
    let done = Command::new("python3").args(["-c", script]).arg(path).arg(statements).status();
    assert!(done.unwrap().success());
}

/// The output and warnings of a command that must fail.
fn fails(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = gateway.run(arguments);
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(!output.status.success(), "{arguments:?}: {told}");
    told
}

const CUT: &str = "DELETE FROM audit_blocks WHERE writer <> 'acts' AND first_seq > 2;\n\
    UPDATE audit_writers SET ended = NULL, seq = 2, hash = (SELECT SUBSTR(body, -45, 43) FROM audit_blocks \
    WHERE writer = id AND first_seq = 1) WHERE id <> 'acts';";

#[test]
fn verification_and_evidence_find_what_contradicts_the_configured_anchor() {
    let mut gateway = Gateway::start(&format!("{WRITES}audit: {{anchor: audit.anchor}}\n"));
    let client = Modern::new(&gateway, "/mcp");
    (0..3).for_each(|_| assert_eq!(add(&client).status, 200));
    gateway.signal(Signal::SIGTERM);
    gateway.wait();
    let path = |name: &str| gateway.folder.path().join(name);
    let (config, anchor) = (gateway.config.to_str().unwrap(), path("audit.anchor"));
    let verify = ["audit", "verify", "--config", config];
    let evidence = |folder: &str| -> Vec<String> {
        let folder = path(folder).display().to_string();
        let arguments = ["evidence", "--config", config, "--from", "1d", "-o"];
        arguments.iter().map(ToString::to_string).chain([folder]).collect()
    };
    let whole = evidence("whole");
    let whole: Vec<&str> = whole.iter().map(String::as_str).collect();
    assert!(gateway.told(&verify).contains("the audit log is intact"));
    gateway.told(&whole);

    std::fs::set_permissions(&anchor, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let output = gateway.run(&verify);
    assert!(String::from_utf8_lossy(&output.stderr).contains("others may write"), "{output:?}");

    tamper(&gateway, CUT);
    assert!(gateway.told(&["audit", "verify"]).contains("is intact"), "the database cannot tell");
    assert!(fails(&gateway, &verify).contains("truncated"));
    let cut = evidence("cut");
    let cut: Vec<&str> = cut.iter().map(String::as_str).collect();
    assert!(fails(&gateway, &cut).contains("NOT INTACT"));
    let report = std::fs::read_to_string(path("cut").join("record-verification.json")).unwrap();
    assert!(report.contains("cut_off"), "{report}");

    std::fs::remove_file(&anchor).unwrap();
    assert!(fails(&gateway, &verify).contains("audit.anchor is missing"));
    std::fs::write(&anchor, "").unwrap();
    assert!(fails(&gateway, &verify).contains("audit.anchor is missing, or has no checkpoint"));
}

#[test]
fn an_anchor_that_nothing_can_verify_any_more_is_found() {
    let key = "k".repeat(32);
    let config = format!("{WRITES}store_key: '{key}'\naudit: {{anchor: audit.anchor}}\n");
    let mut gateway = Gateway::start(&config);
    gateway.signal(Signal::SIGTERM);
    gateway.wait();
    let config = gateway.config.to_str().unwrap();
    let verify = ["audit", "verify", "--config", config];
    assert!(gateway.told(&verify).contains("the audit log is intact"));
    // Delete the whole log, including the key.
    let all = "DELETE FROM audit_blocks; DELETE FROM audit_keys;\n\
               DELETE FROM audit_writers WHERE id <> 'acts';\n\
               UPDATE audit_writers SET seq = 0, hash = '' WHERE id = 'acts';";
    tamper(&gateway, all);
    let told = fails(&gateway, &verify);
    assert!(
        told.contains("line 1 of") && told.contains("checkpoint that cannot be trusted"),
        "{told}"
    );
}

#[test]
fn an_export_of_some_time_begins_with_what_proves_it() {
    let mut gateway = Gateway::start(&format!("{WRITES}audit: {{checkpoints: {{records: 5}}}}\n"));
    let client = Modern::new(&gateway, "/mcp");
    (0..20).for_each(|_| assert_eq!(add(&client).status, 200));
    gateway.signal(Signal::SIGTERM);
    gateway.wait();
    let calls = search(&gateway, &["--tool", "add"]);
    let since = calls[15]["at"].as_str().unwrap();
    let file = gateway.folder.path().join("part.jsonl");
    let file = file.to_str().unwrap();
    gateway.told(&["audit", "export", "--since", since, "-o", file]);
    let lines = std::fs::read_to_string(file).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(first["seq"].as_i64().unwrap() > 2 && first["kind"] == "checkpoint", "{first}");
    let key = gateway.told(&["audit", "key"]);
    let told = gateway.told(&["audit", "verify", file, "--public-key", &key]);
    assert!(told.contains("the audit log is intact"), "{told}");
    // A chain without its row is still exported, and the tampering is detected.
    tamper(&gateway, "DELETE FROM audit_writers WHERE id <> 'acts';");
    gateway.told(&["audit", "export", "-o", file]);
    assert!(std::fs::read_to_string(file).unwrap().contains(calls[0]["id"].as_str().unwrap()));
    assert!(fails(&gateway, &["audit", "verify"]).contains("does not list"));
}

#[test]
fn an_export_that_is_said_to_be_further_than_its_chain_begins_again() {
    let folder = crate::support::folder();
    let file = folder.path().join("records.jsonl");
    let exports = format!("exports: {{kept: {{file: {{path: '{}'}}, every: 1s}}}}", file.display());
    let gateway = Gateway::start(&format!("{WRITES}audit: {{{exports}}}\n"));
    let client = Modern::new(&gateway, "/mcp");
    let exported = |id: &str| std::fs::read_to_string(&file).is_ok_and(|text| text.contains(id));
    let last = || {
        let calls = search(&gateway, &["--tool", "add"]);
        calls.last().map(|call| call["id"].as_str().unwrap().to_owned()).unwrap_or_default()
    };
    assert_eq!(add(&client).status, 200);
    wait_for("the call is exported", || exported(&last()));
    wait_for("the position is found to be wrong", || {
        tamper(
            &gateway,
            "UPDATE audit_export_positions SET seq = seq + 100000 WHERE seq < 100000;",
        );
        gateway.logged("position of an export")
    });
    assert_eq!(add(&client).status, 200);
    wait_for("the next call is exported", || exported(&last()));
}
