//! `doorward usage`: usage by any dimension, and invoice lines.

use std::io::Write;

use doorward_admin::Paging;
use doorward_admin::csv::quoted;
use doorward_admin::service::usage::{By, REPORT, Row, Wanted};
use doorward_store::now;
use jiff::civil::Date;
use serde_json::{Map, Value};

use super::{Exit, Failed};
use crate::administer::place;
use crate::cli::{Usage, UsageForm};
use crate::terminal;

/// Maximum number of rows in a report.
const MOST: usize = 10_000_000;

pub async fn run(options: Usage) -> Result<(), Failed> {
    let (by, format, from, to) = match &options.invoice {
        Some(month) => {
            let (from, to) = month_of(month)?;
            (vec![By::Tenant, By::Server, By::Tool], UsageForm::Csv, from, to)
        }
        None => {
            let span = options.span.read();
            let to = if span.to == i64::MAX { now() + 1 } else { span.to / 1_000 };
            (options.by.clone(), options.format, span.from / 1_000, to)
        }
    };
    let wanted = Wanted {
        by: by.clone(),
        from: Some(from),
        to: Some(to),
        tenant: options.tenant.clone(),
        user: options.user.clone(),
        agent: options.agent.clone(),
        server: options.server.clone(),
        paging: Paging::default(),
    };
    let rows = place(&options.kept).await?.first(&REPORT, &wanted, MOST).await?;
    write(&by, &rows, format)
}

fn month_of(text: &str) -> Result<(i64, i64), Failed> {
    let wrong = || Failed::new(Exit::Usage, format!("'{text}': expected a month such as 2026-11"));
    let first: Date = format!("{text}-01").parse().map_err(|_| wrong())?;
    let next = first.checked_add(jiff::Span::new().months(1)).map_err(|_| wrong())?;
    let begins =
        |date: Date| date.to_zoned(jiff::tz::TimeZone::UTC).map(|it| it.timestamp().as_second());
    Ok((begins(first).map_err(|_| wrong())?, begins(next).map_err(|_| wrong())?))
}

fn write(by: &[By], all: &[Row], form: UsageForm) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    let names: Vec<&str> = by.iter().map(|by| by.as_str()).collect();
    let numbers = ["calls", "failed", "own_key", "price", "bytes", "upstream_ms"];
    let told = |row: &Row| {
        [
            row.calls.to_string(),
            row.failed.to_string(),
            row.own_key.to_string(),
            row.price.to_string(),
            row.bytes.to_string(),
            row.upstream_ms.to_string(),
        ]
    };
    match form {
        UsageForm::Json => {
            let rows = all.iter().map(|usage| {
                let mut row = Map::new();
                for (name, value) in names.iter().zip(&usage.group) {
                    row.insert((*name).into(), value.as_str().into());
                }
                let text = |value: i64| Value::from(value);
                row.insert("calls".into(), text(usage.calls));
                row.insert("failed".into(), text(usage.failed));
                row.insert("own_key".into(), text(usage.own_key));
                row.insert("price".into(), usage.price.to_string().into());
                row.insert("bytes".into(), text(usage.bytes));
                row.insert("upstream_ms".into(), text(usage.upstream_ms));
                row
            });
            terminal::json(&mut out, &rows.collect::<Vec<_>>())?;
        }
        UsageForm::Csv => {
            let head: Vec<&str> = names.iter().copied().chain(numbers).collect();
            writeln!(out, "{}", head.join(","))?;
            for usage in all {
                let cells = usage.group.iter().cloned().chain(told(usage));
                let cells = cells.map(|cell| quoted(&cell));
                writeln!(out, "{}", cells.collect::<Vec<_>>().join(","))?;
            }
        }
        UsageForm::Table => {
            let head = names.iter().chain(&numbers).map(|name| name.to_uppercase());
            let mut rows = vec![head.collect::<Vec<_>>()];
            for usage in all {
                let group = usage.group.iter().map(|cell| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_all_of_its_days() {
        let (from, to) = month_of("2026-02").unwrap();
        assert_eq!((to - from) / 86_400, 28);
        assert!(month_of("2026-13").is_err());
    }
}
