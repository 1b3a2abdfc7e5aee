//! `doorward policy explain`: which policies decide a request, and why.

use std::io::Write;

use doorward_admin::service::trying::{EXPLAIN, Question};
use doorward_policy::{Case, Decision, Effect, Verdict};
use serde_json::Value;

use super::read;
use crate::administer::place;
use crate::cli::Explain;
use crate::commands::{Exit, Failed};
use crate::terminal::{self, one_line};

pub async fn run(options: Explain) -> Result<(), Failed> {
    let files = match options.paths.is_empty() {
        true => None,
        false => {
            let files = read(&options.paths)?;
            super::compile(&files)?;
            Some(files.policies)
        }
    };
    let (place, json) = (place(&options.kept).await?, options.json);
    let case = case(options)?;
    let wrong = |error: serde_json::Error| Failed::new(Exit::Failure, error.to_string());
    let case = serde_json::to_value(&case).map_err(wrong)?;
    let found = place.call(&EXPLAIN, Question { files, case }).await?;
    let mut out = std::io::stdout().lock();
    if json {
        let told = serde_json::json!({ "request": found.request, "decision": found.decision });
        terminal::json(&mut out, &told)?;
    } else {
        let decision = serde_json::from_value(found.decision).map_err(wrong)?;
        show(&mut out, &decision)?;
        for policy in &found.policies {
            writeln!(out, "\n// {}:{}", one_line(&policy.file), policy.line)?;
            writeln!(out, "{}", terminal::harmless(&policy.text))?;
        }
    }
    if found.allowed { Ok(()) } else { Err(Failed::silent(Exit::Refused)) }
}

/// Prints a decision with its reasons.
pub fn show(out: &mut (impl Write + ?Sized), decision: &Decision) -> std::io::Result<()> {
    let (word, code) = match decision.verdict {
        Verdict::Allow => ("allowed", "32"),
        Verdict::Deny => ("denied", "31"),
        Verdict::Depends => ("depends on the arguments", "33"),
        Verdict::Hold => ("waits for approval", "33"),
    };
    let word = terminal::paint(word, code, terminal::color());
    writeln!(out, "{word} ({}): {}", decision.code.as_str(), one_line(&decision.reason()))?;
    for policy in &decision.policies {
        let effect = match policy.effect {
            Effect::Permit => "permits",
            Effect::Forbid if decision.verdict == Verdict::Hold => "holds",
            Effect::Forbid => "forbids",
        };
        writeln!(out, "  {} {effect}", one_line(&policy.id))?;
    }
    for hold in &decision.holds {
        let approvers: Vec<String> = hold.approvers.iter().map(ToString::to_string).collect();
        let (people, minutes) = (hold.people, (hold.ttl + 59) / 60);
        let of = if people == 1 { String::new() } else { format!("{people} of ") };
        let approvers = one_line(&approvers.join(", "));
        writeln!(out, "  approval by {of}{approvers} within {minutes} minutes")?;
    }
    for error in &decision.errors {
        writeln!(out, "  {}", one_line(error))?;
    }
    Ok(())
}

fn case(options: Explain) -> Result<Case, Failed> {
    let mut arguments = serde_json::Map::new();
    for argument in &options.arguments {
        let wrong = || Failed::new(Exit::Usage, format!("'{argument}': expected name=value"));
        let (name, value) = argument.split_once('=').ok_or_else(wrong)?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
        arguments.insert(name.into(), value);
    }
    let now = jiff::Zoned::now();
    let time = options.time.unwrap_or_else(|| now.strftime("%a %H:%M").to_string().to_lowercase());
    Ok(Case {
        user: options.user,
        agent: options.agent,
        service_account: options.service_account,
        tenant: options.tenant,
        teams: options.teams.into_iter().collect(),
        roles: options.roles.into_iter().collect(),
        tool: options.tool,
        prompt: options.prompt,
        resource: options.resource,
        server: options.server,
        write: Some(!options.reads_only),
        tags: options.tags.into_iter().collect(),
        risk: options.risk,
        through: options.through,
        time: Some(time),
        arguments,
        ..Case::default()
    })
}
