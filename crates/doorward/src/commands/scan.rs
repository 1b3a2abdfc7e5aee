//! `doorward scan`: scans definitions of servers before they are installed for instructions to a
//! model.
//!
//! Connects to servers by URL only. Programs are not started.

use std::io::{self, Write};
use std::path::Path;

use doorward_admin::scan::{self, Suspicious};
use doorward_config::{ServerSettings, Settings};
use doorward_gateway::gateway::looking::Look;
use doorward_inspect::{RuleFile, Rules, Scanner};
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use super::servers::alone;
use super::{Exit, Failed};
use crate::cli::Scan;
use crate::config;
use crate::terminal::{self, one_line};

/// Maximum size of a scanned file, in bytes.
const MOST: u64 = 64 << 20;
const SARIF_SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The findings in one file, or in one server's definitions.
#[derive(Debug, Serialize)]
struct Scanned {
    /// The file or URL.
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    definitions: usize,
    suspicious: Vec<Suspicious>,
}

/// Something is suspicious.
const SUSPICIOUS: Exit = Exit::Failure;
/// Something could not be scanned, whatever was found in the rest.
const INCOMPLETE: Exit = Exit::Usage;

pub async fn run(options: Scan) -> Result<(), Failed> {
    match scanned(options).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failed::silent(SUSPICIOUS)),
        Err(failed) => Err(Failed { exit: INCOMPLETE, ..failed }),
    }
}

/// Scans and prints. Returns whether nothing is suspicious.
async fn scanned(options: Scan) -> Result<bool, Failed> {
    let scanner = scanner(&options.rules)?;
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for target in &options.targets {
        match Url::parse(target).ok().filter(|url| matches!(url.scheme(), "http" | "https")) {
            Some(url) => {
                let settings = ServerSettings { url: Some(url), ..ServerSettings::default() };
                let servers = vec![("server".to_owned(), settings)];
                look(target, servers, &scanner, false, &mut all, &mut problems).await?;
            }
            None => file(target, &scanner, &mut all, &mut problems).await?,
        }
    }
    let mut out = io::stdout().lock();
    if options.sarif {
        terminal::json(&mut out, &sarif(&all))?;
    } else if options.json {
        terminal::json(&mut out, &json!({ "scanned": all, "problems": problems }))?;
    } else {
        for scanned in &all {
            let Scanned { target, server, definitions, suspicious } = scanned;
            let server = server.as_ref().map(|name| format!(" {}", terminal::name(name)));
            let (server, count) = (server.unwrap_or_default(), suspicious.len());
            writeln!(
                out,
                "{}{server}: {definitions} definitions, {count} suspicious",
                one_line(target)
            )?;
            list(&mut out, suspicious)?;
        }
    }
    for problem in &problems {
        terminal::complain(problem);
    }
    if !problems.is_empty() {
        return Err(Failed::silent(INCOMPLETE));
    }
    Ok(all.iter().all(|scanned| scanned.suspicious.is_empty()))
}

/// The built-in rules, and those from files.
fn scanner(files: &[std::path::PathBuf]) -> Result<Scanner, Failed> {
    let wrong =
        |path: &Path, why: String| Failed::new(Exit::Config, format!("{}: {why}", path.display()));
    let mut rules = Vec::new();
    for path in files {
        let text = read(path).map_err(|why| wrong(path, why))?;
        rules.push(RuleFile::parse(&text).map_err(|error| wrong(path, error.to_string()))?);
    }
    let rules = Rules::with(&rules);
    rules.map(Scanner::new).map_err(|error| Failed::new(Exit::Config, error.to_string()))
}

fn read(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > MOST {
        return Err(format!("it is larger than {MOST} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// Scans a file: definitions, or the servers of a configuration that have a URL.
async fn file(
    target: &str,
    scanner: &Scanner,
    all: &mut Vec<Scanned>,
    problems: &mut Vec<String>,
) -> Result<(), Failed> {
    let path = Path::new(target);
    let text = read(path).map_err(|why| Failed::new(Exit::Usage, format!("{target}: {why}")))?;
    let json: Option<Value> = serde_json::from_str(&text).ok();
    if let Some(found) = json.as_ref().and_then(definitions) {
        let count = found.iter().map(|(_, items)| items.len()).sum();
        let each = found.iter().flat_map(|(kind, items)| items.iter().map(move |it| (*kind, it)));
        let suspicious = each.filter_map(|(kind, item)| {
            let name = ["name", "uri", "uriTemplate"].iter().find_map(|key| item[*key].as_str());
            scan::definition(kind, name.unwrap_or_default(), item, Some(scanner))
        });
        let suspicious = suspicious.collect();
        all.push(Scanned { target: target.into(), server: None, definitions: count, suspicious });
        return Ok(());
    }
    let loaded = config::load(path).map_err(|report| Failed::report(&report))?;
    let servers = loaded.settings.servers.into_iter().filter(|(_, server)| !server.disabled);
    look(target, servers.collect(), scanner, true, all, problems).await
}

/// The definitions in a file: a list of tools, the result of `tools/list` or a similar method, or a
/// whole response.
fn definitions(json: &Value) -> Option<Vec<(&'static str, &Vec<Value>)>> {
    let json = json.get("result").unwrap_or(json);
    if let Some(tools) = json.as_array() {
        return tools.iter().all(|tool| tool["name"].is_string()).then(|| vec![("tool", tools)]);
    }
    let kinds = [
        ("tool", "tools"),
        ("prompt", "prompts"),
        ("resource", "resources"),
        ("template", "resourceTemplates"),
    ];
    let found: Vec<_> = kinds
        .into_iter()
        .filter_map(|(kind, member)| Some((kind, json.get(member)?.as_array()?)))
        .collect();
    (!found.is_empty()).then_some(found)
}

/// Connects to servers, fetches their lists, disconnects, and scans the lists.
async fn look(
    target: &str,
    servers: Vec<(String, ServerSettings)>,
    scanner: &Scanner,
    is_named: bool,
    all: &mut Vec<Scanned>,
    problems: &mut Vec<String>,
) -> Result<(), Failed> {
    let gateway = alone(&Settings::default()).await?;
    for (name, server) in servers {
        let shown =
            if is_named { format!("{target}: {}", terminal::name(&name)) } else { target.into() };
        if server.command.is_some() || server.package.is_some() {
            problems.push(format!(
                "{shown} is a program, which is not started: scan a file with its definitions"
            ));
            continue;
        }
        let look = gateway.look_at(&name, server).await;
        if let Some(problem) = &look.problem {
            problems.push(format!("{shown}: {}", one_line(problem)));
            continue;
        }
        let definitions = count(&look);
        let suspicious = scan::look(&look, Some(scanner));
        let server = is_named.then_some(name);
        all.push(Scanned { target: target.into(), server, definitions, suspicious });
    }
    Ok(())
}

fn count(look: &Look) -> usize {
    let lists = [&look.tools, &look.prompts, &look.resources, &look.templates];
    lists.into_iter().map(Vec::len).sum::<usize>() + usize::from(look.instructions.is_some())
}

/// Prints suspicious definitions, with the places and the words.
pub fn list(out: &mut impl Write, all: &[Suspicious]) -> io::Result<()> {
    for one in all {
        let name = if one.name.is_empty() {
            String::new()
        } else {
            format!(" {}", terminal::name(&one.name))
        };
        let heading = format!("{}{name}", one.kind);
        let heading = terminal::paint(&heading, "1;33", terminal::color());
        let incomplete = if one.complete { "" } else { ", not inspected as a whole" };
        writeln!(out, "  {heading}: score {} of {}{incomplete}", one.score, one.threshold)?;
        for signal in &one.signals {
            let at = if signal.pointer.is_empty() { "(text)" } else { &signal.pointer };
            let (explanation, excerpt) = (one_line(&signal.explanation), one_line(&signal.excerpt));
            writeln!(out, "    {}: {explanation} [{}]", one_line(at), signal.id)?;
            writeln!(out, "      {excerpt}")?;
        }
    }
    Ok(())
}

/// SARIF 2.1.0 (OASIS), for code scanning.
fn sarif(all: &[Scanned]) -> Value {
    let mut rules: Vec<Value> = Vec::new();
    let mut results = Vec::new();
    for scanned in all {
        for one in &scanned.suspicious {
            for signal in &one.signals {
                if !rules.iter().any(|rule| rule["id"] == signal.id) {
                    let text = json!({ "text": signal.explanation });
                    rules.push(json!({ "id": signal.id, "shortDescription": text }));
                }
                let server = scanned.server.as_deref().unwrap_or_default();
                let place = [server, &one.kind, &one.name, &signal.pointer];
                let place = place.into_iter().filter(|part| !part.is_empty());
                let place = place.collect::<Vec<_>>().join(" ");
                results.push(json!({
                    "ruleId": signal.id,
                    "level": if one.score >= one.threshold { "error" } else { "warning" },
                    "message": { "text": format!("{} ({})", signal.explanation, signal.excerpt) },
                    "locations": [{
                        "physicalLocation": { "artifactLocation": { "uri": scanned.target } },
                        "logicalLocations": [{ "fullyQualifiedName": place }],
                    }],
                    "rank": one.score.min(100),
                }));
            }
        }
    }
    let driver = json!({
        "name": "Doorward",
        "version": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    });
    json!({ "$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [{ "tool": { "driver": driver }, "results": results }] })
}
