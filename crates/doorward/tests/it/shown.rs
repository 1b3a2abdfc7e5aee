//! Untrusted text in output for people, and who may read the files that the gateway writes.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use crate::support::client::{Handshake, Modern, get};
use crate::support::hostile::{Era, said, scripted};
use crate::support::{Gateway, doorward, wait_for};
use serde_json::{Value, json};

/// Moves the cursor, hides text and reorders it.
const TRICK: &str = "x\u{1b}[2J\u{202e}y\u{200b}\u{e0041}\u{9b}z";

fn is_harmless(text: &str) -> bool {
    !text.contains(['\u{1b}', '\u{202e}', '\u{200b}', '\u{e0041}', '\u{9b}'])
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn nothing_that_a_server_writes_acts_on_a_terminal() {
    let server = scripted(Era::Modern, |asked| match asked.message["method"].as_str()? {
        "tools/list" => Some(json!({ "ttlMs": 60_000, "cacheScope": "private", "tools": [
            { "name": TRICK, "description": TRICK, "inputSchema": { "type": "object" } },
            { "name": "", "inputSchema": { "type": "object" } },
            { "name": format!("{TRICK}2"), "inputSchema": { "$ref": TRICK } }] })),
        "tools/call" => Some(said(TRICK)),
        _ => None,
    });
    let config = format!("servers: {{s: {{url: \"{}\"}}}}", server.url());
    let gateway = Gateway::start(&config);
    let client = Handshake::open(&gateway, "/mcp/s", "2025-11-25", json!({}));
    assert_eq!(client.call(1, TRICK, json!({})).text(), TRICK, "what clients get is not changed");
    let (_, metrics) = get(&gateway.admin, "/metrics");
    assert!(metrics.contains("\\\\u{1b}") || metrics.contains("\\u{1b}"), "{metrics}");
    assert!(is_harmless(&metrics), "{metrics}");
    let admin = format!("http://{}", gateway.admin);
    for arguments in [
        &["servers", "--admin-url", &admin][..],
        &["servers", "--json", "--admin-url", &admin],
        &["tools", "--url", &gateway.url("/mcp/s")],
        &["tools", "--json", "--url", &gateway.url("/mcp/s")],
        &["call", TRICK, "--url", &gateway.url("/mcp/s")],
        &["call", TRICK, "--json", "--url", &gateway.url("/mcp/s")],
        &["audit", "search"],
        &["audit", "search", "--json"],
        &["audit", "tail", "--json"],
        &["audit", "export", "--form", "ocsf"],
        &["usage"],
        &["usage", "--format", "csv"],
    ] {
        let told = gateway.told(arguments);
        assert!(is_harmless(&told), "{arguments:?}: {told}");
    }
    // Machine-readable output stays unchanged: JSON, and what is verified byte by byte.
    let has_called = |text: &str| {
        let mut records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.any(|record| record["target"] == TRICK)
    };
    assert!(has_called(&gateway.told(&["audit", "search", "--json"])));
    let native = gateway.told(&["audit", "export", "-o", "-"]);
    assert!(has_called(&native) && !is_harmless(&native), "{native}");
    assert_eq!(native, gateway.told(&["audit", "export"]));
    let terminal = std::process::Command::new(crate::support::python())
        .args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])"])
        .args([env!("CARGO_BIN_EXE_doorward"), "audit", "export"])
        .env("DOORWARD_STORE", crate::support::store_in(gateway.folder.path()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8(terminal.stdout).unwrap();
    assert!(is_harmless(&shown) && has_called(&shown), "{shown}");

    let evidence = gateway.folder.path().join("evidence");
    let config = gateway.config.to_str().unwrap();
    let folder = evidence.to_str().unwrap();
    gateway.told(&["evidence", "--from", "1d", "--output", folder, "--config", config]);
    for file in std::fs::read_dir(&evidence).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(is_harmless(&text), "{}: {text}", path.display());
    }
    let activity = std::fs::read_to_string(evidence.join("activity.csv")).unwrap();
    assert!(activity.contains("\\u{202e}"), "{activity}");
}

#[test]
fn what_is_wrong_with_a_configuration_is_told_in_harmless_words() {
    let folder = crate::support::folder();
    let trick = TRICK.replace('\u{1b}', "\\u001b").replace('\u{9b}', "\\u009b");
    for (name, text) in [
        ("raw.yaml", format!("servers:\n  s: {{url: 'x', {TRICK}: 1}} # {TRICK}\n")),
        ("named.yaml", format!("servers:\n  \"{trick}\": {{urll: 'x'}} # \u{202e}\u{200b}\n")),
        ("named.json", format!("{{\"mcpServers\": {{\"{trick}\": {{\"command\": 1}}}}}}")),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        for command in [&["check"][..], &["import", "-o", "-"]] {
            let output = doorward().args(command).arg(&file).output().unwrap();
            let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(!output.status.success(), "{name} {command:?}: {told}");
            assert!(is_harmless(&told) && told.contains(name), "{name} {command:?}: {told}");
        }
    }
}

#[test]
fn the_pretty_log_shows_what_it_is_told_in_one_harmless_line() {
    let server = scripted(Era::Modern, |asked| {
        (asked.message["method"] == "tools/list").then(|| {
            json!({ "ttlMs": 60_000, "cacheScope": "private", "tools": [
                { "name": "a", "inputSchema": { "$ref": format!("{TRICK}\nERROR forged") } },
                { "name": format!("{TRICK}\nERROR forged"), "inputSchema": { "type": "object", "properties": { "x": { "x-mcp-header": "" } } } }] })
        })
    });
    let folder = crate::support::folder();
    let file = folder.path().join("doorward.yaml");
    std::fs::write(&file, format!("servers: {{s: {{url: \"{}\"}}}}", server.url())).unwrap();
    let mut child = doorward()
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log", "debug"])
        .args(["--log-format", "pretty", "--config"])
        .arg(&file)
        .env("DOORWARD_STORE", crate::support::store_in(folder.path()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Arc::new(Mutex::new(String::new()));
    let (lines, stderr) = (log.clone(), child.stderr.take().unwrap());
    std::thread::spawn(move || {
        use std::io::BufRead;
        for line in std::io::BufReader::new(stderr).lines().map_while(Result::ok) {
            lines.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    wait_for("the tool is left out", || log.lock().unwrap().contains("a tool is not listed"));
    child.kill().unwrap();
    let _ = child.wait();
    let log = log.lock().unwrap();
    assert!(is_harmless(&log), "{log}");
    assert!(log.contains("\\u{202e}"), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("ERROR forged")), "{log}");
}

#[test]
fn what_the_gateway_writes_is_its_owners_alone() {
    let folder = crate::support::folder();
    let at = |name: &str| folder.path().join(name);
    let store = crate::support::store_in(folder.path());
    crate::support::told(&store, &["keys", "create", "--user", "alice"]);
    let database = at("doorward.db");
    assert_eq!(mode(&database), 0o600);
    // If a file has wider permissions, those of other users are removed, with a warning.
    std::fs::set_permissions(&database, PermissionsExt::from_mode(0o644)).unwrap();
    let output = doorward().args(["keys", "list"]).env("DOORWARD_STORE", &store).output().unwrap();
    assert!(output.status.success());
    assert_eq!(mode(&database), 0o600);

    let gateway = Gateway::start(&format!(
        "servers: {{sample: {{sample: true}}}}\naudit: {{exports: {{kept: {{file: {{path: {}}}}}}}}}",
        at("records.jsonl").display()
    ));
    Modern::new(&gateway, "/mcp/sample").call("add", json!({ "a": 1, "b": 2 }));
    wait_for("the audit export works", || at("records.jsonl").exists());
    assert_eq!(mode(&at("records.jsonl")), 0o600);
    for file in ["export.jsonl", "wide.jsonl"] {
        if file == "wide.jsonl" {
            std::fs::write(at(file), "before").unwrap();
            std::fs::set_permissions(at(file), PermissionsExt::from_mode(0o666)).unwrap();
        }
        let path = at(file);
        gateway.told(&["audit", "export", "--output", path.to_str().unwrap()]);
        assert_eq!(mode(&path), 0o600, "{file}");
        assert!(!std::fs::read_to_string(&path).unwrap().contains("before"));
    }
    let evidence = at("evidence");
    gateway.told(&["evidence", "--from", "2020-01-01", "--output", evidence.to_str().unwrap()]);
    assert_eq!(mode(&evidence), 0o700);
    let mut files = 0;
    for file in std::fs::read_dir(&evidence).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert!(files > 5);
}
