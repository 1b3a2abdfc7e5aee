//! Runs the same load directly and through the gateway, in turn: one row for each pairing of eras.

use std::path::Path;
use std::time::Duration;

use doorward_bench::backend::{Backend, Era};
use doorward_bench::gateway::Gateway;
use doorward_bench::issuer::Issuer;
use doorward_bench::load::{Ask, Target, closed_loop, open_loop};
use doorward_bench::stats::{Run, median};
use serde_json::json;

use crate::{Options, text};

const PAIRS: [(Era, Era); 4] = [
    (Era::Modern, Era::Modern),
    (Era::Modern, Era::Handshake),
    (Era::Handshake, Era::Modern),
    (Era::Handshake, Era::Handshake),
];

struct Bench<'a> {
    options: &'a Options,
    gateway: &'a Gateway,
    client: Era,
    server: Era,
    upstream: &'a Backend,
    token: Option<String>,
}

impl Bench<'_> {
    /// The direct client speaks the server's era, the only one that works without a gateway.
    fn direct(&self) -> Target {
        let address = self.upstream.address.to_string();
        Target { address, path: "/mcp".into(), era: self.server, token: None }
    }

    fn through(&self) -> Target {
        Target {
            address: self.gateway.address.clone(),
            path: format!("/mcp/{}", name(self.server)),
            era: self.client,
            token: self.token.clone(),
        }
    }

    async fn closed(&self, what: &str, ask: &Ask) -> Result<(), String> {
        let time = Duration::from_secs(self.options.seconds);
        let connections = self.options.connections;
        self.compare(&format!("{what} x{connections}"), async |target: Target| {
            closed_loop(&target, ask, connections, time).await
        })
        .await
    }

    async fn open(&self, what: &str, ask: &Ask) -> Result<(), String> {
        let time = Duration::from_secs(self.options.seconds);
        let rate = self.options.rate;
        self.compare(&format!("{what} {rate}/s"), async |target: Target| {
            open_loop(&target, ask, 32, rate, time).await
        })
        .await
    }

    /// Runs a load directly and through the gateway in turn, and prints the medians.
    async fn compare(
        &self,
        what: &str,
        load: impl AsyncFn(Target) -> std::io::Result<Run>,
    ) -> Result<(), String> {
        let row = format!("{} {} {what}", name(self.client), name(self.server));
        if !row.starts_with(&self.options.only) {
            return Ok(());
        }
        let mut rows: Vec<[f64; 10]> = Vec::new();
        for _ in 0..self.options.runs {
            let mut direct = load(self.direct()).await.map_err(text)?;
            let before = self.gateway.usage();
            let mut through = load(self.through()).await.map_err(text)?;
            let after = self.gateway.usage();
            if direct.errors + through.errors > 0 {
                return Err(format!(
                    "{what}: {} errors direct, {} through",
                    direct.errors, through.errors
                ));
            }
            let cpu = (after.cpu - before.cpu).as_secs_f64() * 1e6 / through.calls() as f64;
            rows.push([
                direct.per_second(),
                through.per_second(),
                through.per_second() / direct.per_second(),
                through.quantile(0.5),
                through.quantile(0.9),
                through.quantile(0.99),
                through.quantile(0.999),
                through.quantile(0.5) - direct.quantile(0.5),
                through.quantile(0.99) - direct.quantile(0.99),
                cpu,
            ]);
        }
        let middle = |at: usize| median(rows.iter().map(|row| row[at]).collect());
        let resident = self.gateway.usage().resident_kib as f64 / 1024.0;
        println!(
            "{:<10} {:<10} {:<12} {:>9.0} {:>9.0} {:>6.2} {:>8.3} {:>8.3} {:>8.3} {:>8.3} {:>9.3} {:>9.3} {:>7.1} {:>8.1}",
            name(self.client),
            name(self.server),
            what,
            middle(0),
            middle(1),
            middle(2),
            middle(3),
            middle(4),
            middle(5),
            middle(6),
            middle(7),
            middle(8),
            middle(9),
            resident,
        );
        Ok(())
    }
}

/// Runs all loads in all pairings.
pub async fn pairs(
    options: &Options,
    gateway: &Gateway,
    modern: &Backend,
    handshake: &Backend,
) -> Result<(), String> {
    println!(
        "{:<10} {:<10} {:<12} {:>9} {:>9} {:>6} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>7} {:>8}",
        "client",
        "server",
        "load",
        "direct/s",
        "gateway/s",
        "ratio",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99.9",
        "+p50 ms",
        "+p99 ms",
        "µs CPU",
        "MB"
    );
    let small = Ask::tool("echo", &json!({ "text": "hello" }));
    let large = Ask::tool("big", &json!({ "bytes": 100_000 }));
    let list = Ask { method: "tools/list", params: json!({}) };
    for (client, server) in PAIRS {
        let upstream = if server == Era::Modern { modern } else { handshake };
        let bench = Bench { options, gateway, client, server, upstream, token: None };
        bench.closed("call", &small).await?;
        bench.open("call", &small).await?;
        bench.closed("call 100 KB", &large).await?;
        bench.closed("list 1000", &list).await?;
    }
    Ok(())
}

/// Runs the same calls with a token to validate and a hundred policies to evaluate.
pub async fn governed(options: &Options, program: &Path, modern: &Backend) -> Result<(), String> {
    let issuer = Issuer::start().map_err(text)?;
    let file = std::env::temp_dir().join(format!("doorward-bench-{}.cedar", std::process::id()));
    std::fs::write(&file, doorward_bench::issuer::policies()).map_err(text)?;
    let config = format!(
        "public_url: https://bench.example\nidentity: {{ issuers: {{ bench: {{ issuer: '{}' }} }} }}\n\
         policy: {{ files: ['{}'] }}\nservers: {{ modern: {{ url: {} }} }}\n",
        issuer.url,
        file.display(),
        modern.url()
    );
    let gateway = Gateway::start(program, &config)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let token = Some(issuer.token("https://bench.example")?);
    let (client, server) = (Era::Modern, Era::Modern);
    let bench = Bench { options, gateway: &gateway, client, server, upstream: modern, token };
    let small = Ask::tool("echo", &json!({ "text": "hello" }));
    let done = async {
        bench.closed("call+JWT", &small).await?;
        bench.open("call+JWT", &small).await
    };
    let done = done.await;
    drop(gateway);
    let _ = std::fs::remove_file(&file);
    done
}

fn name(era: Era) -> &'static str {
    match era {
        Era::Modern => "modern",
        Era::Handshake => "handshake",
    }
}
