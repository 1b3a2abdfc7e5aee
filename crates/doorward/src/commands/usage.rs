//! `doorward usage`: usage by any dimension, and the lines of invoices.

use std::io::Write;

use doorward_admin::service::usage::{By, Whose, sums};
use doorward_mcp::display::harmless_line;
use doorward_store::{UsageKey, now};
use jiff::civil::Date;
use serde_json::{Map, Value};

use super::{Exit, Failed, open};
use crate::cli::{Usage, UsageForm};
use crate::terminal;

pub async fn run(options: Usage) -> Result<(), Failed> {
    let store = open(&options.kept).await?;
    if let Some(month) = &options.invoice {
        let (from, to) = month_of(month)?;
        let by = [By::Tenant, By::Server, By::Tool];
        return write(&options, &by, &store.usage(from, to).await?, UsageForm::Csv);
    }
    let span = options.span.read();
    let to = if span.to == i64::MAX { now() + 1 } else { span.to / 1_000 };
    write(&options, &options.by, &store.usage(span.from / 1_000, to).await?, options.format)
}

fn month_of(text: &str) -> Result<(i64, i64), Failed> {
    let wrong = || Failed::new(Exit::Usage, format!("'{text}': expected a month such as 2026-11"));
    let first: Date = format!("{text}-01").parse().map_err(|_| wrong())?;
    let next = first.checked_add(jiff::Span::new().months(1)).map_err(|_| wrong())?;
    let begins =
        |date: Date| date.to_zoned(jiff::tz::TimeZone::UTC).map(|it| it.timestamp().as_second());
    Ok((begins(first).map_err(|_| wrong())?, begins(next).map_err(|_| wrong())?))
}

fn write(
    options: &Usage,
    by: &[By],
    all: &[(UsageKey, doorward_store::Usage)],
    form: UsageForm,
) -> Result<(), Failed> {
    let whose = Whose {
        tenant: options.tenant.as_deref(),
        user: options.user.as_deref(),
        agent: options.agent.as_deref(),
        server: options.server.as_deref(),
    };
    let sums = sums(by, &whose, all);
    let mut out = std::io::stdout().lock();
    let names: Vec<&str> = by.iter().map(|by| by.as_str()).collect();
    let numbers = ["calls", "failed", "own_key", "price", "bytes", "upstream_ms"];
    let told = |usage: &doorward_store::Usage| {
        [
            usage.calls.to_string(),
            usage.failed.to_string(),
            usage.own_key.to_string(),
            usage.price.to_string(),
            usage.bytes.to_string(),
            (usage.upstream_us / 1_000).to_string(),
        ]
    };
    match form {
        UsageForm::Json => {
            let rows = sums.iter().map(|(group, usage)| {
                let mut row = Map::new();
                for (name, value) in names.iter().zip(group) {
                    row.insert((*name).into(), value.as_str().into());
                }
                let text = |value: i64| Value::from(value);
                row.insert("calls".into(), text(usage.calls));
                row.insert("failed".into(), text(usage.failed));
                row.insert("own_key".into(), text(usage.own_key));
                row.insert("price".into(), usage.price.to_string().into());
                row.insert("bytes".into(), text(usage.bytes));
                row.insert("upstream_ms".into(), text(usage.upstream_us / 1_000));
                row
            });
            terminal::json(&mut out, &rows.collect::<Vec<_>>())?;
        }
        UsageForm::Csv => {
            let head: Vec<&str> = names.iter().copied().chain(numbers).collect();
            writeln!(out, "{}", head.join(","))?;
            for (group, usage) in &sums {
                let cells = group.iter().cloned().chain(told(usage)).map(|cell| quoted(&cell));
                writeln!(out, "{}", cells.collect::<Vec<_>>().join(","))?;
            }
        }
        UsageForm::Table => {
            let head = names.iter().chain(&numbers).map(|name| name.to_uppercase());
            let mut rows = vec![head.collect::<Vec<_>>()];
            for (group, usage) in &sums {
                let group = group.iter().map(|cell| {
                    if cell.is_empty() { "-".into() } else { terminal::name(cell).into_owned() }
                });
                rows.push(group.chain(told(usage)).collect());
            }
            columns(&mut out, &rows)?;
        }
    }
    Ok(())
}

fn columns(out: &mut impl Write, rows: &[Vec<String>]) -> std::io::Result<()> {
    let count = rows.first().map_or(0, Vec::len);
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// A cell of CSV (RFC 4180), in one harmless line. What a spreadsheet would take for a formula is no formula.
pub fn quoted(cell: &str) -> String {
    let is_number = cell.parse::<f64>().is_ok();
    let begins = cell.trim_start().chars().next();
    let cell = harmless_line(cell);
    let cell = match begins {
        // Those of full width are taken for the others.
        Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠') if !is_number => {
            format!("'{cell}")
        }
        _ => cell.into_owned(),
    };
    if cell.contains([',', '"']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_cell_whatever_is_in_it() {
        for (cell, written) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("-5", "-5"),
            ("@cmd", "'@cmd"),
            (" =cmd", "' =cmd"),
            ("\n=cmd", "'\\n=cmd"),
            ("\u{a0}+cmd", "'\u{a0}+cmd"),
            ("＝cmd", "'＝cmd"),
            ("＠x,y", "\"'＠x,y\""),
            ("a\r\nb", "a\\u{d}\\nb"),
            ("x\u{202e}\u{9b}\u{7f}\u{e0041}", "x\\u{202e}\\u{9b}\\u{7f}\\u{e0041}"),
        ] {
            assert_eq!(quoted(cell), written);
        }
    }

    #[test]
    fn a_month_is_all_of_its_days() {
        let (from, to) = month_of("2026-02").unwrap();
        assert_eq!((to - from) / 86_400, 28);
        assert!(month_of("2026-13").is_err());
    }
}
