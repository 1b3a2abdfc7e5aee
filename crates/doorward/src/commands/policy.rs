//! `doorward policy`: check, test, explain, compare and apply policies.

mod explain;
mod files;
mod simulate;

use std::io::Write;
use std::path::Path;

use doorward_admin::Paging;
use doorward_admin::service::policies;
use doorward_policy::{Finding, PolicySet, ready_made};

pub use self::files::{Files, read, try_read};

use super::keys::date;
use super::{Exit, Failed};
use crate::administer::place;
use crate::cli::{Kept, Policy};
use crate::terminal::{self, one_line};

pub async fn run(options: Policy) -> Result<(), Failed> {
    match options {
        Policy::Check { paths, json } => check(&read(&paths)?, json),
        Policy::Test { paths } => test(&read(&paths)?, &mut std::io::stdout()),
        Policy::Explain(options) => explain::run(*options).await,
        Policy::Simulate(options) => simulate::run(*options).await,
        Policy::Diff { kept, paths } => diff(&kept, &read(&paths)?).await,
        Policy::Apply { kept, paths, note } => {
            let files = read(&paths)?;
            warn(&compile(&files)?);
            test(&files, &mut std::io::stdout())?;
            let wanted = policies::Apply { files: files.policies.clone(), note };
            let applied = place(&kept).await?.call(&policies::APPLY, wanted).await?;
            writeln!(std::io::stdout().lock(), "version {} is active", applied.version)?;
            Ok(())
        }
        Policy::Rollback { kept, to } => {
            let wanted = policies::RollBack { to };
            let applied = place(&kept).await?.call(&policies::ROLL_BACK, wanted).await?;
            writeln!(std::io::stdout().lock(), "version {} is active", applied.version)?;
            Ok(())
        }
        Policy::Versions { kept, json } => versions(&kept, json).await,
        Policy::Show { kept, number } => {
            let place = place(&kept).await?;
            let version = match number {
                Some(version) => version,
                None => {
                    let all = place.list(&policies::VERSIONS, &Paging::default()).await?;
                    let active = all.into_iter().find(|version| version.active_since.is_some());
                    let none = || Failed::new(Exit::Failure, "no policies have been applied");
                    active.ok_or_else(none)?.version
                }
            };
            let shown = place.call(&policies::VERSION, policies::Number { version }).await?;
            let mut out = std::io::stdout().lock();
            for (name, text) in &shown.files {
                writeln!(out, "// {}\n{}", one_line(name), terminal::harmless(text))?;
            }
            Ok(())
        }
        Policy::Example { name: None, .. } => {
            let rows = ready_made::ALL.map(|set| [set.name.to_owned(), set.about.to_owned()]);
            terminal::table(&mut std::io::stdout().lock(), &rows)?;
            Ok(())
        }
        Policy::Example { name: Some(name), output } => example(&name, &output),
        Policy::Schema => {
            write!(std::io::stdout().lock(), "{}", doorward_policy::SCHEMA)?;
            Ok(())
        }
    }
}

/// Compiles the policies, or reports all errors.
fn compile(files: &Files) -> Result<PolicySet, Failed> {
    PolicySet::compile(&files.policies).map_err(|findings| {
        for finding in &findings {
            terminal::complain(&terminal::harmless(&finding.to_string()));
        }
        Failed::silent(Exit::Config)
    })
}

/// Reports statements that are valid but probably mistakes.
fn warn(set: &PolicySet) {
    for finding in set.warnings() {
        eprintln!("{}", terminal::harmless(&finding.to_string()));
    }
}

fn check(files: &Files, json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        let compiled = PolicySet::compile(&files.policies);
        let findings: &[Finding] = match &compiled {
            Ok(set) => set.warnings(),
            Err(findings) => findings,
        };
        terminal::json(&mut out, &findings)?;
        return if compiled.is_ok() { Ok(()) } else { Err(Failed::silent(Exit::Config)) };
    }
    let set = compile(files)?;
    warn(&set);
    let count =
        |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    writeln!(
        out,
        "valid: {} in {}",
        if set.len() == 1 { "1 policy".into() } else { format!("{} policies", set.len()) },
        count(files.policies.len(), "file")
    )?;
    Ok(())
}

/// Runs policy tests, and reports their results.
pub fn test(files: &Files, out: &mut dyn Write) -> Result<(), Failed> {
    let set = compile(files)?;
    let mut failed = 0;
    let mut ran = 0;
    for (file, cases) in files.cases()? {
        for case in cases {
            ran += 1;
            let Err(wrong) = case.run(&set) else { continue };
            failed += 1;
            writeln!(out, "{}: {}: {}", one_line(&file), one_line(&case.name), wrong.why)?;
            if let Some(decision) = wrong.decision {
                explain::show(out, &decision)?;
            }
        }
    }
    match (failed, ran) {
        (_, 0) => writeln!(out, "no tests were found (*.test.yaml)")?,
        (0, ran) => writeln!(out, "{ran} tests passed")?,
        (failed, ran) => {
            writeln!(out, "{failed} of {ran} tests failed")?;
            return Err(Failed::silent(Exit::Failure));
        }
    }
    Ok(())
}

/// The differences between the active policies and others, policy by policy.
async fn diff(kept: &Kept, files: &Files) -> Result<(), Failed> {
    compile(files)?;
    let wanted = policies::Files { files: files.policies.clone() };
    let found = place(kept).await?.call(&policies::DIFF, wanted).await?;
    if found.outdated {
        eprintln!("note: the active policies no longer match the schema");
    }
    let mut out = std::io::stdout().lock();
    let color = terminal::color();
    for policy in &found.policies {
        writeln!(out, "{}", terminal::paint(&one_line(&policy.id), "1", color))?;
        for (sign, code, text) in [("-", "31", &policy.before), ("+", "32", &policy.after)] {
            for line in text.iter().flat_map(|text| text.lines()) {
                let line = format!("{sign} {}", terminal::harmless(line));
                writeln!(out, "{}", terminal::paint(&line, code, color))?;
            }
        }
    }
    if found.policies.is_empty() {
        writeln!(out, "nothing would change")?;
    }
    Ok(())
}

async fn versions(kept: &Kept, json: bool) -> Result<(), Failed> {
    let versions = place(kept).await?.list(&policies::VERSIONS, &Paging::default()).await?;
    let mut out = std::io::stdout().lock();
    if json {
        return Ok(terminal::json(&mut out, &versions)?);
    }
    let mut rows = vec![["VERSION", "MADE", "IN FORCE", "NOTE"].map(str::to_owned)];
    rows.extend(versions.iter().map(|version| {
        let since = version.active_since.map(|since| format!("since {}", date(since)));
        [
            version.version.to_string(),
            date(version.created),
            since.unwrap_or_else(|| "-".into()),
            one_line(&version.note),
        ]
    }));
    terminal::table(&mut out, &rows)?;
    Ok(())
}

fn example(name: &str, folder: &Path) -> Result<(), Failed> {
    let unknown = || {
        let names = ready_made::ALL.map(|set| set.name).join(", ");
        Failed::new(Exit::Usage, format!("there is no set '{name}'; expected one of {names}"))
    };
    let set = ready_made::find(name).ok_or_else(unknown)?;
    std::fs::create_dir_all(folder)?;
    let mut out = std::io::stdout().lock();
    for (ending, text) in [("cedar", set.policies), ("test.yaml", set.tests)] {
        let path = folder.join(format!("{name}.{ending}"));
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).open(&path);
        let there = |error| Failed::new(Exit::Failure, format!("{}: {error}", path.display()));
        file.map_err(there)?.write_all(text.as_bytes())?;
        writeln!(out, "{}", path.display())?;
    }
    if set.only_forbids {
        eprintln!("note: it only forbids; add policies that permit, such as 'open'");
    }
    Ok(())
}
