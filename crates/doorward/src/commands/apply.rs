//! `doorward apply`: creates, updates and deletes objects so that they match files, after showing a
//! plan.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use doorward_admin::apply::{APPLY, Applied, Change, Planned, Resources, Wanted};
use doorward_config::PolicySettings;
use serde::Deserialize;

use super::policy;
use super::{Exit, Failed};
use crate::administer::place;
use crate::cli::Apply;
use crate::terminal::{self, one_line};

/// Maximum size in bytes of a file of resources, and maximum number of files.
const MOST: u64 = 4 << 20;
const MOST_FILES: usize = 1_000;

/// A file of resources. It may also name policy files, as the configuration file does.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    policy: Option<PolicySettings>,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

pub async fn run(options: Apply) -> Result<(), Failed> {
    let resources = read(&options.files)?;
    let place = place(&options.kept).await?;
    let wanted = Wanted {
        resources,
        prune: options.prune,
        note: options.note.clone(),
        allow_private: options.allow_private,
    };
    let plan = place.try_out(&APPLY, wanted.clone(), true).await?;
    show(&plan, options.json)?;
    if options.check {
        return match plan.changes.is_empty() {
            true => Ok(()),
            false => Err(Failed::silent(Exit::Usage)),
        };
    }
    if plan.changes.is_empty() {
        return Ok(());
    }
    if !options.yes && std::io::stdin().is_terminal() && !confirmed()? {
        return Err(Failed::new(Exit::Failure, "nothing was changed"));
    }
    let done = place.call(&APPLY, wanted).await?;
    if done.changes != plan.changes {
        eprintln!("note: something else was changed meanwhile; this was applied:");
        show(&done, options.json)?;
    }
    for server in &done.servers {
        let (name, state) = (terminal::name(&server.name), server.state.as_str());
        match &server.why {
            Some(why) => eprintln!("server {name} is {state}: {}", one_line(why)),
            None => eprintln!("server {name} is {state}"),
        }
    }
    let count = done.changes.len();
    eprintln!("applied {count} change{}", if count == 1 { "" } else { "s" });
    Ok(())
}

fn confirmed() -> Result<bool, Failed> {
    eprint!("Apply these changes? [y/N] ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn show(plan: &Applied, json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        return Ok(terminal::json(&mut out, plan)?);
    }
    for planned in &plan.changes {
        let Planned { change, kind, name, differences, needs_review } = planned;
        let (sign, code) = match change {
            Change::Create => ("+", "32"),
            Change::Update => ("~", "33"),
            Change::Delete => ("-", "31"),
        };
        let review = if *needs_review { " (waits for a review)" } else { "" };
        let line = format!("{sign} {} {}{review}", kind.as_str(), terminal::name(name));
        writeln!(out, "{}", terminal::paint(&line, code, terminal::color()))?;
        for difference in differences {
            let text = |value: &serde_json::Value| match value {
                serde_json::Value::Null => "(none)".to_owned(),
                value => one_line(&value.to_string()),
            };
            let (before, after) = (text(&difference.before), text(&difference.after));
            writeln!(out, "    {}: {before} -> {after}", one_line(&difference.path))?;
        }
    }
    if plan.changes.is_empty() {
        writeln!(out, "nothing to change")?;
    }
    Ok(())
}

/// All resources of files and folders. Duplicates are an error.
fn read(paths: &[PathBuf]) -> Result<Resources, Failed> {
    let mut all = Resources::default();
    let mut cedar = Vec::new();
    let mut count = 0;
    for path in paths {
        if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().take(MOST + 1).read_to_string(&mut text)?;
            merge(&mut all, parse(path, &text)?, path)?;
            continue;
        }
        for file in files_of(path)? {
            count += 1;
            if count > MOST_FILES {
                let why = format!("there are more than {MOST_FILES} files");
                return Err(Failed::new(Exit::Config, why));
            }
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".cedar") || name.contains(".test.y") {
                cedar.push(file);
            } else {
                merge(&mut all, parse(&file, &text_of(&file)?)?, &file)?;
            }
        }
    }
    if !cedar.is_empty() {
        let files = policy::read(&cedar)?;
        policy::test(&files, &mut std::io::stderr())?;
        let resources = Resources { policies: Some(files.policies), ..Resources::default() };
        merge(&mut all, resources, Path::new("*.cedar"))?;
    }
    Ok(all)
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> Failed {
    Failed::new(Exit::Config, format!("{}: {why}", path.display()))
}

/// The file itself, or a folder's files of resources, by name.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failed> {
    let metadata = std::fs::metadata(path).map_err(|error| wrong(path, error))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| wrong(path, error))? {
        let file = entry.map_err(|error| wrong(path, error))?.path();
        let kind = file.extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        if matches!(kind, "yaml" | "yml" | "json" | "cedar") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn text_of(path: &Path) -> Result<String, Failed> {
    let length = std::fs::metadata(path).map_err(|error| wrong(path, error))?.len();
    if length > MOST {
        return Err(wrong(path, format_args!("it is larger than {MOST} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| wrong(path, error))
}

fn parse(path: &Path, text: &str) -> Result<Resources, Failed> {
    if text.trim().is_empty() {
        return Ok(Resources::default());
    }
    let File { policy, rest } = serde_saphyr::from_str(text).map_err(|error| wrong(path, error))?;
    let read = serde_path_to_error::deserialize(serde_json::Value::Object(rest));
    let mut resources: Resources = read.map_err(|error| wrong(path, error))?;
    resources.check_kinds().map_err(|problem| wrong(path, problem.detail))?;
    if let Some(policy) = policy {
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths: Vec<PathBuf> = policy.files.iter().map(|file| folder.join(file)).collect();
        let files = policy::read(&paths)?;
        policy::test(&files, &mut std::io::stderr())?;
        if resources.policies.replace(files.policies).is_some() {
            return Err(wrong(path, "expected one of 'policy' and 'policies'"));
        }
    }
    Ok(resources)
}

/// Merges the resources of a file into those of others.
fn merge(all: &mut Resources, more: Resources, path: &Path) -> Result<(), Failed> {
    let known = all.names();
    if let Some((kind, name)) = more.names().into_iter().find(|key| known.contains(key)) {
        let name = terminal::name(&name).into_owned();
        return Err(wrong(path, format_args!("{} {name} is defined twice", kind.as_str())));
    }
    fn add<T>(all: &mut BTreeMap<String, T>, more: BTreeMap<String, T>) {
        all.extend(more);
    }
    add(&mut all.portals, more.portals);
    add(&mut all.budgets, more.budgets);
    add(&mut all.servers, more.servers);
    add(&mut all.directory.users, more.directory.users);
    add(&mut all.directory.agents, more.directory.agents);
    add(&mut all.directory.service_accounts, more.directory.service_accounts);
    add(&mut all.directory.teams, more.directory.teams);
    add(&mut all.directory.tenants, more.directory.tenants);
    all.policies = all.policies.take().or(more.policies);
    Ok(())
}
