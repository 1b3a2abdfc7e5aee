//! Instructions per call, with a minimal configuration and with everything on: a way to compare two builds on a
//! shared machine. One caller makes a fixed number of calls, so that runs differ little. Valgrind does not see the
//! kernel's part.
//!
//! A file beside the sources contains the accepted count, so that a change that makes a call more expensive is
//! noticed.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use doorward_bench::backend::{Backend, Era};
use doorward_bench::callgrind::{Counted, is_installed};
use doorward_bench::load::{Ask, Connection, Target};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{text, yardstick};

const WARM_UP: u32 = 500;
const CALLS: u32 = 2_000;
/// A gateway under valgrind is about fifty times slower.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much the count may exceed the accepted one, in percent. Two runs of one build differ by less.
const TOLERATED: u64 = 3;

/// How the counts are compared and stored.
#[derive(Debug, clap::Args)]
pub struct Accepted {
    /// With --instructions: fail if a call takes over 3% more instructions than this file says
    #[arg(long, value_name = "FILE", requires = "instructions")]
    at_most: Option<PathBuf>,
    /// With --instructions: write the instructions of a call to this file, for --at-most
    #[arg(long, value_name = "FILE", requires = "instructions", conflicts_with = "at_most")]
    accept: Option<PathBuf>,
    /// With --instructions: leave callgrind's profiles in this folder, for callgrind_annotate
    #[arg(long, value_name = "FOLDER", requires = "instructions")]
    profiles: Option<PathBuf>,
}

/// Instructions per call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    bare: u64,
    all_on: u64,
}

impl Figures {
    fn each(self) -> [(&'static str, u64); 2] {
        [("a bare call", self.bare), ("a call with everything on", self.all_on)]
    }

    /// Describes the counts beside the accepted ones; an error if one is too large.
    fn beside(self, accepted: Self, file: &Path) -> Result<String, String> {
        let file = file.display();
        let (mut dearer, mut cheaper) = (String::new(), String::new());
        for ((name, found), (_, accepted)) in self.each().into_iter().zip(accepted.each()) {
            let change = 100.0 * (found as f64 / accepted as f64 - 1.0);
            let told = format!(
                "{name} takes {found} instructions, {change:+.1}% beside the {accepted} in {file}\n"
            );
            if found * 100 > accepted * (100 + TOLERATED) {
                dearer += &told;
            } else if found * 100 < accepted * (100 - TOLERATED) {
                cheaper += &told;
            }
        }
        let accept =
            format!("cargo run --release -p doorward-bench -- --instructions --accept {file}");
        if !dearer.is_empty() {
            let _ = write!(
                dearer,
                "Over {TOLERATED}% more than was accepted: find out what costs it (--profiles), or, if it is worth it, \
                 accept it, and say why in the commit:\n  {accept}"
            );
            return Err(dearer);
        }
        if !cheaper.is_empty() {
            let _ = write!(cheaper, "Accept it, so that it stays so:\n  {accept}");
            return Ok(cheaper);
        }
        Ok(format!("within {TOLERATED}% of what {file} says"))
    }
}

/// Prints both counts, or what is missing to measure them.
pub async fn a_call(program: &Path, modern: &Backend, accepted: &Accepted) -> Result<(), String> {
    if !is_installed() {
        return Err("instructions are counted by valgrind: apt-get install valgrind".into());
    }
    // Read the file first, before minutes are spent on measuring.
    let known = accepted.at_most.as_deref().map(read).transpose()?;
    let own = std::env::temp_dir().join(format!("doorward-callgrind-{}", std::process::id()));
    let folder = accepted.profiles.as_ref().unwrap_or(&own);
    std::fs::create_dir_all(folder).map_err(text)?;
    if std::fs::read_dir(folder).map_err(text)?.next().is_some() {
        return Err(format!("{} is not empty", folder.display()));
    }
    let done = measure(program, modern, folder).await;
    let _ = std::fs::remove_dir_all(&own);
    let figures = done?;
    if let Some(file) = &accepted.accept {
        let written = serde_json::to_string_pretty(&figures).map_err(text)?;
        std::fs::write(file, written + "\n").map_err(|it| format!("{}: {it}", file.display()))?;
    }
    if let (Some(known), Some(file)) = (known, &accepted.at_most) {
        println!("{}", figures.beside(known, file)?);
    }
    Ok(())
}

fn read(file: &Path) -> Result<Figures, String> {
    let text = std::fs::read(file).map_err(|it| format!("{}: {it}", file.display()))?;
    serde_json::from_slice(&text).map_err(|it| format!("{}: {it}", file.display()))
}

async fn measure(program: &Path, modern: &Backend, folder: &Path) -> Result<Figures, String> {
    println!("{:<16} {:>19} {:>7}", "instructions", "a call, user mode", "÷ bare");
    let bare = yardstick::bare(modern);
    let counted = Counted::start(program, &bare, "none", folder.join("bare"))?;
    let bare = count(&counted, None).await?;
    drop(counted);
    println!("{:<16} {bare:>19.0} {:>7.2}", "gateway, bare", 1.0);
    let full = yardstick::Full::prepare(program, modern, folder)?;
    let counted = Counted::start(program, &full.config, &full.store, folder.join("full"))?;
    let all = count(&counted, Some(full.key)).await?;
    println!("{:<16} {all:>19.0} {:>7.2}", "gateway, all on", all / bare);
    Ok(Figures { bare: bare.round() as u64, all_on: all.round() as u64 })
}

async fn count(counted: &Counted, token: Option<String>) -> Result<f64, String> {
    let address = counted.gateway.address.clone();
    let target = Target { address, path: "/mcp/modern".into(), era: Era::Modern, token };
    let work = async {
        let small = Ask::tool("echo", &json!({ "text": "hello" }));
        let mut connection = connect(&target, &small).await?;
        let request = connection.written(small.method, &small.params);
        for _ in 0..WARM_UP {
            connection.exchange(&request).await.map_err(text)?;
        }
        counted.zero()?;
        for _ in 0..CALLS {
            connection.exchange(&request).await.map_err(text)?;
        }
        Ok(counted.instructions()? as f64 / f64::from(CALLS))
    };
    let late = |_| format!("{CALLS} calls under valgrind took more than {PATIENCE:?}");
    tokio::time::timeout(PATIENCE, work).await.map_err(late)?
}

/// Opens a connection and waits until its first call succeeds: the gateway must find its server first.
async fn connect(target: &Target, ask: &Ask) -> Result<Connection, String> {
    let began = Instant::now();
    loop {
        let mut connection = Connection::open(target).await.map_err(text)?;
        let request = connection.written(ask.method, &ask.params);
        match connection.exchange(&request).await {
            Ok(_) => return Ok(connection),
            Err(error) if began.elapsed() > PATIENCE / 4 => return Err(error.to_string()),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_clearly_dearer_fails_and_it_is_told_what_to_do() {
        let accepted = Figures { bare: 100_000, all_on: 200_000 };
        let file = Path::new("figures.json");
        let beside = |bare, all_on| Figures { bare, all_on }.beside(accepted, file);
        assert!(beside(103_000, 194_000).unwrap().starts_with("within"));
        let why = beside(103_001, 200_000).unwrap_err();
        assert!(why.contains("a bare call takes 103001") && why.contains("--accept figures.json"));
        assert!(!why.contains("everything"), "{why}");
        assert!(beside(90_000, 206_001).unwrap_err().contains("a call with everything on"));
        assert!(beside(96_999, 200_000).unwrap().contains("a bare call"));
    }

    #[test]
    fn the_figures_that_were_accepted_can_be_read() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
        assert!(read(&file).unwrap().bare > 0);
    }
}
