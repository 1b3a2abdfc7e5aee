//! Experiment 2 of the security design: of three servers, one hangs and one responds very slowly, and callers of the
//! third do not notice. `DOORWARD_SECONDS=15 cargo test --release --test it bad_neighbour:: -- --nocapture` runs it
//! in full length and prints the measurements.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{Modern, moment};
use crate::support::hostile::{self, Era, begin_stream, until_closed};
use crate::support::{Gateway, wait_for};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(2);
const RATE: u32 = 200;

fn length() -> Duration {
    let asked = std::env::var("DOORWARD_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(3))
}

/// Makes calls at a fixed rate. Each is measured from its scheduled start. Returns the median and the 99th
/// percentile.
fn measure(client: &Modern) -> [Duration; 2] {
    let (began, count) = (Instant::now(), RATE * u32::try_from(length().as_secs()).unwrap());
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..4)
            .map(|lane| {
                scope.spawn(move || {
                    let turns = (lane..count).step_by(4);
                    let call = |turn| {
                        let due = began + Duration::from_secs(1) * turn / RATE;
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        assert_eq!(client.call("good__echo", json!({ "text": "x" })).text(), "x");
                        due.elapsed()
                    };
                    turns.map(call).collect::<Vec<_>>()
                })
            })
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    });
    times.sort_unstable();
    [50, 99].map(|share| times[times.len() * share / 100])
}

/// The latencies of the good server alone, how many calls of the bad servers ended meanwhile, and the latencies
/// beside them.
fn beside_bad_ones(client: &Modern) -> ([Duration; 2], usize, [Duration; 2]) {
    let alone = measure(client);
    let ended = AtomicUsize::new(0);
    let beside = std::thread::scope(|scope| {
        for lane in 0..8 {
            let (client, ended) = (client.clone(), &ended);
            let bad = if lane % 2 == 0 { "hangs__bad" } else { "drips__bad" };
            scope.spawn(move || {
                let end = Instant::now() + length();
                while Instant::now() < end {
                    let began = Instant::now();
                    let answer = client.call(bad, json!({}));
                    assert_eq!(answer.kind(), "timeout", "{}", answer.body);
                    assert!(began.elapsed() >= DEADLINE, "{bad} after {:?}", began.elapsed());
                    ended.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        measure(client)
    });
    (alone, ended.into_inner(), beside)
}

#[test]
fn a_server_that_hangs_and_one_that_drips_harm_nobody_else() {
    let hangs = hostile::start(Era::Modern, |_, out| until_closed(out));
    let drips = hostile::start(Era::Handshake, |_, out| {
        begin_stream(out);
        while out.write_all(b": drip\n\n").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let good = hostile::start(Era::Modern, |_, _| {});
    let gateway = Gateway::start(&format!(
        "timeouts: {{call: 2s, call_with_progress: 6s}}\n\
         servers: {{hangs: {{url: {}}}, drips: {{url: {}}}, good: {{url: {}}}}}",
        hangs.url(),
        drips.url(),
        good.url()
    ));
    let client = Modern::new(&gateway, "/mcp");
    let (files, _) = gateway.usage();
    // Machines are noisy and pause at times; real harm would show in every attempt.
    let harmed = (0..4).all(|_| {
        let (alone, ended, beside) = beside_bad_ones(&client);
        println!(
            "{ended} calls timed out; median and p99 of the good server's {alone:?} alone, {beside:?} beside them"
        );
        assert!(ended >= 8);
        // Harm to all calls would double the median; harm to some would make them wait for one of the deadlines.
        beside[0] > alone[0] * 2 + Duration::from_millis(20) || beside[1] > DEADLINE / 4
    });
    assert!(!harmed, "calls of the good server wait for the bad ones");
    wait_for("nothing is left of them", || {
        gateway.metric("doorward_calls_in_flight") == 0.0 && gateway.usage().0 <= files + 8
    });
    // When a client disconnects, its upstream call is cancelled at once, not at the deadline.
    let connection =
        client.begin(&client.body("tools/call", json!({ "name": "hangs__bad", "arguments": {} })));
    let before = hangs.calls();
    wait_for("the call is there", || {
        gateway.metric("doorward_calls_in_flight") > 0.0 || hangs.calls() > before
    });
    moment();
    drop(connection);
    let left = Instant::now();
    wait_for("it is cancelled", || gateway.metric("doorward_calls_in_flight") == 0.0);
    assert!(left.elapsed() < DEADLINE / 2, "{:?}", left.elapsed());
}
