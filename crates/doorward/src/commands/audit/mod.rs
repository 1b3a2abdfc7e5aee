//! `doorward audit`: read, search, verify, export and retain the audit log.

pub mod verify;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use doorward_admin::Paging;
use doorward_admin::service::audit::records::{self, Joining, Record, text};
use doorward_admin::service::{ById, audit};
use doorward_observability::audit::ocsf;
use doorward_store::files;
use serde_json::Value;

use super::keys::date;
use super::{Exit, Failed};
use crate::administer::{Place, place};
use crate::cli::{Audit, ExportForm, Span};
use crate::terminal::{self, harmless_json, one_line};

/// How far back the first search for the latest records goes, in milliseconds.
const FIRST_LOOK: i64 = 10 * 60 * 1_000;
/// The interval at which new records are read.
const LOOK: Duration = Duration::from_millis(300);

pub async fn run(options: Audit) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match options {
        Audit::Tail { kept, filter, number, follow, json } => {
            tail(&place(&kept).await?, &filter.read(), number, follow, json).await
        }
        Audit::Search { kept, span, filter, newest, limit, json } => {
            let span = span.read();
            let wanted = audit::Search {
                from: Some(span.from),
                to: Some(span.to),
                order: if newest { audit::Order::Newest } else { audit::Order::Oldest },
                filter: filter.read(),
                ..audit::Search::default()
            };
            let found = place(&kept).await?.first(&audit::SEARCH, &wanted, limit).await?;
            for record in &found {
                show(&mut out, record, json)?;
            }
            if found.len() == limit {
                eprintln!("note: there may be more; see --limit");
            }
            Ok(())
        }
        Audit::Show { kept, id } => {
            let found = place(&kept).await?.call(&audit::SHOW, ById { id }).await?;
            for record in &found.records {
                terminal::json(&mut out, record)?;
            }
            Ok(())
        }
        Audit::Verify { kept, files, trust, anchors, json } => {
            verify::run(&kept, &files, &trust, &anchors, json).await
        }
        Audit::Export { kept, span, form, output } => {
            export(&place(&kept).await?, &span, form, output.as_deref()).await
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
        Audit::Retain { kept, sign_earlier } => retain(&place(&kept).await?, sign_earlier).await,
        Audit::Key { kept, trust_database } => {
            let wanted = audit::KeysOf { trust_database };
            let found = place(&kept).await?.call(&audit::KEYS, wanted).await?;
            verify::warn(&found.warnings);
            if found.keys.is_empty() {
                let why = "only the database knows a key, and it is not trusted: pass the \
                    configuration with --config";
                return Err(Failed::new(Exit::Failure, why));
            }
            for key in found.keys {
                writeln!(out, "{} {}", one_line(&key.key), one_line(&key.id))?;
            }
            Ok(())
        }
        Audit::Exports { kept, json } => exports(&place(&kept).await?, json).await,
    }
}

/// Writes one record, in one line or as JSON.
fn show(out: &mut impl Write, record: &Record, json: bool) -> std::io::Result<()> {
    if json {
        return writeln!(out, "{}", harmless_json(&Value::Object(record.clone()).to_string()));
    }
    let at: String = text(record, "at").chars().take(23).collect();
    let what = match text(record, "kind") {
        kind @ ("call" | "opened" | "closed" | "late") => {
            let of = ["server", "target"].map(|name| text(record, name));
            let of: Vec<&str> = of.into_iter().filter(|part| !part.is_empty()).collect();
            // The actual outcome of a call that had been closed as unknown.
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
        one_line(&records::who(record)),
        what.trim()
    );
    writeln!(out, "{}", terminal::harmless(line.trim_end()))
}

async fn tail(
    place: &Place,
    filter: &records::Filter,
    number: usize,
    follow: bool,
    json: bool,
) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    let newest = Following::new(place, i64::MAX).read().await?.latest;
    let (mut following, mut joining, mut came);
    // Search further back only if the last minutes have too few.
    let mut back = FIRST_LOOK;
    loop {
        let from = newest.saturating_sub(back).max(0);
        (following, joining) = (Following::new(place, from), Joining::default());
        came = following.drain(&mut joining, filter).await?;
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
        came = following.drain(&mut joining, filter).await?;
    }
}

/// The state of following the audit log.
struct Following<'a> {
    place: &'a Place,
    from: i64,
    cursor: Option<String>,
}

impl<'a> Following<'a> {
    fn new(place: &'a Place, from: i64) -> Self {
        Self { place, from, cursor: None }
    }

    async fn read(&self) -> Result<audit::Recorded, Failed> {
        let wanted = audit::Lines { from: Some(self.from), cursor: self.cursor.clone() };
        self.place.call(&audit::LINES, wanted).await
    }

    /// Writes all records since the last read.
    async fn drain(
        &mut self,
        joining: &mut Joining,
        filter: &records::Filter,
    ) -> Result<Vec<Record>, Failed> {
        let mut came = Vec::new();
        loop {
            let read = self.read().await?;
            self.cursor = Some(read.position);
            if read.records.is_empty() {
                return Ok(came);
            }
            let whole = read.records.into_iter().filter_map(|record| joining.take(record));
            came.extend(whole.filter(|record| filter.fits(record)));
        }
    }
}

async fn export(
    place: &Place,
    span: &Span,
    form: ExportForm,
    output: Option<&Path>,
) -> Result<(), Failed> {
    let output = output.filter(|path| *path != Path::new("-"));
    // Output to be verified must not change by a byte; output on a terminal is not verified.
    let is_shown = output.is_none() && std::io::stdout().is_terminal();
    let mut out: Box<dyn Write> = match output {
        Some(path) => {
            let failed = |error| Failed::new(Exit::Failure, format!("{}: {error}", path.display()));
            Box::new(std::io::BufWriter::new(files::create(path).map_err(failed)?))
        }
        None => Box::new(std::io::BufWriter::new(std::io::stdout())),
    };
    let span = span.read();
    let mut wanted =
        audit::Chains { from: Some(span.from), to: Some(span.to), ..audit::Chains::default() };
    loop {
        let page = place.call(&audit::EXPORT, wanted.clone()).await?;
        for line in &page.items {
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
        match page.next_cursor {
            Some(cursor) => wanted.cursor = Some(cursor),
            None => break,
        }
    }
    out.flush()?;
    Ok(())
}

async fn retain(place: &Place, sign_earlier: bool) -> Result<(), Failed> {
    let done = place.call(&audit::RETAIN, audit::Retain { sign_earlier }).await?;
    let mut out = std::io::stdout().lock();
    if sign_earlier {
        writeln!(out, "signed {} ranges of removed records", done.signed)?;
    }
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

async fn exports(place: &Place, json: bool) -> Result<(), Failed> {
    let exports = place.list(&audit::EXPORTS, &Paging::default()).await?;
    let mut out = std::io::stdout().lock();
    if json {
        return Ok(terminal::json(&mut out, &exports)?);
    }
    let mut rows =
        vec![["EXPORT", "TO", "DELIVERED", "BEHIND", "SINCE", "ERROR"].map(str::to_owned)];
    rows.extend(exports.iter().map(|export| {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        [
            terminal::name(&export.name).into_owned(),
            or_none(export.kind.as_deref().map(one_line)),
            export.delivered.to_string(),
            export.behind.to_string(),
            or_none(export.oldest.map(|at| date(at / 1_000))),
            or_none(export.error.as_deref().map(one_line)),
        ]
    }));
    Ok(terminal::table(&mut out, &rows)?)
}
