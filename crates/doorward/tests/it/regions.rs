//! Regions and classes of data: to which replicas a call may go, and that it goes to no other.
#![allow(clippy::unwrap_used)]

use crate::support::client::{Handshake, Modern};
use crate::support::door::{Door, Mood};
use crate::support::hostile::{Era, Hostile, said, scripted};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

/// A replica that returns its location.
fn replica(era: Era, name: &'static str) -> (Hostile, Door) {
    let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true } });
    let tools = json!([tool("get"), tool("customers"), tool("notes")]);
    let server = scripted(era, move |asked| match asked.message["method"].as_str()? {
        "tools/list" => Some(json!({ "tools": tools, "ttlMs": 600_000, "cacheScope": "public" })),
        "tools/call" => Some(said(name)),
        "ping" => Some(json!({})),
        _ => None,
    });
    let door = Door::before(server.address);
    (server, door)
}

const QUICK: &str = "reliability: {health: {interval: 300ms, timeout: 300ms}}";

fn config(eu: &Door, us: &Door, more: &str) -> String {
    format!(
        "servers: {{s: {{replicas: [{{url: \"{}\", region: eu, data_classes: [pii, public]}}, \
         {{url: \"{}\", region: us, data_classes: [public]}}], {QUICK}, \
         tools: {{customers: {{data: [pii]}}, notes: {{data: [secret]}}}}{more}}}}}\n",
        eu.url(),
        us.url()
    )
}

fn states(gateway: &Gateway) -> Vec<String> {
    let states = gateway.states();
    let replicas = states[0]["replicas"].as_array().unwrap();
    replicas.iter().map(|replica| replica["state"].as_str().unwrap().to_owned()).collect()
}

fn all_up(gateway: &Gateway) {
    wait_for("all are up", || states(gateway).iter().all(|state| state == "up"));
}

#[test]
fn data_goes_to_the_replicas_that_may_have_it_and_to_no_other_when_they_fail() {
    let ((_eu, eu), (us_server, us)) = (replica(Era::Modern, "eu"), replica(Era::Modern, "us"));
    let gateway = Gateway::start(&config(&eu, &us, ""));
    all_up(&gateway);
    let client = Modern::new(&gateway, "/mcp/s");
    for _ in 0..40 {
        assert_eq!(client.call("customers", json!({})).text(), "eu");
    }
    let before = us_server.calls();
    wait_for("what anybody may have goes anywhere", || {
        client.call("get", json!({})).text() == "us"
    });
    assert!(us_server.calls() > before);
    let refused = client.call("notes", json!({}));
    assert_eq!((refused.kind().as_str(), refused.code()), ("data_not_permitted", -31028));
    assert!(refused.body.contains("classes: secret"), "{}", refused.body);
    assert_eq!(refused.json()["error"]["data"]["retryable"], false);

    // Before and after the gateway knows that the replica is down, it never uses the other region.
    let before = us_server.calls();
    eu.is(Mood::Shut);
    for _ in 0..10 {
        let refused = client.call("customers", json!({}));
        let kind = refused.kind();
        assert!(
            ["unreachable", "stream_ended", "data_not_permitted"].contains(&&*kind),
            "{}",
            refused.body
        );
    }
    wait_for("it is known to be down", || states(&gateway)[0] == "down");
    let refused = client.call("customers", json!({}));
    assert_eq!(refused.kind(), "data_not_permitted", "{}", refused.body);
    assert!(refused.body.contains("that may receive this data is available"), "{}", refused.body);
    assert_eq!(us_server.calls(), before);
    assert_eq!(client.call("get", json!({})).text(), "us");
    eu.is(Mood::Open);
    wait_for("it is back", || {
        let answer = client.call("customers", json!({}));
        answer.kind().is_empty() && answer.text() == "eu"
    });
}

#[test]
fn a_session_at_another_replica_does_not_take_data_there() {
    let ((_eu, eu), (us_server, us)) =
        (replica(Era::Handshake, "eu"), replica(Era::Handshake, "us"));
    let gateway = Gateway::start(&config(&eu, &us, ", affinity: session"));
    all_up(&gateway);
    let at_us = || {
        let session = Handshake::open(&gateway, "/mcp/s", "2025-11-25", json!({}));
        (session.call(2, "get", json!({})).text() == "us").then_some(session)
    };
    let mut found = None;
    wait_for("a session is at the other", || {
        found = found.take().or_else(at_us);
        found.is_some()
    });
    let session = found.unwrap();
    let before = us_server.calls();
    assert_eq!(session.call(3, "customers", json!({})).text(), "eu");
    assert_eq!(us_server.calls(), before);
    eu.is(Mood::Shut);
    wait_for("it is known to be down", || states(&gateway)[0] == "down");
    let refused = session.call(4, "customers", json!({}));
    assert_eq!(refused.kind(), "data_not_permitted", "{}", refused.body);
    assert_eq!(us_server.calls(), before);
}

#[test]
fn a_server_without_replicas_is_not_sent_what_it_may_not_have() {
    let (server, _) = replica(Era::Modern, "one");
    let gateway = Gateway::start(&format!(
        "servers: {{s: {{url: \"{}\", data_classes: [public], data: [public], tools: {{customers: {{data: [pii]}}}}}}}}\n",
        server.url()
    ));
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(client.call("get", json!({})).text(), "one");
    let refused = client.call("customers", json!({}));
    assert_eq!(refused.kind(), "data_not_permitted", "{}", refused.body);
    assert_eq!(server.calls(), 1);
}

#[test]
fn calls_of_a_tenant_stay_in_its_regions() {
    let ((_eu, eu), (us_server, us)) = (replica(Era::Modern, "eu"), replica(Era::Modern, "us"));
    let gateway = Gateway::start(&format!(
        "tenants: {{clinic: {{regions: [\"e*\"]}}, lab: {{data: [health]}}}}\nservers:\n  \
         s: {{replicas: [{{url: \"{}\", region: eu}}, {{url: \"{}\", region: us}}], {QUICK}}}\n  \
         abroad: {{url: \"{}\", region: us}}\n  nowhere: {{url: \"{}\"}}\n  \
         open: {{url: \"{}\", data_classes: [public]}}\n",
        eu.url(),
        us.url(),
        us.url(),
        us.url(),
        us.url()
    ));
    let replicas = |gateway: &Gateway| -> Vec<Value> {
        let states = gateway.states();
        let of = states.as_array().unwrap().iter().find(|it| it["name"] == "s").unwrap();
        of["replicas"].as_array().unwrap().clone()
    };
    wait_for("all are up", || replicas(&gateway).iter().all(|one| one["state"] == "up"));
    let key = |user: &str, tenant: &str| {
        gateway.told(&["principals", "set", "user", user, "--tenant", tenant]);
        gateway.key(&["--user", user])
    };
    let (ann, bob, cy) = (key("ann", "clinic"), key("bob", "other"), key("cy", "lab"));
    let at =
        |server: &str, key: &str| Modern::new(&gateway, &format!("/mcp/{server}")).bearing(key);
    for key in [&ann, &bob, &cy] {
        let client = at("s", key);
        wait_for("the key is known", || client.ask("tools/list", json!({})).status == 200);
    }
    let before = us_server.calls();
    for _ in 0..20 {
        assert_eq!(at("s", &ann).call("get", json!({})).text(), "eu");
    }
    for server in ["abroad", "nowhere"] {
        // Lists have no data of callers.
        let listed = at(server, &ann).ask("tools/list", json!({})).result();
        assert_eq!(listed["tools"].as_array().unwrap().len(), 3, "{server}");
        let refused = at(server, &ann).call("get", json!({}));
        assert_eq!(refused.kind(), "data_not_permitted", "{server}: {}", refused.body);
        assert!(refused.body.contains("regions of the caller's tenant (e*)"), "{}", refused.body);
    }
    assert_eq!(us_server.calls(), before);
    for server in ["abroad", "nowhere", "open"] {
        assert_eq!(at(server, &bob).call("get", json!({})).text(), "us", "{server}");
    }
    wait_for("others go anywhere", || at("s", &bob).call("get", json!({})).text() == "us");
    // What all calls of a tenant carry.
    let refused = at("open", &cy).call("get", json!({}));
    assert_eq!(refused.kind(), "data_not_permitted", "{}", refused.body);
    assert!(refused.body.contains("classes: health"), "{}", refused.body);
    let before = us_server.calls();
    eu.is(Mood::Shut);
    wait_for("it is known to be down", || {
        at("s", &ann).call("get", json!({})).kind() == "data_not_permitted"
    });
    assert_eq!(us_server.calls(), before);
}

#[test]
fn policies_see_where_a_server_is_and_what_it_may_have() {
    let ((_eu, eu), (_us, us)) = (replica(Era::Modern, "eu"), replica(Era::Modern, "us"));
    let folder = crate::support::folder();
    let policies = folder.path().join("regions.cedar");
    let text = r#"permit (principal, action in Action::"use", resource);
@reason("only in the EU") forbid (principal, action == Action::"call", resource)
unless { resource has region && resource.region == "eu" && resource has data_classes && resource.data_classes.contains("pii") };
"#;
    std::fs::write(&policies, text).unwrap();
    let gateway = Gateway::start_unready(&format!(
        "policy: {{files: [{}], explain: full}}\nservers:\n  one: {{replicas: [{{url: \"{}\"}}], region: eu, data_classes: [pii]}}\n  \
         two: {{url: \"{}\", region: us}}\n  both: {{replicas: [{{url: \"{}\", region: eu}}, {{url: \"{}\", region: us}}], data_classes: [pii]}}\n",
        policies.display(),
        eu.url(),
        us.url(),
        eu.url(),
        us.url()
    ));
    wait_for("the policies are active", || gateway.logged("policies are active"));
    let key = gateway.key(&["--user", "ann"]);
    let reason = |server: &str| -> Value {
        let client = Modern::new(&gateway, &format!("/mcp/{server}")).bearing(&key);
        client.call("get", json!({})).json()["error"]["message"].clone()
    };
    wait_for("the key is known", || reason("one").is_null());
    for server in ["two", "both"] {
        let reason = reason(server);
        assert!(
            reason
                .as_str()
                .is_some_and(|it| it.contains("Unknown tool") || it.contains("only in the EU")),
            "{server}: {reason}"
        );
    }
}
