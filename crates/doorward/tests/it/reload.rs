//! The configuration changes while the gateway runs, and the gateway stops while it is used: neither loses a call
//! (experiment 8).
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{Handshake, Modern};
use crate::support::{Gateway, PROMPT, wait_for};
use doorward_bench::backend::{self, Era};
use nix::sys::signal::Signal;
use serde_json::json;

#[test]
fn servers_come_and_go_and_who_listens_is_told() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let client = Modern::new(&gateway, "/mcp");
    let mut listening = client.listen(json!({ "toolsListChanged": true }));
    let tools = || client.ask("tools/list", json!({})).result()["tools"].as_array().unwrap().len();
    let before = tools();
    let changed = Instant::now();
    std::fs::write(&gateway.config, "servers: {sample: {sample: true}, other: {sample: true}}")
        .unwrap();
    assert_eq!(listening.message().unwrap()["method"], "notifications/tools/list_changed");
    assert!(changed.elapsed() < PROMPT, "{:?}", changed.elapsed());
    wait_for("the new server is listed", || tools() == 2 * before);
    std::fs::write(&gateway.config, "servers: {other: {sample: true}}").unwrap();
    gateway.signal(Signal::SIGHUP);
    wait_for("the old server is gone", || tools() == before);
    assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 1 })).code(), -32602);
    assert_eq!(client.call("other__add", json!({ "a": 1, "b": 1 })).text(), "2");
}

#[test]
fn a_file_may_be_replaced_and_be_a_link_through_another() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let folder = gateway.folder.path();
    let client = Modern::new(&gateway, "/mcp");
    let offers = |tool: &str| client.call(tool, json!({ "a": 1, "b": 1 })).code() == 0;
    let version = |name: &str| {
        let inner = folder.join(name);
        std::fs::create_dir(&inner).unwrap();
        let text = format!("servers: {{{}: {{sample: true}}}}", name.trim_start_matches('.'));
        std::fs::write(inner.join("doorward.yaml"), text).unwrap();
        let link = folder.join("new");
        std::os::unix::fs::symlink(name, &link).unwrap();
        std::fs::rename(link, folder.join("..data")).unwrap();
    };
    // This is how Kubernetes mounts a ConfigMap.
    version("..one");
    let link = folder.join("new");
    std::os::unix::fs::symlink("..data/doorward.yaml", &link).unwrap();
    std::fs::rename(link, &gateway.config).unwrap();
    wait_for("the link is followed", || offers("one__add"));
    version("..two");
    wait_for("the new version is taken", || offers("two__add"));
    // This is how editors save.
    std::fs::write(folder.join("saved~"), "servers: {three: {sample: true}}").unwrap();
    std::fs::rename(folder.join("saved~"), &gateway.config).unwrap();
    wait_for("the saved file is taken", || offers("three__add"));
}

#[test]
fn a_bad_file_is_refused_with_its_reasons() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let client = Modern::new(&gateway, "/mcp");
    for (bad, said) in [
        ("servers: {sample: {sampel: true}}", "did you mean 'sample'"),
        ("servers: [", "unclosed"),
        ("servers: {a: {url: 'ftp://x/'}}", "is not an http://"),
    ] {
        std::fs::write(&gateway.config, bad).unwrap();
        gateway.signal(Signal::SIGHUP);
        wait_for(said, || gateway.logged(said));
        assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 1 })).text(), "2");
    }
    assert!(
        gateway
            .log()
            .iter()
            .any(|line| line.contains("doorward.yaml:1:") && line.contains("invalid"))
    );
}

#[test]
fn no_call_fails_for_twenty_reloads() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let backend = runtime.block_on(backend::start(Era::Modern, 0)).unwrap();
    let steady = format!("steady: {{url: \"{}\"}}", backend.url());
    let gateway = Gateway::start(&format!("servers: {{{steady}, flapping: {{sample: true}}}}"));
    let client = Modern::new(&gateway, "/mcp");
    let mut listening = client.listen(json!({ "resourceSubscriptions": ["steady+test://1"] }));
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(client.call("steady__echo", json!({ "text": "x" })).text(), "x");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // A running call of a removed server completes.
        let slow = scope.spawn(|| {
            client.call("flapping__slow", json!({ "steps": 10, "pause_ms": 100 })).text()
        });
        std::thread::sleep(Duration::from_millis(100));
        for round in 0..20 {
            let config = match round % 4 {
                0 => format!("servers: {{{steady}}}"),
                1 => "servers: {".to_owned(),
                2 => format!("servers: {{{steady}, flapping: {{sample: true}}}}"),
                _ => format!("nonsense: true\nservers: {{{steady}}}"),
            };
            std::fs::write(&gateway.config, config).unwrap();
            gateway.signal(Signal::SIGHUP);
            std::thread::sleep(Duration::from_millis(60));
        }
        assert_eq!(slow.join().unwrap(), "done in 10 steps");
        wait_for("there were many", || answered.load(Ordering::Relaxed) > 100);
        over.store(true, Ordering::Relaxed);
    });
    runtime.block_on(backend.touch());
    assert_eq!(listening.message().unwrap()["method"], "notifications/resources/updated");
}

/// SIGTERM: running calls complete, streams end gracefully, new connections are refused, and the exit code is 0.
#[test]
fn a_shutdown_lets_calls_end_and_streams_say_goodbye() {
    let mut gateway = Gateway::start("servers: {sample: {sample: true}}");
    let client = Modern::new(&gateway, "/mcp");
    let mut listening = client.listen(json!({ "toolsListChanged": true }));
    let old = Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
    let mut main = old.listen(None);
    let calls: Vec<_> = (0..2)
        .map(|era| {
            let (client, old) = (client.clone(), old.clone());
            std::thread::spawn(move || {
                let arguments = json!({ "steps": 10, "pause_ms": 80 });
                if era == 0 {
                    client.call("sample__slow", arguments).text()
                } else {
                    old.call(1, "sample__slow", arguments).text()
                }
            })
        })
        .collect();
    wait_for("both calls are in flight", || {
        gateway
            .log()
            .iter()
            .filter(|line| line.contains("\"message\":\"call\"") && line.contains("tools/call"))
            .count()
            == 2
    });
    gateway.signal(Signal::SIGTERM);
    let goodbye = listening.message().unwrap();
    assert_eq!(
        (&goodbye["id"], &goodbye["result"]["resultType"]),
        (&json!(1), &json!("complete")),
        "{goodbye}"
    );
    assert!(listening.message().is_none() && main.message().is_none());
    for call in calls {
        assert_eq!(call.join().unwrap(), "done in 10 steps");
    }
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(std::net::TcpStream::connect(&gateway.address).is_err());
}

#[test]
fn a_call_that_does_not_end_is_given_up_at_shutdown() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let backend = runtime.block_on(backend::start(Era::Modern, 0)).unwrap();
    let mut gateway = Gateway::start(&format!(
        "timeouts: {{drain: 1s}}\nservers: {{s: {{url: \"{}\"}}}}",
        backend.url()
    ));
    let client = Modern::new(&gateway, "/mcp/s");
    let call = std::thread::spawn(move || {
        let body =
            client.body("tools/call", json!({ "name": "slow", "arguments": { "ms": 60_000 } }));
        let headers = Modern::headers(&body);
        let mut all = crate::support::client::JSON.to_vec();
        all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        crate::support::client::send(
            &client.address,
            "POST",
            "/mcp/s",
            &all,
            body.to_string().as_bytes(),
        )
        .is_err()
    });
    wait_for("the call is in flight", || backend.seen.open.load(Ordering::SeqCst) == 1);
    let asked = Instant::now();
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(
        asked.elapsed() > Duration::from_millis(900) && asked.elapsed() < Duration::from_secs(8)
    );
    assert!(call.join().unwrap(), "the call has no answer");
    wait_for("the server knows", || backend.seen.open.load(Ordering::SeqCst) == 0);
}
