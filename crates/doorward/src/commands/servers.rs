//! `doorward servers`: the status of the servers behind a running gateway, and their lifecycle.

mod life;
mod lock;
mod pin;
mod pins;

pub use self::life::at;
pub use self::pin::alone;

use std::io::Write;

use serde::Deserialize;

use doorward_admin::service::{life as lives, servers};

use super::{Exit, Failed};
use crate::administer;
use crate::cli::{Servers, ServersCommand};
use crate::terminal::{self, one_line};

/// A server's status from the admin listener, as far as the table displays it.
#[derive(Debug, Deserialize)]
struct State {
    name: String,
    state: String,
    era: Option<String>,
    revision: Option<String>,
    transport: Option<String>,
    latency_ms: Option<f64>,
    tools: Option<usize>,
    #[serde(default)]
    left_out: Vec<LeftOut>,
    #[serde(default)]
    unchecked: Vec<LeftOut>,
    #[serde(default)]
    failed_lists: Vec<FailedList>,
    #[serde(default)]
    replicas: Vec<Replica>,
    problem: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Replica {
    replica: String,
    group: String,
    state: String,
    in_flight: usize,
    latency_ms: Option<f64>,
    problem: Option<String>,
}

#[derive(Debug, Deserialize)]
struct FailedList {
    list: String,
    why: String,
}

#[derive(Debug, Deserialize)]
struct LeftOut {
    tool: String,
    why: String,
}

pub async fn run(options: Servers) -> Result<(), Failed> {
    match options.command {
        None => status(options).await,
        Some(ServersCommand::Lock(options)) => lock::run(options).await,
        Some(ServersCommand::Diff(options)) => pins::diff(options).await,
        Some(ServersCommand::Accept(options)) => pins::decide(options, &lives::ACCEPT).await,
        Some(ServersCommand::Refuse(options)) => pins::decide(options, &lives::REFUSE).await,
        Some(ServersCommand::Pin(options)) => pin::run(options).await,
        Some(ServersCommand::Propose(options)) => life::propose(*options).await,
        Some(ServersCommand::Review(options)) => life::review(options).await,
        Some(ServersCommand::Look(options)) => life::look(options).await,
        Some(ServersCommand::Approve(options)) => life::approve(options).await,
        Some(ServersCommand::Reject(options)) => life::step(options, &lives::REJECT).await,
        Some(ServersCommand::Activate(options)) => life::step(options, &lives::ACTIVATE).await,
        Some(ServersCommand::Deprecate(options)) => life::deprecate(options).await,
        Some(ServersCommand::Retire(options)) => life::step(options, &lives::RETIRE).await,
        Some(ServersCommand::Quarantine(options)) => life::step(options, &lives::QUARANTINE).await,
        Some(ServersCommand::Release(options)) => life::step(options, &lives::RELEASE).await,
        Some(ServersCommand::History(options)) => life::history(options).await,
    }
}

/// Servers that are not served: proposals, and servers taken out of use.
async fn withheld(options: &Servers) -> Result<Vec<serde_json::Value>, Failed> {
    let all = administer::items(&options.operator, lives::LIST.path).await?;
    let out = all.into_iter().filter(|it| it["served"] == false && it["state"] != "retired");
    let out = out.filter(|it| it["settings"]["disabled"] != true);
    let short = |it: serde_json::Value| serde_json::json!({ "name": it["name"], "state": it["state"], "problem": it["withheld"] });
    Ok(out.map(short).collect())
}

async fn status(options: Servers) -> Result<(), Failed> {
    let mut states = administer::items(&options.operator, servers::STATUS.path).await?;
    states.extend(withheld(&options).await?);
    let mut out = std::io::stdout().lock();
    if options.json {
        terminal::json(&mut out, &states)?;
        return Ok(());
    }
    let states: Vec<State> = serde_json::from_value(states.into()).map_err(|error| {
        Failed::new(Exit::Unreachable, format!("the gateway reported no servers: {error}"))
    })?;
    let mut rows = vec![
        ["NAME", "STATE", "ERA", "REVISION", "TRANSPORT", "LATENCY", "TOOLS"].map(str::to_owned),
    ];
    for state in &states {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        rows.push([
            one_line(&state.name),
            state.state.clone(),
            or_dash(&state.era),
            or_dash(&state.revision),
            or_dash(&state.transport),
            state.latency_ms.map_or_else(|| "-".into(), |ms| format!("{ms:.1} ms")),
            state.tools.map_or_else(|| "-".into(), |count| count.to_string()),
        ]);
    }
    for at in 0..rows.len() {
        writeln!(out, "{}", terminal::row(&rows, at))?;
        let Some(state) = at.checked_sub(1).map(|at| &states[at]) else { continue };
        if let Some(problem) = &state.problem {
            writeln!(out, "    {}", one_line(problem))?;
        }
        for replica in &state.replicas {
            let Replica { group, in_flight, .. } = replica;
            let latency = replica.latency_ms.map(|ms| format!(", {ms:.1} ms")).unwrap_or_default();
            let problem = replica.problem.as_ref().map(|why| format!(": {}", one_line(why)));
            writeln!(
                out,
                "    {group} replica {} is {} ({in_flight} calls{latency}){}",
                one_line(&replica.replica),
                replica.state,
                problem.unwrap_or_default()
            )?;
        }
        for FailedList { list, why } in &state.failed_lists {
            writeln!(out, "    {} failed: {}", one_line(list), one_line(why))?;
        }
        for LeftOut { tool, why } in &state.left_out {
            writeln!(out, "    tool '{}' is not listed: {}", one_line(tool), one_line(why))?;
        }
        for LeftOut { tool, why } in &state.unchecked {
            writeln!(out, "    tool '{}': {}", one_line(tool), one_line(why))?;
        }
    }
    Ok(())
}
