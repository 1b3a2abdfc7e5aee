//! `doorward credentials`: credentials that users, agents, teams and tenants have provided for servers.

use std::io::{IsTerminal, Read, Write};

use doorward_admin::service::{Named, credentials};
use doorward_identity::delegation::GATEWAY;
use doorward_store::{Error, MasterKey};
use zeroize::Zeroizing;

use super::keys::{date, whom};
use super::{Exit, Failed, open};
use crate::administer::Place;
use crate::cli::{Credentials, Kept, Sealing};
use crate::config;
use crate::terminal::{self, one_line};

/// Longest credential that is kept.
const MOST: u64 = 16 << 10;

pub async fn run(options: Credentials) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match options {
        Credentials::Set { kept, sealing, server, owner } => {
            let key = master_key(&kept, &sealing)?;
            let (kind, name) = whom(&owner)?;
            let secret = read_secret()?;
            let store = open(&kept).await?;
            store.put_credential(&key, &server, (kind, &name), &secret).await?;
            writeln!(
                out,
                "stored for {}: {kind} {}",
                terminal::name(&server),
                terminal::name(&name)
            )?;
        }
        Credentials::List { kept, json } => {
            let store = open(&kept).await?;
            let (given, delegated) = (store.credentials().await?, store.all_delegated().await?);
            if json {
                let marked = |mut one: serde_json::Value, kind: &str| {
                    one["kind"] = kind.into();
                    one
                };
                let given = given.iter().map(|one| marked(serde_json::json!(one), "credential"));
                let grants = delegated.iter().map(|one| marked(serde_json::json!(one), "grant"));
                terminal::json(&mut out, &given.chain(grants).collect::<Vec<_>>())?;
                return Ok(());
            }
            let mut rows = vec![["SERVER", "OWNER", "KIND", "CHANGED"].map(str::to_owned)];
            for one in &given {
                let owner = format!("{} {}", one.owner_kind, terminal::name(&one.owner));
                rows.push([
                    terminal::name(&one.server).into_owned(),
                    owner,
                    "credential".into(),
                    date(one.changed),
                ]);
            }
            for one in &delegated {
                let (server, owner) =
                    (terminal::name(&one.server).into_owned(), one_line(&one.owner));
                rows.push([server, owner, "grant".into(), date(one.changed)]);
            }
            terminal::table(&mut out, &rows)?;
        }
        Credentials::Remove { kept, server, owner } => {
            let (kind, name) = whom(&owner)?;
            let store = open(&kept).await?;
            let owner = format!("{kind} {name:?}");
            match store.remove_credential(&server, kind, &name).await {
                Err(Error::Absent { .. }) => store.remove_delegated(&server, &owner).await?,
                removed => removed?,
            }
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
            open(&kept).await?.remove_delegated(&server, GATEWAY).await?;
            writeln!(out, "deleted for {}: the gateway's own grant", terminal::name(&server))?;
        }
        Credentials::Rekey { kept, sealing, new_key } => {
            let old = master_key(&kept, &sealing)?;
            let new = checked(&new_key)?;
            let count = open(&kept).await?.rekey(&old, &new).await?;
            writeln!(out, "re-encrypted {count} secrets: start the gateway with the new key")?;
        }
    }
    Ok(())
}

pub fn master_key(kept: &Kept, sealing: &Sealing) -> Result<MasterKey, Failed> {
    if let Some(key) = &sealing.store_key {
        return checked(key);
    }
    let none = || {
        let why = "there is no master key: set DOORWARD_STORE_KEY, or 'store_key' in the \
            configuration";
        Failed::new(Exit::Usage, why)
    };
    let path = kept.config.as_ref().ok_or_else(none)?;
    let loaded = config::load(path).map_err(|report| Failed::report(&report))?;
    checked(loaded.settings.store_key.as_ref().ok_or_else(none)?.expose())
}

fn checked(key: &str) -> Result<MasterKey, Failed> {
    if key.len() < 32 {
        return Err(Failed::new(Exit::Usage, "a master key must have at least 32 characters"));
    }
    MasterKey::new(key).map_err(|error| Failed::new(Exit::Failure, error.to_string()))
}

/// One line of standard input: what is on the command line, others can see.
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
