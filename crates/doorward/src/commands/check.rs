//! `doorward check`: reports problems of a configuration.

use std::io::Write;

use super::{Exit, Failed};
use crate::cli::Check;
use crate::{config, terminal};

pub fn run(options: &Check) -> Result<(), Failed> {
    let mut findings = Vec::new();
    let mut good = true;
    let mut out = std::io::stdout().lock();
    for path in &options.files {
        match config::load(path) {
            Ok(loaded) => {
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
                match (options.json, report.to_json()) {
                    (true, serde_json::Value::Array(all)) => findings.extend(all),
                    _ => eprint!("{}", report.render(terminal::error_color())),
                }
            }
        }
    }
    if options.json {
        terminal::json(&mut out, &serde_json::Value::Array(findings))?;
    }
    if good { Ok(()) } else { Err(Failed::silent(Exit::Config)) }
}
