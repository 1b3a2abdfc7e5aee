//! `doorward flow`: the labels that callers carry. Only a running gateway knows them, so both
//! commands need `--admin-url`.

use std::io::Write;

use doorward_admin::service::flow::{self, Clear, FlowItem, List, Whose};

use super::Failed;
use super::keys::date;
use crate::administer::place;
use crate::cli::{Flow, FlowOf};
use crate::terminal::{self, one_line};

pub async fn run(options: Flow) -> Result<(), Failed> {
    match options {
        Flow::Show { kept, whose, json } => {
            let wanted = List { whose: named(whose), ..List::default() };
            show(&place(&kept).await?.list(&flow::LIST, &wanted).await?, json)
        }
        Flow::Clear { kept, whose, why } => {
            let wanted = Clear { whose: named(whose), why };
            let done = place(&kept).await?.call(&flow::CLEAR, wanted).await?;
            let mut out = std::io::stdout().lock();
            for one in &done.cleared {
                let session = one.session.as_deref().map(|session| format!(", {session}"));
                let labels = match one.labels.is_empty() {
                    true => "no known labels".to_owned(),
                    false => one.labels.join(", "),
                };
                let who = one_line(&one.principal);
                writeln!(out, "cleared {who}{}: {labels}", session.unwrap_or_default())?;
            }
            Ok(())
        }
    }
}

fn named(whose: FlowOf) -> Whose {
    let FlowOf { user, agent, service_account, session } = whose;
    Whose { user, agent, service_account, session }
}

fn show(all: &[FlowItem], json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, &all)?;
        return Ok(());
    }
    let heads = ["CALLER", "SESSION", "LABEL", "FROM", "AT", "CALL", "LEFT"];
    let mut rows = vec![heads.map(str::to_owned)];
    for one in all {
        let who = one_line(&one.principal);
        let session = one.session.clone().unwrap_or_else(|| "-".into());
        let plain = |label: &str| {
            let none = || "-".to_owned();
            [who.clone(), session.clone(), label.to_owned(), none(), none(), none(), none()]
        };
        if one.unknown {
            let mut row = plain(match one.unknown_because.as_deref() {
                Some("start") => "(unknown since the start: all)",
                _ => "(unknown: all)",
            });
            if let Some(left) = one.unknown_left_s {
                row[6] = format!("{left}s");
            }
            rows.push(row);
        } else if one.labels.is_empty() {
            rows.push(plain("(cleared)"));
        }
        for label in &one.labels {
            let left = label.left_s.map_or("session".to_owned(), |left| format!("{left}s"));
            rows.push([
                who.clone(),
                session.clone(),
                one_line(&label.label),
                one_line(&format!("{}/{}", label.server, label.target)),
                date(label.at / 1_000),
                label.call.clone(),
                left,
            ]);
        }
    }
    terminal::table(&mut out, &rows)?;
    Ok(())
}
