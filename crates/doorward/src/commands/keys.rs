//! `doorward keys`: create, list, rotate and revoke API keys.

use std::io::Write;
use std::time::Duration;

use doorward_admin::service::{ById, keys, principals};
use doorward_store::{Entry, Key, Kind, Scopes, now};

use super::{Exit, Failed};
use crate::administer::place;
use crate::cli::{CreateKey, Keys, Owner};
use crate::terminal::{self, one_line};

pub async fn run(options: Keys) -> Result<(), Failed> {
    match options {
        Keys::Create(options) => create(*options).await,
        Keys::List { kept, all, json } => {
            let wanted = keys::List { all, ..keys::List::default() };
            list(&place(&kept).await?.list(&keys::LIST, &wanted).await?, json)
        }
        Keys::Rotate { kept, id, overlap } => {
            let place = place(&kept).await?;
            let wanted = keys::Rotate { id: id.clone(), overlap: seconds(overlap) };
            let keys::Created { key, secret } = place.call(&keys::ROTATE, wanted).await?;
            let old = place.call(&keys::SHOW, ById { id: id.clone() }).await?;
            let until = old.expires.unwrap_or_default();
            eprintln!("{} replaces {id}, which is valid until {}", key.id, date(until));
            writeln!(std::io::stdout().lock(), "{}", secret.unwrap_or_default())?;
            Ok(())
        }
        Keys::Revoke { kept, id } => {
            let key = place(&kept).await?.call(&keys::REVOKE, ById { id }).await?;
            writeln!(std::io::stdout().lock(), "revoked {} of {}", key.id, owner(&key))?;
            Ok(())
        }
    }
}

async fn create(options: CreateKey) -> Result<(), Failed> {
    let (kind, name) = whom(&options.owner)?;
    let scopes = Scopes {
        portals: options.portals,
        servers: options.servers,
        tools: options.tools,
        read_only: options.read_only,
        admin: options.admin,
        administer: options.administer,
    };
    if let Some(tool) = scopes.tools.iter().find(|tool| !tool.contains('/')) {
        let why = format!("--tool '{tool}': expected the server, '/' and the tool");
        return Err(Failed::new(Exit::Usage, why));
    }
    let owner = Entry {
        tenant: options.in_tenant,
        teams: options.in_teams.into_iter().collect(),
        roles: options.roles.into_iter().collect(),
        ..Entry::new(kind, &name)
    };
    let new = keys::Create {
        label: options.label,
        owner: owner.clone(),
        scopes,
        expires_in: options.expires.map(seconds),
    };
    let place = place(&options.kept).await?;
    let keys::Created { key, secret } = place.call(&keys::CREATE, new).await?;
    let text = secret.unwrap_or_default();
    let asks = owner.tenant.is_some() || !owner.teams.is_empty() || !owner.roles.is_empty();
    let known =
        async || place.call(&principals::SHOW, principals::Whom { kind, name: name.clone() }).await;
    if asks && known().await.is_ok_and(|known| known.entry != owner) {
        eprintln!(
            "note: {kind} {} already exists and is not changed; use 'doorward principals set' to \
                change it",
            terminal::name(&name)
        );
    }
    let mut out = std::io::stdout().lock();
    if options.json {
        let mut told = serde_json::to_value(&key).unwrap_or_default();
        told["key"] = text.into();
        terminal::json(&mut out, &told)?;
        return Ok(());
    }
    eprintln!("created {} of {}; the key is printed only once:", key.id, self::owner(&key));
    writeln!(out, "{text}")?;
    Ok(())
}

pub fn whom(owner: &Owner) -> Result<(Kind, String), Failed> {
    let all = [
        (Kind::User, &owner.user),
        (Kind::Agent, &owner.agent),
        (Kind::ServiceAccount, &owner.service_account),
        (Kind::Team, &owner.team),
        (Kind::Tenant, &owner.tenant),
    ];
    let named = all.into_iter().find_map(|(kind, name)| Some((kind, name.clone()?)));
    named.ok_or_else(|| Failed::new(Exit::Usage, "the key needs an owner, such as --user alice"))
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 2)
}

fn owner(key: &Key) -> String {
    format!("{} {}", key.owner_kind, terminal::name(&key.owner))
}

/// A time as date and time of day, in UTC.
pub fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "never".into(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

fn list(keys: &[Key], json: bool) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if json {
        terminal::json(&mut out, &keys)?;
        return Ok(());
    }
    let mut rows =
        vec![["ID", "OWNER", "STATE", "EXPIRES", "GOOD FOR", "LABEL"].map(str::to_owned)];
    for key in keys {
        let state = match (key.revoked, key.is_valid_at(now()), &key.replaced_by) {
            (Some(_), _, _) => "revoked",
            (None, false, _) => "expired",
            (None, true, Some(_)) => "replaced",
            (None, true, None) => "good",
        };
        rows.push([
            key.id.to_string(),
            owner(key),
            state.into(),
            key.expires.map_or_else(|| "never".into(), date),
            good_for(&key.scopes),
            one_line(&key.label),
        ]);
    }
    terminal::table(&mut out, &rows)?;
    Ok(())
}

fn good_for(scopes: &Scopes) -> String {
    let mut parts = Vec::new();
    for (what, list) in
        [("portal", &scopes.portals), ("server", &scopes.servers), ("tool", &scopes.tools)]
    {
        parts.extend(list.iter().map(|one| format!("{what} {}", terminal::name(one))));
    }
    if scopes.read_only {
        parts.push("reading".into());
    }
    if parts.is_empty() {
        parts.push("everything".into());
    }
    if scopes.admin {
        parts.push("administration".into());
    } else if scopes.administer {
        parts.push("administration as its owner may".into());
    }
    parts.join(", ")
}
