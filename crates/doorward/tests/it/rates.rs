//! Rates, quotas and concurrency limits, in one gateway and shared between several.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{Answer, Handshake, Modern, Stream};
use crate::support::services::{free_port, redis};
use crate::support::{Gateway, wait_for};
use serde_json::json;

fn with(rules: &str) -> Gateway {
    Gateway::start(&format!(
        "servers: {{sample: {{sample: true}}, other: {{sample: true}}}}\nrate_limits: {{rules: {{{rules}}}}}"
    ))
}

fn add(client: &Modern) -> Answer {
    client.call("sample__add", json!({ "a": 1, "b": 1 }))
}

#[test]
fn who_wants_to_know_is_told_what_is_left() {
    let rules = "all: {rate: 1000/s}, per-user: {per: [user], rate: 3/h}, slow: {concurrency: 1}, \
                 trial: {daily: 1, dry_run: true}";
    let config = format!(
        "servers: {{sample: {{sample: true}}}}\nrate_limits: {{headers: true, rules: {{{rules}}}}}"
    );
    let gateway = Gateway::start(&config);
    let client = Modern::new(&gateway, "/mcp");
    for left in [2, 1, 0] {
        let answer = add(&client);
        assert_eq!(answer.text(), "2");
        assert_eq!(answer.header("ratelimit-policy"), Some("\"per-user\";q=3;w=3600"));
        let told = answer.header("ratelimit").unwrap();
        let reset = told.strip_prefix(&format!("\"per-user\";r={left};t=")).unwrap_or(told);
        let reset: u64 = reset.parse().unwrap_or_else(|_| panic!("{told}"));
        let expected = (3 - left) * 1_200;
        assert!((expected - 10..=expected).contains(&reset), "{told}");
        assert_eq!(answer.header("retry-after"), None);
    }
    let refused = add(&client);
    assert_eq!(refused.status, 429);
    assert!(refused.header("ratelimit").unwrap().starts_with("\"per-user\";r=0;t=1"));
    // Responses contain limits only if the operator wants them to.
    let silent = with("per-user: {per: [user], rate: 3/h}");
    let answer = add(&Modern::new(&silent, "/mcp"));
    assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
}

#[test]
fn what_is_beyond_a_limit_is_429_and_named() {
    let gateway = with("per-user: {per: [user], only: {tools: ['sample/*']}, rate: 3/h}");
    let client = Modern::new(&gateway, "/mcp");
    for _ in 0..3 {
        assert_eq!(add(&client).text(), "2");
    }
    let refused = add(&client);
    assert_eq!(
        (refused.status, refused.kind().as_str()),
        (429, "rate_limited"),
        "{}",
        refused.body
    );
    let data = &refused.json()["error"]["data"];
    assert_eq!(
        (data["limit"].as_str(), data["measure"].as_str()),
        (Some("per-user"), Some("rate"))
    );
    assert!(data["retryAfterMs"].as_u64().unwrap() > 1_000_000);
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1_190..=1_200).contains(&after), "{after}");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"per-user\";q=3;w=3600"));
    assert_eq!(refused.header("ratelimit"), Some(format!("\"per-user\";r=0;t={after}").as_str()));
    // Other tools are not counted. Clients of the handshake era get the limit as text.
    let other = client.call("other__add", json!({ "a": 1, "b": 1 }));
    assert_eq!(other.text(), "2");
    let session = Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
    let refused = session.call(2, "sample__add", json!({ "a": 1, "b": 1 }));
    assert_eq!(refused.kind(), "rate_limited", "{}", refused.body);
    let (_, metrics) = gateway.get_admin("/metrics");
    assert!(
        metrics.contains("doorward_limited_calls_total{limit=\"per-user\",dry_run=\"false\"} 2"),
        "{metrics}"
    );
}

#[test]
fn a_refused_call_counts_for_nothing_else() {
    let gateway = with("few: {only: {tools: ['sample/echo']}, window: 1/h}, all: {window: 4/h}");
    let client = Modern::new(&gateway, "/mcp");
    let echo = || client.call("sample__echo", json!({ "text": "x" }));
    assert_eq!(echo().status, 200);
    for _ in 0..5 {
        assert_eq!(echo().json()["error"]["data"]["limit"], "few");
    }
    for _ in 0..3 {
        assert_eq!(add(&client).status, 200);
    }
    assert_eq!(add(&client).json()["error"]["data"]["limit"], "all");
}

#[test]
fn weights_overrides_and_dry_runs() {
    let gateway = with(
        "base: {per: [tenant], window: 2/h, overrides: {acme: {window: 5/h}}}, \
         heavy: {extends: base, weights: {'sample/echo': 3}}, \
         trial: {per: [tenant], window: 1/h, dry_run: true}",
    );
    let keys = ["acme", "globex"].map(|tenant| gateway.key(&["--tenant", tenant]));
    let clients = keys.map(|key| Modern::new(&gateway, "/mcp").bearing(&key));
    let ok = |client: &Modern, tool: &str| {
        let arguments =
            if tool == "echo" { json!({ "text": "x" }) } else { json!({ "a": 1, "b": 1 }) };
        client.call(&format!("sample__{tool}"), arguments).status == 200
    };
    // For globex, an echo costs more than the limit ever holds.
    assert!(!ok(&clients[1], "echo"));
    let refused = clients[1].call("sample__echo", json!({ "text": "x" }));
    assert_eq!(refused.json()["error"]["data"]["retryable"], false, "{}", refused.body);
    assert!(refused.header("retry-after").is_none());
    assert!(ok(&clients[0], "echo") && ok(&clients[0], "add") && ok(&clients[0], "add"));
    assert!(!ok(&clients[0], "add"));
    assert!(ok(&clients[1], "add") && ok(&clients[1], "add") && !ok(&clients[1], "add"));
    assert!(gateway.logged("would be refused"));
}

#[test]
fn a_user_and_a_service_account_of_one_name_are_two() {
    let gateway = with(
        "each: {per: [user], window: 2/h, overrides: {'service_account ci': {window: 3/h}}}, \
         few: {only: {users: ['service_account ci'], tools: ['sample/echo']}, window: 1/h}",
    );
    let at = |kind: &str| Modern::new(&gateway, "/mcp").bearing(&gateway.key(&[kind, "ci"]));
    let (user, account) = (at("--user"), at("--service-account"));
    let took = |client: &Modern| (0..5).filter(|_| add(client).status == 200).count();
    assert_eq!(took(&user), 2);
    assert_eq!(took(&account), 3, "what the user has used is none of the service account's");
    let echo = |client: &Modern| client.call("sample__echo", json!({ "text": "x" })).status;
    assert_eq!(echo(&user), 429, "its own rule still counts");
}

#[test]
fn calls_at_a_time_end_with_the_call_however_it_ends() {
    let gateway = with("few: {only: {tools: ['sample/slow']}, concurrency: 2}");
    let slow = |pause: u32| slow(&gateway, pause);
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                if slow(200) == 429 {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(refused.load(Ordering::Relaxed), 4);
    wait_for("there is room again", || slow(0) == 200);
    // A client that disconnects frees its place as well.
    for _ in 0..2 {
        drop(begin_slow(&gateway));
    }
    wait_for("there is room again", || slow(0) == 200);
}

/// Makes a call that takes five times the pause, in milliseconds. Returns the status of the response.
fn slow(gateway: &Gateway, pause: u32) -> u16 {
    Modern::new(gateway, "/mcp").call("sample__slow", json!({ "pause_ms": pause })).status
}

/// Begins a call that runs as long as the client is connected.
fn begin_slow(gateway: &Gateway) -> Stream {
    let client = Modern::new(gateway, "/mcp");
    let arguments = json!({ "steps": 100, "pause_ms": 300 });
    // The call reports progress, which shows that it has begun.
    let meta = json!({ "progressToken": 1 });
    let params = json!({ "name": "sample__slow", "arguments": arguments, "_meta": meta });
    let body = client.body("tools/call", params);
    let mut begun = None;
    wait_for("there is room", || {
        begun = Some(client.open(&body)).filter(|stream| stream.status == 200);
        begun.is_some()
    });
    begun.unwrap()
}

/// How many calls succeed within the time, with two clients at each gateway.
fn pressed(gateways: &[&Gateway], time: Duration) -> usize {
    let passed = AtomicUsize::new(0);
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        for gateway in gateways {
            for _ in 0..2 {
                scope.spawn(|| {
                    let client = Modern::new(gateway, "/mcp");
                    while Instant::now() < end {
                        if add(&client).status == 200 {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        }
    });
    passed.load(Ordering::Relaxed)
}

fn sharing(port: u16, rules: &str) -> Gateway {
    Gateway::start(&format!(
        "servers: {{sample: {{sample: true}}}}\n\
         rate_limits: {{shared: 'redis://127.0.0.1:{port}', headers: true, rules: {{{rules}}}}}"
    ))
}

#[test]
fn two_gateways_hold_one_limit_within_a_twentieth() {
    let port = free_port();
    let _redis = redis(port);
    let rules = "all: {rate: 200/s, burst: 100}, day: {daily: 100000}";
    let gateways = [sharing(port, rules), sharing(port, rules)];
    let gateways: Vec<&Gateway> = gateways.iter().collect();
    pressed(&gateways, Duration::from_millis(1_500));
    // A machine that pauses sends too few calls, so the test tries again. More than the limit is never allowed.
    let reached = (0..5).any(|_| {
        let (began, passed) = (Instant::now(), pressed(&gateways, Duration::from_secs(3)));
        let share = passed as f64 / (200.0 * began.elapsed().as_secs_f64());
        assert!(share <= 1.05, "{passed}: {share}");
        share >= 0.95
    });
    assert!(reached, "the limit is never reached");
    // A window limit is never exceeded.
    let rules = "all: {window: 500/h}";
    let gateways = [sharing(port, rules), sharing(port, rules)];
    let passed = pressed(&gateways.iter().collect::<Vec<_>>(), Duration::from_secs(2));
    assert!((475..=500).contains(&passed), "{passed}");
}

#[test]
fn calls_at_a_time_are_shared_and_those_of_a_dead_gateway_end() {
    let port = free_port();
    let _redis = redis(port);
    let rules = "few: {only: {tools: ['sample/slow']}, concurrency: 2}";
    let (one, two) = (sharing(port, rules), sharing(port, rules));
    let held: Vec<_> = (0..2).map(|_| begin_slow(&one)).collect();
    wait_for("both places are taken", || slow(&two, 0) == 429);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(slow(&two, 0), 429);
    drop(held);
    wait_for("there is room again", || slow(&two, 0) == 200);
    let _held: Vec<_> = (0..2).map(|_| begin_slow(&one)).collect();
    wait_for("both places are taken", || slow(&two, 0) == 429);
    drop(one);
    wait_for("nobody waits for the dead", || slow(&two, 0) == 200);
}

#[test]
fn when_the_store_is_away_each_limit_says_what_happens() {
    let port = free_port();
    let first = redis(port);
    let gateway = sharing(
        port,
        "open: {only: {tools: ['sample/add']}, window: 5/h}, \
         closed: {only: {tools: ['sample/echo']}, window: 100/h, store_away: closed}",
    );
    let client = Modern::new(&gateway, "/mcp");
    let echo = || client.call("sample__echo", json!({ "text": "x" }));
    let answer = add(&client);
    assert_eq!((answer.status, echo().status), (200, 200));
    // The store knows what other gateways have used.
    assert!(answer.header("ratelimit").unwrap().starts_with("\"open\";r=4;t="));
    // Valkey first hangs and then stops. The gateway waits for neither.
    first.signal(nix::sys::signal::Signal::SIGSTOP);
    let began = Instant::now();
    wait_for("the closed one is refused", || echo().status == 429);
    assert!(echo().body.contains("cannot be checked"), "{}", echo().body);
    drop(first);
    // The rule that fails open is counted by this gateway alone, and still enforced.
    let passed = (0..20).filter(|_| add(&client).status == 200).count();
    assert!((4..=5).contains(&passed), "{passed}");
    assert!(began.elapsed() < Duration::from_secs(10));
    let _second = redis(port);
    wait_for("the store is used again", || echo().status == 200);
    wait_for("that is told", || gateway.logged("the shared limit store is available again"));
}

#[test]
fn a_restart_gives_nobody_a_new_quota() {
    let folder = crate::support::folder();
    let store = crate::support::store_in(folder.path());
    let config = format!(
        "store: {store}\nservers: {{sample: {{sample: true}}}}\nrate_limits: {{rules: {{day: {{per: [user], daily: 10}}}}}}"
    );
    let mut passed = 0;
    for _ in 0..3 {
        let mut gateway = Gateway::start(&config);
        let client = Modern::new(&gateway, "/mcp");
        passed += (0..6).filter(|_| add(&client).status == 200).count();
        gateway.signal(nix::sys::signal::Signal::SIGTERM);
        gateway.wait();
    }
    assert_eq!(passed, 10);
}
