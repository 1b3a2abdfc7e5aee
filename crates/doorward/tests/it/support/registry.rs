//! A registry with scripted responses, and what a gateway has imported from it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::client::{JSON, send};
use super::{Gateway, told, wait_for};
use serde_json::{Value, json};

pub const OFFICIAL: &str = "io.modelcontextprotocol.registry/official";

type Pages = Mutex<Box<dyn Fn(&str) -> String + Send>>;

/// A registry with scripted responses that stores the requests it receives.
pub struct Registry {
    port: u16,
    pages: Arc<Pages>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    pub fn start(pages: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pages: Arc<Pages> = Arc::new(Mutex::new(Box::new(pages)));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answers, log) = (pages.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                log.lock().unwrap().push(head.to_ascii_lowercase());
                let answer = (answers.lock().unwrap())(&path);
                let _ = (&stream).write_all(answer.as_bytes());
            }
        });
        Self { port, pages, asked }
    }

    pub fn answers(&self, pages: impl Fn(&str) -> String + Send + 'static) {
        *self.pages.lock().unwrap() = Box::new(pages);
    }

    /// The headers of all requests, in lower case.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub fn config(&self, more: &str) -> String {
        let url = format!("http://127.0.0.1:{}", self.port);
        format!("registries: {{public: {{url: '{url}', allow_private: true{more}}}}}\n")
    }
}

pub fn ok(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}

pub fn page(servers: &[Value], next: Option<&str>) -> String {
    ok(&json!({ "servers": servers, "metadata": { "nextCursor": next } }).to_string())
}

pub fn item(name: &str, server: Value, official: Value) -> Value {
    let mut whole = json!({ "name": name, "version": "1.0.0", "description": "A server" });
    whole.as_object_mut().unwrap().extend(server.as_object().unwrap().clone());
    json!({ "server": whole, "_meta": { OFFICIAL: official } })
}

pub fn remote(url: &str) -> Value {
    json!({ "remotes": [{ "type": "streamable-http", "url": url }] })
}

/// The entries of the registry, as the command line lists them.
pub fn entries(store: &str) -> Vec<Value> {
    let text = told(store, &["registries", "entries", "public", "--json"]);
    serde_json::from_str(&text).unwrap()
}

pub fn entry(store: &str, name: &str) -> Value {
    entries(store).into_iter().find(|it| it["name"] == name).unwrap_or_default()
}

/// The state of the registry; null before the first poll.
pub fn state(store: &str) -> Value {
    let text = told(store, &["registries", "list", "--json"]);
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

/// Polls the registry again and waits for the end.
pub fn read_again(registry: &Registry, store: &str) {
    let before = registry.asked().len();
    told(store, &["registries", "read", "public"]);
    wait_for("the registry is read", || registry.asked().len() > before);
    wait_for("the reading has ended", || {
        let state = state(store);
        state["next"].as_i64().is_some_and(|next| next > 0) && state["reading"] == false
    });
}

pub fn step(gateway: &Gateway, server: &str, step: &str, body: Value) {
    let path = format!("/admin/v1/servers/{server}/{step}");
    let headers = [JSON[0], ("doorward-admin", "1")];
    let done = send(&gateway.admin, "POST", &path, &headers, body.to_string().as_bytes()).unwrap();
    assert_eq!(done.status, 200, "{server} {step}: {}", done.body);
}

pub fn life(gateway: &Gateway, server: &str) -> String {
    let (status, text) = gateway.get_admin(&format!("/admin/v1/servers/{server}"));
    let found = serde_json::from_str::<Value>(&text).unwrap_or_default();
    if status == 200 { found["state"].as_str().unwrap().to_owned() } else { format!("{status}") }
}

/// Names and states of the servers that were proposed at run time.
pub fn servers(gateway: &Gateway) -> Vec<(String, String)> {
    let (status, text) = gateway.get_admin("/admin/v1/servers");
    assert_eq!(status, 200, "{text}");
    let all: Value = serde_json::from_str(&text).unwrap();
    let text = |it: &Value, member: &str| it[member].as_str().unwrap().to_owned();
    all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (text(it, "name"), text(it, "state")))
        .collect()
}
