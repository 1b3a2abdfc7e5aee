//! What checking arguments costs, and what caching saves.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use crate::backend::{Backend, Era};
use crate::gateway::Gateway;
use crate::load::{Ask, Connection, Target, closed_loop};
use crate::stats::Run;

const AGENTS: usize = 20;
/// What an agent does one after the other: it lists the tools, and calls one.
const TURNS: usize = 30;
/// Of as many calls one changes something; the others ask for one of a few things.
const WRITES: usize = 10;
const THINGS: usize = 8;

/// What a loop of agents has asked for, and what of it has reached the server.
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

/// Starts a gateway in front of the server.
async fn started(program: &Path, server: &Backend, rule: &str) -> Result<Gateway, String> {
    let url = server.url();
    let tools = "tools: {echo: {write: false}}";
    let config = format!("servers: {{modern: {{url: {url}, {tools}{rule}}}}}\n");
    let gateway = Gateway::start(program, &config)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(gateway)
}

/// Agents that list, call, list, call …
pub async fn agents(program: &Path, server: &Backend) -> Result<Saved, String> {
    let gateway = started(program, server, ", cache: {ttl: 1m}").await?;
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

/// The same call with and without something, in turns.
#[derive(Debug)]
pub struct Compared {
    pub with: Run,
    pub without: Run,
    pub memory: [u64; 2],
}

impl Compared {
    /// Throughput with it, of that without.
    pub fn ratio(&self) -> f64 {
        // Both had the same time.
        self.with.calls() as f64 / self.without.calls() as f64
    }
}

async fn compare(
    program: &Path,
    server: &Backend,
    rules: [&str; 2],
    ask: &Ask,
    time: Duration,
) -> Result<Compared, String> {
    let gateways =
        [started(program, server, rules[0]).await?, started(program, server, rules[1]).await?];
    let mut runs = [Run::default(), Run::default()];
    // Whatever else the machine does meanwhile, it does to both.
    for _ in 0..3 {
        for (gateway, run) in gateways.iter().zip(&mut runs) {
            let done = closed_loop(&target(gateway), ask, 32, time / 3).await.map_err(text)?;
            run.merge(done);
        }
    }
    let memory = gateways.each_ref().map(|gateway| gateway.usage().resident_kib);
    let [with, without] = runs;
    Ok(Compared { with, without, memory })
}

/// A call that is told again, beside one that is not.
pub async fn cached(program: &Path, server: &Backend, time: Duration) -> Result<Compared, String> {
    let ask = Ask::tool("echo", &json!({ "text": "hello" }));
    compare(program, server, [", cache: {ttl: 1m}", ""], &ask, time).await
}

/// A call whose arguments are checked, beside one whose are not; the server has as many tools, each with a
/// schema of its own, as it has.
pub async fn checked(program: &Path, server: &Backend, time: Duration) -> Result<Compared, String> {
    let ask = Ask::tool("tool-500", &json!({ "query": "a text of some words", "limit": 17 }));
    compare(program, server, ["", ", arguments: {check: off}"], &ask, time).await
}
