//! `doorward audit`: read, search, verify, export and retain the audit log.

pub mod verify;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use doorward_observability::audit::{ocsf, open_key, retention};
use doorward_store::{Block, Scan, Store, files, now_ms};
use serde_json::Value;

use super::keys::date;
use super::{Exit, Failed, open};
use crate::administer::place;
use crate::cli::{Audit, ExportForm, Kept, Span};
use crate::config;
use crate::terminal::{self, harmless_json, one_line};
use doorward_admin::service::audit::records::{self, Joining, Record, each, text};
use doorward_admin::service::{ById, audit};

/// How far back the latest records are looked for first, in milliseconds.
const FIRST_LOOK: i64 = 10 * 60 * 1_000;
/// How often it is looked for new records.
const LOOK: Duration = Duration::from_millis(300);

pub async fn run(options: Audit) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match options {
        Audit::Tail { kept, filter, number, follow, json } => {
            tail(&open(&kept).await?, &filter.read(), number, follow, json).await
        }
        Audit::Search { kept, span, filter, limit, json } => {
            let wanted = filter.read();
            let mut found = 0;
            let mut failed = Ok(());
            each(&open(&kept).await?, span.read(), |record| {
                if wanted.fits(&record) {
                    found += 1;
                    failed = show(&mut out, &record, json);
                }
                failed.is_ok() && found < limit
            })
            .await?;
            if found == limit {
                eprintln!("note: there may be more; see --limit");
            }
            Ok(failed?)
        }
        Audit::Show { kept, id } => show_one(&open(&kept).await?, &id).await,
        Audit::Verify { kept, files, trust, anchors, json } => {
            verify::run(&kept, &files, &trust, &anchors, json).await
        }
        Audit::Export { kept, span, form, output } => {
            export(&open(&kept).await?, &span, form, output.as_deref()).await
        }
        Audit::Hold { kept, tenant, principal, reason } => {
            let wanted = audit::Place { tenant, principal, reason };
            let hold = place(&kept).await?.call(&audit::HOLD, wanted).await?;
            writeln!(out, "{}", hold.id)?;
            Ok(())
        }
        Audit::Holds { kept, all, json } => {
            let wanted = audit::Holds { all, ..audit::Holds::default() };
            let holds = place(&kept).await?.list(&audit::HOLDS, &wanted).await?;
            if json {
                return Ok(terminal::json(&mut out, &holds)?);
            }
            let mut rows = vec![
                ["ID", "TENANT", "PRINCIPAL", "SINCE", "RELEASED", "REASON"].map(str::to_owned),
            ];
            rows.extend(holds.iter().map(|hold| {
                let any =
                    |name: &Option<String>| name.as_deref().map_or_else(|| "*".into(), one_line);
                [
                    hold.id.clone(),
                    any(&hold.tenant),
                    any(&hold.principal),
                    date(hold.created),
                    hold.released.map_or_else(|| "-".into(), date),
                    one_line(&hold.reason),
                ]
            }));
            Ok(terminal::table(&mut out, &rows)?)
        }
        Audit::Release { kept, id } => {
            let wanted = ById { id: id.clone() };
            place(&kept).await?.call(&audit::RELEASE, wanted).await?;
            writeln!(out, "released: {}", one_line(&id))?;
            Ok(())
        }
        Audit::Retain { kept, sign_earlier } => retain(&kept, sign_earlier).await,
        Audit::Key { kept, trust_database } => {
            let keys = verify::own_keys(&kept, &open(&kept).await?, trust_database).await?;
            if keys.is_empty() {
                let why = "only the database knows a key, and it is not trusted: pass the \
                    configuration with --config";
                return Err(Failed::new(Exit::Failure, why));
            }
            for (id, public) in keys {
                writeln!(out, "{} {id}", verify::encode(&public))?;
            }
            Ok(())
        }
    }
}

/// One record, in one line or as JSON.
fn show(out: &mut impl Write, record: &Record, json: bool) -> std::io::Result<()> {
    if json {
        return writeln!(out, "{}", harmless_json(&Value::Object(record.clone()).to_string()));
    }
    let at: String = text(record, "at").chars().take(23).collect();
    let what = match text(record, "kind") {
        kind @ ("call" | "opened" | "closed" | "late") => {
            let of = ["server", "target"].map(|name| text(record, name));
            let of: Vec<&str> = of.into_iter().filter(|part| !part.is_empty()).collect();
            // How it ended in truth, after it had been closed as unknown.
            let method = if kind == "late" { kind } else { text(record, "method") };
            format!("{method} {}", of.join("/"))
        }
        "event" => text(record, "event").to_owned(),
        "act" => format!("{} {}", text(record, "act"), text(record, "subject")),
        other => other.to_owned(),
    };
    let outcome = match (text(record, "outcome"), text(record, "kind")) {
        ("", "opened") => "open",
        ("", _) => "-",
        (outcome, _) => outcome,
    };
    let error = ["error", "code"].map(|name| text(record, name));
    let denied = matches!(outcome, "denied" | "failed" | "refused");
    let why = error.into_iter().find(|why| denied && !why.is_empty()).unwrap_or_default();
    let took = ["gateway_us", "upstream_us"].map(|name| record.get(name).and_then(Value::as_u64));
    let took = match took {
        [None, None] => String::new(),
        [gateway, upstream] => {
            let ms = (gateway.unwrap_or(0) + upstream.unwrap_or(0)) as f64 / 1e3;
            format!("{ms:.1} ms")
        }
    };
    let line = format!(
        "{at}  {:<16}  {:<10}  {:<24}  {} {why} {took}",
        text(record, "id"),
        outcome,
        who(record),
        what.trim()
    );
    writeln!(out, "{}", terminal::harmless(line.trim_end()))
}

/// Who did it, in a word.
pub fn who(record: &Record) -> String {
    if let Some(actor) = record.get("actor") {
        return one_line(actor["name"].as_str().unwrap_or_default());
    }
    let principal = ["user", "service_account"].map(|name| text(record, name));
    let principal = principal.into_iter().find(|name| !name.is_empty());
    let name = match (principal, text(record, "agent")) {
        (Some(principal), "") => principal.to_owned(),
        (Some(principal), agent) => format!("{principal} by {agent}"),
        (None, agent) => agent.to_owned(),
    };
    match text(record, "tenant") {
        "" => name,
        tenant => format!("{name} ({tenant})"),
    }
}

async fn tail(
    store: &Store,
    filter: &records::Filter,
    number: usize,
    follow: bool,
    json: bool,
) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    let newest = store.audit_latest().await?;
    let (mut scan, mut joining, mut came);
    // Not all there is, if the last minutes have as many.
    let mut back = FIRST_LOOK;
    loop {
        let from = newest.saturating_sub(back).max(0);
        let span = doorward_store::Span { from, ..doorward_store::Span::default() };
        (scan, joining) = (store.audit_between(span), Joining::default());
        came = drain(&mut scan, &mut joining, filter).await?;
        if came.len() >= number || from == 0 {
            break;
        }
        back = back.saturating_mul(16);
    }
    if !follow {
        came.extend(joining.rest().into_iter().filter(|record| filter.fits(record)));
        joining = Joining::default();
    }
    came.drain(..came.len().saturating_sub(number));
    loop {
        for record in came {
            show(&mut out, &record, json)?;
        }
        if !follow {
            return Ok(());
        }
        out.flush()?;
        tokio::time::sleep(LOOK).await;
        came = drain(&mut scan, &mut joining, filter).await?;
    }
}

/// Everything that has come since.
async fn drain(
    scan: &mut Scan,
    joining: &mut Joining,
    filter: &records::Filter,
) -> Result<Vec<Record>, Failed> {
    let mut came = Vec::new();
    loop {
        let blocks = scan.next().await?;
        if blocks.is_empty() {
            return Ok(came);
        }
        for line in blocks.iter().flat_map(Block::lines) {
            came.extend(joining.take(line).filter(|record| filter.fits(record)));
        }
    }
}

async fn show_one(store: &Store, id: &str) -> Result<(), Failed> {
    let found = audit::lines_of(store, id)
        .await
        .map_err(|problem| Failed::new(Exit::Usage, problem.detail))?;
    if found.is_empty() {
        return Err(Failed::new(Exit::Failure, format!("there is no record of '{id}'")));
    }
    let mut out = std::io::stdout().lock();
    for line in found {
        let value: Value = serde_json::from_str(&line).unwrap_or_default();
        terminal::json(&mut out, &value)?;
    }
    Ok(())
}

async fn export(
    store: &Store,
    span: &Span,
    form: ExportForm,
    output: Option<&Path>,
) -> Result<(), Failed> {
    let output = output.filter(|path| *path != Path::new("-"));
    // What is verified is not changed by a byte, but nobody verifies what stands on a terminal.
    let is_shown = output.is_none() && std::io::stdout().is_terminal();
    let mut out: Box<dyn Write> = match output {
        Some(path) => {
            let failed = |error| Failed::new(Exit::Failure, format!("{}: {error}", path.display()));
            Box::new(std::io::BufWriter::new(files::create(path).map_err(failed)?))
        }
        None => Box::new(std::io::BufWriter::new(std::io::stdout())),
    };
    let span = span.read();
    // Chain by chain, whole blocks: what is verified must have no gaps.
    for writer in store.audit_chains().await? {
        let mut scan = store.audit_chain(&writer, begin_of(store, &writer, span).await?);
        loop {
            let blocks = scan.next().await?;
            if blocks.is_empty() {
                break;
            }
            for line in blocks.iter().filter(|it| it.first_at < span.to).flat_map(Block::lines) {
                match form {
                    ExportForm::Native if is_shown => writeln!(out, "{}", harmless_json(line))?,
                    ExportForm::Native => writeln!(out, "{line}")?,
                    ExportForm::Ocsf => {
                        if let Some(event) = ocsf::event(line) {
                            writeln!(out, "{}", harmless_json(&event.to_string()))?;
                        }
                    }
                }
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// After which record a chain's part of a time begins: with the checkpoint before it, so that it can be verified.
async fn begin_of(store: &Store, writer: &str, span: doorward_store::Span) -> Result<i64, Failed> {
    let mut begin = i64::MIN;
    if span.from <= 0 {
        return Ok(begin);
    }
    let mut scan = store.audit_chain(writer, i64::MIN);
    loop {
        let blocks = scan.next().await?;
        if blocks.is_empty() {
            return Ok(i64::MAX);
        }
        for block in blocks {
            if block.last_at >= span.from {
                return Ok(if begin == i64::MIN { block.first - 1 } else { begin });
            }
            if block.body.contains("\"kind\":\"checkpoint\"") {
                begin = block.first - 1;
            }
        }
    }
}

async fn retain(kept: &Kept, sign_earlier: bool) -> Result<(), Failed> {
    let Some(path) = &kept.config else {
        let why = "'audit.retention' is unknown: pass the configuration with --config";
        return Err(Failed::new(Exit::Usage, why));
    };
    let mut settings = config::load(path).map_err(|report| Failed::report(&report))?.settings;
    if let Some(file) = &mut settings.audit.key_file {
        *file = path.parent().unwrap_or(Path::new("")).join(&*file);
    }
    let rules = retention(&settings.audit.retention, now_ms());
    let store = open(kept).await?;
    let key = open_key(&store, &settings).await?.ok_or_else(|| {
        let why = "there is no key to sign the removal of records: set 'store_key' or \
            'audit.key_file'";
        Failed::new(Exit::Failure, why)
    })?;
    let mut out = std::io::stdout().lock();
    if sign_earlier {
        let keys = verify::own_keys(kept, &store, false).await?;
        let runs = store.sign_earlier_removals(&key, keys).await?;
        writeln!(out, "signed {runs} ranges of removed records")?;
    }
    let done = store.retain_audit(&rules, &key).await?;
    if done.unvouched > 0 {
        eprintln!(
            "note: {} records are retained until a checkpoint covers them; if this does not \
                change, run 'doorward audit verify'",
            done.unvouched
        );
    }
    writeln!(out, "{} records removed, {} on hold", done.removed, done.held)?;
    Ok(())
}
