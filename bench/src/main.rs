//! `cargo run --release -p doorward-bench`: measures the gateway against its own backend, directly and through the
//! gateway in one run, in all four pairings of eras.

mod compare;
mod instructions;
mod yardstick;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use doorward_bench::backend::{self, Backend, Era};
use doorward_bench::chaos::{Scene, TROUBLES};
use doorward_bench::gateway::Gateway;
use doorward_bench::load::{Connection, Target};
use doorward_bench::reliable;
use doorward_bench::simulate;
use doorward_bench::stages;
use doorward_bench::stats::median;
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the gateway: throughput, latency, CPU and memory, compared with direct calls.
#[derive(Debug, Parser)]
struct Options {
    /// A short run, to see that everything works
    #[arg(long)]
    quick: bool,
    /// The gateway to measure; built in release mode when absent
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Only measurements whose row begins with this text, such as "modern handshake call"
    #[arg(long, default_value = "")]
    only: String,
    /// Runs of each measurement; the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Connections of the closed loop
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Calls per second of the open loop
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// Recorded calls to evaluate again
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// Idle listening streams
    #[arg(long, default_value_t = 1_000)]
    streams: usize,
    /// Count the instructions of a call with valgrind, and measure nothing else
    #[arg(long)]
    instructions: bool,
    #[command(flatten)]
    accepted: instructions::Accepted,
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    if options.quick {
        (options.runs, options.seconds) = (1, 1);
        (options.connections, options.rate) = (8, 200);
        (options.streams, options.records) = (100, 2_000);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(run(&options)))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), String> {
    let program = match &options.gateway {
        Some(program) => program.clone(),
        None => build()?,
    };
    let modern = backend::start(Era::Modern, 1_000).await.map_err(text)?;
    if options.instructions {
        return instructions::a_call(&program, &modern, &options.accepted).await;
    }
    let handshake = backend::start(Era::Handshake, 1_000).await.map_err(text)?;
    let config = format!(
        // All load comes from one address.
        "limits: {{ connections_per_address: 16384 }}\nservers:\n  modern: {{ url: {} }}\n  handshake: {{ url: {} }}\n",
        modern.url(),
        handshake.url()
    );
    let gateway = Gateway::start(&program, &config)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rest = gateway.usage().resident_kib as f64 / 1024.0;
    println!("gateway at rest: {rest:.1} MB resident\n");
    compare::pairs(options, &gateway, &modern, &handshake).await?;
    compare::governed(options, &program, &modern).await?;
    yardstick::against_nginx(options, &program, &modern).await?;
    staged(options, &program, &modern).await?;
    simulated(options, &program, &modern).await?;
    reliable(options, &program, &modern).await?;
    chaos(options, &program).await?;
    streams(options, &gateway, &modern).await
}

/// Measures the cost of the audit log, limits, prices and traces: the same calls, each time with one more of them.
async fn staged(options: &Options, program: &Path, modern: &Backend) -> Result<(), String> {
    if !"stages".starts_with(&options.only) {
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("doorward-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(text)?;
    let done = measure_stages(options, program, modern, &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    done
}

async fn measure_stages(
    options: &Options,
    program: &Path,
    modern: &Backend,
    folder: &Path,
) -> Result<(), String> {
    let stages = stages::all(program, folder, &modern.url()).await?;
    let mut gateways = Vec::new();
    for stage in &stages {
        let store = match &stage.store {
            Some(store) => format!("sqlite:{}", store.display()),
            None => "none".into(),
        };
        gateways.push(Gateway::start_with(program, &stage.config, &store)?);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // By stage: calls per second, microseconds of CPU, and p50 and p99 at the fixed rate.
    let mut all: Vec<Vec<[f64; 4]>> = vec![Vec::new(); stages.len()];
    for _ in 0..options.runs {
        for (gateway, rows) in gateways.iter().zip(&mut all) {
            let target = Target {
                address: gateway.address.clone(),
                path: "/mcp/modern".into(),
                era: Era::Modern,
                token: None,
            };
            let both = yardstick::both(options, "stages", &target, || gateway.usage());
            let yardstick::Both { closed, mut open, user, system } = both.await?;
            let cpu = user + system;
            rows.push([closed.per_second(), cpu, open.quantile(0.5), open.quantile(0.99)]);
        }
    }
    let rate = format!("p50 ms {}/s", options.rate);
    println!(
        "\n{:<14} {:>9} {:>6} {:>8} {:>8} {:>14} {:>9} {:>9} {:>8}",
        "stages", "calls/s", "ratio", "µs CPU", "+µs", rate, "p99 ms", "+p99 ms", "MB"
    );
    let middle = |rows: &[[f64; 4]], at: usize| median(rows.iter().map(|row| row[at]).collect());
    let mut last_cpu = middle(&all[0], 1);
    for ((stage, rows), gateway) in stages.iter().zip(&all).zip(&gateways) {
        // Compare each run with the bare gateway in the same run.
        let ratio = median(rows.iter().zip(&all[0]).map(|(row, bare)| row[0] / bare[0]).collect());
        let added = median(rows.iter().zip(&all[0]).map(|(row, bare)| row[3] - bare[3]).collect());
        let cpu = middle(rows, 1);
        println!(
            "{:<14} {:>9.0} {:>6.2} {:>8.1} {:>8.1} {:>14.3} {:>9.3} {:>9.3} {:>8.1}",
            stage.name,
            middle(rows, 0),
            ratio,
            cpu,
            cpu - last_cpu,
            middle(rows, 2),
            middle(rows, 3),
            added,
            gateway.usage().resident_kib as f64 / 1024.0,
        );
        last_cpu = cpu;
    }
    Ok(())
}

/// Measures the cost of checks, and what caching saves.
async fn reliable(options: &Options, program: &Path, modern: &Backend) -> Result<(), String> {
    if !"reliable".starts_with(&options.only) {
        return Ok(());
    }
    let saved = reliable::agents(program, modern).await?;
    println!(
        "\nreliable         agents that list and call: {} requests, {} reached the server, {:.0}% saved",
        saved.asked,
        saved.reached,
        saved.share() * 100.0
    );
    let time = Duration::from_secs(options.seconds);
    // By measurement: both medians, the ratio of throughput, and memory.
    let mut all: [Vec<[f64; 4]>; 5] = Default::default();
    for _ in 0..options.runs {
        let compared = [
            reliable::cached(program, modern, time).await?,
            reliable::missed(program, modern, time).await?,
            reliable::checked(program, modern, time).await?,
            reliable::guarded(program, modern, time).await?,
            reliable::replicated(program, modern, time).await?,
        ];
        for (rows, mut one) in all.iter_mut().zip(compared) {
            let grown = (one.memory[0] as f64 - one.memory[1] as f64) / 1024.0;
            rows.push([one.with.quantile(0.5), one.without.quantile(0.5), one.ratio(), grown]);
        }
    }
    println!(
        "{:<44} {:>11} {:>14} {:>17} {:>7}",
        "reliable", "p50 ms with", "p50 ms without", "throughput ratio", "+MB"
    );
    let names = [
        "answered from the cache",
        "not found in the cache, one caller",
        "arguments held against one of 1,000 schemas",
        "breaker and health checks",
        "one of ten replicas",
    ];
    for (name, rows) in names.into_iter().zip(&all) {
        let of = |at: usize| median(rows.iter().map(|row| row[at]).collect());
        println!("{name:<44} {:>11.3} {:>14.3} {:>17.2} {:>+7.1}", of(0), of(1), of(2), of(3));
    }
    Ok(())
}

/// Measures replicas with faults.
async fn chaos(options: &Options, program: &Path) -> Result<(), String> {
    if !"chaos".starts_with(&options.only) {
        return Ok(());
    }
    let time = Duration::from_secs(options.seconds.max(3) * 2);
    println!(
        "\n{:<17} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10} {:>8} {:>8} {:>16}",
        "chaos: 1 of 4 is",
        "sent",
        "answered",
        "repeated",
        "reads lost",
        "writes l.",
        "writes 2x",
        "p50 ms",
        "p99 ms",
        "p99 beside",
    );
    let mut doubled = 0;
    for (name, mood) in TROUBLES {
        let mut outcome = Scene::set(program).await?.play(mood, time).await?;
        doubled += outcome.writes_doubled;
        let errors: usize = outcome.beside.iter().map(|run| run.errors).sum();
        if errors > 0 {
            return Err(format!("chaos: {errors} errors of a server that is well"));
        }
        let [quiet, troubled] = outcome.beside.each_mut().map(|run| run.quantile(0.99));
        println!(
            "{name:<17} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10} {:>8.3} {:>8.3} {quiet:>7.3} {troubled:>8.3}",
            outcome.sent,
            outcome.answered,
            outcome.repeated,
            outcome.reads_failed,
            outcome.writes_failed,
            outcome.writes_doubled,
            outcome.reads.quantile(0.5),
            outcome.reads.quantile(0.99),
        );
    }
    match doubled {
        0 => Ok(()),
        _ => Err(format!("chaos: {doubled} writes were done twice")),
    }
}

/// Measures the evaluation of recorded calls under other policies.
async fn simulated(options: &Options, program: &Path, modern: &Backend) -> Result<(), String> {
    if !"simulate".starts_with(&options.only) {
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("doorward-bench-{}-s", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(text)?;
    let done = simulate::replay(program, &folder, &modern.url(), options.records).await;
    let _ = std::fs::remove_dir_all(&folder);
    let simulate::Replayed { calls, turned, took, bytes } = done?;
    let seconds = took.as_secs_f64();
    println!(
        "\nsimulate         {calls} recorded calls ({:.0} bytes each) decided anew in {seconds:.1} s, {:.0}/s; {turned} would be decided differently",
        bytes as f64 / calls as f64,
        calls as f64 / seconds,
    );
    Ok(())
}

/// Measures streams that only listen: their cost, and how fast a change reaches all of them.
async fn streams(options: &Options, gateway: &Gateway, upstream: &Backend) -> Result<(), String> {
    let (address, path) = (gateway.address.clone(), "/mcp/modern".into());
    let target = Target { address, path, era: Era::Modern, token: None };
    let before = gateway.usage();
    let mut open = Vec::new();
    for _ in 0..options.streams {
        let mut connection = Connection::open(&target).await.map_err(text)?;
        let params = json!({ "notifications": { "toolsListChanged": true } });
        let request = connection.written("subscriptions/listen", &params);
        connection.open_stream(&request).await.map_err(text)?;
        open.push(connection);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = gateway.usage();
    let each =
        (after.resident_kib.saturating_sub(before.resident_kib)) as f64 / options.streams as f64;
    let begun = Instant::now();
    upstream.touch().await;
    for connection in &mut open {
        connection.next_event().await.map_err(text)?;
    }
    println!(
        "\n{} idle listening streams: {each:.1} KB each; a change reached all in {:.0} ms",
        options.streams,
        begun.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Builds the gateway in the measured profile and returns its path.
fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let status = Command::new(cargo).args(["build", "--release", "-p", "doorward"]).status();
    if !status.map_err(text)?.success() {
        return Err("the gateway could not be built".into());
    }
    let own = std::env::current_exe().map_err(text)?;
    Ok(own.with_file_name("doorward"))
}
