//! `doorward stop`: stops something in an emergency, lists what is stopped, and undoes it.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use doorward_governance::stops::{Lifted, Stop as Stopped, StopKind, StopMode, Target};
use doorward_store::random_id;

use super::keys::date;
use super::{Exit, Failed, open};
use crate::cli::{How, Named, Stop};
use crate::terminal::{self, one_line};

/// Stops that are listed at most.
const MOST: i64 = 10_000;

pub async fn run(options: Stop) -> Result<(), Failed> {
    let (kind, name, how) = match options {
        Stop::Server(Named { name, how }) => (StopKind::Server, name, how),
        Stop::Tool { name, how } => (StopKind::Tool, name, how),
        Stop::Agent(Named { name, how }) => (StopKind::Agent, name, how),
        Stop::User(Named { name, how }) => (StopKind::User, name, how),
        Stop::ServiceAccount(Named { name, how }) => (StopKind::ServiceAccount, name, how),
        Stop::Key { id, how } => (StopKind::Key, id, how),
        Stop::Credential { name, how } => (StopKind::Credential, name, how),
        Stop::Client { id, how } => (StopKind::Client, id, how),
        Stop::Tenant(Named { name, how }) => (StopKind::Tenant, name, how),
        Stop::All { how } => (StopKind::All, String::new(), how),
        Stop::List { kept, all, json } => {
            let stops = open(&kept).await?.stops(all, MOST).await?;
            return list(&stops, json);
        }
        Stop::Undo { kept, id, why } => {
            let store = open(&kept).await?;
            let lifted = Lifted { by: store.actor().name.clone(), why, at: now_ms() };
            let (stop, _) = store.lift_stop(&id, &lifted).await?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{} is not stopped any more", one_line(&stop.target.to_string()))?;
            return Ok(());
        }
    };
    set(kind, &name, how).await
}

async fn set(kind: StopKind, name: &str, how: How) -> Result<(), Failed> {
    let invalid = |why: &dyn std::fmt::Display| Failed::new(Exit::Usage, why.to_string());
    let target = Target::new(kind, name).map_err(|why| invalid(&why))?;
    if how.why.trim().is_empty() {
        return Err(invalid(&"a reason is required: --why"));
    }
    let mode = if how.let_end { StopMode::LetEnd } else { StopMode::Cancel };
    let store = open(&how.kept).await?;
    let id = random_id::<8>().map_err(|error| Failed::new(Exit::Failure, error.to_string()))?;
    let (why, by) = (how.why, store.actor().name.clone());
    let stop = Stopped { id, target, why, by, at: now_ms(), mode, lifted: None };
    let (stop, _) = store.put_stop(&stop).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "stopped {} ({})", one_line(&stop.target.to_string()), stop.id)?;
    Ok(())
}

fn list(stops: &[Stopped], json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, &stops)?;
        return Ok(());
    }
    let mut rows =
        vec![["ID", "STOPPED", "SINCE", "BY", "CALLS", "WHY", "UNDONE"].map(str::to_owned)];
    for stop in stops {
        let undone = stop
            .lifted
            .as_ref()
            .map(|lifted| format!("{} by {}: {}", date(lifted.at / 1_000), lifted.by, lifted.why));
        rows.push([
            stop.id.clone(),
            one_line(&stop.target.to_string()),
            date(stop.at / 1_000),
            one_line(&stop.by),
            stop.mode.as_str().into(),
            one_line(&stop.why),
            one_line(&undone.unwrap_or_default()),
        ]);
    }
    terminal::table(&mut out, &rows)?;
    Ok(())
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
