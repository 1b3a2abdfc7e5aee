//! `doorward check`: reports problems of a configuration, and of the rule and detector files that it names.

use std::io::Write;
use std::path::Path;

use doorward_guards::unmatched;

use super::{Exit, Failed};
use crate::cli::Check;
use crate::config::{Loaded, Report};
use crate::serve::{inspection, stand_beside};
use crate::{config, terminal};

pub fn run(options: &Check) -> Result<(), Failed> {
    let mut findings = Vec::new();
    let mut good = true;
    let mut out = std::io::stdout().lock();
    let mut tell = |report: &Report| match (options.json, report.to_json()) {
        (true, serde_json::Value::Array(all)) => findings.extend(all),
        _ => eprint!("{}", report.render(terminal::error_color())),
    };
    for path in &options.files {
        let checked = config::load(path).and_then(|loaded| {
            let warnings = files(path, &loaded)?;
            Ok((loaded, warnings))
        });
        match checked {
            Ok((loaded, warnings)) => {
                tell(&warnings);
                if options.json {
                    continue;
                }
                for notice in &loaded.notices {
                    writeln!(out, "{}: note: {}", path.display(), terminal::harmless(notice))?;
                }
                let count = loaded.settings.active().count();
                let servers = if count == 1 { "server" } else { "servers" };
                writeln!(out, "{}: valid, {count} {servers}", path.display())?;
            }
            Err(report) => {
                good = false;
                tell(&report);
            }
        }
    }
    if options.json {
        terminal::json(&mut out, &serde_json::Value::Array(findings))?;
    }
    if good { Ok(()) } else { Err(Failed::silent(Exit::Config)) }
}

/// Checks the files of inspection that a configuration names. Returns warnings of patterns that match nothing.
fn files(path: &Path, loaded: &Loaded) -> Result<Report, Report> {
    let mut settings = loaded.settings.clone();
    if let Some(folder) = path.parent() {
        stand_beside(&mut settings, folder);
    }
    let prepared = inspection::prepare(&settings).map_err(|bad| inspection::report(loaded, bad))?;
    Ok(loaded.report(unmatched(&settings, &prepared)).warning())
}
