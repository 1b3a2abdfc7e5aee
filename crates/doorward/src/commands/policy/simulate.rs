//! `doorward policy simulate`: evaluates other policies on recorded calls, and reports which decisions would change.

use std::io::Write;

use doorward_admin::service::simulate::Turn;
use doorward_admin::service::trying::{SIMULATE, Simulated, Simulation};

use super::{compile, read};
use crate::administer::place;
use crate::cli::Simulate;
use crate::commands::Failed;
use crate::terminal::{self, one_line};

pub async fn run(options: Simulate) -> Result<(), Failed> {
    let files = read(&options.paths)?;
    compile(&files)?;
    let span = options.span.read();
    let wanted = Simulation {
        files: files.policies,
        from: Some(span.from),
        to: Some(span.to),
        zone: options.zone.clone(),
    };
    let found = place(&options.kept).await?.call(&SIMULATE, wanted).await?;
    tell(&found, options.json)
}

fn tell(found: &Simulated, json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if found.more > 0 {
        eprintln!("note: {} more groups are not shown; pass a shorter time", found.more);
    }
    if json {
        let told = serde_json::json!({ "decided": found.decided, "groups": found.groups });
        return Ok(terminal::json(&mut out, &told)?);
    }
    let count = |turn: Turn| found.calls.get(&turn).copied().unwrap_or_default();
    for (turn, heading) in [
        (Turn::Refused, "would be refused"),
        (Turn::Permitted, "would be permitted"),
        (Turn::Held, "would wait for approval"),
        (Turn::Unknown, "depend on arguments that were not recorded (see audit.policy_arguments)"),
    ] {
        if count(turn) == 0 {
            continue;
        }
        writeln!(out, "{} calls {heading}:", count(turn))?;
        let mut rows = vec![["PRINCIPAL", "TOOL", "CALLS", "LAST", "WHY"].map(str::to_owned)];
        for turned in &found.groups {
            let (who, tool, group) = (&turned.principal, &turned.tool, &turned.group);
            if turned.turn == turn {
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
    let turned = count(Turn::Refused) + count(Turn::Permitted) + count(Turn::Held);
    writeln!(
        out,
        "evaluated {} recorded calls; {turned} would be decided differently",
        found.decided
    )?;
    Ok(())
}
