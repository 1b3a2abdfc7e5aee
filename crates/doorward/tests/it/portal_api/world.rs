//! Two tenants, each with a server of its own, and one that nobody may use yet.

use serde_json::Value;

use crate::support::client::{JSON, send};
use crate::support::{Gateway, wait_for};

pub const CONFIG: &str = "
servers:
  blue: {sample: true}
  green: {sample: true}
  hidden: {sample: true}
portals:
  desk: {tools: ['blue/add', 'green/echo'], rename: {'blue/add': plus}, description: For the desk}
  vault: {tools: ['hidden/*']}
portal: {self_service_keys: true, key_lifetime: 7d}
billing: {prices: {add: {tools: '*/add', call: 2}}}
rate_limits: {rules: {each: {per: [user], daily: 100}, all: {daily: 1000}}}
audit: {reads: before}
";

const POLICIES: &str = r#"
permit (principal in Tenant::"acme", action in Action::"use", resource in Server::"blue");
permit (principal in Tenant::"globex", action in Action::"use", resource in Server::"green");
permit (principal in Role::"keeper", action in Action::"use", resource in Server::"hidden");
@id("hold") @approval("role:lead") @reason("Slow calls need a lead")
forbid (principal, action == Action::"call", resource == Tool::"blue/slow");
permit (principal in Role::"root", action in Action::"administer", resource);
permit (principal in Role::"scribe", action in [Action::"view", Action::"change_policy"], resource);
permit (principal in Role::"clerk", action in [Action::"view", Action::"manage_identities"], resource is Tenant);
"#;

pub struct World {
    pub gateway: Gateway,
    pub root: String,
    pub alice: String,
    pub bob: String,
}

impl World {
    pub fn start() -> Self {
        Self::start_with("")
    }

    pub fn start_with(more: &str) -> Self {
        let gateway = Gateway::start(&format!("{CONFIG}{more}"));
        let folder = gateway.folder.path().join("policies");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("all.cedar"), POLICIES).unwrap();
        gateway.told(&["policy", "apply", folder.to_str().unwrap()]);
        let root = gateway.key(&["--user", "root", "--role", "root", "--administer"]);
        let alice = gateway.key(&["--user", "alice", "--in-tenant", "acme"]);
        let bob = gateway.key(&["--user", "bob", "--in-tenant", "globex"]);
        let world = Self { gateway, root, alice, bob };
        wait_for("the policies are active", || {
            world.get(&world.alice, "/tools?server=blue").1["items"][0].is_object()
                && world.get(&world.alice, "/tools?server=green").1["items"][0].is_null()
        });
        world
    }

    pub fn ask(&self, key: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let bearer = format!("Bearer {key}");
        let headers = [JSON[0], ("authorization", bearer.as_str())];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/portal/v1{path}");
        let answer = send(&self.gateway.address, method, &path, &headers, body.as_bytes()).unwrap();
        (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
    }

    pub fn get(&self, key: &str, path: &str) -> (u16, Value) {
        self.ask(key, "GET", path, &Value::Null)
    }

    /// The items of a list, which must be one.
    pub fn items(&self, key: &str, path: &str) -> Vec<Value> {
        let (status, page) = self.get(key, path);
        assert_eq!(status, 200, "{path}: {page}");
        page["items"].as_array().unwrap().clone()
    }

    pub fn administer(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.gateway.administer(&self.root, method, &format!("/admin/v1{path}"), body)
    }
}

/// One member of all items.
pub fn all<'a>(items: &'a [Value], member: &str) -> Vec<&'a str> {
    items.iter().map(|item| item[member].as_str().unwrap_or_default()).collect()
}
