//! Servers that are slow, fail or are overloaded: retries, circuit breakers and queued calls.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::support::client::Modern;
use crate::support::hostile::{Asked, Era, Hostile, said, scripted};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

/// In which direction, and after how many bytes, a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Up(usize),
    Down(usize),
}

/// A proxy between the gateway and a server that cuts one connection where it is told to.
struct Cutter {
    address: SocketAddr,
    cut: Arc<Mutex<Option<Cut>>>,
    passed: Arc<AtomicUsize>,
}

impl Cutter {
    fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, passed) = (Arc::<Mutex<Option<Cut>>>::default(), Arc::<AtomicUsize>::default());
        let cutter = Self { address, cut: cut.clone(), passed: passed.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(server).unwrap();
                for (from, to, is_up) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap(), true),
                    (server, client, false),
                ] {
                    let (cut, passed) = (cut.clone(), passed.clone());
                    std::thread::spawn(move || pump(from, to, is_up, &cut, &passed));
                }
            }
        });
        cutter
    }

    fn arm(&self, cut: Option<Cut>) {
        self.passed.store(0, Ordering::SeqCst);
        *self.cut.lock().unwrap() = cut;
    }
}

fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    is_up: bool,
    cut: &Mutex<Option<Cut>>,
    passed: &AtomicUsize,
) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 {
            break;
        }
        let mut now = cut.lock().unwrap();
        let left = match *now {
            Some(Cut::Up(at)) if is_up => Some(at),
            Some(Cut::Down(at)) if !is_up => Some(at),
            _ => None,
        };
        let Some(at) = left else {
            drop(now);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
            continue;
        };
        let before = passed.fetch_add(read, Ordering::SeqCst);
        let may = at.saturating_sub(before).min(read);
        let _ = to.write_all(&buffer[..may]);
        if may < read {
            *now = None;
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn tools() -> Value {
    let tool = |name: &str, annotations: Value| json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": annotations });
    json!([
        tool("get", json!({ "readOnlyHint": true })),
        tool("write", json!({})),
        tool("put", json!({ "idempotentHint": true })),
    ])
}

/// A server that handles calls as the test says.
fn server(calls: impl Fn(&Asked) -> Value + Send + Sync + 'static) -> Hostile {
    scripted(Era::Modern, move |asked| match asked.message["method"].as_str()? {
        "tools/list" => Some(json!({ "tools": tools(), "ttlMs": 600_000, "cacheScope": "public" })),
        "tools/call" => Some(calls(asked)),
        _ => None,
    })
}

fn config(address: SocketAddr, more: &str) -> String {
    format!("servers: {{s: {{url: \"http://{address}/mcp\"{more}}}}}\n")
}

/// Wherever the connection breaks, a write reaches the server at most once, and a read is answered.
#[test]
fn a_write_is_never_sent_twice_and_a_read_is_answered_wherever_the_connection_breaks() {
    let server = server(|_| said("done"));
    let cutter = Cutter::start(server.address);
    let rule = ", reliability: {breaker: {off: true}, retries: {budget: 100, backoff: 1ms}}";
    let gateway = Gateway::start(&config(cutter.address, rule));
    let client = Modern::new(&gateway, "/mcp/s");
    // The length of a request and of its response.
    let length = |is_up: bool| {
        let most = if is_up { Cut::Up(usize::MAX) } else { Cut::Down(usize::MAX) };
        cutter.arm(Some(most));
        assert_eq!(client.call("write", json!({})).text(), "done");
        let length = cutter.passed.load(Ordering::SeqCst);
        cutter.arm(None);
        length
    };
    let (up, down) = (length(true), length(false));
    assert!(up > 200 && down > 100, "{up} {down}");
    let (mut sent, mut answered, mut doubled, mut again) = (0, 0, 0, 0);
    let cuts = (0..up).map(Cut::Up).chain((0..down).map(Cut::Down));
    for cut in cuts {
        for tool in ["write", "get"] {
            let before = server.calls();
            cutter.arm(Some(cut));
            let answer = client.call(tool, json!({}));
            cutter.arm(None);
            let reached = server.calls() - before;
            sent += 1;
            if tool == "get" {
                assert_eq!(answer.text(), "done", "{cut:?}");
                assert!(reached <= 2, "{cut:?}");
                again += reached.saturating_sub(1);
            } else {
                doubled += reached.saturating_sub(1);
                assert!(reached <= 1, "{cut:?}");
            }
            answered += usize::from(answer.json().get("result").is_some());
        }
    }
    println!("sent {sent}, answered {answered}, repeated {again}, writes doubled {doubled}");
    assert_eq!(doubled, 0);
}

#[test]
fn a_server_that_says_when_to_come_again_is_heard() {
    let refusals = Arc::new(AtomicU64::new(0));
    let left = refusals.clone();
    let after = Arc::new(AtomicU64::new(1));
    let told = after.clone();
    let server = server(move |_| {
        let refused =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if refused.is_err() {
            return said("done");
        }
        match told.load(Ordering::SeqCst) {
            0 => json!({ "httpStatus": 503 }),
            seconds => json!({ "httpStatus": 503, "retryAfter": seconds }),
        }
    });
    let gateway = Gateway::start(&config(server.address, ""));
    let client = Modern::new(&gateway, "/mcp/s");
    let call = |tool: &str, refused: u64, seconds: u64| {
        refusals.store(refused, Ordering::SeqCst);
        after.store(seconds, Ordering::SeqCst);
        let began = Instant::now();
        (client.call(tool, json!({})), began.elapsed())
    };
    // The server says that it did nothing, so even a write can be retried when it allows.
    let (answer, took) = call("write", 1, 1);
    assert_eq!(answer.text(), "done");
    assert!(took >= Duration::from_secs(1), "{took:?}");
    // If it does not say so, only reads are retried. If it asks for more time than is left, nothing is.
    assert_eq!(call("write", 1, 0).0.kind(), "http_status");
    assert_eq!(call("get", 1, 0).0.text(), "done");
    let (answer, took) = call("get", 1, 3_600);
    assert_eq!(answer.kind(), "http_status");
    assert!(took < Duration::from_secs(1), "{took:?}");
    // No more than the maximum number of attempts.
    assert_eq!(call("get", 9, 0).0.kind(), "http_status");
    assert_eq!(refusals.load(Ordering::SeqCst), 6);
    wait_for("retries are recorded", || {
        gateway.told(&["audit", "search", "--json"]).contains("\"retries\":2")
    });
    assert_eq!(gateway.metric("doorward_retries_total{server=\"s\"}"), 4.0);
}

#[test]
fn what_may_be_called_twice_is_so_by_the_operators_word() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let server = server(move |_| match counted.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => json!({ "httpStatus": 502 }),
        _ => said("done"),
    });
    for (rule, answered) in [
        ("", false),
        (", reliability: {retries: {trust_idempotent: true}}", true),
        (", tools: {put: {idempotent: true}}", true),
        (
            ", tools: {put: {idempotent: false}}, reliability: {retries: {trust_idempotent: true}}",
            false,
        ),
        (", tools: {put: {idempotent: true}}, reliability: {retries: {attempts: 1}}", false),
    ] {
        calls.store(0, Ordering::SeqCst);
        let gateway = Gateway::start(&config(server.address, rule));
        let answer = Modern::new(&gateway, "/mcp/s").call("put", json!({}));
        assert_eq!(answer.json().get("result").is_some(), answered, "{rule}: {}", answer.body);
    }
}

#[test]
fn a_server_that_fails_is_left_alone_and_taken_up_again() {
    let broken = Arc::new(AtomicUsize::new(1));
    let is_broken = broken.clone();
    let bad = server(move |_| match is_broken.load(Ordering::SeqCst) {
        0 => said("done"),
        _ => json!({ "httpStatus": 500 }),
    });
    let good = server(|_| said("fine"));
    let gateway = Gateway::start(&format!(
        "reliability: {{breaker: {{min_calls: 5, open: 1s, probes: 2}}, retries: {{attempts: 1}}}}\n\
         servers: {{s: {{url: \"{}\"}}, good: {{url: \"{}\"}}}}\n",
        bad.url(),
        good.url()
    ));
    let client = Modern::new(&gateway, "/mcp/s");
    let call = || client.call("write", json!({}));
    for _ in 0..5 {
        assert_eq!(call().kind(), "http_status");
    }
    let reached = bad.calls();
    for _ in 0..20 {
        let refused = call();
        assert_eq!(refused.kind(), "circuit_open");
        assert_eq!(refused.json()["error"]["data"]["retryable"], true);
    }
    assert_eq!(bad.calls(), reached, "it is left alone");
    let circuit = |name: &str| {
        let states = gateway.states();
        let states = states.as_array().unwrap();
        states.iter().find(|state| state["name"] == name).unwrap()["circuit"].clone()
    };
    assert_eq!((circuit("s"), circuit("good")), ("open".into(), "closed".into()));
    assert_eq!(Modern::new(&gateway, "/mcp/good").call("get", json!({})).text(), "fine");
    // The half-open circuit fails its trial call and opens again for twice as long.
    std::thread::sleep(Duration::from_millis(1_050));
    assert_eq!(circuit("s"), "half_open");
    assert_eq!(call().kind(), "http_status");
    assert_eq!(call().kind(), "circuit_open");
    broken.store(0, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(2_050));
    assert_eq!(call().text(), "done");
    assert_eq!(call().text(), "done");
    assert_eq!(circuit("s"), "closed");
    wait_for("both turns are recorded", || {
        let events = gateway.told(&["audit", "search", "--json", "--class", "events"]);
        events.contains("server.circuit_opened") && events.contains("server.circuit_closed")
    });
}

#[test]
fn a_server_has_so_many_calls_at_a_time_and_so_many_wait() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (here, at_once) = (running.clone(), most.clone());
    let server = server(move |_| {
        at_once.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(400));
        here.fetch_sub(1, Ordering::SeqCst);
        said("done")
    });
    let rule = ", reliability: {bulkhead: {concurrency: 2, queue: 2}}";
    let gateway = Gateway::start(&config(server.address, rule));
    let client = Modern::new(&gateway, "/mcp/s");
    client.ask("tools/list", json!({}));
    let outcomes: Vec<String> = std::thread::scope(|scope| {
        let calling: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let answer = client.call("write", json!({}));
                    let kind = answer.kind();
                    if kind.is_empty() { answer.text() } else { kind }
                })
            })
            .collect();
        calling.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let of = |word: &str| outcomes.iter().filter(|outcome| *outcome == word).count();
    assert_eq!((of("done"), of("overloaded")), (4, 2), "{outcomes:?}");
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert_eq!(gateway.metric("doorward_shed_calls_total{server=\"s\"}"), 2.0);
}

#[test]
fn how_many_calls_at_a_time_a_server_bears_is_found_out() {
    const CALLERS: usize = 48;
    // The server handles four calls at a time; others queue there and are counted.
    let free = Arc::new((Mutex::new(4), Condvar::new()));
    let (here, calls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (early, late) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, done) = (here.clone(), calls.clone());
    let most = [early.clone(), late.clone()];
    let server = server(move |_| {
        let number = done.fetch_add(1, Ordering::SeqCst);
        let at_once = counted.fetch_add(1, Ordering::SeqCst) + 1;
        most[usize::from(number >= 10 * CALLERS)].fetch_max(at_once, Ordering::SeqCst);
        let (places, given) = &*free;
        let mut places = given.wait_while(places.lock().unwrap(), |places| *places == 0).unwrap();
        *places -= 1;
        drop(places);
        std::thread::sleep(Duration::from_millis(20));
        *free.0.lock().unwrap() += 1;
        free.1.notify_one();
        counted.fetch_sub(1, Ordering::SeqCst);
        said("done")
    });
    let rule = ", reliability: {bulkhead: {adaptive: true, wait: 20s}}";
    let gateway = Gateway::start(&config(server.address, rule));
    let client = Modern::new(&gateway, "/mcp/s");
    client.ask("tools/list", json!({}));
    assert_eq!(gateway.states()[0]["concurrency"], 4);
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(client.call("write", json!({})).text(), "done");
                }
            });
        }
    });
    // The gateway sends somewhat more than four, so that the server never idles, but not all that arrive.
    let (early, late) = (early.load(Ordering::SeqCst), late.load(Ordering::SeqCst));
    assert!(early > 4, "{early}");
    assert!(late < 32, "{late}");
    let found = gateway.metric("doorward_concurrency_limit{server=\"s\"}");
    assert!((1.0..32.0).contains(&found), "{found}");
}

#[test]
fn each_attempt_has_its_time_and_all_together_have_theirs() {
    let number = Arc::new(AtomicU64::new(0));
    let counted = number.clone();
    let server = server(move |asked| {
        let slow = match asked.message["params"]["arguments"]["slow"].as_str() {
            Some("first") => counted.fetch_add(1, Ordering::SeqCst) == 0,
            Some(_) => true,
            None => false,
        };
        if slow {
            std::thread::sleep(Duration::from_secs(3));
        }
        said("done")
    });
    let rule = ", timeout: 2s, reliability: {attempt: 500ms}";
    let gateway = Gateway::start(&config(server.address, rule));
    let client = Modern::new(&gateway, "/mcp/s");
    let timed = |tool: &str, slow: &str| {
        let began = Instant::now();
        (client.call(tool, json!({ "slow": slow })), began.elapsed())
    };
    let (answer, took) = timed("get", "first");
    assert_eq!(answer.text(), "done");
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    let (answer, took) = timed("get", "always");
    assert_eq!(answer.kind(), "timeout");
    assert!(
        took < Duration::from_millis(2_300),
        "all attempts have the time of the call: {took:?}"
    );
    // A call that must not be repeated keeps waiting for its response.
    let (answer, took) = timed("write", "always");
    assert_eq!(answer.kind(), "timeout");
    assert!(took > Duration::from_millis(1_900), "{took:?}");
    let rule = ", reliability: {first_byte: 300ms, retries: {attempts: 1}}";
    let gateway = Gateway::start(&config(server.address, rule));
    let began = Instant::now();
    let answer = Modern::new(&gateway, "/mcp/s").call("write", json!({ "slow": "always" }));
    assert_eq!(answer.kind(), "timeout");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_server_is_told_how_much_time_there_is_where_it_wants_to_know() {
    for era in [Era::Modern, Era::Handshake] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let server = scripted(era, move |asked| match asked.message["method"].as_str()? {
            "tools/list" => Some(json!({ "tools": tools() })),
            "tools/call" => {
                heard.lock().unwrap().push(asked.header("x-time-left").map(str::to_owned));
                Some(said("done"))
            }
            _ => None,
        });
        let rule = ", timeout: 20s, reliability: {deadline_header: X-Time-Left}";
        for (rule, expected) in [(rule, true), ("", false)] {
            let gateway = Gateway::start(&config(server.address, rule));
            assert_eq!(Modern::new(&gateway, "/mcp/s").call("get", json!({})).text(), "done");
            let left = told.lock().unwrap().pop().unwrap();
            let left = left.map(|left| left.parse::<u64>().unwrap());
            assert_eq!(
                left.is_some_and(|ms| (18_000..=20_000).contains(&ms)),
                expected,
                "{left:?}"
            );
            assert_eq!(left.is_some(), expected);
        }
    }
}

/// A name is checked by the addresses that it resolves to, and redirects are not followed (attack T12).
#[test]
fn a_server_at_public_addresses_only_is_found_at_no_other() {
    let server = server(|_| said("done"));
    let url = format!("http://localhost:{}/mcp", server.address.port());
    let config =
        format!("servers: {{s: {{url: \"{url}\", public_only: true}}, t: {{url: \"{url}\"}}}}\n");
    let gateway = Gateway::start(&config);
    assert_eq!(Modern::new(&gateway, "/mcp/t").call("get", json!({})).text(), "done");
    let refused = Modern::new(&gateway, "/mcp/s").call("get", json!({}));
    assert_eq!(refused.kind(), "unreachable", "{}", refused.body);
    assert!(gateway.logged("'localhost' has no public address"));
    let moved = scripted(Era::Modern, |_| Some(json!({ "httpStatus": 302 })));
    let gateway =
        Gateway::start_unready(&format!("servers: {{s: {{url: \"{}\"}}}}\n", moved.url()));
    let refused = Modern::new(&gateway, "/mcp/s").call("get", json!({}));
    assert_eq!(refused.kind(), "http_status", "{}", refused.body);
}

/// However long the server is down, and however often it is called.
#[test]
fn a_server_that_is_gone_costs_next_to_nothing() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls = format!("[{{url: \"http://{gone}/mcp\"}}, {{url: \"http://{gone}/other\"}}]");
    let gateway = Gateway::start_unready(&format!(
        "servers: {{s: {{url: \"http://{gone}/mcp\"}}, p: {{command: \"/no/such/program\"}},\n\
         lazy: {{url: \"http://{gone}/mcp\", start: lazy}}, many: {{replicas: {urls}}}}}\n"
    ));
    for server in ["s", "p", "lazy", "many"] {
        let client = Modern::new(&gateway, &format!("/mcp/{server}"));
        for _ in 0..20 {
            assert!(!client.call("get", json!({})).kind().is_empty());
        }
    }
    let used = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", gateway.pid())).unwrap();
        let fields: Vec<i64> = stat
            .rsplit(") ")
            .next()
            .unwrap()
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        // utime and stime, in hundredths of a second (proc(5)), without the state field, which is a letter.
        fields[10] + fields[11]
    };
    let before = used();
    std::thread::sleep(Duration::from_secs(3));
    let hundredths = used() - before;
    assert!(hundredths < 60, "{hundredths} hundredths of a second in three");
}
