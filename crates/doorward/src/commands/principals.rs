//! `doorward principals`: users, agents and service accounts, and their memberships.

use std::io::Write;

use doorward_admin::service::principals;
use doorward_store::Entry;

use super::Failed;
use crate::administer::{place, place_with_key};
use crate::cli::Principals;
use crate::terminal;

pub async fn run(options: Principals) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match options {
        Principals::Set { kept, kind, name, tenant, teams, roles, disabled } => {
            let entry = Entry {
                tenant,
                teams: teams.into_iter().collect(),
                roles: roles.into_iter().collect(),
                disabled,
                ..Entry::new(kind, &name)
            };
            let Entry { tenant, teams, roles, .. } = entry.clone();
            let wanted =
                principals::Put { kind, name: name.clone(), tenant, teams, roles, disabled };
            place(&kept).await?.call(&principals::PUT, wanted).await?;
            writeln!(out, "{kind} {}: {}", terminal::name(&name), belongings(&entry))?;
        }
        Principals::Remove { kept, kind, name } => {
            let whom = principals::Whom { kind, name: name.clone() };
            place(&kept).await?.call(&principals::REMOVE, whom).await?;
            writeln!(out, "deleted {kind} {}", terminal::name(&name))?;
        }
        Principals::Rename { kept, sealing, kind, old, new } => {
            let wanted = principals::Rename { kind, name: old.clone(), to: new.clone() };
            let place = place_with_key(&kept, &sealing).await?;
            let count = place.call(&principals::RENAME, wanted).await?.places;
            let (old, new) = (terminal::name(&old), terminal::name(&new));
            writeln!(out, "renamed {kind} {old} to {new} in {count} places")?;
            eprintln!(
                "note: policies, limits and the configuration that refer to {old} are not changed"
            );
        }
        Principals::List { kept, json } => {
            let wanted = principals::List::default();
            let all = place(&kept).await?.list(&principals::LIST, &wanted).await?;
            let all: Vec<_> = all.into_iter().map(|listed| listed.entry).collect();
            if json {
                terminal::json(&mut out, &all)?;
                return Ok(());
            }
            let mut rows = vec![["KIND", "NAME", "BELONGS TO"].map(str::to_owned)];
            for entry in &all {
                rows.push([
                    entry.kind.to_string(),
                    terminal::name(&entry.name).into_owned(),
                    belongings(entry),
                ]);
            }
            terminal::table(&mut out, &rows)?;
        }
    }
    Ok(())
}

fn belongings(entry: &Entry) -> String {
    let mut parts = Vec::new();
    parts.extend(entry.tenant.iter().map(|tenant| format!("tenant {}", terminal::name(tenant))));
    parts.extend(entry.teams.iter().map(|team| format!("team {}", terminal::name(team))));
    parts.extend(entry.roles.iter().map(|role| format!("role {}", terminal::name(role))));
    if entry.disabled {
        parts.push("disabled".into());
    }
    if parts.is_empty() { "-".into() } else { parts.join(", ") }
}
