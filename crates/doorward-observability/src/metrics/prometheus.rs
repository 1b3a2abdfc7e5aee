//! Metrics in the Prometheus format.

/// Converts OpenMetrics text to the Prometheus text format 0.0.4: counters take the name of their
/// samples, and features of OpenMetrics alone are omitted.
pub fn prometheus(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 256);
    let mut help: Option<(&str, &str)> = None;
    for line in text.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (ending, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            if let Some((_, words)) = help.take() {
                out.push_str(&format!("# HELP {name}{ending} {words}\n"));
            }
            out.push_str(&format!("# TYPE {name}{ending} {kind}\n"));
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}
