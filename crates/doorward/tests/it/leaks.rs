//! Plants secrets and personal data in every place of a call and searches every output for them, byte by byte and in
//! pieces of eight characters: the database, exports, traces, the log, and the admin API. The inspection settings
//! decide what is forwarded; what is written is always redacted.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::support::client::{JSON, Modern, send};
use crate::support::hostile::{
    Asked, Era, Hostile, answer, begin_stream, event, result_text, with_habit,
};
use crate::support::services::postgres;
use crate::support::{Gateway, folder, python, store_in, wait_for};
use serde_json::{Value, json};

/// Makes one value of each family of detectors, and lists the pieces of it that no other value of the family
/// contains.
const MAKE: &str = r#"
import json, re, sys
sys.path.insert(0, sys.argv[1])
import texts
def pieces(text):
    return {text[at:at + 8] for at in range(len(text) - 7)}
def own(text):
    return re.sub(r"^(PESEL|born on|DOB|date of birth:|SIN|routing number) ", "", text)
made = []
for kinds in texts.F, texts.V:
    for kind, make in kinds.items():
        # Of invented families, some are not found.
        if kind[0] == "x":
            continue
        text, other = make(), make()
        rest = pieces(own(text)) - pieces(own(other))
        made.append({"kind": kind, "text": text, "pieces": sorted(p for p in rest if not re.search(r'[\n"\\]', p))})
print(json.dumps(made))
"#;

/// A planted value.
#[derive(Debug, Clone)]
struct Plant {
    kind: String,
    text: String,
    /// Pieces of the value that no output may contain.
    pieces: Vec<String>,
}

/// Machine addresses may appear where the gateway reports its connections.
fn is_address(plant: &Plant) -> bool {
    matches!(&*plant.kind, "ip" | "ip6" | "mac")
}

fn plants() -> Vec<Plant> {
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/detection");
    let made = Command::new(python()).args(["-c", MAKE]).arg(texts).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Vec<Value> = serde_json::from_slice(&made.stdout).unwrap();
    assert!(made.len() > 55, "{}", made.len());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let plant = |value: &Value| Plant {
        kind: text(&value["kind"]),
        text: text(&value["text"]),
        pieces: value["pieces"].as_array().unwrap().iter().map(text).collect(),
    };
    made.iter().map(plant).collect()
}

/// All values as the members of an object.
fn object(plants: &[Plant]) -> Value {
    plants.iter().map(|plant| (plant.kind.clone(), Value::from(&*plant.text))).collect()
}

/// All values but addresses, one per line.
fn lines(plants: &[Plant]) -> String {
    let plants = plants.iter().filter(|plant| !is_address(plant));
    plants.map(|plant| plant.text.clone()).collect::<Vec<_>>().join("\n")
}

/// A server that returns the values in every place that it can fill.
fn server(plants: &[Plant]) -> Hostile {
    let plants = plants.to_vec();
    with_habit(Era::Modern, move |asked, out| {
        says(&plants, asked, out);
        true
    })
}

/// A server that completes the handshake and answers every list with an error, or one that does not speak MCP at all.
fn broken(plants: &[Plant], greets: bool) -> Hostile {
    let plants = plants.to_vec();
    with_habit(Era::Modern, move |asked, out| {
        // The gateway reports why it cannot use the server, including addresses.
        let known: Vec<Plant> = plants.iter().filter(|one| !is_address(one)).cloned().collect();
        let (all, text) = (object(&known), lines(&plants));
        if greets && asked.message["method"] == "server/discover" {
            says(&plants, asked, out);
        } else if greets {
            let error = json!({ "code": -32_000, "message": text, "data": all });
            let body = json!({ "jsonrpc": "2.0", "id": asked.message["id"], "error": error });
            answer(out, 200, "application/json", body.to_string().as_bytes());
        } else {
            answer(out, 200, "application/json", text.as_bytes());
        }
        true
    })
}

fn says(plants: &[Plant], asked: &Asked, out: &mut std::net::TcpStream) {
    let (all, text) = (object(plants), lines(plants));
    let params = &asked.message["params"];
    let tool = params["name"].as_str().unwrap_or_default();
    let error = |code: i64| {
        let error = json!({ "code": code, "message": text, "data": all });
        json!({ "jsonrpc": "2.0", "id": asked.message["id"], "error": error }).to_string()
    };
    let content: Vec<Value> =
        plants.iter().map(|plant| json!({ "type": "text", "text": plant.text })).collect();
    let result = match (asked.message["method"].as_str().unwrap_or_default(), tool) {
        ("server/discover", _) => json!({ "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": {}, "prompts": {}, "resources": {}, "logging": {} },
            "ttlMs": 60_000, "cacheScope": "public" }),
        ("tools/list", _) => {
            let names = ["say", "fail", "error", "down", "garbage", "half"];
            let tool = |name| json!({ "name": name, "inputSchema": { "type": "object" } });
            json!({ "tools": names.map(tool), "ttlMs": 60_000, "cacheScope": "public" })
        }
        ("prompts/list", _) => json!({ "prompts": [{ "name": "ask" }], "ttlMs": 60_000,
            "cacheScope": "public" }),
        ("resources/list", _) => {
            json!({ "resources": [], "ttlMs": 60_000, "cacheScope": "public" })
        }
        ("resources/templates/list", _) => {
            json!({ "resourceTemplates": [], "ttlMs": 60_000, "cacheScope": "public" })
        }
        ("prompts/get", _) => json!({ "description": text, "messages":
            [{ "role": "user", "content": { "type": "text", "text": text } }] }),
        ("resources/read", _) => json!({ "ttlMs": 0, "cacheScope": "private",
            "contents": [{ "uri": params["uri"], "text": text }] }),
        ("tools/call", "say") => {
            begin_stream(out);
            let progress = json!({ "progressToken": params["_meta"]["progressToken"],
                "progress": 1, "message": text });
            event(
                out,
                &json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                "params": progress })
                .to_string(),
            );
            event(
                out,
                &json!({ "jsonrpc": "2.0", "method": "notifications/message",
                "params": { "level": "error", "data": all } })
                .to_string(),
            );
            let result = json!({ "resultType": "complete", "content": content,
                "structuredContent": all });
            event(out, &result_text(asked, &result));
            let _ = out.shutdown(std::net::Shutdown::Both);
            return;
        }
        ("tools/call", "fail") => json!({ "content": content, "isError": true }),
        ("tools/call", "error") => {
            return answer(out, 200, "application/json", error(-32_000).as_bytes());
        }
        ("tools/call", "down") => return answer(out, 500, "text/plain", text.as_bytes()),
        ("tools/call", "garbage") => return answer(out, 200, "application/json", text.as_bytes()),
        ("tools/call", "half") => {
            begin_stream(out);
            let _ = out.write_all(format!("data: {{\"half\": {}", json!(text)).as_bytes());
            let _ = out.shutdown(std::net::Shutdown::Both);
            return;
        }
        _ => return answer(out, 404, "text/plain", text.as_bytes()),
    };
    let mut result = result;
    result["resultType"] = "complete".into();
    answer(out, 200, "application/json", result_text(asked, &result).as_bytes());
}

/// The data that a collector received, by path.
type Received = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Starts a collector that stores the data it receives.
fn collector() -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = Received::default();
    let kept = taken.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let kept = kept.clone();
            std::thread::spawn(move || {
                while let Some((path, body)) = crate::support::services::request(&mut stream) {
                    kept.lock().unwrap().entry(path).or_default().extend(body);
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
    (url, taken)
}

/// Prints the values on standard error, then exits.
const LEAKY: &str =
    "import sys\nfor line in open(sys.argv[1]): sys.stderr.write(line)\nsys.exit(3)\n";

/// Percent-encodes characters that are not allowed in a URL.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// Makes calls with the values in every place that a caller can fill.
fn call_everything(gateway: &Gateway, plants: &[Plant]) {
    let client = Modern::new(gateway, "/mcp/s");
    let arguments = object(plants);
    for tool in ["say", "fail", "error", "down", "garbage", "half"] {
        let params = json!({ "name": tool, "arguments": arguments,
            "_meta": { "progressToken": 7, "io.modelcontextprotocol/logLevel": "debug",
                "io.modelcontextprotocol/clientInfo": { "name": lines(plants), "version": "1" } } });
        client.ask("tools/call", params);
    }
    client.ask("prompts/get", json!({ "name": "ask", "arguments": arguments }));
    client.ask("resources/read", json!({ "uri": "page:all" }));
    client.ask(
        "completion/complete",
        json!({ "ref": { "type": "ref/prompt", "name": "ask" },
        "argument": { "name": "x", "value": lines(plants) } }),
    );
    for plant in plants.iter().filter(|plant| !plant.text.contains('\n')) {
        let quoted = encoded(&plant.text);
        client.ask("resources/read", json!({ "uri": format!("page://h/?q={quoted}") }));
        client.ask("tools/call", json!({ "name": plant.text, "arguments": {} }));
        if plant.kind.len() % 2 == 0 {
            client.ask(&format!("x/{}", plant.text), json!({}));
        }
        let named = Modern::new(gateway, &format!("/mcp/s?key={quoted}"));
        let body = named.body("tools/list", json!({}));
        named.send(&body, &[("x-note", plant.text.as_str())]);
    }
    // A caller with an invalid credential and an invalid session.
    for plant in plants.iter().filter(|plant| !plant.text.contains('\n')).take(12) {
        client.clone().bearing(&plant.text).ask("tools/list", json!({}));
        let old = [JSON[0], ("mcp-session-id", plant.text.as_str())];
        let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let _ = send(&gateway.address, "POST", "/mcp/s", &old, body);
    }
}

/// The pieces that an output contains, as plain text or in hexadecimal.
fn found<'a>(plants: &'a [Plant], output: &[u8], hex: bool) -> Vec<(&'a str, &'a str)> {
    let mut all = std::collections::HashMap::new();
    for plant in plants {
        for piece in &plant.pieces {
            all.insert(piece.clone().into_bytes(), (&*plant.kind, &**piece));
            if hex {
                let written: String = piece.bytes().map(|byte| format!("{byte:02x}")).collect();
                all.insert(written.into_bytes(), (&*plant.kind, &**piece));
            }
        }
    }
    let mut found = Vec::new();
    for length in if hex { vec![8, 16] } else { vec![8] } {
        found.extend(output.windows(length).filter_map(|part| all.get(part)).copied());
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn files_of(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_of(&path, into);
        } else if path.extension().is_none_or(|ending| ending != "yaml") {
            into.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
        }
    }
}

/// Runs all of it on one store and returns all outputs by name.
fn outputs(
    plants: &[Plant],
    store: &str,
    dump: impl Fn() -> Option<Vec<u8>>,
) -> Vec<(String, Vec<u8>)> {
    let hostile = server(plants);
    let (lists, strange) = (broken(plants, true), broken(plants, false));
    let (otlp, taken) = collector();
    let scripts = folder();
    let (script, said) = (scripts.path().join("leaky.py"), scripts.path().join("said.txt"));
    std::fs::write(&script, LEAKY).unwrap();
    // Output of a program comes from the server, so addresses in it are masked as well.
    let texts: Vec<&str> = plants.iter().map(|plant| plant.text.as_str()).collect();
    std::fs::write(&said, texts.join("\n")).unwrap();
    let records = folder();
    let exported = records.path().join("audit.jsonl");
    let config = format!(
        "store: {store}\naudit:\n  payloads: {{\"*\": {{arguments: true, result: true}}}}\n  payload_limit: 1MiB\n  \
         policy_arguments: true\n  exports: {{archive: {{file: {{path: \"{}\"}}, every: 1s}}}}\ntelemetry:\n  otlp: {{endpoint: \"{otlp}\"}}\n  \
         traces: {{sample: 1.0, payloads: true}}\n  logs: {{otlp: true}}\n  metrics: {{otlp: true, every: 1s}}\n\
         servers:\n  s: {{url: \"{}\"}}\n  lists: {{url: \"{}\"}}\n  strange: {{url: \"{}\"}}\n  leaky: {{command: {}, args: [\"{}\", \"{}\"]}}\n",
        exported.display(),
        hostile.url(),
        lists.url(),
        strange.url(),
        python(),
        script.display(),
        said.display(),
    );
    let gateway = Gateway::start_unready(&config);
    call_everything(&gateway, plants);
    for server in ["lists", "strange"] {
        Modern::new(&gateway, &format!("/mcp/{server}")).ask("tools/list", json!({}));
    }
    wait_for("the program has ended", || gateway.logged("exit status: 3"));
    let records =
        || crate::support::told(store, &["audit", "search", "--json", "--limit", "100000"]);
    wait_for("everything is recorded", || records().contains("page://h/"));
    wait_for("it is exported", || {
        std::fs::read_to_string(&exported).is_ok_and(|text| text.contains("page://h/"))
    });
    wait_for("it is traced", || {
        let taken = taken.lock().unwrap();
        ["/v1/traces", "/v1/logs", "/v1/metrics"].iter().all(|path| taken.contains_key(*path))
    });
    let mut outputs = vec![
        ("audit search".to_owned(), records().into_bytes()),
        ("the export".to_owned(), std::fs::read(&exported).unwrap()),
        ("status".to_owned(), gateway.get_admin("/admin/v1/servers/status").1.into_bytes()),
        ("live calls".to_owned(), gateway.get_admin("/admin/v1/calls").1.into_bytes()),
        ("metrics".to_owned(), gateway.get_admin("/metrics").1.into_bytes()),
    ];
    gateway.signal(nix::sys::signal::Signal::SIGTERM);
    wait_for("the gateway has ended", || gateway.logged("stopped") || !is_there(gateway.pid()));
    outputs.extend(dump().map(|dump| ("the dump".to_owned(), dump)));
    outputs.push(("the log".to_owned(), gateway.log().join("\n").into_bytes()));
    outputs.extend(taken.lock().unwrap().iter().map(|(path, body)| (path.clone(), body.clone())));
    let folder = gateway.folder.path().to_owned();
    files_of(&folder, &mut outputs);
    outputs
}

fn is_there(pid: u32) -> bool {
    // An exited process that was not waited for yet has an empty command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn nothing_leaks(plants: &[Plant], outputs: &[(String, Vec<u8>)]) {
    let mut leaks = Vec::new();
    for (name, output) in outputs {
        let hex = name == "the dump";
        for (kind, piece) in found(plants, output, hex) {
            let text = String::from_utf8_lossy(output);
            let at = text.find(piece).unwrap_or_default();
            let around: String = text[at.saturating_sub(0)..].chars().take(60).collect();
            leaks.push(format!("{name}: {kind}: {piece}: {around}"));
        }
    }
    assert!(
        leaks.is_empty(),
        "{} leaks:\n{}",
        leaks.len(),
        leaks[..leaks.len().min(60)].join("\n")
    );
}

/// Attack T5, and the leak rate of written data: no eight consecutive characters of a secret.
#[test]
fn no_secret_is_written_anywhere() {
    let plants = plants();
    // The search finds the values where they are known to be.
    let planted = object(&plants).to_string();
    let seen: std::collections::BTreeSet<_> =
        found(&plants, planted.as_bytes(), false).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(seen.len(), plants.len());
    let folder = folder();
    let store = store_in(folder.path());
    let mut outputs = outputs(&plants, &store, || None);
    files_of(folder.path(), &mut outputs);
    assert!(outputs.iter().any(|(name, _)| name.contains("doorward.db")));
    for name in ["the log", "/v1/traces", "audit search", "the export"] {
        let (_, output) = outputs.iter().find(|(of, _)| of == name).unwrap();
        let text = String::from_utf8_lossy(output);
        for mask in ["[SECRET]", "[CARD]", "[EMAIL]"] {
            assert!(text.contains(mask), "{name} has no {mask}");
        }
    }
    nothing_leaks(&plants, &outputs);
}

#[test]
fn no_secret_is_written_to_postgresql() {
    let plants = plants();
    let folder = folder();
    let (_database, url) = postgres(folder.path());
    let dump = || {
        let dumped = Command::new("pg_dump").args(["--data-only", "-d", &url]).output().unwrap();
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        Some(dumped.stdout)
    };
    let outputs = outputs(&plants, &url, dump);
    let (_, dump) = outputs.iter().find(|(name, _)| name == "the dump").unwrap();
    assert!(dump.len() > 10_000);
    nothing_leaks(&plants, &outputs);
}
