//! A server with replicas: which one is called, which are out of rotation, and what happens to a caller's session.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{Handshake, Modern};
use crate::support::door::{Door, Mood};
use crate::support::hostile::{Asked, Era, Hostile, said, scripted};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

fn tools() -> Value {
    json!([
        { "name": "get", "inputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true } },
        { "name": "write", "inputSchema": { "type": "object" } },
    ])
}

/// A replica that returns its name, or what the test sets.
fn replica(
    era: Era,
    name: &'static str,
    calls: impl Fn(&Asked) -> Option<Value> + Send + Sync + 'static,
) -> (Hostile, Door) {
    let server = scripted(era, move |asked| match asked.message["method"].as_str()? {
        "tools/list" => Some(json!({ "tools": tools(), "ttlMs": 600_000, "cacheScope": "public" })),
        "tools/call" => Some(calls(asked).unwrap_or_else(|| said(name))),
        "ping" => Some(json!({})),
        _ => None,
    });
    let door = Door::before(server.address);
    (server, door)
}

fn named(era: Era, name: &'static str) -> (Hostile, Door) {
    replica(era, name, |_| None)
}

const QUICK: &str = "reliability: {health: {interval: 300ms, timeout: 300ms}}";

fn config(doors: &[&Door], rule: &str) -> String {
    let urls: Vec<_> = doors.iter().map(|door| format!("{{url: \"{}\"}}", door.url())).collect();
    format!("servers: {{s: {{replicas: [{}], {rule}}}}}\n", urls.join(", "))
}

/// How many of the calls each replica answered.
fn answers(client: &Modern, tool: &str, times: usize) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for _ in 0..times {
        let answer = client.call(tool, json!({}));
        let said = match answer.kind() {
            kind if kind.is_empty() => answer.text(),
            kind => kind,
        };
        *all.entry(said).or_default() += 1;
    }
    all
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
fn calls_are_shared_and_go_on_when_one_is_killed() {
    let replicas = ["a", "b", "c"].map(|name| named(Era::Modern, name));
    let [(_, a), (_, b), (_, c)] = &replicas;
    let gateway = Gateway::start(&config(&[a, b, c], QUICK));
    all_up(&gateway);
    let client = Modern::new(&gateway, "/mcp/s");
    let shares = answers(&client, "get", 300);
    assert_eq!(shares.len(), 3, "{shares:?}");
    assert!(shares.values().all(|share| *share > 30), "{shares:?}");

    // A call that was not sent goes to another replica, even if it is a write.
    b.is(Mood::Shut);
    let shares = answers(&client, "write", 60);
    assert_eq!(shares.keys().collect::<Vec<_>>(), ["a", "c"], "{shares:?}");
    wait_for("it is known to be down", || states(&gateway)[1] == "down");
    assert_eq!(gateway.states()[0]["state"], "up");
    assert_eq!(gateway.metric("doorward_replicas{server=\"s\",state=\"up\"}"), 2.0);
    assert_eq!(gateway.metric("doorward_replicas{server=\"s\",state=\"down\"}"), 1.0);
    let told = gateway.told(&["servers", "--admin-url", &format!("http://{}", gateway.admin)]);
    let line = format!("primary replica {} is down", b.url());
    assert!(told.contains(&line), "{told}");
    wait_for("the other two share the calls", || answers(&client, "get", 60).len() == 2);

    b.is(Mood::Open);
    all_up(&gateway);
    wait_for("it is asked again", || answers(&client, "get", 20).contains_key("b"));
    let events = gateway.told(&["audit", "search", "--json", "--class", "events"]);
    let down = events.lines().find(|line| line.contains("server.down")).unwrap();
    assert!(down.contains(&b.url()), "{down}");

    for door in [a, b, c] {
        door.is(Mood::Shut);
    }
    wait_for("nobody is there", || states(&gateway).iter().all(|state| state == "down"));
    let refused = client.call("get", json!({}));
    assert_eq!(refused.kind(), "unreachable", "{}", refused.body);
    assert!(refused.body.contains("None of the server's 3 replicas"), "{}", refused.body);
    a.is(Mood::Open);
    wait_for("one is back", || answers(&client, "get", 1).contains_key("a"));
}

#[test]
fn secondaries_are_asked_while_there_is_no_primary() {
    let (_a, one) = named(Era::Modern, "a");
    let (_b, other) = named(Era::Modern, "b");
    let gateway = Gateway::start(&format!(
        "servers: {{s: {{replicas: [{{url: \"{}\"}}, {{url: \"{}\", group: secondary}}], {QUICK}}}}}\n",
        one.url(),
        other.url()
    ));
    all_up(&gateway);
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(answers(&client, "get", 50).keys().collect::<Vec<_>>(), ["a"]);
    one.is(Mood::Shut);
    assert_eq!(answers(&client, "write", 50).keys().collect::<Vec<_>>(), ["b"]);
    one.is(Mood::Open);
    all_up(&gateway);
    assert_eq!(answers(&client, "get", 50).keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn one_that_hangs_holds_nobody_up_for_long() {
    let (_a, one) = named(Era::Modern, "a");
    let (b, other) = named(Era::Modern, "b");
    let gateway = Gateway::start(&config(&[&one, &other], QUICK));
    all_up(&gateway);
    let client = Modern::new(&gateway, "/mcp/s");
    other.is(Mood::Held);
    let began = Instant::now();
    // A read goes to another replica as soon as the gateway finds that this one is down.
    let shares = answers(&client, "get", 20);
    assert_eq!(shares.keys().collect::<Vec<_>>(), ["a"], "{shares:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    wait_for("it is known to be down", || states(&gateway)[1] == "down");
    let reached = b.calls();
    assert_eq!(answers(&client, "write", 20).keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(b.calls(), reached);
    other.is(Mood::Open);
    all_up(&gateway);
}

#[test]
fn one_that_fails_is_passed_over_for_a_while() {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = broken.clone();
    let (_a, one) = named(Era::Modern, "a");
    let (_b, other) = replica(Era::Modern, "b", move |_| {
        is_broken.load(Ordering::SeqCst).then(|| json!({ "httpStatus": 500 }))
    });
    let rule = "reliability: {health: {interval: 300ms}, ejection: {failures: 1, period: 2s}}";
    let gateway = Gateway::start(&config(&[&one, &other], rule));
    all_up(&gateway);
    let client = Modern::new(&gateway, "/mcp/s");
    wait_for("it is passed over", || {
        answers(&client, "get", 5);
        states(&gateway)[1] == "ejected"
    });
    // The replica is reachable but gets no calls. Reads have been answered all the time.
    assert_eq!(answers(&client, "write", 20).keys().collect::<Vec<_>>(), ["a"]);
    assert!(gateway.metric("doorward_retries_total{server=\"s\"}") >= 1.0);
    wait_for("it is recorded", || {
        let events = gateway.told(&["audit", "search", "--json", "--class", "events"]);
        events.contains("server.replica_ejected") && events.contains(&other.url())
    });
    broken.store(false, Ordering::SeqCst);
    wait_for("it is asked again", || answers(&client, "get", 20).contains_key("b"));
}

#[test]
fn a_session_stays_where_it_is_and_its_loss_is_told_where_that_is_wanted() {
    for (rule, told) in [("", false), (", lost_session: error", true)] {
        let replicas = ["a", "b", "c"].map(|name| named(Era::Handshake, name));
        let doors: Vec<_> = replicas.iter().map(|(_, door)| door).collect();
        let gateway = Gateway::start(&config(&doors, &format!("{QUICK}, affinity: session{rule}")));
        all_up(&gateway);
        let mut homes = BTreeMap::new();
        for _ in 0..12 {
            let client = Handshake::open(&gateway, "/mcp/s", "2025-11-25", json!({}));
            let home = client.call(1, "write", json!({})).text();
            for id in 2..12 {
                assert_eq!(client.call(id, "get", json!({})).text(), home);
            }
            homes.entry(home).or_insert(client);
        }
        assert!(homes.len() > 1, "{:?}", homes.keys());
        let (home, client) = homes.pop_first().unwrap();
        let at = ["a", "b", "c"].iter().position(|name| *name == home).unwrap();
        doors[at].is(Mood::Shut);
        let answer = client.call(100, "write", json!({}));
        if told {
            assert_eq!(answer.kind(), "session_lost", "{}", answer.body);
        } else {
            assert_ne!(answer.text(), home);
        }
        // The caller then stays with another replica, and other callers stay where they were.
        let new = client.call(101, "write", json!({})).text();
        assert!(!new.is_empty() && new != home, "{new}");
        assert_eq!(client.call(102, "get", json!({})).text(), new);
        for (home, client) in &homes {
            assert_eq!(client.call(100, "get", json!({})).text(), *home);
        }
    }
}

/// With shared sessions, a caller may use any replica.
#[test]
fn shared_sessions_bind_nobody() {
    let replicas = ["a", "b"].map(|name| named(Era::Handshake, name));
    let doors: Vec<_> = replicas.iter().map(|(_, door)| door).collect();
    let gateway = Gateway::start(&config(&doors, &format!("{QUICK}, affinity: shared")));
    all_up(&gateway);
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(answers(&client, "get", 60).len(), 2);
}

#[test]
fn replicas_of_both_eras_are_one_server() {
    let (_a, one) = named(Era::Modern, "a");
    let (_b, other) = named(Era::Handshake, "b");
    let gateway = Gateway::start(&config(&[&one, &other], &format!("{QUICK}, affinity: shared")));
    all_up(&gateway);
    assert_eq!(answers(&Modern::new(&gateway, "/mcp/s"), "get", 60).len(), 2);
    let client = Handshake::open(&gateway, "/mcp/s", "2025-06-18", json!({}));
    let all: std::collections::BTreeSet<_> =
        (0..40).map(|id| client.call(id, "get", json!({})).text()).collect();
    assert_eq!(all.len(), 2);
}

#[test]
fn replicas_come_and_go_as_a_file_says() {
    let slow = Arc::new(AtomicU64::new(0));
    let is_slow = slow.clone();
    let (_a, one) = replica(Era::Modern, "a", move |_| {
        std::thread::sleep(Duration::from_millis(is_slow.load(Ordering::SeqCst)));
        None
    });
    let (_b, other) = named(Era::Modern, "b");
    let folder = crate::support::folder();
    let file = folder.path().join("replicas");
    std::fs::write(&file, format!("# all of them\n{}\n", one.url())).unwrap();
    let gateway = Gateway::start(&format!(
        "servers: {{s: {{url: \"http://s.example/mcp\", replicas: [{{file: \"{}\"}}], {QUICK}}}}}\n",
        file.display()
    ));
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(answers(&client, "get", 20).keys().collect::<Vec<_>>(), ["a"]);
    std::fs::write(&file, format!("{}\n{}\n", one.url(), other.url())).unwrap();
    wait_for("the second is asked", || answers(&client, "get", 20).contains_key("b"));
    // An invalid file changes nothing and is reported.
    std::fs::write(&file, "nonsense\n").unwrap();
    wait_for("it is told", || {
        gateway.states()[0]["problem"].as_str().is_some_and(|why| why.contains("line 1"))
    });
    assert_eq!(answers(&client, "get", 60).len(), 2);
    // Running calls of a replica that is removed complete.
    slow.store(9_000, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let calling: Vec<_> =
            (0..8).map(|_| scope.spawn(|| client.call("write", json!({})).text())).collect();
        std::thread::sleep(Duration::from_millis(300));
        std::fs::write(&file, format!("{}\n", other.url())).unwrap();
        wait_for("one has gone", || states(&gateway).len() == 1);
        assert_eq!(answers(&client, "get", 20).keys().collect::<Vec<_>>(), ["b"]);
        let ended: Vec<_> = calling.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(ended.iter().all(|name| name == "a" || name == "b"), "{ended:?}");
        assert!(ended.iter().any(|name| name == "a"), "{ended:?}");
    });
    std::fs::write(&file, "").unwrap();
    wait_for("none is there", || answers(&client, "get", 1).contains_key("unreachable"));
}

#[test]
fn each_address_of_a_name_is_a_replica() {
    let (_a, one) = named(Era::Modern, "a");
    let port = one.address.port();
    let gateway = Gateway::start(&format!(
        "servers: {{s: {{replicas: [{{dns: \"http://localhost:{port}/mcp\"}}]}},\n\
         p: {{replicas: [{{dns: \"http://localhost:{port}/mcp\"}}], public_only: true}}}}\n"
    ));
    let client = Modern::new(&gateway, "/mcp/s");
    assert_eq!(client.call("get", json!({})).text(), "a");
    let states = gateway.states();
    let replica = |state: &Value| {
        state["name"] == "s" && state["replicas"].to_string().contains("at 127.0.0.1")
    };
    assert!(states.as_array().unwrap().iter().any(replica), "{states}");
    // None of these addresses is public.
    let refused = Modern::new(&gateway, "/mcp/p").call("get", json!({}));
    assert_eq!(refused.kind(), "unreachable", "{}", refused.body);
    assert!(refused.body.contains("no replicas"), "{}", refused.body);
}

/// A task exists only at the replica that created it.
#[test]
fn what_goes_on_with_something_goes_where_it_is() {
    let server = |name: &'static str| {
        let server = scripted(Era::Modern, move |asked| {
            let asks = asked.message["method"].as_str()?;
            let id = asked.message["params"]["taskId"].as_str().unwrap_or_default();
            let retry = asked.message["params"]["requestState"].as_str();
            Some(match asks {
                "server/discover" => json!({
                    "supportedVersions": ["2026-07-28"], "resultType": "complete", "ttlMs": 0,
                    "cacheScope": "public",
                    "capabilities": { "tools": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } },
                }),
                "tools/list" => {
                    json!({ "tools": tools(), "ttlMs": 600_000, "cacheScope": "public" })
                }
                "tools/call" if asked.message["params"]["name"] == "get" => match retry {
                    Some(state) => said(&format!("{state} at {name}")),
                    None => json!({
                        "resultType": "input_required", "requestState": name,
                        "inputRequests": { "q": { "method": "elicitation/create", "params": {
                            "mode": "form", "message": "?",
                            "requestedSchema": { "type": "object", "properties": {} },
                        } } },
                    }),
                },
                "tools/call" => json!({
                    "resultType": "task", "taskId": name, "status": "working",
                    "createdAt": "2026-11-22T00:00:00Z", "lastUpdatedAt": "2026-11-22T00:00:00Z",
                    "ttlMs": null,
                }),
                "tasks/get" => json!({
                    "resultType": "complete", "taskId": id, "status": "working",
                    "statusMessage": format!("{id} at {name}"),
                    "createdAt": "2026-11-22T00:00:00Z", "lastUpdatedAt": "2026-11-22T00:00:00Z",
                    "ttlMs": null,
                }),
                _ => return None,
            })
        });
        let door = Door::before(server.address);
        (server, door)
    };
    let replicas = ["a", "b", "c"].map(server);
    let doors: Vec<_> = replicas.iter().map(|(_, door)| door).collect();
    let gateway = Gateway::start(&config(&doors, QUICK));
    all_up(&gateway);
    let client = Modern::new(&gateway, "/mcp/s").with(json!({
        "elicitation": { "form": {} }, "extensions": { "io.modelcontextprotocol/tasks": {} },
    }));
    let (mut homes, mut asked) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..30 {
        let made = client.call("write", json!({})).result();
        let task = made["taskId"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        let state = client.ask("tasks/get", json!({ "taskId": task })).result();
        let message = state["statusMessage"].as_str().unwrap_or_else(|| panic!("{state}"));
        let (id, at) = message.split_once(" at ").unwrap();
        assert_eq!(id, at);
        homes.insert(id.to_owned(), task);

        let question = client.call("get", json!({})).result();
        let again = json!({
            "name": "get", "arguments": {}, "requestState": question["requestState"],
            "inputResponses": { "q": { "action": "accept", "content": {} } },
        });
        let answer = client.ask("tools/call", again).text();
        let (state, at) =
            answer.split_once(" at ").unwrap_or_else(|| panic!("{question}: {answer}"));
        assert_eq!(state, at);
        asked.insert(state.to_owned(), ());
    }
    assert!(homes.len() > 1 && asked.len() > 1, "{homes:?} {asked:?}");
}

#[test]
fn changes_are_heard_from_whoever_tells_them() {
    let upstream = || Gateway::start("servers: {clock: {sample: true}}\n");
    let (mut one, other) = (upstream(), upstream());
    let url = |gateway: &Gateway| gateway.url("/mcp/clock");
    let gateway = Gateway::start(&format!(
        "servers: {{s: {{replicas: [{{url: \"{}\"}}, {{url: \"{}\"}}], {QUICK}}}}}\n",
        url(&one),
        url(&other)
    ));
    all_up(&gateway);
    let client = Modern::new(&gateway, "/mcp/s");
    let mut stream = client.listen(json!({ "resourceSubscriptions": ["sample://clock"] }));
    let mut heard = |within: Duration| {
        let end = Instant::now() + within;
        while Instant::now() < end {
            let message = stream.message().unwrap();
            if message["method"] == "notifications/resources/updated" {
                return true;
            }
        }
        false
    };
    assert!(heard(Duration::from_secs(10)));
    one.signal(nix::sys::signal::Signal::SIGKILL);
    one.wait();
    wait_for("it is known to be down", || states(&gateway)[0] == "down");
    assert!(heard(Duration::from_secs(10)));
    assert!(heard(Duration::from_secs(10)));
}

#[test]
fn bad_settings_are_told() {
    for (rule, why) in [
        ("replicas: [{}]", "expected one of 'url', 'dns' and 'file' in each"),
        (
            "replicas: [{url: \"http://a/\", dns: \"http://a/\"}]",
            "expected one of 'url', 'dns' and",
        ),
        ("replicas: [{url: \"ftp://a/\"}]", "is not an http:// or https:// URL"),
        ("replicas: [{dns: \"http://127.0.0.1/\"}]", "'dns' looks up a name"),
        ("replicas: [{file: \"/x\"}]", "'url' is required if all replicas are in files"),
        (
            "replicas: [{url: \"http://a/\"}], command: x",
            "expected one of 'replicas' and 'command'",
        ),
        ("replicas: [{url: \"http://10.0.0.1/\"}], public_only: true", "not public"),
        ("url: \"http://a/\", reliability: {health: {interval: 1ms}}", "at least 100ms"),
        ("url: \"http://a/\", reliability: {ejection: {failures: 0}}", "must be at least 1"),
        ("sample: true, lost_session: error", "has no sessions"),
    ] {
        let folder = crate::support::folder();
        let file = folder.path().join("c.yaml");
        std::fs::write(&file, format!("servers: {{s: {{{rule}}}}}\n")).unwrap();
        let output = crate::support::doorward().arg("check").arg(&file).output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(why), "{rule}: {said}");
    }
}
