//! Exports of records: each chain in order, each record at least once. An export resumes where it stopped, and is run
//! by one process at a time.

mod file;
mod http;
mod otlp;
mod syslog;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use doorward_store::{Error, Store, WriterId};
use tokio::task::JoinSet;

use self::file::FileSink;
use self::http::HttpSink;
use self::otlp::OtlpSink;
use self::syslog::SyslogSink;
use super::{Audit, ocsf};
use doorward_config::{ExportFormat, ExportSettings};

/// Delay between two attempts to deliver.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A record to export.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// `WRITER/NUMBER`: the same however often it is sent.
    pub id: String,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Denied or failed.
    pub bad: bool,
    /// In the configured format.
    pub text: String,
}

enum Sink {
    File(Box<FileSink>),
    Syslog(Box<SyslogSink>),
    Http(Box<HttpSink>),
    Otlp(Box<OtlpSink>),
}

impl Sink {
    fn new(settings: &ExportSettings) -> Option<Self> {
        let ExportSettings { file, syslog, http, otlp, .. } = settings;
        if let Some(file) = file {
            return Some(Self::File(Box::new(FileSink::new(file))));
        }
        if let Some(syslog) = syslog {
            return Some(Self::Syslog(Box::new(SyslogSink::new(syslog))));
        }
        if let Some(http) = http {
            return Some(Self::Http(Box::new(HttpSink::new(http))));
        }
        otlp.as_ref().map(|otlp| Self::Otlp(Box::new(OtlpSink::new(otlp))))
    }

    /// Returns once all records are delivered. The error is for operators.
    async fn deliver(&mut self, records: Vec<Outgoing>) -> Result<(), String> {
        match self {
            Self::File(sink) => sink.deliver(records).await,
            Self::Syslog(sink) => sink.deliver(records).await,
            Self::Http(sink) => sink.deliver(&records).await,
            Self::Otlp(sink) => sink.deliver(&records).await,
        }
    }
}

/// Runs all exports, and restarts them when the configuration changes.
pub(super) async fn run(audit: Arc<Audit>, store: Store) {
    loop {
        let exports = audit.settings.load().exports.clone();
        let mut running = JoinSet::new();
        for (name, settings) in &exports {
            running.spawn(export(audit.clone(), store.clone(), name.clone(), settings.clone()));
        }
        let changed = async {
            while audit.settings.load().exports == exports {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            () = changed => running.shutdown().await,
            // Each delivers the remaining records once the last one is written.
            () = audit.written.cancelled() => {
                while running.join_next().await.is_some() {}
                return;
            }
        }
    }
}

async fn export(audit: Arc<Audit>, store: Store, name: String, settings: ExportSettings) {
    let Some(mut sink) = Sink::new(&settings) else { return };
    let (mut pause, longest) = PAUSES;
    let mut failing = false;
    loop {
        let last = audit.written.is_cancelled();
        let Some(writer) = audit.writer() else { return };
        let round = round(&store, &name, &writer, &settings, &mut sink, last).await;
        match round {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    audit.event("export.recovered", |members| _ = members.text("export", &name));
                    tracing::info!(export = name, "the audit export works again");
                }
                audit.exports.lock().remove(&name);
                pause = PAUSES.0;
                if last {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(settings.every.0) => {}
                    () = audit.written.cancelled() => {}
                }
            }
            Err(why) => {
                if !std::mem::replace(&mut failing, true) {
                    audit.event("export.behind", |members| {
                        members.text("export", &name).text("error", &why);
                    });
                    tracing::error!(export = name, "the audit export failed: {why}");
                }
                audit.exports.lock().insert(name.clone(), why);
                if last {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = audit.written.cancelled() => {}
                }
                pause = (pause * 2).min(longest);
            }
        }
    }
}

/// Delivers all available records. An ending process delivers its own last records, whichever
/// process owns the export.
async fn round(
    store: &Store,
    name: &str,
    writer: &WriterId,
    settings: &ExportSettings,
    sink: &mut Sink,
    last: bool,
) -> Result<(), String> {
    let failed = |error: Error| error.to_string();
    if !last && !store.own_export(name, writer).await.map_err(failed)? {
        return Ok(());
    }
    let positions = store.export_positions(name).await.map_err(failed)?;
    for row in store.audit_writers().await.map_err(failed)? {
        let mut position = positions.get(&row.id).copied().unwrap_or(0);
        if position > row.head.seq {
            tracing::error!(
                export = name,
                chain = row.id,
                position,
                records = row.head.seq,
                "the position of an export is after the end of its chain: the position or the \
                    chain was changed; exporting the chain again from its beginning"
            );
            position = 0;
            keep(store, name, &row.id, position).await?;
        }
        if row.head.seq > position && (!last || row.id == writer.0) {
            chain(store, name, &row.id, position, settings, sink).await?;
        }
    }
    Ok(())
}

async fn chain(
    store: &Store,
    name: &str,
    writer: &str,
    position: i64,
    settings: &ExportSettings,
    sink: &mut Sink,
) -> Result<(), String> {
    let mut scan = store.audit_chain(writer, position);
    let mut waiting = Vec::new();
    loop {
        let blocks = scan.next().await.map_err(|error| error.to_string())?;
        let ended = blocks.is_empty();
        for block in blocks {
            waiting.extend(block.lines().filter_map(|line| outgoing(line, settings.format)));
            if waiting.len() >= settings.batch {
                sink.deliver(std::mem::take(&mut waiting)).await?;
                keep(store, name, writer, block.last).await?;
            }
        }
        if ended {
            if !waiting.is_empty() {
                let last =
                    waiting.last().and_then(|it: &Outgoing| it.id.rsplit('/').next()?.parse().ok());
                sink.deliver(waiting).await?;
                keep(store, name, writer, last.unwrap_or(position)).await?;
            }
            return Ok(());
        }
    }
}

async fn keep(store: &Store, name: &str, writer: &str, seq: i64) -> Result<(), String> {
    store.exported(name, writer, seq).await.map_err(|error| error.to_string())
}

fn outgoing(line: &str, format: ExportFormat) -> Option<Outgoing> {
    #[derive(serde::Deserialize)]
    struct About<'a> {
        writer: &'a str,
        seq: i64,
        #[serde(default)]
        at: &'a str,
        #[serde(default)]
        outcome: &'a str,
    }
    let about: About<'_> = serde_json::from_str(line).ok()?;
    let text = match format {
        ExportFormat::Native => line.to_owned(),
        // Records that OCSF does not cover are omitted.
        ExportFormat::Ocsf => ocsf::event(line)?.to_string(),
    };
    Some(Outgoing {
        id: format!("{}/{}", about.writer, about.seq),
        at: about.at.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond),
        bad: matches!(about.outcome, "denied" | "failed" | "refused"),
        text,
    })
}

/// Failing exports, with reasons.
pub(super) type Broken = BTreeMap<String, String>;
