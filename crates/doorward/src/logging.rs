//! The log, on standard error: pretty for people at a terminal, JSON for everything else.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;
use crate::commands::{Exit, Failed};

/// Starts logging. Fails when the directives cannot be read.
pub fn start(directives: &str, format: LogFormat) -> Result<(), Failed> {
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failed::new(
            Exit::Usage,
            format!("'{directives}' is no log level and no directive: {error}"),
        )
    })?;
    let terminal = stderr().is_terminal();
    let pretty = match format {
        LogFormat::Auto => terminal,
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let started = if pretty {
        let colors = terminal && crate::terminal::wants_color();
        builder.compact().with_target(false).with_ansi(colors).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    started
        .map_err(|error| Failed::new(Exit::Failure, format!("the log cannot be started: {error}")))
}
