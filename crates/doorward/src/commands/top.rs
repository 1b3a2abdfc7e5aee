//! `doorward top`: a live view of a gateway.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use doorward_admin::Verb;
use doorward_admin::service::sessions;
use serde::Deserialize;
use serde_json::Value;

use super::{Exit, Failed};
use crate::administer;
use crate::cli::Top;
use crate::terminal::{self, one_line};

/// Maximum number of live calls displayed.
const LIVE: usize = 10;

#[derive(Debug, Deserialize)]
struct Now {
    #[serde(rename = "metrics")]
    measures: BTreeMap<String, Vec<Sample>>,
    calls: Vec<LiveCall>,
}

#[derive(Debug, Clone, Deserialize)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

#[derive(Debug, Deserialize)]
struct LiveCall {
    call: String,
    principal: String,
    server: String,
    method: String,
    target: String,
    ms: u64,
}

pub async fn run(options: Top) -> Result<(), Failed> {
    if !(0.1..=3_600.0).contains(&options.interval) {
        return Err(Failed::new(Exit::Usage, "--interval: expected 0.1 to 3600 seconds"));
    }
    let pause = Duration::from_secs_f64(options.interval);
    let live = stdout().is_terminal();
    let mut left = options.number.or(if live { None } else { Some(1) });
    let mut before = look(&options).await?;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        let now = look(&options).await?;
        let text = screen(&before, &now, options.interval, options.rows);
        let mut out = stdout().lock();
        if live {
            // Clears the screen.
            write!(out, "\x1b[H\x1b[2J")?;
        }
        write!(out, "{text}")?;
        out.flush()?;
        before = now;
        if let Some(left) = &mut left {
            *left -= 1;
            if *left == 0 {
                return Ok(());
            }
        }
    }
}

async fn look(options: &Top) -> Result<Now, Failed> {
    let path = sessions::TELEMETRY.path;
    let told = administer::ask(&options.operator, Verb::Get, path, Value::Null).await?;
    serde_json::from_value(told).map_err(|error| {
        Failed::new(Exit::Unreachable, format!("unexpected response of the gateway: {error}"))
    })
}

impl Now {
    fn samples(&self, family: &str) -> &[Sample] {
        self.measures.get(family).map_or(&[], Vec::as_slice)
    }

    fn value(&self, family: &str) -> f64 {
        self.samples(family).iter().map(|sample| sample.value).sum()
    }
}

/// The increase of each series since the last sample.
fn grown<'a>(before: &Now, now: &'a Now, family: &str) -> Vec<(&'a Sample, f64)> {
    let known: BTreeMap<_, _> = before
        .samples(family)
        .iter()
        .map(|sample| ((&sample.name, &sample.labels), sample.value))
        .collect();
    let grown = now.samples(family).iter().map(|sample| {
        let was = known.get(&(&sample.name, &sample.labels)).copied().unwrap_or(0.0);
        (sample, (sample.value - was).max(0.0))
    });
    grown.collect()
}

/// A quantile of the duration, from the increase of each bucket.
fn quantile(part: f64, buckets: &BTreeMap<u64, f64>) -> Option<f64> {
    let all = buckets.values().copied().fold(0.0, f64::max);
    if all == 0.0 {
        return None;
    }
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        let bound = f64::from_bits(*bound);
        if *count >= part * all {
            if !bound.is_finite() || *count == below {
                return Some(low);
            }
            return Some(low + (bound - low) * (part * all - below) / (count - below));
        }
        (low, below) = (bound, *count);
    }
    Some(low)
}

fn screen(before: &Now, now: &Now, seconds: f64, most: usize) -> String {
    #[derive(Default)]
    struct Row {
        all: f64,
        errors: f64,
        denied: f64,
        limited: f64,
        failures: f64,
    }
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    let mut sum = Row::default();
    for (sample, count) in grown(before, now, "doorward_calls") {
        let label = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
        let row = rows.entry((label("server"), label("tool"))).or_default();
        for row in [row, &mut sum] {
            row.all += count;
            match label("outcome").as_str() {
                "error" => row.errors += count,
                "denied" => row.denied += count,
                "rate_limited" => row.limited += count,
                "failure" => row.failures += count,
                _ => {}
            }
        }
    }
    let mut buckets: BTreeMap<u64, f64> = BTreeMap::new();
    for (sample, count) in grown(before, now, "doorward_call_duration_seconds") {
        let bound = sample.labels.get("le").and_then(|le| le.parse::<f64>().ok());
        if let Some(bound) = bound.filter(|_| sample.name.ends_with("_bucket")) {
            // Bounds are not negative: their bits have the same order.
            *buckets.entry(bound.to_bits()).or_default() += count;
        }
    }
    let ms = |part: f64| {
        quantile(part, &buckets)
            .map_or_else(|| "-".into(), |seconds| format!("{:.1} ms", seconds * 1e3))
    };
    let bold = |text: String| terminal::paint(&text, "1", terminal::color()).into_owned();
    let mut text = format!(
        "{}\n{} in flight, {} sessions, {} listeners, {} of {} servers up, {:.0} MB\n\
         record: {}{} waiting to be written\n\n",
        bold(format!(
            "{:.1} calls/s, {:.1} failing, {:.1} denied, {:.1} limited   p50 {}, p99 {}",
            sum.all / seconds,
            (sum.errors + sum.failures) / seconds,
            sum.denied / seconds,
            sum.limited / seconds,
            ms(0.5),
            ms(0.99)
        )),
        now.value("doorward_calls_in_flight"),
        now.value("doorward_client_sessions"),
        now.value("doorward_listeners"),
        now.value("doorward_servers_up"),
        now.value("doorward_servers"),
        now.value("doorward_resident_memory_bytes") / 1e6,
        if now.value("doorward_audit_failing") > 0.0 { "CANNOT BE WRITTEN, " } else { "" },
        now.value("doorward_audit_waiting_records"),
    );
    let mut busiest: Vec<_> = rows.into_iter().filter(|(_, row)| row.all > 0.0).collect();
    busiest.sort_by(|(_, one), (_, other)| other.all.total_cmp(&one.all));
    let mut table =
        vec![["TOOL", "CALLS/S", "ERRORS", "FAILURES", "DENIED", "LIMITED"].map(str::to_owned)];
    for ((server, tool), row) in busiest.into_iter().take(most) {
        let name = [server, tool].join("/");
        let rate = |count: f64| format!("{:.1}", count / seconds);
        let name = one_line(name.trim_end_matches('/'));
        table.push([
            name,
            rate(row.all),
            rate(row.errors),
            rate(row.failures),
            rate(row.denied),
            rate(row.limited),
        ]);
    }
    let mut write = |rows: &[[String; 6]]| {
        let mut out = Vec::new();
        // Writing to memory does not fail.
        let _ = terminal::table(&mut out, rows);
        text.push_str(&String::from_utf8_lossy(&out));
    };
    if table.len() > 1 {
        write(&table);
    }
    if !now.calls.is_empty() {
        let mut table = vec![["CALL", "FOR", "METHOD", "OF", "PRINCIPAL", ""].map(str::to_owned)];
        for call in now.calls.iter().take(LIVE) {
            table.push([
                call.call.clone(),
                format!("{:.1} s", call.ms as f64 / 1e3),
                one_line(&call.method),
                one_line(&format!("{}/{}", call.server, call.target)),
                one_line(&call.principal),
                String::new(),
            ]);
        }
        write(&[std::array::from_fn(|_| String::new())]);
        write(&table);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let buckets =
            |all: &[(f64, f64)]| all.iter().map(|(le, count)| (le.to_bits(), *count)).collect();
        let all: BTreeMap<u64, f64> =
            buckets(&[(0.01, 50.0), (0.1, 100.0), (f64::INFINITY, 100.0)]);
        assert_eq!(quantile(0.5, &all), Some(0.01));
        assert!((quantile(0.75, &all).unwrap() - 0.055).abs() < 1e-9);
        assert_eq!(quantile(0.5, &buckets(&[(0.1, 0.0)])), None);
    }
}
