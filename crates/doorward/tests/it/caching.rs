//! Cached results: for whom, for how long, and what is never cached.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::Modern;
use crate::support::door::{Door, Mood};
use crate::support::hostile::{Asked, Era, Hostile, said, scripted};
use crate::support::services::{free_port, redis};
use crate::support::{Gateway, wait_for};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

/// A server whose every response differs: it returns the number of the call.
struct Counting {
    server: Hostile,
    number: Arc<AtomicU64>,
    /// The delay of a response, in milliseconds.
    slow: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
}

impl Counting {
    fn start() -> Self {
        let (number, slow) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let fails = Arc::<AtomicBool>::default();
        let (counted, slowness, broken) = (number.clone(), slow.clone(), fails.clone());
        let server = scripted(Era::Modern, move |asked: &Asked| {
            let number = || counted.fetch_add(1, Ordering::SeqCst) + 1;
            match asked.message["method"].as_str()? {
                "server/discover" => Some(json!({
                    "supportedVersions": ["2026-07-28"],
                    "capabilities": { "tools": {}, "resources": {} },
                    "ttlMs": 60_000, "cacheScope": "public",
                })),
                "tools/list" => {
                    Some(json!({ "tools": tools(), "ttlMs": 60_000, "cacheScope": "public" }))
                }
                "resources/list" => {
                    Some(json!({ "resources": [], "ttlMs": 60_000, "cacheScope": "public" }))
                }
                "resources/templates/list" => Some(
                    json!({ "resourceTemplates": [], "ttlMs": 60_000, "cacheScope": "public" }),
                ),
                "resources/read" => Some(json!({
                    "contents": [{ "uri": asked.message["params"]["uri"], "text": number().to_string() }],
                    "ttlMs": 60_000, "cacheScope": "private",
                })),
                "tools/call" => {
                    std::thread::sleep(Duration::from_millis(slowness.load(Ordering::SeqCst)));
                    let text = number().to_string();
                    let mut result = said(&text);
                    match asked.message["params"]["name"].as_str()? {
                        "wrong" => result["isError"] = true.into(),
                        "asks" => {
                            result = json!({
                                "resultType": "input_required", "requestState": text,
                                "inputRequests": { "q": { "method": "elicitation/create", "params": {
                                    "mode": "form", "message": "?",
                                    "requestedSchema": { "type": "object", "properties": {} } } } },
                            });
                        }
                        "hinted" | "hinted_public" => {
                            result["ttlMs"] = 60_000.into();
                            result["cacheScope"] = "public".into();
                        }
                        _ if broken.load(Ordering::SeqCst) => result = json!({ "httpStatus": 500 }),
                        _ => {}
                    }
                    Some(result)
                }
                _ => None,
            }
        });
        Self { server, number, slow, fails }
    }

    fn calls(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }

    fn config(&self, rule: &str, more: &str) -> String {
        format!(
            "servers: {{s: {{url: \"{}\", cache: {{{rule}}}, tools: {{shared: {{cache: {{public: true}}}}, hinted_public: {{cache: {{trust_public: true}}}}}}}}}}\n{more}",
            self.server.url()
        )
    }
}

fn tools() -> Value {
    let tool = |name: &str, reads: bool| {
        json!({
            "name": name, "inputSchema": { "type": "object" },
            "annotations": { "readOnlyHint": reads },
        })
    };
    let read = ["get", "shared", "hinted", "hinted_public", "wrong", "asks"];
    let mut tools: Vec<Value> = read.iter().map(|name| tool(name, true)).collect();
    tools.push(tool("write", false));
    tools.into()
}

fn cached(result: &Value) -> Option<&str> {
    result["_meta"]["doorward/cache"]["status"].as_str()
}

#[test]
fn what_was_read_is_told_again_and_says_so() {
    let counting = Counting::start();
    let gateway = Gateway::start(&counting.config("ttl: 1m", ""));
    let client = Modern::new(&gateway, "/mcp");
    let first = client.call("s__get", json!({ "a": 1, "b": { "c": 2 } })).result();
    assert_eq!(cached(&first), None);
    // Equal arguments share an entry, however they are written.
    let again = client.call("s__get", json!({ "b": { "c": 2.0 }, "a": 1 })).result();
    assert_eq!(cached(&again), Some("hit"), "{again}");
    assert_eq!((&again["content"], counting.calls()), (&first["content"], 1));
    assert!(again["_meta"]["doorward/cache"]["ageMs"].as_u64().is_some());
    // The entry is also used at another endpoint of the same server, but not for other arguments.
    let same = Modern::new(&gateway, "/mcp/s");
    assert_eq!(cached(&same.call("get", json!({ "a": 1, "b": { "c": 2 } })).result()), Some("hit"));
    assert_eq!(cached(&same.call("get", json!({ "a": 2 })).result()), None);
    let read = || same.ask("resources/read", json!({ "uri": "x://1" })).result();
    let (first, second) = (read(), read());
    assert_eq!((cached(&first), cached(&second)), (None, Some("hit")));
    assert_eq!(first["contents"], second["contents"]);
    assert!(second["ttlMs"].as_u64().unwrap() <= 60_000);
    let metric = |outcome: &str| {
        gateway
            .metric(&format!("doorward_cache_lookups_total{{server=\"s\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!((metric("hit"), metric("miss")), (3.0, 3.0));
    wait_for("hits are recorded", || {
        let records = gateway.told(&["audit", "search", "--json", "--tool", "get"]);
        records.matches("\"cache\":\"hit\"").count() == 2
    });
}

/// Without a setting of the operator, the cache hint of the result decides.
#[test]
fn what_says_for_how_long_it_is_good_is_told_again_for_as_long() {
    let counting = Counting::start();
    let gateway = Gateway::start(&counting.config("", ""));
    let client = Modern::new(&gateway, "/mcp/s");
    let read = || client.ask("resources/read", json!({ "uri": "x://1" })).result();
    // The gateway must first see the hint once.
    let told = [read(), read(), read()];
    assert_eq!(told.each_ref().map(cached), [None, None, Some("hit")]);
    let told = [(); 2].map(|()| client.call("hinted", json!({})).result());
    assert_eq!(told.each_ref().map(cached), [None, Some("hit")]);
    let told = [(); 3].map(|()| client.call("get", json!({})).result());
    assert_eq!(told.each_ref().map(cached), [None; 3]);
    let gateway = Gateway::start(&counting.config("hints: false", ""));
    let client = Modern::new(&gateway, "/mcp/s");
    let told = [(); 3].map(|()| client.call("hinted", json!({})).result());
    assert_eq!(told.each_ref().map(cached), [None; 3]);
}

#[test]
fn errors_questions_and_writes_are_never_told_again_and_writes_end_what_was() {
    let counting = Counting::start();
    let gateway = Gateway::start(&counting.config("ttl: 1m", ""));
    let client = Modern::new(&gateway, "/mcp/s").with(json!({ "elicitation": { "form": {} } }));
    for tool in ["wrong", "asks", "write"] {
        let before = counting.calls();
        for _ in 0..3 {
            assert_eq!(cached(&client.call(tool, json!({})).result()), None, "{tool}");
        }
        assert_eq!(counting.calls() - before, 3, "{tool}");
    }
    let get = || client.call("get", json!({})).text();
    let first = get();
    assert_eq!(get(), first);
    client.call("write", json!({}));
    let second = get();
    assert_ne!(second, first, "what was changed is read anew");
    assert_eq!(get(), second);
    // The result for an input response is not served from cache to a caller who was not asked.
    let asked = client.call("asks", json!({})).result();
    let answered = json!({
        "name": "get", "arguments": {}, "requestState": asked["requestState"],
        "inputResponses": { "q": { "action": "accept", "content": {} } },
    });
    let other = client.ask("tools/call", answered);
    assert!(other.json().get("error").is_some() || cached(&other.result()).is_none());
}

#[test]
fn what_comes_from_memory_has_a_price_of_its_own() {
    let counting = Counting::start();
    let prices = "policy: {files: [open.cedar]}\n\
                  billing: {prices: {all: {tools: 's/*', call: 1, hit: 0.25}}}\n";
    let gateway = Gateway::start(&counting.config("ttl: 1m", prices));
    let key = gateway.key(&["--user", "alice"]);
    gateway.told(&["credits", "grant", "--user", "alice", "10"]);
    let client = Modern::new(&gateway, "/mcp/s").bearing(&key);
    let spent = || -> f64 {
        let all: Value =
            serde_json::from_str(&gateway.told(&["credits", "list", "--json"])).unwrap();
        let account = all.as_array().unwrap().iter().find(|one| one["id"] == "user/alice");
        account.unwrap()["spent"].as_str().unwrap().parse().unwrap()
    };
    wait_for("the account is known", || {
        client.call("write", json!({}));
        spent() >= 1.0
    });
    std::thread::sleep(Duration::from_millis(500));
    let before = spent();
    for _ in 0..5 {
        client.call("get", json!({}));
    }
    wait_for("one was asked for, and four were at hand", || spent() - before == 2.0);
}

#[test]
fn a_hundred_equal_calls_are_one_and_each_caller_has_their_own() {
    let counting = Counting::start();
    let open = "policy: {files: [open.cedar]}\n";
    let gateway = Gateway::start(&counting.config("ttl: 1m", open));
    let keys = ["alice", "bob"].map(|user| gateway.key(&["--user", user]));
    let clients = keys.map(|key| Modern::new(&gateway, "/mcp/s").bearing(&key));
    clients[0].ask("tools/list", json!({}));
    counting.slow.store(500, Ordering::SeqCst);
    let ask_together = |tool: &str| {
        let before = counting.calls();
        let told: Vec<(usize, String)> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..100)
                .map(|number| {
                    let client = &clients[number % 2];
                    scope.spawn(move || (number % 2, client.call(tool, json!({ "x": 1 })).text()))
                })
                .collect();
            asking.into_iter().map(|one| one.join().unwrap()).collect()
        });
        (counting.calls() - before, told)
    };
    let (calls, told) = ask_together("get");
    assert_eq!(calls, 2, "one for each principal");
    let of = |who: usize| told.iter().filter(move |(whose, _)| *whose == who).map(|(_, text)| text);
    assert!(of(0).all(|text| Some(text) == of(0).next()));
    assert!(of(1).all(|text| Some(text) == of(1).next()));
    assert_ne!(of(0).next(), of(1).next());
    let (calls, told) = ask_together("shared");
    assert_eq!(calls, 1, "one for all");
    assert!(told.iter().all(|(_, text)| *text == told[0].1));
    // Failed calls are not shared.
    let (calls, _) = ask_together("wrong");
    assert_eq!(calls, 100);
}

#[test]
fn numbers_that_differ_by_one_are_not_taken_for_each_other_however_large() {
    let counting = Counting::start();
    let gateway = Gateway::start(&counting.config("ttl: 1m", ""));
    let client = Modern::new(&gateway, "/mcp/s");
    let get = |id: u64| client.call("get", json!({ "id": id })).text();
    let one = get(1_234_567_890_123_456_788);
    assert_ne!(get(1_234_567_890_123_456_789), one);
    assert_eq!(get(1_234_567_890_123_456_788), one);
}

#[test]
fn nobody_is_told_what_was_asked_for_before_the_last_change() {
    let counting = Counting::start();
    let gateway = Gateway::start(&counting.config("ttl: 1m", ""));
    let client = Modern::new(&gateway, "/mcp/s");
    client.ask("tools/list", json!({}));
    std::thread::scope(|scope| {
        counting.slow.store(1_500, Ordering::SeqCst);
        let early = scope.spawn(|| client.call("get", json!({})).text());
        std::thread::sleep(Duration::from_millis(300));
        counting.slow.store(0, Ordering::SeqCst);
        client.call("write", json!({}));
        // The first call is still running and may return the state from before the write.
        let late: Vec<_> =
            (0..8).map(|_| scope.spawn(|| client.call("get", json!({})).result())).collect();
        let late: Vec<Value> = late.into_iter().map(|one| one.join().unwrap()).collect();
        let early = early.join().unwrap();
        assert!(late.iter().all(|one| one["content"][0]["text"] != *early), "{early}: {late:?}");
    });
    assert_eq!(counting.calls(), 3, "they were one again");
}

#[test]
fn whoever_waited_for_an_equal_call_has_no_more_time_than_others() {
    let counting = Counting::start();
    let config = counting.config("ttl: 1m", "").replace("cache: {ttl", "timeout: 1s, cache: {ttl");
    let gateway = Gateway::start(&config);
    let client = Modern::new(&gateway, "/mcp/s");
    client.ask("tools/list", json!({}));
    counting.slow.store(4_000, Ordering::SeqCst);
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                let asked = Instant::now();
                assert_eq!(client.call("get", json!({})).kind(), "timeout");
                assert!(asked.elapsed() < Duration::from_millis(1_900), "{:?}", asked.elapsed());
            });
        }
    });
}

#[test]
fn whoever_asks_for_many_and_leaves_lets_another_ask() {
    let counting = Counting::start();
    let gateway = Gateway::start(&counting.config("ttl: 1m", ""));
    let client = Modern::new(&gateway, "/mcp/s");
    client.ask("tools/list", json!({}));
    counting.slow.store(1_000, Ordering::SeqCst);
    let body = client.body("tools/call", json!({ "name": "get", "arguments": {} }));
    let leaves = client.begin(&body);
    std::thread::sleep(Duration::from_millis(200));
    let waits = std::thread::spawn({
        let client = client.clone();
        move || client.call("get", json!({})).text()
    });
    std::thread::sleep(Duration::from_millis(200));
    drop(leaves);
    assert!(!waits.join().unwrap().is_empty());
}

#[test]
fn an_old_result_is_told_while_another_is_fetched_or_none_can_be() {
    let counting = Counting::start();
    let rule = "ttl: 300ms, stale_while_revalidate: 1m, stale_if_error: 1m";
    let gateway = Gateway::start(&counting.config(rule, ""));
    let client = Modern::new(&gateway, "/mcp/s");
    let get = || client.call("get", json!({})).result();
    let first = get();
    std::thread::sleep(Duration::from_millis(350));
    counting.slow.store(300, Ordering::SeqCst);
    let began = std::time::Instant::now();
    let stale = get();
    assert_eq!((cached(&stale), &stale["content"]), (Some("stale"), &first["content"]));
    assert!(began.elapsed() < Duration::from_millis(250), "nobody waits");
    wait_for("another was fetched", || get()["content"] != first["content"]);
    assert_eq!(counting.calls(), 2, "by one call");
    let rule = "ttl: 100ms, stale_if_error: 1m";
    let gateway = Gateway::start(&counting.config(rule, ""));
    let client = Modern::new(&gateway, "/mcp/s");
    counting.slow.store(0, Ordering::SeqCst);
    let first = client.call("get", json!({})).result();
    std::thread::sleep(Duration::from_millis(150));
    counting.fails.store(true, Ordering::SeqCst);
    let stale = client.call("get", json!({})).result();
    assert_eq!((cached(&stale), &stale["content"]), (Some("stale"), &first["content"]));
    assert!(client.call("get", json!({ "other": 1 })).json().get("error").is_some());
    counting.fails.store(false, Ordering::SeqCst);
    assert_eq!(cached(&client.call("get", json!({})).result()), None);
}

#[test]
fn gateways_share_results_and_changes_through_a_store_that_can_read_none() {
    let port = free_port();
    let _valkey = redis(port);
    let url = format!("redis://127.0.0.1:{port}");
    let counting = Counting::start();
    let more = format!("cache: {{shared: \"{url}\"}}\nstate_key: {}\n", "k".repeat(40));
    let gateways = [0, 1].map(|_| Gateway::start(&counting.config("ttl: 1m", &more)));
    let clients = gateways.each_ref().map(|gateway| Modern::new(gateway, "/mcp/s"));
    let first = clients[0].call("get", json!({})).result();
    let mut second = Value::Null;
    wait_for("the other finds it", || {
        second = clients[1].call("get", json!({})).result();
        cached(&second) == Some("hit")
    });
    assert!(counting.calls() <= 2, "{}", counting.calls());
    clients[1].call("write", json!({}));
    let third = clients[0].call("get", json!({})).result();
    assert_eq!(cached(&third), None, "what one has changed, the other reads anew");
    assert_ne!(third["content"], first["content"]);
    // With another key the cached entries cannot be decrypted, and nothing fails.
    let more = more.replace("kkkk", "jjjj");
    let stranger = Gateway::start(&counting.config("ttl: 1m", &more));
    let result = Modern::new(&stranger, "/mcp/s").call("get", json!({})).result();
    assert_eq!(cached(&result), None);
}

#[test]
fn what_was_changed_while_the_store_was_away_is_said_when_it_is_back() {
    let port = free_port();
    let _valkey = redis(port);
    let door = Door::before(([127, 0, 0, 1], port).into());
    let counting = Counting::start();
    let clients: Vec<(Gateway, Modern)> = [port, door.address.port()]
        .into_iter()
        .map(|port| {
            let shared = format!("cache: {{shared: \"redis://127.0.0.1:{port}\"}}\n");
            let more = format!("{shared}state_key: {}\n", "k".repeat(40));
            let gateway = Gateway::start(&counting.config("ttl: 10m", &more));
            let client = Modern::new(&gateway, "/mcp/s");
            (gateway, client)
        })
        .collect();
    let [(_, one), (away, other)] = &clients[..] else { unreachable!() };
    let get = |client: &Modern| client.call("get", json!({})).result();
    wait_for("both are told the same", || {
        let first = get(one);
        let second = get(other);
        cached(&second) == Some("hit") && first["content"] == second["content"]
    });
    let before = get(one);
    door.is(Mood::Shut);
    other.call("write", json!({}));
    wait_for("it is said", || away.logged("the shared cache is unavailable"));
    assert_eq!(cached(&get(other)), None, "nothing is told of what cannot be looked up");
    door.is(Mood::Open);
    wait_for("the change is known", || get(one)["content"] != before["content"]);
    let now = get(one);
    wait_for("both are told the same again", || get(other)["content"] == now["content"]);
}

#[test]
fn a_shared_store_that_is_away_costs_no_call() {
    let counting = Counting::start();
    let more =
        format!("cache: {{shared: \"redis://127.0.0.1:1\"}}\nstate_key: {}\n", "k".repeat(40));
    let gateway = Gateway::start(&counting.config("ttl: 1m", &more));
    let client = Modern::new(&gateway, "/mcp/s");
    for _ in 0..3 {
        assert_eq!(cached(&client.call("get", json!({})).result()), None);
    }
    assert!(gateway.logged("the shared cache is unavailable"));
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Does {
    Calls { who: usize, tool: &'static str, argument: u8 },
    Writes { who: usize },
}

fn day() -> impl Strategy<Value = Vec<Does>> {
    let tool = prop::sample::select(vec!["get", "shared", "hinted", "hinted_public", "wrong"]);
    let calls = (0..4_usize, tool, 0..3_u8).prop_map(|(who, tool, argument)| Does::Calls {
        who,
        tool,
        argument,
    });
    let step = prop_oneof![12 => calls, 1 => (0..4_usize).prop_map(|who| Does::Writes { who })];
    prop::collection::vec(step, 1..60)
}

/// Whatever callers have done before, a private result is served only to the caller it was fetched for, and no result
/// from before a change is served after it.
#[test]
fn no_caller_sees_another_ones_private_result() {
    let counting = Counting::start();
    let open = "policy: {files: [open.cedar]}\n";
    let gateway = Gateway::start(&counting.config("ttl: 1m", open));
    let keys = [
        vec!["--user", "alice"],
        vec!["--user", "bob"],
        vec!["--user", "carol", "--in-tenant", "acme"],
        vec!["--service-account", "alice"],
    ]
    .map(|who| gateway.key(&who));
    let clients = keys.map(|key| Modern::new(&gateway, "/mcp/s").bearing(&key));
    clients[0].call("hinted", json!({}));
    // For each number: whose call fetched it, and how many changes there were before.
    let mut brought: HashMap<u64, (usize, u64)> = HashMap::new();
    let (mut changes, mut hits) = (0_u64, 0);
    let mut runner =
        TestRunner::new(Config { cases: 25, failure_persistence: None, ..Config::default() });
    let seen = std::cell::RefCell::new((&mut brought, &mut changes, &mut hits));
    let outcome = runner.run(&day(), |steps| {
        let mut seen = seen.borrow_mut();
        let (brought, changes, hits) = &mut *seen;
        for step in steps {
            match step {
                Does::Writes { who } => {
                    clients[who].call("write", json!({}));
                    **changes += 1;
                }
                Does::Calls { who, tool, argument } => {
                    let before = counting.calls();
                    let result = clients[who].call(tool, json!({ "n": argument })).result();
                    let number: u64 =
                        result["content"][0]["text"].as_str().unwrap().parse().unwrap();
                    if number > before {
                        brought.insert(number, (who, **changes));
                        prop_assert_eq!(cached(&result), None);
                        continue;
                    }
                    **hits += 1;
                    prop_assert_eq!(cached(&result), Some("hit"));
                    prop_assert_ne!(tool, "wrong");
                    let (whose, then) = brought[&number];
                    prop_assert_eq!(then, **changes, "{} from before a change", tool);
                    if !matches!(tool, "shared" | "hinted_public") {
                        prop_assert_eq!(whose, who, "{} of somebody else", tool);
                    }
                }
            }
        }
        Ok(())
    });
    outcome.unwrap();
    assert!(hits > 50, "{hits}");
}
