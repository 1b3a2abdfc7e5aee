//! `doorward servers pin`: connects to servers, and writes their definitions to the lock file.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use doorward_config::{ServerSettings, Settings};
use doorward_gateway::Gateway;
use doorward_gateway::stops::Emergency;
use doorward_governance::pins::{Place, diff};
use doorward_packages::servers as packages;
use serde_json::{Value, json};

use super::pins::changes;
use crate::cli::PinServers;
use crate::commands::{Exit, Failed};
use crate::config;
use crate::serve::pins as file;
use crate::terminal::{self, one_line};

/// A definition that differs from the lock file.
struct Difference {
    place: Place,
    old: Option<Bytes>,
    new: Option<Bytes>,
}

pub async fn run(options: PinServers) -> Result<(), Failed> {
    let loaded = config::load(&options.config).map_err(|report| Failed::report(&report))?;
    let mut settings = loaded.settings;
    let path = file::path(&settings, &options.config);
    let lock = file::read(&path).map_err(|why| Failed::new(Exit::Config, why))?;
    let mut lock = lock.unwrap_or_default();
    packages::prepare(&mut settings, Some(&options.config)).await;
    let wanted = wanted(&options, &settings)?;
    let gateway = alone(&settings).await?;
    let (mut reports, mut problems) = (Vec::new(), Vec::new());
    let mut out = std::io::stdout().lock();
    for (name, server) in wanted {
        let look = gateway.look_at(&name, server).await;
        if let Some(problem) = look.problem {
            problems.push(format!("{}: {}", terminal::name(&name), one_line(&problem)));
            continue;
        }
        let said = tokio::task::spawn_blocking(move || look.definitions()).await;
        let said = said.map_err(|error| Failed::new(Exit::Failure, error.to_string()))?;
        let said: BTreeMap<Place, Bytes> =
            said.into_iter().map(|(place, said)| (place, said.text)).collect();
        let differences = differences(lock.pins(&name), &said);
        if !options.json {
            report(&mut out, &name, said.len(), &differences)?;
        }
        reports.push((name.clone(), said.len(), differences));
        lock.set(&name, said);
    }
    if options.names.is_empty() {
        let gone: Vec<String> = lock
            .servers()
            .filter(|name| !settings.servers.keys().any(|it| it.eq_ignore_ascii_case(name)))
            .map(str::to_owned)
            .collect();
        for name in gone {
            lock.remove(&name);
            if !options.json {
                writeln!(out, "{}: not in the configuration", terminal::name(&name))?;
            }
        }
    }
    if options.json {
        let all: Vec<Value> = reports.iter().map(|(name, n, all)| as_json(name, *n, all)).collect();
        terminal::json(&mut out, &json!({ "servers": all, "problems": problems }))?;
    }
    for problem in &problems {
        terminal::complain(problem);
    }
    if !options.check {
        file::write(&path, &lock).map_err(|why| Failed::new(Exit::Failure, why))?;
    }
    if !problems.is_empty() {
        return Err(Failed::silent(Exit::Failure));
    }
    let differs = reports.iter().any(|(_, _, all)| !all.is_empty());
    if options.check && differs { Err(Failed::silent(Exit::Usage)) } else { Ok(()) }
}

fn wanted(
    options: &PinServers,
    settings: &Settings,
) -> Result<Vec<(String, ServerSettings)>, Failed> {
    let active = || settings.active().map(|(name, server)| (name.clone(), server.clone()));
    if options.names.is_empty() {
        return Ok(active().collect());
    }
    let find = |wanted: &String| {
        let unknown = || {
            let why = format!("the configuration has no server '{}' in use", one_line(wanted));
            Failed::new(Exit::Usage, why)
        };
        active().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).ok_or_else(unknown)
    };
    options.names.iter().map(find).collect()
}

/// A gateway without clients and store, for inspecting servers only.
pub async fn alone(settings: &Settings) -> Result<Arc<Gateway>, Failed> {
    let settings = Settings {
        servers: BTreeMap::new(),
        portals: BTreeMap::new(),
        store: None,
        admin: None,
        webhooks: BTreeMap::new(),
        ..settings.clone()
    };
    let emergency = Emergency::open(None, None).await?;
    Gateway::start(settings, None, emergency)
        .map_err(|error| Failed::new(Exit::Failure, error.to_string()))
}

fn differences(
    old: Option<&BTreeMap<Place, Bytes>>,
    new: &BTreeMap<Place, Bytes>,
) -> Vec<Difference> {
    let none = BTreeMap::new();
    let old = old.unwrap_or(&none);
    let places = old.keys().chain(new.keys().filter(|place| !old.contains_key(*place)));
    let differing = places.filter(|place| old.get(*place) != new.get(*place));
    let difference = |place: &Place| Difference {
        place: place.clone(),
        old: old.get(place).cloned(),
        new: new.get(place).cloned(),
    };
    differing.map(difference).collect()
}

fn report(
    out: &mut impl Write,
    name: &str,
    count: usize,
    differences: &[Difference],
) -> std::io::Result<()> {
    let name = terminal::name(name);
    if differences.is_empty() {
        return writeln!(out, "{name}: {count} definitions, unchanged");
    }
    writeln!(out, "{name}: {count} definitions, {} changed", differences.len())?;
    for Difference { place, old, new } in differences {
        let what = match (old, new) {
            (None, _) => "is new",
            (_, None) => "is gone",
            _ => "differs",
        };
        writeln!(out, "{} ({}) {what}", one_line(&place.to_string()), place.era_word())?;
        // New and removed definitions are listed by name only: the lock file has their content.
        if let (Some(old), Some(new)) = (old, new) {
            changes(out, &diff::between(Some(old), Some(new)))?;
        }
    }
    Ok(())
}

fn as_json(name: &str, count: usize, differences: &[Difference]) -> Value {
    let all = differences.iter().map(|Difference { place, old, new }| {
        json!({
            "era": place.era_word(),
            "kind": place.kind,
            "name": place.name,
            "changes": diff::between(old.as_ref(), new.as_ref()),
        })
    });
    json!({ "name": name, "definitions": count, "differences": all.collect::<Vec<_>>() })
}
