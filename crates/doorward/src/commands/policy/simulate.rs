//! `doorward policy simulate`: evaluates other policies on recorded calls, and reports which decisions would change.

use std::io::Write;
use std::sync::Arc;

use doorward_admin::service::simulate::{Found, Turn, simulate};
use jiff::tz::TimeZone;

use super::{compile, read};
use crate::cli::Simulate;
use crate::commands::{Exit, Failed, open};
use crate::config;
use crate::terminal::{self, one_line};

pub async fn run(options: Simulate) -> Result<(), Failed> {
    let set = Arc::new(compile(&read(&options.paths)?)?);
    let zone = match (&options.zone, &options.kept.config) {
        (Some(zone), _) => zone.clone(),
        (None, Some(path)) => {
            config::load(path).map_err(|report| Failed::report(&report))?.settings.policy.zone
        }
        (None, None) => "UTC".into(),
    };
    let unknown = |_| Failed::new(Exit::Usage, format!("there is no time zone '{zone}'"));
    let zone = TimeZone::get(&zone).map_err(unknown)?;
    let store = open(&options.kept).await?;
    let found = simulate(&store, set, &zone, options.span.read()).await;
    let found = found.map_err(|problem| Failed::new(Exit::Failure, problem.detail))?;
    tell(&found, options.json)
}

fn tell(found: &Found, json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        let groups = found.groups.iter().map(|((turn, who, tool), group)| {
            serde_json::json!({ "turn": turn, "principal": who, "tool": tool, "group": group })
        });
        let told =
            serde_json::json!({ "decided": found.decided, "groups": groups.collect::<Vec<_>>() });
        return Ok(terminal::json(&mut out, &told)?);
    }
    let count = |turn: Turn| -> u64 {
        let fitting = found.groups.iter().filter(|((of, ..), _)| *of == turn);
        fitting.map(|(_, group)| group.count).sum()
    };
    for (turn, heading) in [
        (Turn::Refused, "would be refused"),
        (Turn::Permitted, "would be permitted"),
        (Turn::Unknown, "depend on arguments that were not recorded (see audit.policy_arguments)"),
    ] {
        if count(turn) == 0 {
            continue;
        }
        writeln!(out, "{} calls {heading}:", count(turn))?;
        let mut rows = vec![["PRINCIPAL", "TOOL", "CALLS", "LAST", "WHY"].map(str::to_owned)];
        for ((of, who, tool), group) in &found.groups {
            if *of == turn {
                let why = if group.policies.is_empty() {
                    group.reason.clone()
                } else {
                    format!("{} ({})", group.reason, group.policies.join(", "))
                };
                let last: String = group.last.chars().take(16).collect();
                rows.push([
                    one_line(who),
                    one_line(tool),
                    group.count.to_string(),
                    last,
                    one_line(&why),
                ]);
            }
        }
        terminal::table(&mut out, &rows)?;
        writeln!(out)?;
    }
    let turned = count(Turn::Refused) + count(Turn::Permitted);
    writeln!(
        out,
        "evaluated {} recorded calls; {turned} would be decided differently",
        found.decided
    )?;
    Ok(())
}
