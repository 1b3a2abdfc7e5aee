//! Prints progress, log messages and results. Text of a server is escaped so that it cannot control the terminal.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use doorward_mcp::{Object, Value};

use crate::commands::Failed;
use crate::terminal::{self, harmless, one_line};

const BAR: usize = 24;

/// Minimum time between lines of progress if they are not overwritten.
const EVERY: Duration = Duration::from_secs(5);

/// The progress of a call: one line that is overwritten on a terminal; elsewhere, a line every few
/// seconds.
#[derive(Debug, Default)]
pub struct Progress {
    shown: bool,
    last: Option<Instant>,
}

impl Progress {
    pub fn show(&mut self, params: &Object) {
        let number = |name: &str| {
            let text = params.get(name)?.to_bytes();
            std::str::from_utf8(&text).ok()?.parse::<f64>().ok()
        };
        let done = number("progress").unwrap_or(0.0);
        let message = params.string("message").map(|text| one_line(&text)).unwrap_or_default();
        let line = match number("total").filter(|total| *total > 0.0) {
            Some(total) => {
                let full = ((done / total).clamp(0.0, 1.0) * BAR as f64) as usize;
                format!("[{}{}] {done}/{total} {message}", "#".repeat(full), " ".repeat(BAR - full))
            }
            None => format!("[{done}] {message}"),
        };
        if stderr().is_terminal() {
            eprint!("\r\x1b[K{}", line.trim_end());
            self.shown = true;
        } else if self.last.is_none_or(|last| last.elapsed() >= EVERY) {
            eprintln!("{}", line.trim_end());
            self.last = Some(Instant::now());
        }
    }

    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\x1b[K");
        }
    }
}

pub fn log(params: &Object) {
    let level = params.string("level").unwrap_or_default();
    let text = match params.get("data") {
        Some(data) => data.as_str().map_or_else(
            || String::from_utf8_lossy(&data.to_bytes()).into_owned(),
            std::borrow::Cow::into_owned,
        ),
        None => String::new(),
    };
    eprintln!("{}: {}", one_line(&level), harmless(&text));
}

/// Prints the result on standard output; a tool's error on standard error.
pub fn result(result: &Object, json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, &result.to_serde())?;
        return Ok(());
    }
    let mut text = String::new();
    let content = result.get("content").and_then(Value::as_array).unwrap_or_default();
    for block in content.iter().filter_map(Value::as_object) {
        text.push_str(&one(&block));
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    if text.is_empty()
        && let Some(structured) = result.get("structuredContent")
    {
        let value: serde_json::Value =
            serde_json::from_slice(&structured.to_bytes()).unwrap_or_default();
        text = format!("{value:#}\n");
    }
    if doorward_mcp::interaction::is_tool_error(result) {
        terminal::complain(text.trim_end());
    } else {
        out.write_all(harmless(&text).as_bytes())?;
    }
    Ok(())
}

/// Formats one content block.
fn one(block: &Object) -> String {
    let said =
        |name: &str| block.string(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
    match said("type").as_str() {
        "text" => said("text"),
        kind @ ("image" | "audio") => {
            let bytes = said("data").len() / 4 * 3;
            format!("[{kind} {}, about {bytes} bytes; use --json to print it]", said("mimeType"))
        }
        "resource_link" => format!("[resource {} {}]", said("uri"), said("name")),
        "resource" => match block.object("resource") {
            Some(resource) => match resource.string("text") {
                Some(text) => text.into_owned(),
                None => format!("[resource {}]", resource.string("uri").unwrap_or_default()),
            },
            None => "[resource]".into(),
        },
        other => format!("[{other}; use --json to print it]"),
    }
}
