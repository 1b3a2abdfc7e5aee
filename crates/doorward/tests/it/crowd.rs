//! Experiment 9 of the security design: a very large number of idle streams, a change that is announced to all of
//! them, and a memory limit. `DOORWARD_STREAMS=10000 cargo test --release --test it crowd:: -- --nocapture` runs it
//! in full size and prints what was sent and measured.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, clippy::print_stdout)]

use std::time::{Duration, Instant};

use crate::support::client::{Modern, Stream};
use crate::support::{Gateway, PATIENCE, wait_for};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

/// The number of streams, within the limit on open files of this process.
fn streams() -> usize {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let asked = std::env::var("DOORWARD_STREAMS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(1000).min(usize::try_from(most).unwrap_or(usize::MAX) / 2 - 100)
}

const CLOCK: &str = "sample+sample://clock";

fn listen(client: &Modern) -> Stream {
    let filter = json!({ "notifications": { "resourceSubscriptions": [CLOCK] } });
    client.open(&client.body("subscriptions/listen", filter))
}

/// The next message of each stream, all within one deadline. A failure names the streams that received nothing.
fn hear(crowd: &mut [Stream], method: &str, within: Duration) -> Vec<Value> {
    let (count, end) = (crowd.len(), Instant::now() + within);
    let heard = crowd.iter_mut().enumerate().map(|(number, stream)| {
        let message = stream.message();
        let message = message.unwrap_or_else(|| {
            panic!("stream {number} of {count} ended, or was silent, before {method}")
        });
        assert_eq!(message["method"], method, "stream {number} of {count}: {message}");
        assert!(
            Instant::now() < end,
            "after {within:?}, {number} of {count} streams had heard {method}"
        );
        message
    });
    heard.collect()
}

#[test]
fn a_crowd_that_listens_costs_little_and_hears_at_once() {
    let count = streams();
    let gateway = Gateway::start(
        "limits: {streams_per_principal: 100000, connections_per_address: 16384}\ntimeouts: {keep_alive: 2s}\n\
         servers: {sample: {sample: true}}",
    );
    // Open some streams first, so that the one-time cost of a first connection is not counted.
    let client = Modern::new(&gateway, "/mcp");
    drop((0..50).map(|_| listen(&client)).collect::<Vec<_>>());
    wait_for("they are gone", || gateway.is_idle());
    let (files, before) = gateway.usage();
    let mut crowd: Vec<Stream> = (0..count).map(|_| listen(&client)).collect();
    assert!(crowd.iter().all(|stream| stream.status == 200));
    for (number, told) in
        hear(&mut crowd, "notifications/subscriptions/acknowledged", PATIENCE).iter().enumerate()
    {
        // A stream without the subscription would wait forever.
        let promised = &told["params"]["notifications"]["resourceSubscriptions"];
        assert_eq!(*promised, json!([CLOCK]), "stream {number} of {count}: {told}");
    }
    let (_, after) = gateway.usage();
    let each = after.saturating_sub(before) as f64 / count as f64;
    let began = Instant::now();
    hear(&mut crowd, "notifications/resources/updated", PATIENCE);
    // The clock ticks every two seconds. The first stream waits for the tick; the others must not wait longer.
    let heard = began.elapsed();
    println!("{count} streams: {each:.1} KiB each, {heard:?} until all had heard of a change");
    assert!(each < 20.0, "{each} KiB a stream");
    assert!(heard < Duration::from_secs(3), "{heard:?}");
    drop(crowd);
    wait_for("nothing is left of them", || gateway.is_idle() && gateway.usage().0 <= files + 8);
}

#[test]
fn a_crowd_of_one_principal_is_bounded() {
    let gateway =
        Gateway::start("limits: {streams_per_principal: 20}\nservers: {sample: {sample: true}}");
    let client = Modern::new(&gateway, "/mcp");
    let crowd: Vec<Stream> = (0..25).map(|_| listen(&client)).collect();
    let statuses: Vec<u16> = crowd.iter().map(|stream| stream.status).collect();
    assert_eq!(statuses[..20], [200; 20]);
    assert_eq!(statuses[20..], [429; 5]);
}

#[test]
fn a_gateway_short_of_memory_sheds_load_and_recovers() {
    let config = |limit: u64| {
        format!(
            "limits: {{memory: {limit}KiB, body: 16MiB, message: 32MiB}}\n\
             servers: {{sample: {{sample: true}}}}"
        )
    };
    let slow = |client: &Modern| {
        let arguments = json!({ "steps": 100, "pause_ms": 1000, "ballast": "x".repeat(8 << 20) });
        client.begin(
            &client.body("tools/call", json!({ "name": "sample__slow", "arguments": arguments })),
        )
    };
    let at_rest = Gateway::start(&config(1 << 30)).usage().1;
    let mut gateway = Gateway::start(&config(at_rest + (24 << 10)));
    let client = Modern::new(&gateway, "/mcp");
    assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 1 })).text(), "2");
    let mut heavy = Vec::new();
    wait_for("memory limit reached", || {
        heavy.push(slow(&client));
        std::thread::sleep(Duration::from_millis(150));
        gateway.get_admin("/readyz").0 == 503
    });
    let refused = client.call("sample__add", json!({ "a": 1, "b": 1 }));
    assert_eq!((refused.status, refused.kind().as_str()), (503, "overloaded"), "{}", refused.body);
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(listen(&client).status, 503);
    println!("{} calls of 8 MiB, {:?} at rest, {:?} now", heavy.len(), at_rest, gateway.usage().1);
    drop(heavy);
    wait_for("there is room again", || gateway.get_admin("/readyz").0 == 200);
    assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 1 })).text(), "2");
    assert!(gateway.is_alive());
}
