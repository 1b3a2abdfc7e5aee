//! A server whose calls are counted, a gateway whose policies hold them, and people who decide.

use std::process::Command;

use crate::pins::world::{Changing, FIRST};
use crate::support::client::{Answer, Handshake, Modern};
use crate::support::hostile::Era;
use crate::support::login::{Browser, sealed};
use crate::support::{Gateway, folder, store_in, told, wait_for};
use serde_json::{Value, json};

/// Everybody may use everything; one tool waits for a lead.
pub const HOLD: &str = r#"permit (principal, action in Action::"use", resource);
@id("hold") @reason("Getting needs a lead") @approval("role:lead")
forbid (principal, action == Action::"call", resource == Tool::"s/get");
"#;

/// Arguments of the tool.
pub fn url(text: &str) -> Value {
    json!({ "url": text })
}

/// The ID of the approval that a client was told of in an error.
pub fn id_of(answer: &Answer) -> String {
    let data = &answer.json()["error"]["data"];
    assert_eq!(data["code"], "approval_required", "{}", answer.body);
    data["approval"].as_str().unwrap_or_else(|| panic!("{}", answer.body)).to_owned()
}

pub struct World {
    pub folder: tempfile::TempDir,
    pub store: String,
    pub changing: Changing,
}

impl World {
    pub fn new(policies: &str) -> Self {
        let folder = folder();
        let store = store_in(folder.path());
        Self::on(folder, store, policies)
    }

    pub fn on(folder: tempfile::TempDir, store: String, policies: &str) -> Self {
        let this = Self { folder, store, changing: Changing::start(Era::Modern) };
        this.write(policies);
        this
    }

    pub fn write(&self, policies: &str) {
        std::fs::write(self.folder.path().join("hold.cedar"), policies).unwrap();
    }

    pub fn config(&self, more: &str) -> String {
        let policies = self.folder.path().join("hold.cedar");
        format!(
            "store: {}\nstate_key: 0123456789abcdef0123456789abcdef\n\
             policy: {{files: [{}], explain: full}}\n\
             servers:\n  s: {{url: \"{}\"}}\n{more}",
            self.store,
            policies.display(),
            self.changing.server.url()
        )
    }

    pub fn start(&self) -> Gateway {
        self.start_with("")
    }

    pub fn start_with(&self, more: &str) -> Gateway {
        let gateway = Gateway::start_unready(&self.config(more));
        wait_for("the policies are active", || gateway.logged("policies are active"));
        gateway
    }

    pub fn told(&self, arguments: &[&str]) -> String {
        told(&self.store, arguments)
    }

    pub fn key(&self, who: &[&str]) -> String {
        self.told(&[&["keys", "create"], who].concat()).trim().to_owned()
    }

    /// The key of a lead, who approves.
    pub fn lead(&self) -> String {
        self.key(&["--user", "dana", "--role", "lead"])
    }

    /// A key that a gateway knows.
    pub fn known_key(&self, gateway: &Gateway, who: &[&str]) -> String {
        let key = self.key(who);
        let client = Modern::new(gateway, "/mcp/s").bearing(&key);
        wait_for("the key is known", || {
            client.ask("tools/list", json!({})).json()["result"]["tools"].is_array()
        });
        key
    }

    /// A client of 2026-07-28 that cannot be asked anything.
    pub fn client(&self, gateway: &Gateway, who: &[&str]) -> Modern {
        Modern::new(gateway, "/mcp/s").bearing(&self.known_key(gateway, who))
    }

    pub fn session(&self, gateway: &Gateway, key: &str, capabilities: Value) -> Handshake {
        Handshake::open_bearing(gateway, "/mcp/s", "2025-11-25", capabilities, Some(key))
    }

    /// The parameters of all calls that the server has seen.
    pub fn called(&self) -> Vec<Value> {
        self.changing.called.lock().unwrap().clone()
    }

    /// A browser that has signed in with a key.
    pub fn browser(&self, gateway: &Gateway, key: &str, id: &str) -> Browser {
        let path = format!("/approvals/{id}");
        let mut browser = Browser::default();
        let form = browser.get(gateway, &path);
        assert!(form.body.contains("API key"), "{}", form.body);
        let fields = [("key", key), ("decision", "sign_in")];
        wait_for("the key is taken", || browser.post(gateway, &path, &fields, &[]).status == 303);
        browser
    }

    pub fn page(&self, gateway: &Gateway, key: &str, id: &str) -> Answer {
        self.browser(gateway, key, id).get(gateway, &format!("/approvals/{id}"))
    }

    /// Decides at the page. The status is 0 where there is nothing to decide any more.
    pub fn decide(&self, gateway: &Gateway, key: &str, id: &str, decision: &str, status: u16) {
        let mut browser = self.browser(gateway, key, id);
        let path = format!("/approvals/{id}");
        let page = browser.get(gateway, &path);
        if status == 404 {
            assert_eq!(page.status, 404, "{}", page.body);
            return;
        }
        assert_eq!(page.status, 200, "{}", page.body);
        if status == 0 {
            assert!(!page.body.contains("name=\"request\""), "{}", page.body);
            return;
        }
        let sealed = sealed(&page.body);
        let fields = [("request", &*sealed), ("decision", decision), ("reason", "because")];
        let done = browser.post(gateway, &path, &fields, &[("origin", &gateway.url(""))]);
        assert_eq!(done.status, status, "{}", done.body);
    }

    /// Makes everything that is stored of approvals older.
    pub fn age(&self, seconds: i64) {
        let path = self.store.strip_prefix("sqlite:").unwrap();
        let change = format!(
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=10); \
             c.execute('UPDATE approvals SET created = created - {seconds}, expires = expires - {seconds}, lease = lease - {seconds}'); \
             c.execute('UPDATE approval_grants SET expires = expires - {seconds}'); c.commit()"
        );
        let python = crate::support::python();
        let done = Command::new(python).args(["-c", &change, path]).status().unwrap();
        assert!(done.success());
    }

    /// The server says something else of its tool, and the gateway knows it.
    pub fn change_tool(&self, gateway: &Gateway) {
        self.changing.say(&FIRST.replace("Gets a page.", "Gets a page, and more."));
        self.changing.tell(Era::Modern, "tools");
        let key = self.known_key(gateway, &["--user", "looker"]);
        let client = Modern::new(gateway, "/mcp/s").bearing(&key);
        wait_for("the change is known", || {
            client.ask("tools/list", json!({})).body.contains("and more")
        });
    }

    /// A request of the admin API.
    pub fn admin(&self, gateway: &Gateway, key: &str, verb: &str, path: &str) -> (u16, Value) {
        gateway.administer(key, verb, path, &json!({}))
    }
}
