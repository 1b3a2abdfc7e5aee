//! `doorward export`: everything created at run time, written as a configuration.

use std::collections::BTreeMap;
use std::io::Write;

use doorward_config::{Directory, Group, Member};
use doorward_store::Kind;

use super::{Exit, Failed, open};
use crate::cli::Export;

pub async fn run(options: Export) -> Result<(), Failed> {
    let store = open(&options.kept).await?;
    let mut directory = Directory::default();
    for entry in store.principals().await? {
        let member = Member {
            tenant: entry.tenant,
            teams: entry.teams,
            roles: entry.roles,
            disabled: entry.disabled,
        };
        let group = Group { disabled: entry.disabled };
        match entry.kind {
            Kind::User => drop(directory.users.insert(entry.name, member)),
            Kind::Agent => drop(directory.agents.insert(entry.name, member)),
            Kind::ServiceAccount => drop(directory.service_accounts.insert(entry.name, member)),
            Kind::Team => drop(directory.teams.insert(entry.name, group)),
            Kind::Tenant => drop(directory.tenants.insert(entry.name, group)),
        }
    }
    let mut all: BTreeMap<&str, serde_json::Value> = BTreeMap::new();
    all.insert("directory", serde_json::to_value(&directory).unwrap_or_default());
    let mut portals = BTreeMap::new();
    for portal in store.portals().await? {
        let definition: serde_json::Value = serde_json::from_str(&portal.definition)
            .map_err(|error| Failed::new(Exit::Failure, format!("{}: {error}", portal.name)))?;
        portals.insert(portal.name, definition);
    }
    if !portals.is_empty() {
        all.insert("portals", serde_json::to_value(&portals).unwrap_or_default());
    }
    if let (Some(folder), Some(active)) = (&options.policies, store.active_policies().await?) {
        std::fs::create_dir_all(folder)?;
        for (name, text) in &active.files {
            // Names were those of files; what they were beside is not made here.
            let name = std::path::Path::new(name).file_name().unwrap_or_default();
            doorward_store::files::write(&folder.join(name), text)?;
        }
        all.insert("policy", serde_json::json!({ "files": [folder] }));
    }
    let text = serde_saphyr::to_string(&all)
        .map_err(|error| Failed::new(Exit::Failure, error.to_string()))?;
    let mut out = std::io::stdout().lock();
    write!(out, "{text}")?;
    let keys = store.keys().await?.into_iter().filter(|key| key.revoked.is_none()).count();
    let (grants, clients) = (store.grants(false).await?.len(), store.clients().await?.len());
    for (count, what, why) in [
        (keys, "API keys", "only their hashes are stored"),
        (store.credentials().await?.len(), "credentials", "they are encrypted"),
        (grants, "grants of users", "only the user can grant them"),
        (clients, "registered clients", "they register again when needed"),
    ] {
        if count > 0 {
            eprintln!("note: {count} {what} are not exported from {}: {why}", store.location());
        }
    }
    Ok(())
}
