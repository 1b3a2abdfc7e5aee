//! `doorward approvals`: calls that wait for approval.

use std::collections::BTreeMap;
use std::io::Write;

use doorward_admin::service::ById;
use doorward_admin::service::approvals::{self, ApprovalItem, Decide, List};

use super::Failed;
use super::keys::date;
use crate::administer::place;
use crate::cli::Approvals;
use crate::terminal::{self, one_line};

pub async fn run(options: Approvals) -> Result<(), Failed> {
    match options {
        Approvals::List { kept, state, json } => {
            let wanted = List { state: Some(state), ..List::default() };
            list(&place(&kept).await?.list(&approvals::LIST, &wanted).await?, json)
        }
        Approvals::Show { kept, id, json } => {
            let found = place(&kept).await?.call(&approvals::SHOW, ById { id }).await?;
            show(&found, json)
        }
        Approvals::Approve { kept, id, edits, reason } => {
            let wanted = Decide { id, reason, edits: edits.into_iter().collect() };
            told(&place(&kept).await?.call(&approvals::APPROVE, wanted).await?)
        }
        Approvals::Refuse { kept, id, reason } => {
            let wanted = Decide { id, reason, edits: BTreeMap::new() };
            told(&place(&kept).await?.call(&approvals::REFUSE, wanted).await?)
        }
    }
}

fn caller(one: &ApprovalItem) -> String {
    match &one.agent {
        Some(agent) => one_line(&format!("{agent} for {}", one.caller)),
        None => one_line(&one.caller),
    }
}

fn list(all: &[ApprovalItem], json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, &all)?;
        return Ok(());
    }
    let mut rows = vec![
        ["ID", "STATE", "CALLER", "SERVER", "NAME", "APPROVERS", "EXPIRES"].map(str::to_owned),
    ];
    for one in all {
        rows.push([
            one.id.clone(),
            one.state.as_str().into(),
            caller(one),
            one_line(&one.server),
            one_line(&one.name),
            one_line(&one.approvers),
            date(one.expires),
        ]);
    }
    terminal::table(&mut out, &rows)?;
    Ok(())
}

fn show(one: &ApprovalItem, json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, one)?;
        return Ok(());
    }
    let mut rows = vec![
        ["State".to_owned(), one.state.as_str().to_owned()],
        ["Caller".to_owned(), caller(one)],
        ["Server".to_owned(), one_line(&one.server)],
        ["Method".to_owned(), one_line(&one.method)],
        ["Name".to_owned(), one_line(&one.name)],
        ["Arguments".to_owned(), one_line(one.arguments.as_deref().unwrap_or("(not shown)"))],
        ["Reason".to_owned(), one_line(&one.reason)],
        ["Editable".to_owned(), one_line(&one.editable.join(", "))],
        ["Approvers".to_owned(), one_line(&one.approvers)],
        ["Missing".to_owned(), one.missing.to_string()],
        ["Expires".to_owned(), date(one.expires)],
    ];
    if let Some(answers) = &one.answers {
        rows.insert(6, ["Answers".to_owned(), one_line(answers)]);
    }
    rows.retain(|[name, text]| name != "Editable" || !text.is_empty());
    for (name, items) in &one.facts {
        rows.push([name.clone(), one_line(&items.join(", "))]);
    }
    if let Some(changed) = &one.changed {
        rows.push(["Changed".to_owned(), one_line(changed)]);
    }
    for vote in &one.votes {
        let word = if vote.approves { "Approved" } else { "Refused" };
        let reason = vote.reason.as_deref().map(|reason| format!(": {reason}"));
        let text = format!("by {}, {}{}", vote.by, date(vote.at), reason.unwrap_or_default());
        rows.push([word.to_owned(), one_line(&text)]);
        for (name, value) in &vote.edits {
            rows.push(["Edited".to_owned(), one_line(&format!("{name} = {value}"))]);
        }
    }
    for one in &one.similar {
        let text = format!("{}, {}", date(one.at), one.in_words());
        rows.push(["Similar".to_owned(), one_line(&text)]);
    }
    terminal::table(&mut out, &rows)?;
    Ok(())
}

fn told(one: &ApprovalItem) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    let (state, name) = (one.state.as_str(), one_line(&one.name));
    match one.missing {
        0 => writeln!(out, "{name}: {state}")?,
        _ if state == "refused" => writeln!(out, "{name}: refused")?,
        missing => writeln!(out, "{name}: {state}, {missing} more must approve")?,
    }
    Ok(())
}
