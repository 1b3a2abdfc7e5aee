//! Secrets from a vault and from files that change while the gateway runs. The vault is a small imitation: Debian
//! packages none, and the gateway needs only one kind of response.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::support::client::Modern;
use crate::support::{Gateway, doorward, wait_for};
use serde_json::{Value, json};

/// A KV version 2 engine with one secret at `secret/doorward`.
struct Vault {
    url: String,
    secret: Arc<Mutex<Value>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Vault {
    fn start(secret: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let secret = Arc::new(Mutex::new(secret));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, seen) = (secret.clone(), asked.clone());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut lines, mut line) = (Vec::new(), String::new());
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    lines.push(line.trim().to_ascii_lowercase());
                    line.clear();
                }
                let path = lines.first().cloned().unwrap_or_default();
                let known = lines.iter().any(|line| line == "x-vault-token: the-token");
                let (status, body) = match (known, path.contains(" /v1/secret/data/doorward ")) {
                    (false, _) => ("403 Forbidden", json!({ "errors": ["permission denied"] })),
                    (true, false) => ("404 Not Found", json!({ "errors": [] })),
                    (true, true) => (
                        "200 OK",
                        json!({ "data": { "data": *kept.lock().unwrap(), "metadata": { "version": 1 } } }),
                    ),
                };
                seen.lock().unwrap().push(path);
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json"
                );
                let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            }
        });
        Self { url, secret, asked }
    }
}

#[test]
fn secrets_are_read_from_a_vault_and_read_again() {
    let server = Gateway::start("servers: {sample: {sample: true}}\n");
    let first = server.key(&["--user", "one"]);
    let vault = Vault::start(
        json!({ "token": first, "store_key": "a master key that the vault has kept" }),
    );
    let config = format!(
        "store_key: '${{vault:secret/doorward#store_key}}'\n\
         servers: {{b: {{url: '{}', headers: {{authorization: 'Bearer ${{vault:secret/doorward#token}}'}}}}}}\n",
        server.url("/mcp/sample")
    );
    let front =
        Gateway::start_in(&config, &[("VAULT_ADDR", &vault.url), ("VAULT_TOKEN", "the-token")]);
    let call = || Modern::new(&front, "/mcp").call("b__add", json!({ "a": 20, "b": 3 }));
    wait_for("the server is up", || front.states()[0]["state"] == "up");
    assert_eq!(call().text(), "23");
    assert_eq!(vault.asked.lock().unwrap().len(), 1, "each secret is read once");
    // Another key takes effect without a restart.
    let second = server.key(&["--user", "two"]);
    vault.secret.lock().unwrap()["token"] = second.as_str().into();
    let keys: Value = serde_json::from_str(&server.told(&["keys", "list", "--json"])).unwrap();
    let old = keys.as_array().unwrap().iter().find(|key| key["owner"] == "one").unwrap();
    server.told(&["keys", "revoke", old["id"].as_str().unwrap()]);
    wait_for("the old key is over", || call().json().get("result").is_none());
    wait_for("the new key is used", || call().json().get("result").is_some());
    let log = front.log().join("\n");
    assert!(!log.contains(&first) && !log.contains(&second) && !log.contains("the-token"));
}

#[test]
fn a_file_that_is_referred_to_is_read_again() {
    let server = Gateway::start("servers: {sample: {sample: true}}\n");
    let folder = crate::support::folder();
    let file = folder.path().join("token");
    std::fs::write(&file, server.key(&["--user", "one"])).unwrap();
    let front = Gateway::start(&format!(
        "servers: {{b: {{url: '{}', headers: {{authorization: 'Bearer ${{file:{}}}'}}}}}}\n",
        server.url("/mcp/sample"),
        file.display()
    ));
    let call = || Modern::new(&front, "/mcp").call("b__add", json!({ "a": 20, "b": 3 }));
    assert_eq!(call().text(), "23");
    std::fs::write(&file, server.key(&["--user", "two"])).unwrap();
    let keys: Value = serde_json::from_str(&server.told(&["keys", "list", "--json"])).unwrap();
    let old = keys.as_array().unwrap().iter().find(|key| key["owner"] == "one").unwrap();
    server.told(&["keys", "revoke", old["id"].as_str().unwrap()]);
    wait_for("the old key is over", || call().json().get("result").is_none());
    wait_for("the new key is used", || call().json().get("result").is_some());
}

#[test]
fn what_is_wrong_with_a_vault_is_said_and_nothing_else() {
    let vault = Vault::start(json!({ "token": "hunter2 of the vault", "list": [1] }));
    let folder = crate::support::folder();
    let file = folder.path().join("doorward.yaml");
    let check = |reference: &str, token: &str, address: &str| {
        let text = format!(
            "servers: {{b: {{url: 'https://b.example/', headers: {{x: '${{vault:{reference}}}'}}}}}}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = doorward();
        command.arg("check").arg(&file).env("VAULT_ADDR", address).env("VAULT_TOKEN", token);
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{reference}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (reference, token, address, said) in [
        ("secret/doorward#none", "the-token", &*vault.url, "has no field 'none'"),
        ("secret/doorward#list", "the-token", &vault.url, "is not a string"),
        ("secret/other#x", "the-token", &vault.url, "there is no such secret"),
        ("secret/doorward#token", "another", &vault.url, "refuses the token"),
        ("secret", "the-token", &vault.url, "MOUNT/PATH#FIELD"),
        ("secret/doorward#token", "the-token", "http://vault.example", "not an https:// URL"),
        ("secret/doorward#token", "the-token", "http://127.0.0.1:9", "127.0.0.1:9"),
        ("secret/doorward#token", "the-token", "nonsense", "VAULT_ADDR is not a URL"),
    ] {
        let error = check(reference, token, address);
        assert!(error.contains(said), "{reference}: {error}");
        assert!(!error.contains("hunter2") && !error.contains("the-token"), "{error}");
    }
}
