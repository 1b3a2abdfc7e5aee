//! A server whose definitions a test controls, and a gateway with pins in front of it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::support::client::{Answer, JSON, Modern, send};
use crate::support::hostile::{
    Asked, Era, Hostile, answer, begin_stream, event, result_text, until_closed, with_habit,
};
use crate::support::{Gateway, folder, store_in, told, wait_for};
use serde_json::{Value, json};

const POLICIES: &str = r#"
permit (principal, action in Action::"use", resource);
permit (principal == User::"alice", action in [Action::"view", Action::"approve"], resource);
"#;

/// What the server returns: lists as text, since the server chooses order and white space.
#[derive(Debug, Clone)]
pub struct Said {
    pub tools: String,
    pub prompts: String,
    pub templates: String,
    pub resources: String,
    pub instructions: String,
    /// Whether the server announces changes.
    pub announces: bool,
}

impl Said {
    pub fn new(first: &str) -> Self {
        Self {
            tools: tools_of(first),
            prompts: r#"[{"name":"ask","description":"Asks."}]"#.into(),
            templates: r#"[{"name":"page","uriTemplate":"page:{name}","description":"A page."}]"#
                .into(),
            resources: r#"[{"name":"home","uri":"page:home"}]"#.into(),
            instructions: "Be kind.".into(),
            announces: true,
        }
    }

    fn list(&self, method: &str) -> Option<String> {
        let (member, items) = match method {
            "tools/list" => ("tools", self.tools.as_str()),
            "prompts/list" => ("prompts", self.prompts.as_str()),
            "resources/templates/list" => ("resourceTemplates", self.templates.as_str()),
            "resources/list" => ("resources", self.resources.as_str()),
            _ => return None,
        };
        Some(format!(
            r#"{{"resultType":"complete","ttlMs":3600000,"cacheScope":"public","{member}":{items}}}"#
        ))
    }

    fn capabilities(&self) -> Value {
        let group = json!({ "listChanged": self.announces });
        json!({ "tools": group, "prompts": group, "resources": group })
    }
}

/// A server whose definitions change when the test says so.
pub struct Changing {
    pub server: Hostile,
    /// The parameters of each tool call that the server received.
    pub called: Arc<Mutex<Vec<Value>>>,
    said: Arc<Mutex<Said>>,
    listeners: Arc<Mutex<Vec<(String, std::net::TcpStream)>>>,
}

pub fn tools_of(first: &str) -> String {
    let other = r#"{"name":"other","description":"Says it.","inputSchema":{"type":"object"}}"#;
    format!("[{first},{other}]")
}

pub const FIRST: &str = r#"{"name":"get","title":"Get","description":"Gets a page.","inputSchema":{"type":"object","properties":{"url":{"type":"string","description":"Which."}},"required":["url"]},"annotations":{"readOnlyHint":true}}"#;

fn head_of(text: &str, more: &str) -> String {
    let length = text.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n{text}"
    )
}

fn says(era: Era, said: &Said, asked: &Asked, out: &mut std::net::TcpStream) -> bool {
    let method = asked.message["method"].as_str().unwrap_or_default();
    if let Some(list) = said.list(method) {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{list}}}"#, asked.id());
        answer(out, 200, "application/json", text.as_bytes());
        return true;
    }
    let result = match (era, method) {
        (Era::Handshake, "initialize") => {
            let result = json!({ "protocolVersion": "2025-11-25",
                "capabilities": said.capabilities(), "instructions": said.instructions,
                "serverInfo": { "name": "s", "version": "1" } });
            let text = result_text(asked, &result);
            let _ = out.write_all(head_of(&text, "mcp-session-id: s\r\n").as_bytes());
            return true;
        }
        (Era::Modern, "server/discover") => json!({ "supportedVersions": ["2026-07-28"],
            "resultType": "complete", "capabilities": said.capabilities(),
            "instructions": said.instructions, "ttlMs": 60_000, "cacheScope": "public" }),
        (_, "tools/call") => json!({ "resultType": "complete",
            "content": [{ "type": "text", "text": asked.message["params"]["name"] }] }),
        (_, "prompts/get") => json!({ "resultType": "complete", "messages": [] }),
        (_, "resources/read") => json!({ "resultType": "complete", "ttlMs": 0,
            "cacheScope": "private",
            "contents": [{ "uri": asked.message["params"]["uri"], "text": "a page" }] }),
        _ => return false,
    };
    answer(out, 200, "application/json", result_text(asked, &result).as_bytes());
    true
}

impl Changing {
    pub fn start(era: Era) -> Self {
        Self::saying(era, Said::new(FIRST))
    }

    pub fn saying(era: Era, said: Said) -> Self {
        let said = Arc::new(Mutex::new(said));
        let listeners: Arc<Mutex<Vec<(String, std::net::TcpStream)>>> = Arc::default();
        let (spoken, kept) = (said.clone(), listeners.clone());
        let called: Arc<Mutex<Vec<Value>>> = Arc::default();
        let calls = called.clone();
        let server = with_habit(era, move |asked, out| {
            let method = asked.message["method"].as_str().unwrap_or_default();
            let listens = match era {
                Era::Modern => method == "subscriptions/listen",
                Era::Handshake => asked.method == "GET",
            };
            if method == "tools/call" {
                calls.lock().unwrap().push(asked.message["params"].clone());
            }
            if !listens {
                let said = spoken.lock().unwrap().clone();
                return says(era, &said, asked, out);
            }
            begin_stream(out);
            if era == Era::Modern {
                event(out, &acknowledged(asked));
            }
            kept.lock().unwrap().push((asked.id(), out.try_clone().unwrap()));
            until_closed(out);
            true
        });
        Self { server, called, said, listeners }
    }

    /// Replaces the first tool from now on.
    pub fn say(&self, first: &str) {
        self.change(|said| said.tools = tools_of(first));
    }

    pub fn change(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.said.lock().unwrap());
    }

    /// Forgets all listeners.
    pub fn forget(&self) {
        self.listeners.lock().unwrap().clear();
    }

    /// Tells all listeners that a list has changed: `tools`, `prompts` or `resources`.
    pub fn tell(&self, era: Era, list: &str) {
        wait_for("somebody listens", || !self.listeners.lock().unwrap().is_empty());
        for (id, out) in self.listeners.lock().unwrap().iter_mut() {
            let meta = match era {
                Era::Modern => {
                    format!(
                        r#","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}"#
                    )
                }
                Era::Handshake => String::new(),
            };
            let told = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"{meta}}}"#
            );
            event(out, &told);
        }
    }
}

fn acknowledged(asked: &Asked) -> String {
    json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": { "_meta": { "io.modelcontextprotocol/subscriptionId": asked.message["id"] },
            "notifications": asked.message["params"]["notifications"] } })
    .to_string()
}

/// A store and policies. Approving needs a key.
pub struct World {
    pub folder: tempfile::TempDir,
    pub store: String,
    pub admin: String,
    pub user: String,
}

impl World {
    pub fn new() -> Self {
        let folder = folder();
        let store = store_in(folder.path());
        Self::on(folder, store)
    }

    pub fn on(folder: tempfile::TempDir, store: String) -> Self {
        std::fs::write(folder.path().join("roles.cedar"), POLICIES).unwrap();
        let admin = told(&store, &["keys", "create", "--user", "alice", "--administer"]);
        let user = told(&store, &["keys", "create", "--user", "alice"]);
        Self { folder, store, admin, user }
    }

    /// Starts a gateway in front of the server `s` at a URL.
    pub fn start(&self, url: &str) -> Door {
        self.start_with(&format!("pins: {{mode: \"on\"}}\nservers:\n  s: {{url: \"{url}\"}}"))
    }

    pub fn start_with(&self, more: &str) -> Door {
        let policies = self.folder.path().join("roles.cedar");
        let policies = policies.display();
        let config = format!("store: {}\npolicy: {{files: [{policies}]}}\n{more}", self.store);
        let gateway = Gateway::start_unready(&config);
        let client = Modern::new(&gateway, "/mcp/s").bearing(&self.user);
        Door { gateway, client, admin: format!("Bearer {}", self.admin) }
    }
}

/// A gateway, a client of it, and the credential of an administrator.
pub struct Door {
    pub gateway: Gateway,
    pub client: Modern,
    pub admin: String,
}

impl Door {
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let headers = [JSON[0], ("authorization", self.admin.as_str())];
        let path = format!("/admin/v1/servers/s{path}");
        send(&self.gateway.admin, method, &path, &headers, body.as_bytes()).unwrap()
    }

    fn get(&self, path: &str) -> String {
        let headers = [("authorization", self.admin.as_str())];
        let said = send(&self.gateway.admin, "GET", path, &headers, b"").unwrap();
        assert!(matches!(said.status, 200 | 429), "{}", said.body);
        said.body
    }

    pub fn metric(&self, name: &str) -> Option<String> {
        let text = self.get("/metrics");
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
        line.split(' ').nth(1).map(str::to_owned)
    }

    pub fn replicas(&self) -> Vec<String> {
        let text = self.get("/admin/v1/servers/status");
        let state: Value = serde_json::from_str(&text).unwrap();
        let replicas = state["items"][0]["replicas"].as_array().cloned().unwrap_or_default();
        replicas.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect()
    }

    pub fn drift(&self) -> Vec<Value> {
        let said = self.ask("GET", "/drift?limit=1000", "");
        assert_eq!(said.status, 200, "{}", said.body);
        said.json()["items"].as_array().unwrap().clone()
    }

    pub fn drift_of(&self, name: &str) -> Vec<Value> {
        self.drift().into_iter().filter(|one| one["name"] == name).collect()
    }

    pub fn decide(&self, what: &str, hashes: &[String]) -> u16 {
        let body = json!({ "hashes": hashes }).to_string();
        self.ask("POST", &format!("/drift/{what}"), &body).status
    }

    pub fn names(&self, list: &str) -> Vec<String> {
        let (method, key) = match list {
            "resourceTemplates" => ("resources/templates/list", "uriTemplate"),
            "prompts" => ("prompts/list", "name"),
            _ => ("tools/list", "name"),
        };
        let listed = self.client.ask(method, json!({})).json();
        let all = listed["result"][list].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
    }

    pub fn tools(&self) -> Vec<String> {
        self.names("tools")
    }

    /// Accepts all waiting definitions, which is everything that a server here sends first.
    pub fn accept_all(&self) {
        // Both tools, the prompt and the template, instructions and, in the handshake era, the server's identity.
        wait_for("what the server says waits", || self.drift().len() >= 5);
        assert_eq!(self.tools(), Vec::<String>::new());
        assert_eq!(self.decide("accept", &hashes(&self.drift())), 200);
        wait_for("what was accepted is served", || {
            self.tools() == ["get", "other"] && self.names("prompts") == ["ask"]
        });
    }

    pub fn calls(&self, name: &str) -> bool {
        let said = self.client.call(name, json!({ "url": "u", "key": "k" }));
        let served = said.json()["result"]["content"][0]["text"].as_str() == Some(name);
        assert!(served || said.code() != 0, "{}", said.body);
        served
    }

    /// Waits until the first tool, and only it, is withheld.
    pub fn withheld_alone(&self, what: &str) -> Value {
        wait_for(what, || !self.drift_of("get").is_empty());
        wait_for(what, || self.tools() == ["other"]);
        assert!(!self.calls("get"), "{what}");
        assert!(self.calls("other"), "{what}");
        let mut all = self.drift_of("get");
        assert_eq!(all.len(), 1, "{what}: {all:?}");
        assert!(!all[0]["changes"].as_array().unwrap().is_empty(), "{what}");
        all.remove(0)
    }
}

pub fn hashes(all: &[Value]) -> Vec<String> {
    all.iter().map(|one| one["hash"].as_str().unwrap().to_owned()).collect()
}
