//! `doorward policy explain`: which policies decide a request, and why.

use std::io::Write;

use doorward_policy::{Case, Decision, Effect, PolicySet, Verdict};
use serde_json::Value;

use super::read;
use crate::cli::Explain;
use crate::commands::{Exit, Failed, open};
use crate::terminal::{self, one_line};

pub async fn run(options: Explain) -> Result<(), Failed> {
    let set = if options.paths.is_empty() {
        let active = open(&options.kept).await?.active_policies().await?;
        let none = || {
            let why = "no policies are active; pass files with --policies";
            Failed::new(Exit::Failure, why)
        };
        let active = active.ok_or_else(none)?;
        PolicySet::compile(&active.files).map_err(|findings| {
            let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
            Failed::new(Exit::Config, findings.join("\n"))
        })?
    } else {
        super::compile(&read(&options.paths)?)?
    };
    let json = options.json;
    let request = case(options)?.request().map_err(|why| Failed::new(Exit::Usage, why))?;
    let decision = set.decide(&request);
    let mut out = std::io::stdout().lock();
    if json {
        let told = serde_json::json!({ "request": request, "decision": decision });
        terminal::json(&mut out, &told)?;
    } else {
        show(&mut out, &decision)?;
        for policy in &decision.policies {
            if let Some(about) = set.policy(&policy.id) {
                writeln!(out, "\n// {}:{}", one_line(&about.file), about.line)?;
                writeln!(out, "{}", terminal::harmless(&about.text))?;
            }
        }
    }
    if decision.is_allowed() { Ok(()) } else { Err(Failed::silent(Exit::Refused)) }
}

/// A decision in words.
pub fn show(out: &mut (impl Write + ?Sized), decision: &Decision) -> std::io::Result<()> {
    let (word, code) = match decision.verdict {
        Verdict::Allow => ("allowed", "32"),
        Verdict::Deny => ("denied", "31"),
        Verdict::Depends => ("depends on the arguments", "33"),
    };
    let word = terminal::paint(word, code, terminal::color());
    writeln!(out, "{word} ({}): {}", decision.code.as_str(), one_line(&decision.reason()))?;
    for policy in &decision.policies {
        let effect = match policy.effect {
            Effect::Permit => "permits",
            Effect::Forbid => "forbids",
        };
        writeln!(out, "  {} {effect}", one_line(&policy.id))?;
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
