//! What was approved of a server is pinned, and what looks like a server that is there cannot be proposed.

use super::rugs;
use super::world::{Changing, FIRST, hashes};
use crate::support::client::{Answer, JSON, Modern, send};
use crate::support::hostile::Era;
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

fn ask(gateway: &Gateway, key: &str, method: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [JSON[0], ("authorization", bearer.as_str())];
    let body = if method == "GET" { String::new() } else { body.to_string() };
    let path = format!("/admin/v1/servers{path}");
    let said = send(&gateway.admin, method, &path, &headers, body.as_bytes()).unwrap();
    assert!(said.status < 500, "{}", said.body);
    said
}

#[test]
fn an_approval_pins_what_was_seen_and_a_change_is_accepted_by_itself() {
    let changing = Changing::start(Era::Modern);
    let gateway = Gateway::start("servers: {Glass: {sample: true}}");
    let proposer = gateway.key(&["--user", "alice", "--admin"]);
    let reviewer = gateway.key(&["--user", "bob", "--admin"]);
    let url = format!("http://localhost:{}/mcp", changing.server.address.port());
    let proposal = |name: &str| json!({ "name": name, "settings": { "url": url } });
    for (name, why) in [("g1ass", "looks like"), ("GIass", "looks like"), ("glass", "choose")] {
        let refused = ask(&gateway, &proposer, "POST", "", &proposal(name));
        assert!(refused.status == 409 && refused.body.contains(why), "{name}: {}", refused.body);
    }
    assert_eq!(ask(&gateway, &proposer, "POST", "", &proposal("s")).status, 201);
    let look_alike = ask(&gateway, &proposer, "POST", "", &proposal("5"));
    assert!(matches!(look_alike.status, 400 | 409), "{}", look_alike.body);
    let step = |key: &str, step: &str, body: Value| {
        let done = ask(&gateway, key, "POST", &format!("/s/{step}"), &body);
        assert_eq!(done.status, 200, "{step}: {}", done.body);
        done.json()
    };
    step(&reviewer, "review", json!({ "allow_private": true }));
    assert_eq!(step(&reviewer, "look", json!({}))["problem"], Value::Null);
    // What it says between the look and the approval is not what was seen.
    changing.say(&rugs().remove(0).1);
    step(&reviewer, "approve", json!({}));
    step(&proposer, "activate", json!({}));
    let client = Modern::new(&gateway, "/mcp/s").bearing(&proposer);
    let tools = || {
        let listed = client.ask("tools/list", json!({})).json();
        let all = listed["result"]["tools"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait_for("what was seen is served", || tools() == ["other"]);
    let drift = || ask(&gateway, &reviewer, "GET", "/s/drift", &json!({})).json()["items"].clone();
    wait_for("what was not seen waits", || drift().as_array().is_some_and(|all| all.len() == 1));
    assert_eq!(drift()[0]["is_new"], false);
    changing.say(FIRST);
    changing.tell(Era::Modern, "tools");
    wait_for("what was seen is served", || tools() == ["get", "other"]);

    changing.say(&rugs().remove(7).1);
    changing.tell(Era::Modern, "tools");
    wait_for("the change waits", || tools() == ["other"] && drift()[0]["name"] == "get");
    let body = json!({ "hashes": hashes(drift().as_array().unwrap()) });
    step(&reviewer, "drift/accept", body);
    wait_for("the change is served", || tools() == ["get", "other"]);
    let pins = gateway.told(&["audit", "search", "--json", "--limit", "1000"]);
    assert!(
        pins.contains("\"act\":\"definition.accept\"") && pins.contains("\"pins\":5"),
        "{pins}"
    );
}
