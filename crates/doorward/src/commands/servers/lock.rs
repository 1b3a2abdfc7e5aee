//! `doorward servers lock`: resolves the packages of servers, and writes the lock file.

use std::collections::BTreeSet;
use std::io::Write;

use doorward_config::PackageSettings;
use doorward_packages::{Error, Lock, Locked, Packages, reference, servers as packages};
use serde_json::{Value, json};

use crate::cli::LockPackages;
use crate::commands::{Exit, Failed};
use crate::config;
use crate::terminal::{self, one_line};

pub async fn run(options: LockPackages) -> Result<(), Failed> {
    let loaded = config::load(&options.config).map_err(|report| Failed::report(&report))?;
    let configured: Vec<(&String, &PackageSettings)> = loaded
        .settings
        .servers
        .iter()
        .filter_map(|(name, server)| Some((name, server.package.as_deref()?)))
        .collect();
    let has = |name: &String| configured.iter().any(|(its, _)| *its == name);
    if let Some(unknown) = options.update.iter().find(|name| !has(name)) {
        let why = format!("there is no server '{}' with a package", one_line(unknown));
        return Err(Failed::new(Exit::Usage, why));
    }
    let path = Lock::beside(&options.config);
    let before = Lock::read(&path).map_err(failed)?;
    let packages = packages::open(&loaded.settings, &options.config).map_err(failed)?;
    if options.check {
        return check(&options, &packages, &configured, &before);
    }
    let mut lock = before.clone();
    let names: BTreeSet<&String> = configured.iter().map(|(name, _)| *name).collect();
    lock.servers.retain(|name, _| names.contains(name));
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (name, package) in &configured {
        let is_new = options.update.contains(name) || before.of(name, package).is_err();
        if !is_new {
            rows.push(row(name, package, "unchanged", before.servers.get(*name)));
            continue;
        }
        match packages.lock(package, &before).await {
            Ok(new) => {
                let same = before.servers.get(*name) == Some(&new.locked);
                let what = if same { "unchanged" } else { "locked" };
                rows.push(row(name, package, what, Some(&new.locked)));
                lock.servers.insert((*name).clone(), new.locked);
                lock.keys.extend(new.keys);
            }
            Err(error) => {
                problems.push(format!(
                    "{}: {}",
                    terminal::name(name),
                    one_line(&error.to_string())
                ));
            }
        }
    }
    let registries: BTreeSet<_> =
        lock.servers.values().filter_map(|it| it.registry.clone()).collect();
    lock.keys.retain(|registry, _| registries.contains(registry));
    // Write what was locked even if the rest failed.
    if lock != before {
        lock.write(&path).map_err(failed)?;
    }
    tell(&options, &rows)?;
    for problem in &problems {
        terminal::complain(problem);
    }
    if problems.is_empty() { Ok(()) } else { Err(Failed::silent(Exit::Failure)) }
}

/// Compares the lock file with the configuration, and the downloaded packages with the lock file.
fn check(
    options: &LockPackages,
    packages: &Packages,
    configured: &[(&String, &PackageSettings)],
    lock: &Lock,
) -> Result<(), Failed> {
    let (mut rows, mut good) = (Vec::new(), true);
    for (name, package) in configured {
        let there = lock.of(name, package).and_then(|locked| packages.is_there(locked));
        let what = match there {
            Ok(true) => "downloaded",
            Ok(false) => "not downloaded",
            Err(error) => {
                good = false;
                let name = terminal::name(name);
                terminal::complain(&format!("{name}: {}", one_line(&error.to_string())));
                continue;
            }
        };
        rows.push(row(name, package, what, lock.servers.get(*name)));
    }
    for name in lock.servers.keys().filter(|name| !configured.iter().any(|(its, _)| its == name)) {
        good = false;
        let name = terminal::name(name);
        terminal::complain(&format!("{name}: is locked, and no server has this package"));
    }
    tell(options, &rows)?;
    if good { Ok(()) } else { Err(Failed::silent(Exit::Failure)) }
}

fn row(name: &str, package: &PackageSettings, what: &str, locked: Option<&Locked>) -> Value {
    let archives = locked.map_or(&[][..], |locked| &locked.artifacts);
    json!({
        "server": name,
        "package": reference(package),
        "state": what,
        "digest": locked.map(|locked| locked.digest.to_string()),
        "archives": archives.len(),
        "signed": archives.iter().filter(|archive| archive.signature.is_some()).count(),
        "attested": archives.iter().filter(|archive| archive.provenance.is_some()).count(),
        "notices": locked.map(|locked| locked.notices.clone()).unwrap_or_default(),
    })
}

fn tell(options: &LockPackages, rows: &[Value]) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if options.json {
        terminal::json(&mut out, &rows)?;
        return Ok(());
    }
    if rows.is_empty() {
        writeln!(out, "no packages")?;
        return Ok(());
    }
    let text = |row: &Value, key: &str| match &row[key] {
        Value::String(text) => one_line(text),
        value => value.to_string(),
    };
    let keys = ["server", "package", "state", "archives", "signed", "attested"];
    let mut table = vec![keys.map(str::to_uppercase)];
    table.extend(rows.iter().map(|row| keys.map(|key| text(row, key))));
    terminal::table(&mut out, &table)?;
    for row in rows {
        for notice in row["notices"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            writeln!(out, "{}: note: {}", text(row, "server"), one_line(notice))?;
        }
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value)]
fn failed(error: Error) -> Failed {
    Failed::new(Exit::Failure, error.to_string())
}
