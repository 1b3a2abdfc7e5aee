//! `doorward audit verify`: whether the audit log is intact.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use doorward_admin::service::audit::{VERIFY, Verify, read_key};
use doorward_store::{PublicKeys, Report, Verifier, files};

use crate::administer::place;
use crate::cli::{Kept, Trust};
use crate::commands::{Exit, Failed};
use crate::terminal::{self, one_line};

pub async fn run(
    kept: &Kept,
    files: &[PathBuf],
    trust: &Trust,
    anchors: &[PathBuf],
    json: bool,
) -> Result<(), Failed> {
    let report = if files.is_empty() {
        let mut texts = BTreeMap::new();
        for path in anchors {
            warn_of_others(path);
            let failed = |error| Failed::new(Exit::Failure, format!("{}: {error}", path.display()));
            texts
                .insert(path.display().to_string(), std::fs::read_to_string(path).map_err(failed)?);
        }
        let wanted =
            Verify { keys: keys_of(trust), trust_database: trust.trust_database, anchors: texts };
        let verified = place(kept).await?.call(&VERIFY, wanted).await?;
        warn(&verified.warnings);
        note_untrusted(verified.untrusted_keys);
        verified.report
    } else {
        of_files(files, trust, anchors)?
    };
    tell(&report, json)?;
    if report.is_good() { Ok(()) } else { Err(Failed::silent(Exit::Failure)) }
}

/// The named public keys, one per line.
pub fn keys_of(trust: &Trust) -> Vec<String> {
    let lines = trust.keys.iter().flat_map(|text| text.lines());
    lines.filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

pub fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("warning: {}", one_line(warning));
    }
}

/// Reports that keys are not trusted, and how to trust them.
pub fn note_untrusted(count: usize) {
    if count > 0 {
        eprintln!(
            "note: {count} of the keys in the database are not trusted, because anyone who can \
                write records can also write keys; pass the configuration with --config, more \
                keys with --public-key, or use --trust-database"
        );
    }
}

/// Verifies exported files, without a gateway.
fn of_files(files: &[PathBuf], trust: &Trust, anchors: &[PathBuf]) -> Result<Report, Failed> {
    let read = keys_of(trust).into_iter().map(|text| read_key(&text));
    let trusted: Result<PublicKeys, String> = read.collect();
    let trusted = trusted.map_err(|why| Failed::new(Exit::Usage, why))?;
    if trusted.is_empty() {
        let why = "no trusted key: pass one with --public-key; 'doorward audit key' prints it";
        return Err(Failed::new(Exit::Usage, why));
    }
    let mut verifier = Verifier::new(trusted, false).trusting_database(trust.trust_database);
    for anchor in anchors {
        read_anchor(&mut verifier, anchor)?;
    }
    for file in files {
        each_line(file, |line| verifier.gather(line))?;
    }
    for file in files {
        each_line(file, |line| verifier.check(line))?;
    }
    Ok(verifier.finish())
}

fn read_anchor(verifier: &mut Verifier, path: &Path) -> Result<(), Failed> {
    warn_of_others(path);
    let name = path.display().to_string();
    let (mut number, mut has_checkpoint) = (0, false);
    each_line(path, |line| {
        number += 1;
        has_checkpoint |= verifier.anchor(&name, number, line);
    })?;
    if !has_checkpoint {
        verifier.no_anchor(&name);
    }
    Ok(())
}

/// Warns that a file that others can write proves nothing.
fn warn_of_others(path: &Path) {
    if let Some(is) = files::open_to_others(path, 0o022) {
        let path = path.display();
        warn(&[format!("others may write {path} (mode {is:04o}), so it proves nothing")]);
    }
}

fn each_line(path: &Path, mut take: impl FnMut(&str)) -> Result<(), Failed> {
    let failed = |error| Failed::new(Exit::Failure, format!("{}: {error}", path.display()));
    let file = BufReader::new(std::fs::File::open(path).map_err(failed)?);
    for line in file.lines() {
        let line = line.map_err(failed)?;
        if !line.is_empty() {
            take(&line);
        }
    }
    Ok(())
}

fn tell(report: &Report, json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        return Ok(terminal::json(&mut out, report)?);
    }
    for finding in &report.findings {
        writeln!(
            out,
            "{}",
            terminal::paint(&one_line(&finding.to_string()), "31", terminal::color())
        )?;
    }
    if report.more > 0 {
        writeln!(out, "and {} more", report.more)?;
    }
    writeln!(
        out,
        "{} records in {} chains, {} checkpoints, {} records removed by retention",
        report.records,
        report.chains.len(),
        report.checkpoints,
        report.removed
    )?;
    let open: i64 = report.chains.values().map(|chain| chain.last - chain.checkpointed).sum();
    if open > 0 {
        writeln!(out, "{open} records are newer than the last checkpoint that covers them")?;
    }
    let verdict = if report.is_good() {
        ("the audit log is intact", "32")
    } else {
        ("THE RECORD IS NOT WHOLE", "1;31")
    };
    writeln!(out, "{}", terminal::paint(verdict.0, verdict.1, terminal::color()))?;
    Ok(())
}
