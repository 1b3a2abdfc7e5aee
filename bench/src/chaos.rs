//! Replicas that are killed, hang, become slow or fail under load: what callers notice, and which calls run twice.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::backend::{self, Backend, Era, Mood};
use crate::gateway::Gateway;
use crate::load::{Ask, Connection, Target, open_loop};
use crate::stats::Run;

const REPLICAS: usize = 4;
const CALLERS: usize = 16;
/// The pause between two calls of a caller, so that the test measures faults and not the machine's capacity.
const PAUSE: Duration = Duration::from_millis(5);
/// Calls per second to the healthy server.
const RATE: u64 = 500;

/// How long calls continue after the fault.
const AFTER: Duration = Duration::from_secs(1);

/// The fault of one replica, which lasts for half of the time.
pub const TROUBLES: [(&str, Mood); 5] = [
    ("none", Mood::Well),
    ("killed", Mood::Dead),
    ("hung", Mood::Hung),
    ("slowed by 200 ms", Mood::Slow(Duration::from_millis(200))),
    ("failing", Mood::Failing),
];

/// The result of one kind of fault.
#[derive(Debug, Default)]
pub struct Outcome {
    pub sent: u64,
    pub answered: u64,
    /// Reads that failed. Some writes must fail, since their outcome is unknown.
    pub reads_failed: u64,
    pub writes_failed: u64,
    /// Calls that reached replicas, beyond those that were sent.
    pub repeated: u64,
    pub writes_doubled: u64,
    /// The run of the reads.
    pub reads: Run,
    /// The runs of the healthy server, before the fault and during it.
    pub beside: [Run; 2],
}

/// A gateway in front of four replicas and one other server.
pub struct Scene {
    replicas: Vec<Backend>,
    gateway: Gateway,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Scene {
    pub async fn set(program: &Path) -> Result<Self, String> {
        let mut replicas = Vec::new();
        for _ in 0..REPLICAS {
            replicas.push(backend::start(Era::Modern, 0).await.map_err(text)?);
        }
        let beside = backend::start(Era::Modern, 0).await.map_err(text)?;
        let urls: Vec<_> = replicas.iter().map(|one| format!("{{url: {}}}", one.url())).collect();
        let config = format!(
            "reliability: {{health: {{interval: 1s, timeout: 500ms}}, ejection: {{period: 2s}}}}\n\
             servers:\n  many: {{replicas: [{}], tools: {{echo: {{write: false}}}}}}\n  \
             beside: {{url: {}}}\n",
            urls.join(", "),
            beside.url()
        );
        let gateway = Gateway::start(program, &config)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Self { replicas, gateway })
    }

    fn target(&self, server: &str) -> Target {
        let address = self.gateway.address.clone();
        Target { address, path: format!("/mcp/{server}"), era: Era::Modern, token: None }
    }

    async fn beside(&self, time: Duration) -> Result<Run, String> {
        let small = Ask::tool("echo", &json!({ "text": "hello" }));
        open_loop(&self.target("beside"), &small, 8, RATE, time).await.map_err(text)
    }

    /// Calls for this time and a moment longer; one replica is faulty for the second half.
    pub async fn play(&self, mood: Mood, time: Duration) -> Result<Outcome, String> {
        for replica in &self.replicas {
            replica.seen.writes.lock().clear();
            replica.seen.calls.store(0, Ordering::SeqCst);
        }
        let next = Arc::new(AtomicU64::new(0));
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| tokio::spawn(caller(self.target("many"), time + AFTER, next.clone())))
            .collect();
        let quiet = self.beside(time / 2).await?;
        self.replicas[0].is(mood);
        let troubled = self.beside(time / 2).await?;
        self.replicas[0].is(Mood::Well);
        let mut all = Outcome::default();
        for caller in callers {
            let one = caller.await.map_err(text)?.map_err(text)?;
            all.sent += one.sent;
            all.answered += one.answered;
            all.reads_failed += one.reads_failed;
            all.writes_failed += one.writes_failed;
            all.reads.merge(one.reads);
        }
        all.beside = [quiet, troubled];
        // Requests that were delayed by the fault are still running.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut writes: HashMap<String, u32> = HashMap::new();
        let mut reached = 0;
        for replica in &self.replicas {
            reached += replica.seen.calls.load(Ordering::SeqCst);
            for (text, times) in &*replica.seen.writes.lock() {
                *writes.entry(text.clone()).or_default() += times;
            }
        }
        all.repeated = reached.saturating_sub(all.sent);
        all.writes_doubled = writes.values().filter(|times| **times > 1).count() as u64;
        Ok(all)
    }
}

/// Reads and writes in turn; each call has its own text.
async fn caller(target: Target, time: Duration, next: Arc<AtomicU64>) -> std::io::Result<Outcome> {
    let mut connection = Connection::open(&target).await?;
    let mut all = Outcome::default();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let reads = number.is_multiple_of(2);
        let name = if reads { "echo" } else { "write" };
        let params = json!({ "name": name, "arguments": { "text": format!("call {number}") } });
        let request = connection.written("tools/call", &params);
        let sent = Instant::now();
        all.sent += 1;
        match connection.exchange(&request).await {
            Ok(_) => {
                all.answered += 1;
                if reads {
                    all.reads.add(sent.elapsed());
                }
            }
            Err(_) if reads => all.reads_failed += 1,
            Err(_) => all.writes_failed += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(all)
}
