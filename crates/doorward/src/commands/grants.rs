//! `doorward grants` and `doorward clients`: which clients act on behalf of which users.

use std::io::Write;

use doorward_store::now;

use super::keys::date;
use super::{Failed, open};
use crate::cli::{Clients, Grants};
use crate::terminal::{self, one_line};

pub async fn run(options: Grants) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match options {
        Grants::List { kept, all, json } => {
            let grants = open(&kept).await?.grants(all).await?;
            if json {
                terminal::json(&mut out, &grants)?;
                return Ok(());
            }
            let mut rows =
                vec![["ID", "USER", "CLIENT", "STATE", "EXPIRES", "FOR"].map(str::to_owned)];
            for grant in &grants {
                let state = if grant.is_good_at(now()) { "good" } else { "revoked" };
                rows.push([
                    grant.id.clone(),
                    one_line(&grant.subject),
                    one_line(&grant.client_name),
                    state.into(),
                    date(grant.expires),
                    one_line(&grant.resource),
                ]);
            }
            terminal::table(&mut out, &rows)?;
        }
        Grants::Revoke { kept, id } => {
            let grant = open(&kept).await?.revoke_grant(&id).await?;
            let (user, client) = (one_line(&grant.subject), one_line(&grant.client_name));
            writeln!(out, "revoked {} of {user} with {client}", grant.id)?;
        }
    }
    Ok(())
}

pub async fn run_clients(options: Clients) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match options {
        Clients::List { kept, json } => {
            let clients = open(&kept).await?.clients().await?;
            let named = |registration: &str| -> serde_json::Value {
                serde_json::from_str(registration).unwrap_or_default()
            };
            if json {
                let mut all = serde_json::to_value(&clients).unwrap_or_default();
                for one in all.as_array_mut().into_iter().flatten() {
                    one["registration"] = named(one["registration"].as_str().unwrap_or_default());
                }
                terminal::json(&mut out, &all)?;
                return Ok(());
            }
            let mut rows = vec![["ID", "NAME", "REGISTERED", "LAST CONSENT"].map(str::to_owned)];
            for client in &clients {
                let name = named(&client.registration);
                rows.push([
                    client.id.clone(),
                    one_line(name["client_name"].as_str().unwrap_or_default()),
                    date(client.created),
                    client.used.map_or_else(|| "never".into(), date),
                ]);
            }
            terminal::table(&mut out, &rows)?;
        }
        Clients::Remove { kept, id } => {
            open(&kept).await?.remove_client(&id).await?;
            writeln!(out, "removed {} and revoked its grants", one_line(&id))?;
        }
    }
    Ok(())
}
