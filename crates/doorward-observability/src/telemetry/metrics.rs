//! Exports metrics by OTLP. They are parsed from the text of `/metrics`, so that both agree;
//! metrics that OpenTelemetry's conventions for MCP define are renamed accordingly.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::messages::{
    Gauge, Histogram, HistogramPoint, KeyValue, Metric, MetricKind, Number, NumberPoint,
    ResourceMetrics, ScopeMetrics, Sum, resource, scope,
};

/// The start time of cumulative metrics.
static BEGAN: LazyLock<u64> = LazyLock::new(now);

const CUMULATIVE: i32 = 2;

/// Names and units of the conventions.
const NAMES: [(&str, &str); 2] = [
    ("doorward_call_duration_seconds", "mcp.server.operation.duration"),
    ("doorward_upstream_duration_seconds", "mcp.client.operation.duration"),
];

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}

/// One metric family of the text.
#[derive(Default)]
struct Family<'a> {
    help: &'a str,
    kind: &'a str,
    samples: Vec<(&'a str, &'a str, f64)>,
}

/// Converts OpenMetrics text to OTLP metrics.
pub fn of(text: &str, instance: &str) -> ResourceMetrics {
    let (start, time) = (*BEGAN, now());
    let metrics = read(text).into_iter().map(|(name, family)| family.metric(name, start, time));
    let metrics = metrics.collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics }];
    ResourceMetrics { resource: Some(resource(instance)), scope_metrics }
}

/// Converts OpenMetrics text to JSON: families, each with its samples.
pub fn as_json(text: &str) -> serde_json::Value {
    let families = read(text).into_iter().map(|(name, family)| {
        let samples = family.samples.iter().map(|(name, own, value)| {
            let labels: BTreeMap<&str, String> = labels(own).into_iter().collect();
            serde_json::json!({ "name": name, "labels": labels, "value": value })
        });
        (name.to_owned(), samples.collect())
    });
    serde_json::Value::Object(families.collect())
}

fn read(text: &str) -> BTreeMap<&str, Family<'_>> {
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    let mut current = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (word, name, rest) = (words.next(), words.next(), words.next().unwrap_or_default());
            let Some(name) = name else { continue };
            current = name;
            let family = families.entry(name).or_default();
            match word {
                Some("HELP") => family.help = rest.trim_end_matches('.'),
                Some("TYPE") => family.kind = rest,
                _ => {}
            }
            continue;
        }
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        if let (Some(family), Ok(value)) = (families.get_mut(current), value.parse()) {
            family.samples.push((name, labels.trim_end_matches('}'), value));
        }
    }
    families.retain(|_, family| !family.samples.is_empty());
    families
}

impl Family<'_> {
    fn metric(&self, name: &str, start: u64, time: u64) -> Metric {
        let points = || {
            let point = |(_, labels, value): &(&str, &str, f64)| NumberPoint {
                start_time_unix_nano: start,
                time_unix_nano: time,
                value: Some(Number::Double(*value)),
                attributes: attributes(labels, ""),
            };
            self.samples.iter().map(point).collect()
        };
        let data = match self.kind {
            "counter" => MetricKind::Sum(Sum {
                data_points: points(),
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
            }),
            "histogram" => MetricKind::Histogram(Histogram {
                data_points: self.histograms(start, time),
                aggregation_temporality: CUMULATIVE,
            }),
            _ => MetricKind::Gauge(Gauge { data_points: points() }),
        };
        let convention = NAMES.iter().find(|(own, _)| *own == name).map(|(_, theirs)| *theirs);
        let unit = if name.ends_with("_seconds") { "s" } else { "1" };
        Metric {
            name: convention.map_or_else(|| name.replacen('_', ".", 1), Into::into),
            description: self.help.into(),
            unit: unit.into(),
            data: Some(data),
        }
    }

    fn histograms(&self, start: u64, time: u64) -> Vec<HistogramPoint> {
        let mut points: BTreeMap<String, (HistogramPoint, u64)> = BTreeMap::new();
        for (name, labels, value) in &self.samples {
            let bound = label(labels, "le");
            let attributes = attributes(labels, "le");
            let group = format!("{attributes:?}");
            let (point, before) = points.entry(group).or_insert_with(|| {
                let (start_time_unix_nano, time_unix_nano) = (start, time);
                (
                    HistogramPoint {
                        start_time_unix_nano,
                        time_unix_nano,
                        attributes,
                        ..HistogramPoint::default()
                    },
                    0,
                )
            });
            let count = *value as u64;
            if name.ends_with("_bucket") {
                // OpenMetrics buckets are cumulative, those of OTLP are not.
                point.bucket_counts.push(count.saturating_sub(*before));
                *before = count;
                point.explicit_bounds.extend(
                    bound.and_then(|it| it.parse::<f64>().ok()).filter(|it| it.is_finite()),
                );
            } else if name.ends_with("_sum") {
                point.sum = Some(*value);
            } else if name.ends_with("_count") {
                point.count = count;
            }
        }
        points.into_values().map(|(point, _)| point).collect()
    }
}

/// Labels come from the gateway; quotes within them are escaped.
fn labels(text: &str) -> Vec<(&str, String)> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = after.char_indices();
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => {}
                },
                c => value.push(c),
            }
        }
        all.push((name.trim_start_matches(','), value));
        rest = &after[end..];
    }
    all
}

fn label(text: &str, name: &str) -> Option<String> {
    labels(text).into_iter().find(|(own, _)| *own == name).map(|(_, value)| value)
}

fn attributes(text: &str, without: &str) -> Vec<KeyValue> {
    let all = labels(text).into_iter().filter(|(name, _)| *name != without);
    all.map(|(name, value)| {
        let name = match name {
            "tool" => "gen_ai.tool.name",
            "method" => "mcp.method.name",
            other => other,
        };
        KeyValue::new(name, value)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_text_says_is_what_is_sent() {
        let text = "# HELP doorward_calls Calls.\n# TYPE doorward_calls counter\n\
                    doorward_calls_total{server=\"a\",tool=\"say \\\"x\\\", y\"} 3\n\
                    # HELP doorward_call_duration_seconds Duration.\n# TYPE doorward_call_duration_seconds histogram\n\
                    doorward_call_duration_seconds_sum{server=\"a\"} 1.5\n\
                    doorward_call_duration_seconds_count{server=\"a\"} 4\n\
                    doorward_call_duration_seconds_bucket{le=\"0.5\",server=\"a\"} 1\n\
                    doorward_call_duration_seconds_bucket{le=\"+Inf\",server=\"a\"} 4\n# EOF\n";
        let all = of(text, "x").scope_metrics.remove(0).metrics;
        let MetricKind::Histogram(histogram) = all[0].data.clone().unwrap() else { panic!() };
        assert_eq!(all[0].name, "mcp.server.operation.duration");
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (4, Some(1.5)));
        assert_eq!(
            (&point.bucket_counts[..], &point.explicit_bounds[..]),
            (&[1, 3][..], &[0.5][..])
        );
        let MetricKind::Sum(sum) = all[1].data.clone().unwrap() else { panic!() };
        assert_eq!(
            sum.data_points[0].attributes[1],
            KeyValue::new("gen_ai.tool.name", "say \"x\", y")
        );
    }
}
