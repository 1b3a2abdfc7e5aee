//! `doorward servers diff`, `accept` and `refuse`: servers' definitions without approval.

use std::io::{self, Write};

use doorward_admin::Operation;
use doorward_admin::service::life::{self, Compare, Decided, Decision, Withheld};
use doorward_governance::pins::diff::{Change, Side};

use super::life::at;
use crate::cli::{DecideDefinitions, OneServer};
use crate::commands::{Exit, Failed};
use crate::terminal::{self, one_line};

/// Digits of a hash that are printed, and the minimum to enter.
const SHOWN: usize = 16;
const FEWEST: usize = 8;
const PREFIX: &str = "sha256:";

fn digits(hash: &str) -> &str {
    hash.strip_prefix(PREFIX).unwrap_or(hash)
}

pub async fn diff(options: OneServer) -> Result<(), Failed> {
    let place = at(&options.at).await?;
    let input = Compare { name: options.name, ..Compare::default() };
    let withheld = place.list(&life::DIFF, &input).await?;
    let mut out = io::stdout().lock();
    if options.json {
        terminal::json(&mut out, &withheld)?;
        return Ok(());
    }
    if withheld.is_empty() {
        writeln!(out, "{}: nothing is withheld", terminal::name(&input.name))?;
    }
    for one in &withheld {
        print(&mut out, one)?;
    }
    Ok(())
}

fn print(out: &mut impl Write, one: &Withheld) -> io::Result<()> {
    let hash = digits(&one.hash);
    let what = match (&one.refused_by, one.is_new) {
        (Some(who), _) => format!("was refused by {}", one_line(who)),
        (None, true) => "is new".into(),
        (None, false) => "differs from what was approved".into(),
    };
    let named =
        if one.name.is_empty() { String::new() } else { format!(" {}", terminal::name(&one.name)) };
    let heading = format!("{}{named} ({})", one.kind, one.era);
    let heading = terminal::paint(&heading, "1", terminal::color());
    writeln!(out, "{heading} {}: {what}", hash.get(..SHOWN).unwrap_or(hash))?;
    changes(out, &one.changes)
}

/// Prints changes as `[-old-]` and `{+new+}` within the common text.
pub fn changes(out: &mut impl Write, all: &[Change]) -> io::Result<()> {
    let color = terminal::color();
    for Change { path, pieces } in all {
        let path = if path.is_empty() { "(all of it)" } else { path };
        write!(out, "  {}: ", one_line(path))?;
        for piece in pieces {
            let text = terminal::harmless(&piece.text);
            match piece.is {
                Side::Both => write!(out, "{text}")?,
                Side::Old => {
                    write!(out, "{}", terminal::paint(&format!("[-{text}-]"), "31", color))?;
                }
                Side::New => {
                    write!(out, "{}", terminal::paint(&format!("{{+{text}+}}"), "32", color))?;
                }
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

pub async fn decide(
    options: DecideDefinitions,
    operation: &Operation<Decision, Decided>,
) -> Result<(), Failed> {
    let place = at(&options.at).await?;
    let input = Compare { name: options.name.clone(), ..Compare::default() };
    let withheld = place.list(&life::DIFF, &input).await?;
    let hashes = match options.all {
        true => withheld
            .iter()
            .filter(|one| one.refused_by.is_none())
            .map(|one| one.hash.clone())
            .collect(),
        false => options
            .hashes
            .iter()
            .map(|wanted| whole(wanted, &withheld))
            .collect::<Result<Vec<_>, _>>()?,
    };
    if hashes.is_empty() {
        let why = format!("nothing of '{}' waits for a decision", options.name);
        return Err(Failed::new(Exit::Failure, why));
    }
    let decided = place.call(operation, Decision { name: options.name, hashes }).await?;
    let mut out = io::stdout().lock();
    if options.json {
        terminal::json(&mut out, &decided)?;
        return Ok(());
    }
    let Decided { server, decided, withheld } = decided;
    let server = terminal::name(&server);
    writeln!(out, "{server}: {decided} decided on, {withheld} withheld")?;
    Ok(())
}

/// The hash with a given prefix.
fn whole(wanted: &str, withheld: &[Withheld]) -> Result<String, Failed> {
    let digits_of = digits(wanted);
    if digits_of.len() < FEWEST {
        let why = format!("'{wanted}' is too short: give at least {FEWEST} digits of a hash");
        return Err(Failed::new(Exit::Usage, why));
    }
    let mut found: Vec<&String> = withheld
        .iter()
        .map(|one| &one.hash)
        .filter(|hash| digits(hash).starts_with(digits_of))
        .collect();
    found.dedup();
    match found[..] {
        [hash] => Ok(hash.clone()),
        [] => {
            Err(Failed::new(Exit::Failure, format!("nothing with the hash '{wanted}' is withheld")))
        }
        _ => Err(Failed::new(Exit::Usage, format!("'{wanted}' begins several hashes"))),
    }
}
