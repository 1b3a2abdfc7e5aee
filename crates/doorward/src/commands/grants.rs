//! `doorward grants`: which clients may act on behalf of which users.

use std::io::Write;

use doorward_admin::service::{ById, grants};
use doorward_store::now;

use super::Failed;
use super::keys::date;
use crate::administer::place;
use crate::cli::Grants;
use crate::terminal::{self, one_line};

pub async fn run(options: Grants) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match options {
        Grants::List { kept, all, json } => {
            let wanted = grants::List { all, ..grants::List::default() };
            let grants = place(&kept).await?.list(&grants::LIST, &wanted).await?;
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
            let grant = place(&kept).await?.call(&grants::REVOKE, ById { id }).await?;
            let (user, client) = (one_line(&grant.subject), one_line(&grant.client_name));
            writeln!(out, "revoked {} of {user} with {client}", grant.id)?;
        }
    }
    Ok(())
}
