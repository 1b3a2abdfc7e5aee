//! The cost of validating arguments, and what caching saves.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::backend::{self, Backend, Era};
use crate::gateway::Gateway;
use crate::load::{Ask, Connection, Target, closed_loop};
use crate::stats::Run;

const AGENTS: usize = 20;
/// How often an agent lists the tools and then calls one.
const TURNS: usize = 30;
/// One in this many calls is a write; the others read one of a few things.
const WRITES: usize = 10;
const THINGS: usize = 8;
/// How often each of two gateways has its turn.
const TIMES: u32 = 3;

/// The requests of a loop of agents, and how many of them reached the server.
#[derive(Debug)]
pub struct Saved {
    pub asked: u64,
    pub reached: u64,
}

impl Saved {
    pub fn share(&self) -> f64 {
        1.0 - self.reached as f64 / self.asked as f64
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn target(gateway: &Gateway) -> Target {
    let address = gateway.address.clone();
    Target { address, path: "/mcp/modern".into(), era: Era::Modern, token: None }
}

/// Starts a gateway in front of a server with these settings.
async fn started(program: &Path, settings: &str) -> Result<Gateway, String> {
    let tools = "tools: {echo: {write: false}}";
    let config = format!("servers: {{modern: {{{settings}, {tools}}}}}\n");
    let gateway = Gateway::start(program, &config)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(gateway)
}

/// The settings of a server, with additional ones.
fn at(server: &Backend, more: &str) -> String {
    format!("url: {}{more}", server.url())
}

/// Runs agents that list, call, list, call …
pub async fn agents(program: &Path, server: &Backend) -> Result<Saved, String> {
    let gateway = started(program, &at(server, ", cache: {ttl: 1m}")).await?;
    let before = server.seen.requests.load(Ordering::SeqCst);
    let running = (0..AGENTS).map(|agent| {
        let target = target(&gateway);
        tokio::spawn(async move {
            let mut connection = Connection::open(&target).await?;
            let list = connection.written("tools/list", &json!({}));
            for turn in 0..TURNS {
                connection.exchange(&list).await?;
                let number = agent * 7 + turn;
                let (name, what) = match number % WRITES {
                    0 => ("touch", 0),
                    _ => ("echo", number % THINGS),
                };
                let params = json!({ "name": name, "arguments": { "text": what.to_string() } });
                connection.exchange(&connection.written("tools/call", &params)).await?;
            }
            Ok::<(), std::io::Error>(())
        })
    });
    for agent in running.collect::<Vec<_>>() {
        agent.await.map_err(text)?.map_err(text)?;
    }
    let reached = server.seen.requests.load(Ordering::SeqCst) - before;
    Ok(Saved { asked: (AGENTS * TURNS * 2) as u64, reached })
}

/// The same call with and without a feature, in turn.
#[derive(Debug)]
pub struct Compared {
    pub with: Run,
    pub without: Run,
    pub memory: [u64; 2],
}

impl Compared {
    /// The ratio of throughput with the feature to that without.
    pub fn ratio(&self) -> f64 {
        // Both ran for the same time.
        self.with.calls() as f64 / self.without.calls() as f64
    }
}

/// Runs a load against two gateways in turn.
async fn in_turns(
    program: &Path,
    settings: [String; 2],
    load: impl AsyncFn(Target) -> std::io::Result<Run>,
) -> Result<Compared, String> {
    let gateways = [started(program, &settings[0]).await?, started(program, &settings[1]).await?];
    let mut runs = [Run::default(), Run::default()];
    // Alternate, so that other load on the machine affects both.
    for _ in 0..TIMES {
        for (gateway, run) in gateways.iter().zip(&mut runs) {
            run.merge(load(target(gateway)).await.map_err(text)?);
        }
    }
    let memory = gateways.each_ref().map(|gateway| gateway.usage().resident_kib);
    let [with, without] = runs;
    Ok(Compared { with, without, memory })
}

async fn compare(
    program: &Path,
    settings: [String; 2],
    ask: &Ask,
    time: Duration,
) -> Result<Compared, String> {
    let load = async |target: Target| closed_loop(&target, ask, 32, time / TIMES).await;
    in_turns(program, settings, load).await
}

/// Compares a call that is served from the cache with one that is not.
pub async fn cached(program: &Path, server: &Backend, time: Duration) -> Result<Compared, String> {
    let settings = [at(server, ", cache: {ttl: 1m}"), at(server, "")];
    compare(program, settings, &hello(), time).await
}

/// Compares a call whose arguments are validated with one whose are not. Each of the server's tools has its own
/// schema.
pub async fn checked(program: &Path, server: &Backend, time: Duration) -> Result<Compared, String> {
    let ask = Ask::tool("tool-500", &json!({ "query": "a text of some words", "limit": 17 }));
    let settings = [at(server, ""), at(server, ", arguments: {check: off}")];
    compare(program, settings, &ask, time).await
}

/// Compares a call with a circuit breaker and health checks to one without.
pub async fn guarded(program: &Path, server: &Backend, time: Duration) -> Result<Compared, String> {
    let with = at(server, ", reliability: {health: {interval: 1s}}");
    let without = at(server, ", reliability: {breaker: {off: true}}");
    compare(program, [with, without], &hello(), time).await
}

/// Compares a call of one of ten replicas with a call of a single server.
pub async fn replicated(
    program: &Path,
    server: &Backend,
    time: Duration,
) -> Result<Compared, String> {
    let mut replicas = Vec::new();
    for _ in 0..10 {
        replicas.push(backend::start(Era::Modern, 1_000).await.map_err(text)?);
    }
    let urls: Vec<_> = replicas.iter().map(|one| format!("{{url: {}}}", one.url())).collect();
    let with = format!("replicas: [{}]", urls.join(", "));
    compare(program, [with, at(server, "")], &hello(), time).await
}

/// Compares a call that misses the cache with an uncached one, for a single caller.
pub async fn missed(program: &Path, server: &Backend, time: Duration) -> Result<Compared, String> {
    let settings = [at(server, ", cache: {ttl: 1m}"), at(server, "")];
    let next = AtomicU64::new(0);
    let load = async |target: Target| {
        let mut connection = Connection::open(&target).await?;
        let mut run = Run::default();
        let begun = Instant::now();
        while begun.elapsed() < time / TIMES {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let arguments = json!({ "text": format!("number {number}") });
            let params = json!({ "name": "echo", "arguments": arguments });
            let request = connection.written("tools/call", &params);
            let sent = Instant::now();
            connection.exchange(&request).await?;
            run.add(sent.elapsed());
        }
        Ok(run)
    };
    in_turns(program, settings, load).await
}

fn hello() -> Ask {
    Ask::tool("echo", &json!({ "text": "hello" }))
}
