//! `doorward limits` and `doorward prices`: limits, their usage, and the prices of calls.

use std::time::Duration;

use doorward_admin::Paging;
use doorward_admin::service::{limits, prices};
use doorward_config::RuleSettings;

use super::Failed;
use crate::administer::place;
use crate::cli::{Limits, Prices};
use crate::terminal::{self, one_line};

pub async fn run(options: Limits) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match options {
        Limits::List { kept, json } => {
            let all = place(&kept).await?.list(&limits::LIST, &Paging::default()).await?;
            if json {
                return Ok(terminal::json(&mut out, &all)?);
            }
            let mut rows = vec![["NAME", "LIMIT", "PER", "DEFINED IN"].map(str::to_owned)];
            rows.extend(all.iter().map(|limit| {
                let per = limit.limit.per.iter().flatten();
                let per: Vec<String> = per.map(word).collect();
                let per = if per.is_empty() { "-".into() } else { per.join(", ") };
                let name = terminal::name(&limit.name).into_owned();
                [name, measures(&limit.limit), per, one_line(&limit.source)]
            }));
            terminal::table(&mut out, &rows)?;
        }
        Limits::Use { kept, name, tenant, percent, json } => {
            let wanted = limits::Wanted { name, tenant, percent, paging: Paging::default() };
            let all = place(&kept).await?.list(&limits::USE, &wanted).await?;
            if json {
                return Ok(terminal::json(&mut out, &all)?);
            }
            let mut rows =
                vec![["LIMIT", "FOR", "MEASURE", "USED", "OF", "RESETS IN"].map(str::to_owned)];
            for used in &all {
                let whose = if used.subject.is_empty() { "all" } else { &used.subject };
                rows.extend(used.measures.iter().map(|measure| {
                    let resets = Duration::from_millis(measure.resets_in_ms).as_secs();
                    [
                        terminal::name(&used.name).into_owned(),
                        terminal::name(whose).into_owned(),
                        one_line(&measure.measure),
                        measure.used.to_string(),
                        measure.bound.to_string(),
                        if resets == 0 { "-".into() } else { format!("{resets} s") },
                    ]
                }));
            }
            terminal::table(&mut out, &rows)?;
        }
    }
    Ok(())
}

/// A configuration value as it is written in the file.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn measures(limit: &RuleSettings) -> String {
    let mut all: Vec<String> = Vec::new();
    all.extend(limit.rate.map(|rate| rate.to_string()));
    all.extend(limit.window.map(|rate| format!("{rate} (window)")));
    all.extend(limit.sliding.map(|rate| format!("{rate} (sliding)")));
    all.extend(limit.daily.map(|count| format!("{count} a day")));
    all.extend(limit.monthly.map(|count| format!("{count} a month")));
    all.extend(limit.concurrency.map(|count| format!("{count} at a time")));
    all.join(", ")
}

pub async fn run_prices(options: Prices) -> Result<(), Failed> {
    let wanted = prices::Wanted { tool: options.tool, paging: Paging::default() };
    let all = place(&options.kept).await?.list(&prices::LIST, &wanted).await?;
    let mut out = std::io::stdout().lock();
    if options.json {
        return Ok(terminal::json(&mut out, &all)?);
    }
    let mut rows = vec![["NAME", "TOOLS", "PRICE", "FROM", "DEFINED IN"].map(str::to_owned)];
    rows.extend(all.iter().map(|listed| {
        let price = &listed.price;
        let mut parts = Vec::new();
        parts.extend(price.call.map(|amount| format!("{amount} a call")));
        parts.extend(price.unit.as_ref().map(|unit| format!("{} a unit", unit.price)));
        parts.extend(price.second.map(|amount| format!("{amount} a second")));
        parts.extend(price.kb.map(|amount| format!("{amount} a KiB")));
        [
            terminal::name(&listed.name).into_owned(),
            one_line(&price.tools.to_string()),
            parts.join(", "),
            price.from.as_deref().map_or_else(|| "-".into(), one_line),
            one_line(&listed.source),
        ]
    }));
    Ok(terminal::table(&mut out, &rows)?)
}
