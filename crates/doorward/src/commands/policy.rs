//! `doorward policy`: check, test, explain, compare and apply policies.

mod explain;
mod files;
mod simulate;

use std::io::Write;
use std::path::Path;

use doorward_admin::service::policies;
use doorward_policy::{Finding, PolicySet, ready_made};
use doorward_store::Store;

pub use self::files::{Files, read, try_read};

use super::keys::date;
use super::{Exit, Failed, open};
use crate::administer::place;
use crate::cli::Policy;
use crate::terminal::{self, one_line};

pub async fn run(options: Policy) -> Result<(), Failed> {
    match options {
        Policy::Check { paths, json } => check(&read(&paths)?, json),
        Policy::Test { paths } => test(&read(&paths)?, &mut std::io::stdout()),
        Policy::Explain(options) => explain::run(*options).await,
        Policy::Simulate(options) => simulate::run(*options).await,
        Policy::Diff { kept, paths } => diff(&open(&kept).await?, &read(&paths)?).await,
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
        Policy::Versions { kept, json } => versions(&open(&kept).await?, json).await,
        Policy::Show { kept, number } => {
            let store = open(&kept).await?;
            let shown = match number {
                Some(version) => Some(store.policy_version(version).await?),
                None => store.active_policies().await?,
            };
            let none = || Failed::new(Exit::Failure, "no policies have been applied");
            let mut out = std::io::stdout().lock();
            for (name, text) in &shown.ok_or_else(none)?.files {
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

/// Compiles, or says all that is wrong.
fn compile(files: &Files) -> Result<PolicySet, Failed> {
    PolicySet::compile(&files.policies).map_err(|findings| {
        for finding in &findings {
            terminal::complain(&terminal::harmless(&finding.to_string()));
        }
        Failed::silent(Exit::Config)
    })
}

/// Says what is allowed, and hardly meant.
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

/// Runs the tests of policies, and says how they came out.
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

/// What differs between the policies in force and others, policy by policy.
async fn diff(store: &Store, files: &Files) -> Result<(), Failed> {
    let new = compile(files)?;
    let active = store.active_policies().await?;
    let in_force = active.as_ref().map(|active| active.files.clone()).unwrap_or_default();
    let old = PolicySet::compile(&in_force).unwrap_or_else(|_| {
        eprintln!("note: the active policies no longer match the schema");
        PolicySet::compile(&Default::default())
            .unwrap_or_else(|_| unreachable!("no policies match"))
    });
    let mut out = std::io::stdout().lock();
    let color = terminal::color();
    let mut same = true;
    let mut ids: Vec<&str> = old.policies().chain(new.policies()).map(|(id, _)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let (before, after) = (old.policy(id), new.policy(id));
        if before.map(|it| &it.text) == after.map(|it| &it.text) {
            continue;
        }
        same = false;
        writeln!(out, "{}", terminal::paint(&one_line(id), "1", color))?;
        for (sign, code, about) in [("-", "31", before), ("+", "32", after)] {
            for line in about.iter().flat_map(|about| about.text.lines()) {
                let line = format!("{sign} {}", terminal::harmless(line));
                writeln!(out, "{}", terminal::paint(&line, code, color))?;
            }
        }
    }
    if same {
        writeln!(out, "nothing would change")?;
    }
    Ok(())
}

async fn versions(store: &Store, json: bool) -> Result<(), Failed> {
    let versions = store.policy_versions().await?;
    let activations = store.policy_activations().await?;
    let mut out = std::io::stdout().lock();
    if json {
        let told = serde_json::json!({ "versions": versions, "activations": activations });
        terminal::json(&mut out, &told)?;
        return Ok(());
    }
    let in_force = activations.first().map(|latest| latest.version);
    let mut rows = vec![["VERSION", "MADE", "IN FORCE", "NOTE"].map(str::to_owned)];
    for version in &versions {
        let since = activations.iter().find(|one| one.version == version.version);
        let since = since.filter(|_| in_force == Some(version.version));
        rows.push([
            version.version.to_string(),
            date(version.created),
            since.map_or_else(|| "-".into(), |since| format!("since {}", date(since.since))),
            one_line(&version.note),
        ]);
    }
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
