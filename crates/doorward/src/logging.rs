//! The log, on standard error: pretty for people at a terminal, JSON for everything else.

use std::io::{IsTerminal, stderr};

use doorward_gateway::telemetry::logs::Collecting;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

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
    let log = tracing_subscriber::fmt::layer().with_writer(stderr);
    let log = if pretty {
        let colors = terminal && crate::terminal::wants_color();
        log.compact().with_target(false).with_ansi(colors).boxed()
    } else {
        log.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    };
    let started = tracing_subscriber::registry().with(filter).with(log).with(Collecting).try_init();
    started
        .map_err(|error| Failed::new(Exit::Failure, format!("the log cannot be started: {error}")))
}
