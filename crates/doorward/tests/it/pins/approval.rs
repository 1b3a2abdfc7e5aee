//! The life of a server whose definitions drift, with several people, on both databases and with a restart between
//! any two steps; and servers whose names imitate an existing one, which cannot be proposed.

use super::rugs;
use super::world::{Changing, FIRST, hashes};
use crate::support::client::{Answer, JSON, Modern, send};
use crate::support::hostile::Era;
use crate::support::services::postgres;
use crate::support::{Gateway, folder, store_in, told, wait_for};
use serde_json::{Value, json};

/// A gateway that is restarted after each step.
struct Story {
    config: String,
    gateway: Gateway,
    proposer: String,
    reviewer: String,
}

impl Story {
    fn begin(store: &str) -> Self {
        let key = |who: &str| told(store, &["keys", "create", "--user", who, "--admin"]);
        let (proposer, reviewer) = (key("alice"), key("bob"));
        let config = format!("store: {store}\nservers: {{Glass: {{sample: true}}}}");
        let gateway = Gateway::start_unready(&config);
        Self { config, gateway, proposer, reviewer }
    }

    fn restart(&mut self) {
        let config = self.config.clone();
        // Only one gateway runs at a time, as on a single machine.
        self.gateway.signal(nix::sys::signal::Signal::SIGKILL);
        self.gateway.wait();
        self.gateway = Gateway::start_unready(&config);
    }

    fn ask(&self, key: &str, method: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {key}");
        let headers = [JSON[0], ("authorization", bearer.as_str())];
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let path = format!("/admin/v1/servers{path}");
        let said = send(&self.gateway.admin, method, &path, &headers, body.as_bytes()).unwrap();
        assert!(said.status < 500, "{}", said.body);
        said
    }

    /// Performs a step that must succeed, then kills the gateway.
    fn step(&mut self, key: &str, step: &str, body: &Value) -> Value {
        let done = self.ask(key, "POST", &format!("/s/{step}"), body);
        assert_eq!(done.status, 200, "{step}: {}", done.body);
        self.restart();
        done.json()
    }

    fn tools(&self) -> Vec<String> {
        let client = Modern::new(&self.gateway, "/mcp/s").bearing(&self.proposer);
        let listed = client.ask("tools/list", json!({})).json();
        let all = listed["result"]["tools"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }

    fn serves(&self, what: &str, tools: &[&str]) {
        wait_for(what, || self.tools() == tools);
    }

    fn drift(&self) -> Vec<Value> {
        let said = self.ask(&self.reviewer, "GET", "/s/drift", &json!({})).json();
        said["items"].as_array().cloned().unwrap_or_default()
    }
}

fn story(store: &str) {
    let mut changing = Changing::start(Era::Modern);
    let url = format!("http://localhost:{}/mcp", changing.server.address.port());
    let mut story = Story::begin(store);
    let (proposer, reviewer) = (story.proposer.clone(), story.reviewer.clone());
    let none = json!({});

    let proposal = |name: &str| json!({ "name": name, "settings": { "url": url } });
    for (name, why) in [("g1ass", "looks like"), ("GIass", "looks like"), ("glass", "choose")] {
        let refused = story.ask(&proposer, "POST", "", &proposal(name));
        assert!(refused.status == 409 && refused.body.contains(why), "{name}: {}", refused.body);
    }
    assert_eq!(story.ask(&proposer, "POST", "", &proposal("s")).status, 201);
    story.restart();
    story.step(&reviewer, "review", &json!({ "allow_private": true }));
    assert_eq!(story.step(&reviewer, "look", &none)["problem"], Value::Null);
    assert_eq!(story.ask(&proposer, "POST", "/s/approve", &none).status, 409);
    // A definition that changed between the inspection and the approval is not approved.
    changing.say(&rugs().remove(0).1);
    story.step(&reviewer, "approve", &none);
    assert_eq!(story.tools(), Vec::<String>::new());
    story.step(&proposer, "activate", &none);
    story.serves("what was seen is served, and nothing else", &["other"]);
    wait_for("what was not seen waits", || story.drift().len() == 1);
    assert_eq!(story.drift()[0]["is_new"], false);
    let again = |changing: &mut Changing, said: &str| {
        changing.forget();
        changing.say(said);
    };
    again(&mut changing, FIRST);
    story.restart();
    story.serves("what was seen is served", &["get", "other"]);

    again(&mut changing, &rugs().remove(7).1);
    story.restart();
    story.serves("the drift is withheld", &["other"]);
    story.step(&reviewer, "quarantine", &json!({ "reason": "it has changed" }));
    assert_eq!(story.tools(), Vec::<String>::new());
    let diff = told(store, &["servers", "diff", "s", "--store", store]);
    assert!(diff.contains("/inputSchema/required") && diff.contains("differs"), "{diff}");
    let hashes = json!({ "hashes": hashes(&story.drift()) });
    story.step(&reviewer, "drift/accept", &hashes);
    assert_eq!(story.tools(), Vec::<String>::new());
    story.step(&reviewer, "release", &none);
    story.serves("the accepted change is served", &["get", "other"]);
    story.step(&proposer, "deprecate", &json!({ "note": "It moves." }));
    story.serves("what is deprecated is served", &["get", "other"]);
    story.step(&proposer, "retire", &none);
    assert_eq!(story.tools(), Vec::<String>::new());

    let acts = told(store, &["audit", "search", "--json", "--limit", "1000"]);
    let mut acts: Vec<Value> =
        acts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    acts.sort_by_key(|it| it["seq"].as_i64());
    let is_of = |it: &&Value| it["subject"] == "s";
    let acts: Vec<String> = acts
        .iter()
        .filter(is_of)
        .map(|it| {
            let who =
                if it["actor"]["name"].as_str().unwrap().contains("alice") { "a" } else { "b" };
            format!("{who} {}", it["act"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        acts,
        [
            "a server.propose",
            "b server.review",
            "b server.look",
            "b server.approve",
            "a server.activate",
            "b server.quarantine",
            "b definition.accept",
            "b server.release",
            "a server.deprecate",
            "a server.retire",
        ]
    );
}

#[test]
fn a_life_with_drift_goes_on_over_restarts() {
    let folder = folder();
    story(&store_in(folder.path()));
}

#[test]
fn a_life_with_drift_goes_on_over_restarts_on_postgresql() {
    let folder = folder();
    let (_database, store) = postgres(folder.path());
    story(&store);
}
