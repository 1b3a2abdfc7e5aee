//! `doorward registries`: external registries, the states of their entries, and immediate reads.

use std::io::Write;

use doorward_admin::Paging;
use doorward_admin::service::Named;
use doorward_admin::service::registries::{self, Entries};

use super::Failed;
use super::keys::date;
use crate::administer::place;
use crate::cli::Registries;
use crate::terminal::{self, one_line};

pub async fn run(options: Registries) -> Result<(), Failed> {
    match options {
        Registries::List { kept, json } => {
            let all = place(&kept).await?.list(&registries::LIST, &Paging::default()).await?;
            let mut out = std::io::stdout().lock();
            if json {
                terminal::json(&mut out, &all)?;
                return Ok(());
            }
            let mut rows =
                vec![["NAME", "URL", "READ", "NEXT", "ENTRIES", "PROBLEM"].map(str::to_owned)];
            for it in &all {
                let states = it.states.iter().map(|(state, count)| format!("{count} {state}"));
                rows.push([
                    one_line(&it.name),
                    one_line(it.url.as_deref().unwrap_or_default()),
                    it.read.map(date).unwrap_or_default(),
                    it.next.map(date).unwrap_or_default(),
                    states.collect::<Vec<_>>().join(", "),
                    one_line(it.problem.as_deref().unwrap_or_default()),
                ]);
            }
            terminal::table(&mut out, &rows)?;
        }
        Registries::Entries { kept, name, json } => {
            let wanted = Entries { name, ..Entries::default() };
            let all = place(&kept).await?.list(&registries::ENTRIES, &wanted).await?;
            let mut out = std::io::stdout().lock();
            if json {
                terminal::json(&mut out, &all)?;
                return Ok(());
            }
            let mut rows =
                vec![["NAME", "VERSION", "STATE", "SERVER", "REASON"].map(str::to_owned)];
            for it in &all {
                rows.push([
                    one_line(&it.name),
                    one_line(&it.version),
                    it.state.clone(),
                    one_line(it.server.as_deref().unwrap_or_default()),
                    one_line(it.reason.as_deref().unwrap_or_default()),
                ]);
            }
            terminal::table(&mut out, &rows)?;
        }
        Registries::Read { kept, name } => {
            let requested = place(&kept).await?.call(&registries::READ, Named { name }).await?;
            let name = one_line(&requested.requested);
            writeln!(std::io::stdout().lock(), "a running gateway reads {name} within seconds")?;
        }
    }
    Ok(())
}
