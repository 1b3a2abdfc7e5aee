//! `doorward servers propose` and the other lifecycle steps.

use std::io::Write;

use doorward_admin::Operation;
use doorward_admin::service::life::{Names, Review};
use doorward_admin::service::{Named, life};
use doorward_gateway::gateway::looking::Look;
use doorward_governance::lifecycle::State;
use serde_json::{Map, Value, json};

use crate::administer::{Place, place};
use crate::cli::{
    ApproveServer, DeprecateServer, Kept, OneServer, ProposeServer, ReviewServer, ServersAt,
    StepServer,
};
use crate::commands::keys::date;
use crate::commands::{Exit, Failed};
use crate::config;
use crate::terminal::{self, one_line};

/// Maximum size of an OpenAPI document in a proposal.
const MOST_DOCUMENT: u64 = 200 << 10;

/// Uses a running gateway, unless a database is named.
pub async fn at(at: &ServersAt) -> Result<Place, Failed> {
    let ServersAt { operator, store, config } = at.clone();
    let of_gateway = store.is_none() && config.is_none();
    let credential = operator.credential;
    let admin_url = of_gateway.then_some(operator.admin_url);
    place(&Kept { store, config, admin_url, credential }).await
}

pub async fn propose(options: ProposeServer) -> Result<(), Failed> {
    let settings = proposed(&options)?;
    let input =
        life::Propose { name: options.name.clone(), settings, reason: options.reason.reason };
    let server = at(&options.at).await?.call(&life::PROPOSE, input).await?;
    told(&server, options.json)
}

/// The settings from the command line, not validated yet.
fn proposed(options: &ProposeServer) -> Result<Value, Failed> {
    let from = &options.from;
    let mut settings = match from.registry_entry.as_ref().or(from.client_file.as_ref()) {
        None => Map::new(),
        Some(path) => {
            let loaded = config::load_for_import(path).map_err(|report| Failed::report(&report))?;
            for notice in &loaded.notices {
                eprintln!("{}: note: {}", path.display(), terminal::harmless(notice));
            }
            let mut servers = loaded.settings.servers;
            let found = match from.registry_entry {
                Some(_) => servers.pop_first().map(|(_, server)| server),
                None => servers.remove(&options.name),
            };
            let absent = || {
                let why = format!("{} has no server '{}'", path.display(), options.name);
                Failed::new(Exit::Usage, why)
            };
            match serde_json::to_value(found.ok_or_else(absent)?) {
                Ok(Value::Object(members)) => members,
                _ => return Err(absent()),
            }
        }
    };
    if let Some(document) = &from.openapi {
        let openapi = match url::Url::parse(document) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => json!({ "from": url }),
            _ => json!({ "description": read(document)? }),
        };
        settings.insert("openapi".into(), openapi);
    }
    let texts = [
        ("owner", &options.owner),
        ("contact", &options.contact),
        ("environment", &options.environment),
        ("risk", &options.risk),
        ("review_by", &options.review_by),
        ("notes", &options.notes),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            settings.insert(key.into(), text.clone().into());
        }
    }
    if let Some(url) = &options.url {
        settings.insert("url".into(), url.as_str().into());
    }
    if !options.tags.is_empty() {
        settings.insert("tags".into(), json!(options.tags));
    }
    Ok(settings.into())
}

fn read(path: &str) -> Result<String, Failed> {
    let wrong = |why: String| Failed::new(Exit::Failure, format!("{path}: {why}"));
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > MOST_DOCUMENT {
        let why = format!("it is larger than {MOST_DOCUMENT} bytes: propose the document's URL");
        return Err(wrong(why));
    }
    std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))
}

pub async fn review(options: ReviewServer) -> Result<(), Failed> {
    let ReviewServer { name, look, allow_private, reason, at: place, json } = options;
    let place = at(&place).await?;
    let named = || Named { name: name.clone() };
    let server = place.call(&life::SHOW, named()).await?;
    if server.life.state == State::Proposed {
        let input = life::Decide {
            name: name.clone(),
            reason: reason.reason,
            revision: Some(server.life.revision),
            allow_private: allow_private.then_some(true),
        };
        place.call(&life::REVIEW, input).await?;
    } else if allow_private {
        let why = "--allow-private is decided when the review begins, or with the approval";
        return Err(Failed::new(Exit::Usage, why));
    }
    if look {
        place.call(&life::LOOK, named()).await?;
    }
    let review = place.call(&life::REVIEW_OF, named()).await?;
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, &review)?;
        return Ok(());
    }
    Ok(print(&mut out, &review)?)
}

pub async fn look(options: OneServer) -> Result<(), Failed> {
    let place = at(&options.at).await?;
    let look = place.call(&life::LOOK, Named { name: options.name }).await?;
    let mut out = std::io::stdout().lock();
    if options.json {
        terminal::json(&mut out, &look)?;
    } else {
        seen(&mut out, &look)?;
    }
    match &look.problem {
        None => Ok(()),
        Some(_) => Err(Failed::silent(Exit::Failure)),
    }
}

pub async fn approve(options: ApproveServer) -> Result<(), Failed> {
    let input = life::Decide {
        name: options.name,
        reason: options.reason.reason,
        revision: options.revision,
        allow_private: options.allow_private.then_some(true),
    };
    let server = at(&options.at).await?.call(&life::APPROVE, input).await?;
    told(&server, options.json)
}

pub async fn step(
    options: StepServer,
    operation: &Operation<life::Take, life::Server>,
) -> Result<(), Failed> {
    let input = life::Take { name: options.name, reason: options.reason.reason };
    let server = at(&options.at).await?.call(operation, input).await?;
    told(&server, options.json)
}

pub async fn deprecate(options: DeprecateServer) -> Result<(), Failed> {
    let input = life::Deprecate {
        name: options.name,
        reason: options.reason.reason,
        note: options.note,
        successor: options.successor,
        retires: options.retires,
    };
    let server = at(&options.at).await?.call(&life::DEPRECATE, input).await?;
    told(&server, options.json)
}

pub async fn history(options: OneServer) -> Result<(), Failed> {
    let place = at(&options.at).await?;
    let history = place.call(&life::HISTORY, Named { name: options.name }).await?;
    let mut out = std::io::stdout().lock();
    if options.json {
        terminal::json(&mut out, &history)?;
        return Ok(());
    }
    let mut rows = vec![["AT", "STEP", "FROM", "TO", "WHO", "VIA", "WHY"].map(str::to_owned)];
    rows.extend(history.steps.iter().map(|step| {
        [
            date(step.at),
            step.step.clone(),
            step.from.as_str().into(),
            step.to.as_str().into(),
            one_line(&step.who),
            step.via.clone(),
            one_line(&step.why),
        ]
    }));
    Ok(terminal::table(&mut out, &rows)?)
}

/// Prints a server's new state.
fn told(server: &life::Server, json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, server)?;
        return Ok(());
    }
    let (life, name) = (&server.life, terminal::name(&server.life.name));
    writeln!(out, "{name} is {} (revision {})", life.state.as_str(), life.revision)?;
    if let Some(why) = server.withheld.as_ref().filter(|_| life.state.serves()) {
        writeln!(out, "it is not served: {}", one_line(why))?;
    }
    Ok(())
}

fn print(out: &mut impl Write, review: &Review) -> std::io::Result<()> {
    let life = &review.server;
    let name = terminal::name(&life.name);
    let (state, revision) = (life.state.as_str(), life.revision);
    writeln!(out, "{name} is {state} (revision {revision})")?;
    writeln!(out, "  proposed by {} on {}", one_line(&life.proposed_by), date(life.proposed))?;
    for key in ["owner", "contact", "environment", "risk", "review_by", "notes"] {
        if let Some(text) = review.settings.get(key).and_then(Value::as_str) {
            writeln!(out, "  {key}: {}", one_line(text))?;
        }
    }
    writeln!(out, "\nConnections")?;
    for line in &review.connects {
        writeln!(out, "  {}", one_line(line))?;
    }
    writeln!(out, "\nSettings\n{}", terminal::harmless(&format!("{:#}", review.settings)))?;
    writeln!(out)?;
    match &review.look {
        None => writeln!(out, "Nobody has looked at what it offers: doorward servers look {name}")?,
        Some(look) => {
            seen(out, look)?;
            crate::commands::scan::list(out, &review.suspicious)?;
            for (tool, risk) in look.tools.iter().zip(&review.tools) {
                let marks = [
                    (risk.writes, "writes"),
                    (risk.destructive, "destructive"),
                    (risk.open_world, "open world"),
                    (!risk.annotated, "no annotations"),
                ];
                let marks: Vec<_> =
                    marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
                let marks = if marks.is_empty() { "reads".into() } else { marks.join(", ") };
                writeln!(out, "\nTool {} ({marks})", terminal::name(&risk.tool))?;
                writeln!(out, "{}", terminal::harmless(&format!("{tool:#}")))?;
            }
            for (kind, list) in [
                ("Prompt", &look.prompts),
                ("Resource", &look.resources),
                ("Template", &look.templates),
            ] {
                for item in list {
                    writeln!(out, "\n{kind}\n{}", terminal::harmless(&format!("{item:#}")))?;
                }
            }
        }
    }
    writeln!(out, "\nAccess it would give")?;
    for who in &review.access.principals {
        let count = |names: &Names, what: &str| {
            if names.count == 0 {
                return String::new();
            }
            let more = names.count - names.names.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let names: Vec<_> = names.names.iter().map(|name| one_line(name)).collect();
            format!("; {} {what}: {}{more}", names.len(), names.join(", "))
        };
        writeln!(
            out,
            "  {} {}{}{}{}",
            who.kind,
            terminal::name(&who.name),
            count(&who.tools, "tools"),
            count(&who.prompts, "prompts"),
            count(&who.resources, "resources"),
        )?;
    }
    let examined = review.access.examined;
    writeln!(out, "  {} of {examined} principals", review.access.principals.len())?;
    for note in &review.access.notes {
        writeln!(out, "  note: {}", one_line(note))?;
    }
    Ok(())
}

fn seen(out: &mut impl Write, look: &Look) -> std::io::Result<()> {
    if let Some(problem) = &look.problem {
        return writeln!(out, "The look failed: {}", one_line(problem));
    }
    let server = look.server.as_ref().map(|it| one_line(&it.to_string())).unwrap_or_default();
    writeln!(out, "Seen: {} over {}, {server}", look.revision, look.transport)?;
    let counts = [&look.tools, &look.prompts, &look.resources, &look.templates].map(Vec::len);
    let [tools, prompts, resources, templates] = counts;
    writeln!(
        out,
        "  {tools} tools, {prompts} prompts, {resources} resources, {templates} resource templates"
    )?;
    if let Some(instructions) = &look.instructions {
        writeln!(out, "  instructions: {}", terminal::harmless(instructions))?;
    }
    for finding in &look.findings {
        writeln!(out, "  finding: {}", one_line(finding))?;
    }
    Ok(())
}
