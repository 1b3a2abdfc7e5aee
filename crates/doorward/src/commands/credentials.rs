//! `doorward credentials`: credentials that users, agents, teams and tenants have provided for servers.

use std::io::{IsTerminal, Read, Write};

use doorward_admin::Paging;
use doorward_admin::service::Named;
use doorward_admin::service::credentials::{self, CredentialKind};
use zeroize::Zeroizing;

use super::keys::{date, whom};
use super::{Exit, Failed};
use crate::administer::{Place, place, place_with_key};
use crate::cli::Credentials;
use crate::terminal::{self, one_line};

/// Maximum size of a stored credential.
const MOST: u64 = 16 << 10;

pub async fn run(options: Credentials) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match options {
        Credentials::Set { kept, sealing, server, owner } => {
            let place = place_with_key(&kept, &sealing).await?;
            let (kind, name) = whom(&owner)?;
            let secret = read_secret()?.to_string();
            let wanted =
                credentials::Put { server: server.clone(), kind, owner: name.clone(), secret };
            place.call(&credentials::PUT, wanted).await?;
            writeln!(
                out,
                "stored for {}: {kind} {}",
                terminal::name(&server),
                terminal::name(&name)
            )?;
        }
        Credentials::List { kept, json } => {
            let all = place(&kept).await?.list(&credentials::LIST, &Paging::default()).await?;
            if json {
                return Ok(terminal::json(&mut out, &all)?);
            }
            let mut rows = vec![["SERVER", "OWNER", "KIND", "CHANGED"].map(str::to_owned)];
            rows.extend(all.iter().map(|one| {
                let kind = match one.kind {
                    CredentialKind::Credential => "credential",
                    CredentialKind::Grant => "grant",
                };
                let server = terminal::name(&one.server).into_owned();
                [server, one_line(&one.owner), kind.into(), date(one.changed)]
            }));
            terminal::table(&mut out, &rows)?;
        }
        Credentials::Remove { kept, server, owner } => {
            let (kind, name) = whom(&owner)?;
            let wanted = credentials::Whose { server: server.clone(), kind, owner: name.clone() };
            place(&kept).await?.call(&credentials::REMOVE, wanted).await?;
            writeln!(
                out,
                "deleted for {}: {kind} {}",
                terminal::name(&server),
                terminal::name(&name)
            )?;
        }
        Credentials::Connect { server, operator } => {
            let place = Place::Gateway(operator);
            let link = place.call(&credentials::CONNECT, Named { name: server }).await?;
            eprintln!(
                "open this URL within 15 minutes, and sign in with the account that the gateway \
                    is to use:"
            );
            writeln!(out, "{}", link.url)?;
        }
        Credentials::Disconnect { kept, server } => {
            let wanted = Named { name: server.clone() };
            place(&kept).await?.call(&credentials::DISCONNECT, wanted).await?;
            writeln!(out, "deleted for {}: the gateway's own grant", terminal::name(&server))?;
        }
        Credentials::Rekey { kept, sealing, new_key } => {
            let wanted = credentials::Rekey { new_key };
            let place = place_with_key(&kept, &sealing).await?;
            let done = place.call(&credentials::REKEY, wanted).await?;
            let count = done.secrets;
            writeln!(out, "re-encrypted {count} secrets: start the gateway with the new key")?;
        }
    }
    Ok(())
}

/// Reads one line of standard input: other users can see the command line.
fn read_secret() -> Result<Zeroizing<String>, Failed> {
    if std::io::stdin().is_terminal() {
        eprintln!("Enter the credential, then press Ctrl-D:");
    }
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(MOST + 1).read_to_string(&mut text)?;
    let secret = text.trim();
    let plain = http::HeaderValue::try_from(secret).is_ok();
    if secret.is_empty() || text.len() as u64 > MOST || !plain {
        let why = "standard input must contain one credential, exactly as it is sent in a header";
        return Err(Failed::new(Exit::Usage, why));
    }
    Ok(Zeroizing::new(secret.to_owned()))
}
