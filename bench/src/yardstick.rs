//! The gateway against nginx before the same server, in one run: CPU a call, throughput and latency, bare and with
//! everything on that a platform team has on: a key, policies, limits, the audit log on disk, and metrics.

use std::path::Path;
use std::time::Duration;

use doorward_bench::backend::{Backend, Era};
use doorward_bench::gateway::{Gateway, Usage, told};
use doorward_bench::load::{Ask, Target, closed_loop, open_loop};
use doorward_bench::nginx::Nginx;
use doorward_bench::stats::median;
use serde_json::json;

use crate::{Options, text};

/// Who is measured, and what of their processes; the client alone has none.
struct Measured<'a> {
    name: &'static str,
    target: Target,
    usage: Option<Box<dyn Fn() -> Usage + 'a>>,
}

/// Calls a second, microseconds in user mode and in the kernel a call, p99 in milliseconds at the fixed rate.
type Row = [f64; 4];

/// All of them in turn, so that each run has its own yardstick.
pub async fn against_nginx(
    options: &Options,
    program: &Path,
    modern: &Backend,
) -> Result<(), String> {
    if !"nginx".starts_with(&options.only) {
        return Ok(());
    }
    let address = modern.address.to_string();
    let Some(nginx) = Nginx::start(&address)? else {
        println!(
            "\nnginx            not installed, so there is no yardstick: apt-get install nginx-light"
        );
        return Ok(());
    };
    let folder = std::env::temp_dir().join(format!("doorward-yardstick-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(text)?;
    let done = measure(options, program, modern, &nginx, &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    done
}

async fn measure(
    options: &Options,
    program: &Path,
    modern: &Backend,
    nginx: &Nginx,
    folder: &Path,
) -> Result<(), String> {
    let more = "limits: {connections_per_address: 16384}\n";
    let bare = format!("{more}servers: {{modern: {{url: '{}'}}}}\n", modern.url());
    let bare = Gateway::start(program, &bare)?;
    let store = format!("sqlite:{}", folder.join("all.db").display());
    let key = told(program, &["keys", "create", "--user", "bench", "--store", &store])?;
    let key = key.split_whitespace().next_back().unwrap_or_default().to_owned();
    let policies = folder.join("all.cedar");
    std::fs::write(&policies, some_policies()).map_err(text)?;
    let all = format!(
        "{more}servers: {{modern: {{url: '{}', tools: {{'*': {{write: false}}}}}}}}\n\
         policy: {{files: ['{}']}}\n\
         rate_limits: {{rules: {{all: {{rate: 1000000/s}}, user: {{per: [user], rate: 1000000/s}}}}}}\n",
        modern.url(),
        policies.display()
    );
    let all = Gateway::start_with(program, &all, &store)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let target = |address: &str, path: &str, token: Option<String>| Target {
        address: address.to_owned(),
        path: path.to_owned(),
        era: Era::Modern,
        token,
    };
    let measured = [
        Measured {
            name: "direct",
            target: target(&modern.address.to_string(), "/mcp", None),
            usage: None,
        },
        Measured {
            name: "nginx",
            target: target(&nginx.address, "/mcp", None),
            usage: Some(Box::new(|| nginx.usage())),
        },
        Measured {
            name: "gateway, bare",
            target: target(&bare.address, "/mcp/modern", None),
            usage: Some(Box::new(|| bare.usage())),
        },
        Measured {
            name: "gateway, all on",
            target: target(&all.address, "/mcp/modern", Some(key)),
            usage: Some(Box::new(|| all.usage())),
        },
    ];
    let mut rows: [Vec<Row>; 4] = Default::default();
    for _ in 0..options.runs {
        for (one, rows) in measured.iter().zip(&mut rows) {
            rows.push(run(options, one).await?);
        }
    }
    print(options, &measured, &rows);
    Ok(())
}

async fn run(options: &Options, one: &Measured<'_>) -> Result<Row, String> {
    let small = Ask::tool("echo", &json!({ "text": "hello" }));
    let time = Duration::from_secs(options.seconds);
    let used = || one.usage.as_ref().map(|usage| usage()).unwrap_or_default();
    let before = used();
    let closed = closed_loop(&one.target, &small, options.connections, time).await.map_err(text)?;
    let after = used();
    let mut open = open_loop(&one.target, &small, 32, options.rate, time).await.map_err(text)?;
    if closed.errors + open.errors > 0 {
        return Err(format!("{}: {} and {} errors", one.name, closed.errors, open.errors));
    }
    let a_call = |spent: Duration| spent.as_secs_f64() * 1e6 / closed.calls() as f64;
    let system = after.system - before.system;
    let user = (after.cpu - before.cpu).saturating_sub(system);
    Ok([closed.per_second(), a_call(user), a_call(system), open.quantile(0.99)])
}

fn print(options: &Options, measured: &[Measured<'_>], rows: &[Vec<Row>; 4]) {
    let rate = format!("p99 ms {}/s", options.rate);
    println!(
        "\n{:<16} {:>9} {:>7} {:>8} {:>9} {:>7} {:>14} {:>9} {:>7}",
        "nginx", "calls/s", "direct", "µs user", "µs system", "÷ nginx", rate, "+p99 ms", "÷ bare"
    );
    let [direct, nginx, bare, _] = rows;
    for (one, own) in measured.iter().zip(rows) {
        // Each against what was measured beside it, run by run.
        let of = |other: &[Row], figure: fn(&Row, &Row) -> f64| {
            median(own.iter().zip(other).map(|(own, other)| figure(own, other)).collect())
        };
        let middle = |at: usize| median(own.iter().map(|row| row[at]).collect());
        println!(
            "{:<16} {:>9.0} {:>7.2} {:>8.1} {:>9.1} {:>7.2} {:>14.3} {:>9.3} {:>7.2}",
            one.name,
            middle(0),
            of(direct, |own, direct| own[0] / direct[0]),
            middle(1),
            middle(2),
            of(nginx, |own, nginx| (own[1] + own[2]) / (nginx[1] + nginx[2])),
            middle(3),
            of(direct, |own, direct| own[3] - direct[3]),
            of(bare, |own, bare| own[0] / bare[0]),
        );
    }
}

/// Twenty policies, of which one permits.
fn some_policies() -> String {
    let mut all = String::from("permit (principal == User::\"bench\", action, resource);\n");
    for number in 0..19 {
        all.push_str(&format!(
            "forbid (principal, action == Action::\"call\", resource == Tool::\"other/tool-{number}\");\n"
        ));
    }
    all
}
