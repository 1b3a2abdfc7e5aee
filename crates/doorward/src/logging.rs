//! The log, on standard error: pretty for people at a terminal, JSON for everything else.

use std::io::{IsTerminal, Write, stderr};

use doorward_mcp::display::harmless_line;
use doorward_observability::telemetry::logs::{Collecting, clean, clean_json};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::cli::LogFormat;
use crate::commands::{Exit, Failed};

/// Formats fields for people, without secrets, and without characters that could control the
/// terminal.
fn fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    debug_fn(|writer, field, value| {
        let text = format!("{value:?}");
        let text = clean(field.name(), &text);
        let text = harmless_line(&text);
        match field.name() {
            "message" => write!(writer, "{text}"),
            name if writer.has_ansi_escapes() => {
                write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{text}")
            }
            name => write!(writer, "{name}={text}"),
        }
    })
    .delimited(" ")
}

/// Cleans JSON lines. Each is written in one piece.
struct Cleaning<W>(W);

impl<W: Write> Write for Cleaning<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let clean = clean_json(&line).unwrap_or_else(|| clean("message", &line));
        self.0.write_all(clean.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Starts logging. Fails if the directives are invalid.
pub fn start(directives: &str, format: LogFormat) -> Result<(), Failed> {
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failed::new(
            Exit::Usage,
            format!("'{directives}' is neither a log level nor a list of directives: {error}"),
        )
    })?;
    let terminal = stderr().is_terminal();
    let pretty = match format {
        LogFormat::Auto => terminal,
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let log = tracing_subscriber::fmt::layer().with_writer(stderr);
    let log = if pretty {
        let colors = terminal && crate::terminal::wants_color();
        log.compact().with_target(false).with_ansi(colors).fmt_fields(fields()).boxed()
    } else {
        let log = log.json().flatten_event(true).with_current_span(true).with_span_list(false);
        log.with_writer(|| Cleaning(stderr())).boxed()
    };
    let started = tracing_subscriber::registry().with(filter).with(log).with(Collecting).try_init();
    started.map_err(|error| Failed::new(Exit::Failure, format!("cannot start logging: {error}")))
}
