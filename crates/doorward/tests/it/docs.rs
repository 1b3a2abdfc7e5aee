//! Runs every command of the task pages, in order, as a reader would type them, and checks every example of a
//! configuration, a policy or a policy test.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::client::{Modern, send};
use crate::support::issuer::Issuer;
use crate::support::login::World;
use crate::support::registry::{OFFICIAL, Registry, item, page, remote, state};
use crate::support::{Gateway, doorward, store_in, wait_for};

const A2A: &str = include_str!("../../../../docs/a2a.md");
const APPROVING: &str = include_str!("../../../../docs/approving-servers.md");
const APPROVALS: &str = include_str!("../../../../docs/approvals.md");
const ADMIN_API: &str = include_str!("../../../../docs/admin-api.md");
const ADMINISTRATORS: &str = include_str!("../../../../docs/administrators.md");
const APPLY: &str = include_str!("../../../../docs/apply.md");
const ARGUMENTS: &str = include_str!("../../../../docs/arguments.md");
const CATALOG: &str = include_str!("../../../../docs/catalog.md");
const CHECKS: &str = include_str!("../../../../docs/checks.md");
const CACHING: &str = include_str!("../../../../docs/caching.md");
const CLIENTS: &str = include_str!("../../../../docs/clients.md");
const RELIABILITY: &str = include_str!("../../../../docs/reliability.md");
const REPLICAS: &str = include_str!("../../../../docs/replicas.md");
const PACKAGES: &str = include_str!("../../../../docs/packages.md");
const CONFINING: &str = include_str!("../../../../docs/confining.md");
const OPENAPI: &str = include_str!("../../../../docs/openapi.md");
const AUDIT: &str = include_str!("../../../../docs/audit.md");
const CREDITS: &str = include_str!("../../../../docs/credits.md");
const LIMITS: &str = include_str!("../../../../docs/limits.md");
const OBSERVABILITY: &str = include_str!("../../../../docs/observability.md");
const KEYS: &str = include_str!("../../../../docs/keys.md");
const CREDENTIALS: &str = include_str!("../../../../docs/credentials.md");
const LOGIN: &str = include_str!("../../../../docs/login.md");
const OPENID: &str = include_str!("../../../../docs/openid.md");
const POLICIES: &str = include_str!("../../../../docs/policies.md");
const EMERGENCY: &str = include_str!("../../../../docs/emergency.md");
const WEBHOOKS: &str = include_str!("../../../../docs/webhooks.md");
const INSPECTION: &str = include_str!("../../../../docs/inspection.md");
const FLOW: &str = include_str!("../../../../docs/flow.md");
const PINS: &str = include_str!("../../../../docs/pins.md");
const PORTAL: &str = include_str!("../../../../docs/portal.md");
const PORTALS: &str = include_str!("../../../../docs/portals.md");
const REST: &str = include_str!("../../../../docs/rest.md");
const FUNCTIONS: &str = include_str!("../../../../docs/function-calling.md");
const REGISTRY: &str = include_str!("../../../../docs/registry.md");
const SEARCH: &str = include_str!("../../../../docs/search.md");
const SERVERS: &str = "servers: {tickets: {sample: true}, mail: {sample: true}}";

fn blocks(page: &'static str, language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    page.split(fence.as_str()).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// A reader of a page, with a gateway.
struct Reader {
    gateway: Gateway,
    key: String,
    id: String,
    client: String,
}

impl Reader {
    fn new(config: &str) -> Self {
        let (key, id, client) = Default::default();
        Self { gateway: Gateway::start(config), key, id, client }
    }

    fn run(&mut self, line: &str) -> String {
        let binary = Path::new(env!("CARGO_BIN_EXE_doorward"));
        let path =
            format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &format!("set -e; {line}")])
            .current_dir(self.gateway.folder.path())
            .env("PATH", path)
            .env("HOME", self.gateway.folder.path())
            .env("DOORWARD_STORE", store_in(self.gateway.folder.path()))
            .env("DOORWARD_URL", self.gateway.url("/mcp"))
            .env("DOORWARD_ORIGIN", self.gateway.url(""))
            .env("DOORWARD_ADMIN_URL", format!("http://{}", self.gateway.admin))
            .env("ID", &self.id)
            .env("CLIENT", &self.client)
            .env("DOORWARD_STORE_KEY", "the master key of somebody who reads")
            .env("DOORWARD_STORE_KEY_NEW", "the next master key of somebody who reads")
            .env("TICKETS_KEY_OF_ALICE", "one")
            .env("TICKETS_KEY_OF_SUPPORT", "two");
        if !self.key.is_empty() {
            shell.env("DOORWARD_KEY", &self.key);
        }
        let output = shell.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {error}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Waits until the gateway knows a key, as the next command requires.
    fn show(&self, key: &str) {
        let client = Modern::new(&self.gateway, "/mcp").bearing(key);
        wait_for("the key is known", || {
            client.ask("tools/list", serde_json::json!({})).status == 200
        });
    }

    /// Runs all commands of a page.
    fn read(&mut self, page: &'static str) -> usize {
        let mut ran = 0;
        for line in blocks(page, "sh").into_iter().flat_map(str::lines) {
            ran += 1;
            if let Some(make) = line.strip_prefix("export DOORWARD_KEY=$(") {
                self.key = self.run(make.trim_end_matches(')'));
                self.show(&self.key);
                continue;
            }
            // A command that uses a new key at once must wait until the gateway knows it.
            if let Some((_, rest)) = line.split_once("DOORWARD_KEY=$(") {
                let (make, then) = rest.split_once(") ").unwrap();
                let key = self.run(make);
                self.show(&key);
                self.run(&format!("DOORWARD_KEY={key} {then}"));
                continue;
            }
            let told = self.run(line);
            if line.starts_with("doorward keys create") {
                self.id = told[4..16].to_owned();
                if line.contains("--admin") {
                    self.show(&told);
                    self.key = told;
                }
            }
        }
        ran
    }
}

#[test]
fn the_page_on_the_portal_works() {
    let mut reader = Reader::new(&format!("portal: {{self_service_keys: true}}\n{SERVERS}"));
    assert_eq!(reader.read(PORTAL), 12);
    let listed = reader.run("doorward requests list --state granted");
    assert!(listed.contains("mail") && listed.contains("alice"), "{listed}");
}

#[test]
fn the_page_on_keys_works() {
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(KEYS), 18);
}

#[test]
fn the_pages_on_administrators_the_admin_api_and_applying_work() {
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(ADMINISTRATORS), 8);
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(ADMIN_API), 10);
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(APPLY), 9);
}

#[test]
fn the_folder_for_gitops_is_applied() {
    let mut reader = Reader::new("servers: {sample: {sample: true}}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/gitops/resources");
    let words = format!("doorward apply -f {} --prune", folder.display());
    let plan = reader.run(&format!("{words} --check || test $? -eq 2"));
    assert!(plan.contains("+ portal support") && plan.contains("+ policies"), "{plan}");
    reader.run(&format!("{words} --yes"));
    assert_eq!(reader.run(&format!("{words} --check")), "nothing to change");
}

#[test]
fn the_pages_on_clients_and_the_catalogue_work() {
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(CLIENTS), 15);
    let home = reader.gateway.folder.path();
    let left = std::fs::read_to_string(home.join(".claude.json")).unwrap();
    assert!(left.contains("Bearer ${DOORWARD_KEY}"), "{left}");
    assert!(!home.join(".codex").exists() && !home.join(".cursor").exists());
    let mut reader = Reader::new("servers:\n  tickets: {sample: true}\n");
    reader.key = reader.gateway.key(&["--user", "root", "--admin"]);
    assert_eq!(reader.read(CATALOG), 7);
    let listed = reader.run("doorward servers history search");
    assert!(listed.contains("propose"), "{listed}");
    assert!(std::fs::read_to_string(&reader.gateway.config).unwrap().contains("githubcopilot"));
}

#[test]
fn the_page_on_limits_works() {
    assert_eq!(Reader::new(SERVERS).read(LIMITS), 2);
}

#[test]
fn the_pages_on_a2a_rest_and_function_calling_work() {
    assert_eq!(Reader::new(SERVERS).read(A2A), 7);
    assert_eq!(Reader::new(SERVERS).read(REST), 6);
    assert_eq!(Reader::new(SERVERS).read(FUNCTIONS), 5);
}

#[test]
fn the_page_on_openid_providers_works() {
    let issuer = Issuer::start();
    let config =
        format!("identity: {{issuers: {{test: {{issuer: '{}'}}}}}}\n{SERVERS}", issuer.url);
    let mut reader = Reader::new(&config);
    assert_eq!(reader.read(OPENID), 2);
}

#[test]
fn the_page_on_logging_in_works() {
    let world = World::new();
    let metadata = r#"{"redirect_uris": ["http://127.0.0.1:1/"], "client_name": "One"}"#;
    let json = [("content-type", "application/json")];
    let made = send(&world.gateway.address, "POST", "/oauth/register", &json, metadata.as_bytes());
    let client = made.unwrap().json()["client_id"].as_str().unwrap().to_owned();
    world.tokens();
    let grants = world.gateway.told(&["grants", "list", "--json"]);
    let grants: serde_json::Value = serde_json::from_str(&grants).unwrap();
    let mut reader =
        Reader { gateway: world.gateway, key: String::new(), id: String::new(), client };
    reader.id = grants[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(reader.read(LOGIN), 5);
    let left = reader.gateway.told(&["grants", "list", "--json"]);
    assert_eq!(
        (left.as_str(), reader.gateway.told(&["clients", "list", "--json"]).as_str()),
        ("[]", "[]")
    );
}

#[test]
fn the_page_on_policies_works() {
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(POLICIES), 12);
}

#[test]
fn the_page_on_portals_works() {
    let mut reader =
        Reader::new(&format!("{SERVERS}\nportals: {{support: {{servers: [tickets]}}}}"));
    reader.key = reader.gateway.key(&["--user", "root", "--admin"]);
    assert_eq!(reader.read(PORTALS), 3);
}

#[test]
fn the_page_on_search_works() {
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(SEARCH), 1);
    let search = blocks(SEARCH, "sh")[0];
    assert!(reader.run(search).contains("tickets__add"));
}

#[test]
fn the_page_on_approving_servers_works() {
    // One reader performs the steps that would take two administrators.
    let mut reader = Reader::new("servers: {mail: {sample: true}}\nreview: {four_eyes: false}");
    let file = |name: &str, text: &str| {
        std::fs::write(reader.gateway.folder.path().join(name), text).unwrap();
    };
    file(
        "server.json",
        r#"{"name": "com.example/weather", "remotes": [{"type": "streamable-http",
            "url": "https://weather.invalid/mcp"}]}"#,
    );
    file("mcp.json", r#"{"mcpServers": {"issues": {"url": "https://issues.invalid/mcp"}}}"#);
    reader.key = reader.gateway.key(&["--user", "root", "--admin"]);
    assert_eq!(reader.read(APPROVING), 15);
    let listed = reader.run("doorward servers history tickets");
    assert_eq!(listed.lines().count(), 9, "{listed}");
}

#[test]
fn the_page_on_inspection_works() {
    let mut reader = Reader::new("inspection: {}\nservers: {sample: {sample: true}}");
    assert_eq!(reader.read(INSPECTION), 3);
    let file =
        doorward_inspect::detect::DetectorFile::parse(blocks(INSPECTION, "yaml-detectors")[0]);
    let detectors = doorward_inspect::Detectors::with(&[file.unwrap()]).unwrap();
    assert!(detectors.check_examples().is_empty());
}

#[test]
fn the_page_on_pins_works() {
    let mut reader = Reader::new(&format!("pins: {{mode: \"on\"}}\n{SERVERS}"));
    reader.key = reader.gateway.key(&["--user", "root", "--admin"]);
    let waits = "doorward servers diff tickets --json";
    wait_for("the sample's tools wait", || reader.run(waits).contains("\"is_new\": true"));
    assert_eq!(reader.read(PINS), 2);
    assert_eq!(reader.run("doorward servers diff tickets"), "tickets: nothing is withheld");
}

#[test]
fn the_page_on_approvals_works() {
    let mut reader = Reader::new(&format!("policy: {{files: [open.cedar]}}\n{SERVERS}"));
    let policies = "permit (principal, action in Action::\"use\", resource);
        permit (principal == User::\"root\", action in Action::\"administer\", resource);
        @approval(\"role:lead\")
        forbid (principal, action == Action::\"call\", resource == Tool::\"mail/echo\");";
    std::fs::write(reader.gateway.folder.path().join("open.cedar"), policies).unwrap();
    let key = reader.gateway.key(&["--user", "alice"]);
    let client = Modern::new(&reader.gateway, "/mcp").bearing(&key);
    let call = |text: &str| client.call("mail__echo", serde_json::json!({ "text": text }));
    wait_for("the policies are active", || call("one").body.contains("approval_required"));
    call("two");
    let waiting = call("one").json();
    reader.id = waiting["error"]["data"]["approval"].as_str().unwrap().to_owned();
    assert_eq!(reader.read(APPROVALS), 6);
    assert_eq!(call("one").text(), "one");
    assert!(call("two").body.contains("not on a Friday"));
}

#[test]
fn the_page_on_flow_rules_works() {
    let mut reader = Reader::new(
        "flow: {after_start: clean}\nservers: {mail: {sample: true, brings: [untrusted]}}",
    );
    reader.key = reader.gateway.key(&["--user", "root", "--admin"]);
    let key = reader.gateway.key(&["--user", "alice"]);
    let client = Modern::new(&reader.gateway, "/mcp").bearing(&key);
    assert_eq!(client.call("mail__echo", serde_json::json!({ "text": "one" })).text(), "one");
    let show = "doorward flow show --admin-url \"$DOORWARD_ADMIN_URL\"";
    assert!(reader.run(show).contains("mail/echo"));
    assert_eq!(reader.read(FLOW), 5);
    assert!(reader.run(show).contains("(cleared)"));
}

#[test]
fn the_page_on_emergency_stops_works() {
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(EMERGENCY), 6);
    let listed = reader.run("doorward stop list --all --json");
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let stops = listed.as_array().unwrap();
    let names: Vec<&str> = stops.iter().map(|stop| stop["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tickets", "mail/echo", "importer"]);
    assert_eq!(stops.iter().filter(|stop| stop["lifted"].is_object()).count(), 1);
}

#[test]
fn the_page_on_webhooks_works() {
    // No receiver is running here.
    let mut reader = Reader::new(&format!(
        "webhooks: {{oncall: {{url: 'http://127.0.0.1:9/', secret: {}, retry_for: 0s}}}}\n{SERVERS}",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    ));
    reader.run("doorward webhooks test oncall --admin-url \"$DOORWARD_ADMIN_URL\"");
    wait_for("it is given up", || {
        let failed = ["webhooks", "deliveries", "--state", "failed"];
        reader.gateway.told(&failed).contains("webhook.test")
    });
    assert_eq!(reader.read(WEBHOOKS), 4);
}

#[test]
fn the_page_on_the_registry_works() {
    let body = page(&[item("a.b/weather", remote("https://a.example/mcp"), json!({}))], None);
    let registry = Registry::start(move |_| body.clone());
    let config = format!("{}{SERVERS}\nreview: {{four_eyes: false}}", registry.config(""));
    let mut reader = Reader::new(&config);
    let store = store_in(reader.gateway.folder.path());
    wait_for("it is read", || state(&store)["states"]["proposed"] == 1);
    assert_eq!(reader.read(REGISTRY), 7);
    let listed = reader.run(blocks(REGISTRY, "sh")[0].lines().nth(1).unwrap());
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    // The example on the page has the same members as the response.
    let shown: serde_json::Value = serde_json::from_str(blocks(REGISTRY, "json")[0]).unwrap();
    let members = |it: &serde_json::Value| -> Vec<String> {
        let entry = &it["servers"][0];
        let official = &entry["_meta"][OFFICIAL];
        let all = [&entry["server"], official].map(|it| it.as_object().unwrap().clone());
        all.into_iter().flatten().map(|(name, _)| name).collect()
    };
    assert_eq!(members(&listed), members(&shown), "{listed}");
    let found = reader.run("doorward registries entries public");
    assert!(found.contains("a.b/weather") && found.contains("proposed"), "{found}");
    assert!(reader.run("doorward servers history weather").contains("use the existing server"));
}

#[test]
fn the_page_on_credentials_works() {
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(CREDENTIALS), 7);
}

#[test]
fn the_page_on_the_record_works() {
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(AUDIT), 14);
    let folder = reader.gateway.folder.path().join("evidence");
    let about = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for control in ["CC6.1", "CC6.6", "CC7.2", "A.9.", "A.12.4", "A.14.2"] {
        assert!(about.contains(control), "{control}");
    }
    let acts = std::fs::read_to_string(folder.join("administration.jsonl")).unwrap();
    assert!(acts.contains("\"audit.hold\"") && acts.contains("case 17"), "{acts}");
}

#[test]
fn the_page_on_credit_works() {
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(CREDITS), 10);
}

#[test]
fn the_pages_on_arguments_caching_reliability_and_confining_work() {
    let mut reader = Reader::new(&format!("{SERVERS}\nresults: {{check: refuse}}"));
    assert_eq!(reader.read(ARGUMENTS), 2);
    assert_eq!(reader.read(RELIABILITY), 1);
    assert!(reader.run("doorward servers --json").contains("\"circuit\": \"closed\""));
    assert_eq!(reader.read(REPLICAS), 1);
    assert_eq!(reader.read(CONFINING), 2);
    assert_eq!(reader.run(blocks(CONFINING, "sh")[1]), "it may not");
    let config = "servers: {tickets: {sample: true, cache: {ttl: 1m}}, mail: {sample: true}}";
    let mut reader = Reader::new(config);
    assert_eq!(reader.read(CACHING), 1);
    let again = reader.run(blocks(CACHING, "sh")[0]);
    assert!(again.contains("\"status\": \"hit\""), "{again}");
}

#[test]
fn the_page_on_apis_works() {
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(OPENAPI), 3);
    let told = reader.run("doorward openapi inspect pets.yaml");
    assert!(told.contains("getPet") && told.contains("1 tools; 0 operations"), "{told}");
}

#[test]
fn the_page_on_observability_works() {
    let mut reader = Reader::new(SERVERS);
    assert_eq!(reader.read(OBSERVABILITY), 2);
}

#[test]
fn the_examples_are_what_they_seem() {
    let folder = crate::support::folder();
    let file = folder.path().join("doorward.yaml");
    std::fs::write(folder.path().join("state.key"), "k".repeat(40)).unwrap();
    // The files that the page on inspection names.
    let detectors = blocks(INSPECTION, "yaml-detectors")[0];
    std::fs::write(folder.path().join("detectors.yaml"), detectors).unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    let mut configurations = 0;
    let pages = [
        ADMIN_API,
        ADMINISTRATORS,
        APPLY,
        KEYS,
        OPENID,
        LOGIN,
        POLICIES,
        PORTAL,
        PORTALS,
        SEARCH,
        CREDENTIALS,
    ];
    for page in pages.into_iter().chain([
        A2A,
        APPROVALS,
        FLOW,
        APPROVING,
        EMERGENCY,
        INSPECTION,
        PINS,
        WEBHOOKS,
        REGISTRY,
        AUDIT,
        LIMITS,
        CREDITS,
        OBSERVABILITY,
        ARGUMENTS,
        CACHING,
        CHECKS,
        RELIABILITY,
        REPLICAS,
        CONFINING,
        PACKAGES,
        OPENAPI,
    ]) {
        for block in blocks(page, "yaml") {
            if block.starts_with("- name") {
                let cases: Vec<doorward_policy::Case> = serde_saphyr::from_str(block).unwrap();
                assert!(!cases.is_empty());
                continue;
            }
            configurations += 1;
            std::fs::write(&file, block).unwrap();
            let checked = doorward().arg("check").arg(&file).output().unwrap();
            let error = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success(), "{block}\n{error}");
        }
        for block in blocks(page, "cedar") {
            let files = [("page.cedar".to_owned(), block.to_owned())].into();
            doorward_policy::PolicySet::compile(&files).unwrap();
        }
        for block in blocks(page, "json") {
            serde_json::from_str::<serde_json::Value>(block).unwrap();
        }
    }
    assert!(configurations >= 20, "{configurations}");
}
