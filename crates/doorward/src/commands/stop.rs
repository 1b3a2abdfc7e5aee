//! `doorward stop`: sets, lists and lifts emergency stops.

use std::io::Write;

use doorward_admin::service::stops::{self, StopItem};

use super::Failed;
use super::keys::date;
use crate::administer::place;
use crate::cli::{How, Named, OfServer, Stop};
use crate::terminal::{self, one_line};

pub async fn run(options: Stop) -> Result<(), Failed> {
    let (kind, name, how) = match options {
        Stop::Server(Named { name, how }) => ("server", name, how),
        Stop::Tool { name, how } => ("tool", name, how),
        Stop::Agent(Named { name, how }) => ("agent", name, how),
        Stop::User(Named { name, how }) => ("user", name, how),
        Stop::ServiceAccount(Named { name, how }) => ("service_account", name, how),
        Stop::Key { id, how } => ("key", id, how),
        Stop::Credential(OfServer { name, how }) => ("credential", name, how),
        Stop::Client { id, how } => ("client", id, how),
        Stop::Tenant(Named { name, how }) => ("tenant", name, how),
        Stop::All { how } => ("all", String::new(), how),
        Stop::List { kept, all, json } => {
            let wanted = stops::List { all, ..stops::List::default() };
            return list(&place(&kept).await?.list(&stops::LIST, &wanted).await?, json);
        }
        Stop::Undo { kept, id, why } => {
            let wanted = stops::Lift { id, why };
            let stop = place(&kept).await?.call(&stops::LIFT, wanted).await?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{} is not stopped any more", about(&stop))?;
            tell(&stop);
            return Ok(());
        }
    };
    set(kind, name, how).await
}

async fn set(kind: &str, name: String, how: How) -> Result<(), Failed> {
    let How { kept, why, let_end } = how;
    let wanted = stops::Set { kind: kind.into(), name, why, let_end };
    let stop = place(&kept).await?.call(&stops::SET, wanted).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "stopped {} ({})", about(&stop), stop.id)?;
    tell(&stop);
    Ok(())
}

fn about(stop: &StopItem) -> String {
    let kind = stop.kind.replace('_', " ");
    match stop.name.as_str() {
        "" => kind,
        name => format!("{kind} {}", one_line(name)),
    }
}

/// Reports what a stop does not cover yet.
fn tell(stop: &StopItem) {
    if stop.known_by.as_deref() == Some("this_gateway") {
        terminal::complain(
            "the database cannot be written: this gateway obeys now, the others when the database is back",
        );
    }
    if stop.survives_restart == Some(false) {
        terminal::complain("this is lost if the gateway is restarted before the database is back");
    }
}

fn list(stops: &[StopItem], json: bool) -> Result<(), Failed> {
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
            about(stop),
            date(stop.at / 1_000),
            one_line(&stop.by),
            stop.mode.replace('_', " "),
            one_line(&stop.why),
            one_line(&undone.unwrap_or_default()),
        ]);
    }
    terminal::table(&mut out, &rows)?;
    Ok(())
}
