//! Compares the gateway with nginx in front of the same server, in one run: CPU per call, throughput and latency,
//! with a minimal configuration and with everything that a platform team turns on: a key, policies, limits, the audit
//! log on disk, and metrics.

use std::path::Path;
use std::time::Duration;

use doorward_bench::backend::{Backend, Era};
use doorward_bench::gateway::{Gateway, Usage, output};
use doorward_bench::load::{Ask, Target, closed_loop, open_loop};
use doorward_bench::nginx::Nginx;
use doorward_bench::stats::{Run, median};
use serde_json::json;

use crate::{Options, text};

/// What is measured, and its processes; the direct client has none.
struct Measured<'a> {
    name: &'static str,
    target: Target,
    usage: Option<Box<dyn Fn() -> Usage + 'a>>,
}

/// Calls per second, microseconds per call in user mode and in the kernel, and p99 in milliseconds at the fixed rate.
type Row = [f64; 4];

/// Measures all of them in turn, so that each run has its own reference.
pub async fn against_nginx(
    options: &Options,
    program: &Path,
    modern: &Backend,
) -> Result<(), String> {
    if !"nginx".starts_with(&options.only) {
        return Ok(());
    }
    let address = modern.address.to_string();
    let nginx = Nginx::start(&address)?;
    if nginx.is_none() {
        println!(
            "\nnginx            not installed, so it is left out: apt-get install nginx-light"
        );
    }
    let folder = std::env::temp_dir().join(format!("doorward-yardstick-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(text)?;
    let done = measure(options, program, modern, nginx.as_ref(), &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    done
}

async fn measure(
    options: &Options,
    program: &Path,
    modern: &Backend,
    nginx: Option<&Nginx>,
    folder: &Path,
) -> Result<(), String> {
    let bare = Gateway::start(program, &bare(modern))?;
    let full = Full::prepare(program, modern, folder)?;
    let all = Gateway::start_with(program, &full.config, &full.store)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let target = |address: &str, path: &str, token: Option<String>| Target {
        address: address.to_owned(),
        path: path.to_owned(),
        era: Era::Modern,
        token,
    };
    let mut measured = vec![Measured {
        name: "direct",
        target: target(&modern.address.to_string(), "/mcp", None),
        usage: None,
    }];
    measured.extend(nginx.map(|nginx| Measured {
        name: "nginx",
        target: target(&nginx.address, "/mcp", None),
        usage: Some(Box::new(|| nginx.usage())),
    }));
    measured.push(Measured {
        name: "gateway, bare",
        target: target(&bare.address, "/mcp/modern", None),
        usage: Some(Box::new(|| bare.usage())),
    });
    measured.push(Measured {
        name: "gateway, all on",
        target: target(&all.address, "/mcp/modern", Some(full.key)),
        usage: Some(Box::new(|| all.usage())),
    });
    let mut rows: Vec<Vec<Row>> = vec![Vec::new(); measured.len()];
    for _ in 0..options.runs {
        for (one, rows) in measured.iter().zip(&mut rows) {
            let used = || one.usage.as_ref().map(|usage| usage()).unwrap_or_default();
            let mut done = both(options, one.name, &one.target, used).await?;
            let p99 = done.open.quantile(0.99);
            rows.push([done.closed.per_second(), done.user, done.system, p99]);
        }
    }
    print(options, &measured, &rows);
    Ok(())
}

/// Small calls as fast as possible, and then at the fixed rate.
pub struct Both {
    pub closed: Run,
    pub open: Run,
    /// Microseconds per call of the closed loop, in user mode and in the kernel.
    pub user: f64,
    pub system: f64,
}

/// Runs both loads; `used` returns what the measured processes have used so far.
pub async fn both(
    options: &Options,
    name: &str,
    target: &Target,
    used: impl Fn() -> Usage,
) -> Result<Both, String> {
    let small = Ask::tool("echo", &json!({ "text": "hello" }));
    let time = Duration::from_secs(options.seconds);
    let before = used();
    let closed = closed_loop(target, &small, options.connections, time).await.map_err(text)?;
    let after = used();
    let open = open_loop(target, &small, 32, options.rate, time).await.map_err(text)?;
    if closed.errors + open.errors > 0 {
        return Err(format!("{name}: {} and {} errors", closed.errors, open.errors));
    }
    let a_call = |spent: Duration| spent.as_secs_f64() * 1e6 / closed.calls() as f64;
    let system = after.system - before.system;
    let user = (after.cpu - before.cpu).saturating_sub(system);
    let (user, system) = (a_call(user), a_call(system));
    Ok(Both { closed, open, user, system })
}

fn print(options: &Options, measured: &[Measured<'_>], rows: &[Vec<Row>]) {
    let rate = format!("p99 ms {}/s", options.rate);
    println!(
        "\n{:<16} {:>9} {:>8} {:>8} {:>9} {:>11} {:>14} {:>9} {:>7}",
        "nginx",
        "calls/s",
        "÷ direct",
        "µs user",
        "µs system",
        "CPU ÷ nginx",
        rate,
        "+p99 ms",
        "÷ bare"
    );
    for (one, own) in measured.iter().zip(rows) {
        // Compare each with the others of the same run.
        let of = |name: &str, figure: fn(&Row, &Row) -> f64| {
            let other = measured.iter().position(|other| other.name == name)?;
            let pairs = own.iter().zip(&rows[other]);
            Some(median(pairs.map(|(own, other)| figure(own, other)).collect()))
        };
        let used = one.usage.is_some();
        let middle = |at: usize| Some(median(own.iter().map(|row| row[at]).collect()));
        let cpu = |own: &Row, nginx: &Row| (own[1] + own[2]) / (nginx[1] + nginx[2]);
        let gateway = one.name.starts_with("gateway");
        println!(
            "{:<16} {:>9} {:>8} {:>8} {:>9} {:>11} {:>14} {:>9} {:>7}",
            one.name,
            written(middle(0), 0),
            written(of("direct", |own, direct| own[0] / direct[0]), 2),
            written(middle(1).filter(|_| used), 1),
            written(middle(2).filter(|_| used), 1),
            written(of("nginx", cpu).filter(|_| used), 2),
            written(middle(3), 3),
            written(of("direct", |own, direct| own[3] - direct[3]).filter(|_| used), 3),
            written(of("gateway, bare", |own, bare| own[0] / bare[0]).filter(|_| gateway), 2),
        );
    }
}

/// Formats a figure, or a dash where there is none.
fn written(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or_else(|| "-".into(), |figure| format!("{figure:.decimals$}"))
}

/// All load comes from one address.
const CONNECTIONS: &str = "limits: {connections_per_address: 16384}\n";

/// The configuration of a gateway that only forwards calls.
pub fn bare(modern: &Backend) -> String {
    format!("{CONNECTIONS}servers: {{modern: {{url: '{}'}}}}\n", modern.url())
}

/// A gateway with everything on, before it is started.
pub struct Full {
    pub config: String,
    pub store: String,
    /// The key that callers present.
    pub key: String,
}

impl Full {
    /// Writes the policies and the store, with a key in it, to a folder.
    pub fn prepare(program: &Path, modern: &Backend, folder: &Path) -> Result<Self, String> {
        let store = format!("sqlite:{}", folder.join("all.db").display());
        let key = output(program, &["keys", "create", "--user", "bench", "--store", &store])?;
        let key = key.split_whitespace().next_back().unwrap_or_default().to_owned();
        let policies = folder.join("all.cedar");
        std::fs::write(&policies, some_policies()).map_err(text)?;
        let config = format!(
            "{CONNECTIONS}servers: {{modern: {{url: '{}', tools: {{'*': {{write: false}}}}}}}}\n\
             policy: {{files: ['{}']}}\n\
             rate_limits: {{rules: {{all: {{rate: 1000000/s}}, user: {{per: [user], rate: 1000000/s}}}}}}\n",
            modern.url(),
            policies.display()
        );
        Ok(Self { config, store, key })
    }
}

/// Twenty policies, one of which permits.
fn some_policies() -> String {
    let mut all = String::from(
        "permit (principal == User::\"bench\", action in Action::\"use\", resource);\n",
    );
    for number in 0..19 {
        all.push_str(&format!(
            "forbid (principal, action == Action::\"call\", resource == Tool::\"other/tool-{number}\");\n"
        ));
    }
    all
}
