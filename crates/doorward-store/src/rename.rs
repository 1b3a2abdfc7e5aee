//! Renames a team or tenant everywhere at once: such as when the groups of an issuer get its name as their prefix.

use sqlx::Row;

use crate::credentials;
use crate::principals::subject;
use crate::{Act, Change, Entry, Error, Kind, MasterKey, NotAName, Result, Store};

impl Store {
    /// Renames a team or tenant: its entry, its members' belongings, its keys, credentials and credit. `key` is needed
    /// where there are credentials. What was recorded and used under the old name stays as it is. Nothing is changed if
    /// the new name is taken, or a gateway holds some of its credit. Returns how many rows have changed.
    pub async fn rename_group(
        &self,
        kind: Kind,
        old: &str,
        new: &str,
        key: Option<&MasterKey>,
    ) -> Result<u64> {
        if !matches!(kind, Kind::Team | Kind::Tenant) {
            return Err(Error::Refused("only teams and tenants can be renamed".into()));
        }
        for name in [old, new] {
            NotAName::check(name).map_err(|error| Error::Refused(format!("'{name}': {error}")))?;
        }
        if old == new {
            return Err(Error::Refused("the names are the same".into()));
        }
        let mut change = self.change().await?;
        let mut renamed = rename_entries(&mut change, kind, old, new).await?;
        renamed += rename_keys(&mut change, kind, old, new).await?;
        renamed += rename_credentials(&mut change, kind, old, new, key).await?;
        renamed += rename_accounts(&mut change, kind, old, new).await?;
        if renamed == 0 {
            return Err(Error::absent(kind.as_str(), old));
        }
        let act = Act::new("principal.rename", subject(kind, old)).with("to", new);
        change.commit(&act.with("rows", renamed)).await?;
        Ok(renamed)
    }
}

fn taken(what: &str, kind: Kind, new: &str) -> Error {
    Error::Refused(format!("{kind} '{new}' already has {what}"))
}

/// The group's own entry, and all that belong to it.
async fn rename_entries(change: &mut Change, kind: Kind, old: &str, new: &str) -> Result<u64> {
    let all = "SELECT kind, name, tenant, teams, roles, disabled FROM principals";
    let rows = sqlx::query(all).fetch_all(&mut **change).await?;
    let entries: Vec<Entry> = rows.iter().map(Entry::read).collect::<Result<_>>()?;
    if entries.iter().any(|entry| entry.kind == kind && entry.name == new) {
        return Err(taken("an entry", kind, new));
    }
    let mut renamed = 0;
    for entry in entries {
        let mut changed = entry.clone();
        if entry.kind == kind && entry.name == old {
            changed.name = new.to_owned();
        }
        match kind {
            Kind::Team if changed.teams.remove(old) => _ = changed.teams.insert(new.to_owned()),
            Kind::Tenant if changed.tenant.as_deref() == Some(old) => {
                changed.tenant = Some(new.to_owned());
            }
            _ => {}
        }
        if changed == entry {
            continue;
        }
        renamed += 1;
        let update = "UPDATE principals SET name = $1, tenant = $2, teams = $3 \
                      WHERE kind = $4 AND name = $5";
        sqlx::query(update)
            .bind(&changed.name)
            .bind(changed.tenant.as_deref())
            .bind(serde_json::to_string(&changed.teams)?)
            .bind(entry.kind.as_str())
            .bind(&entry.name)
            .execute(&mut **change)
            .await?;
    }
    Ok(renamed)
}

async fn rename_keys(change: &mut Change, kind: Kind, old: &str, new: &str) -> Result<u64> {
    let renamed =
        sqlx::query("UPDATE api_keys SET owner = $1 WHERE owner_kind = $2 AND owner = $3")
            .bind(new)
            .bind(kind.as_str())
            .bind(old)
            .execute(&mut **change)
            .await?;
    Ok(renamed.rows_affected())
}

/// Credentials are sealed for their owner: they are opened, and sealed for the new one.
async fn rename_credentials(
    change: &mut Change,
    kind: Kind,
    old: &str,
    new: &str,
    key: Option<&MasterKey>,
) -> Result<u64> {
    let select = "SELECT server, owner, sealed FROM credentials \
                  WHERE owner_kind = $1 AND (owner = $2 OR owner = $3)";
    let rows = sqlx::query(select)
        .bind(kind.as_str())
        .bind(old)
        .bind(new)
        .fetch_all(&mut **change)
        .await?;
    let mut renamed = 0;
    for row in rows {
        let (server, owner): (String, String) = (row.try_get("server")?, row.try_get("owner")?);
        if owner == new {
            return Err(taken("a credential", kind, new));
        }
        let key = key.ok_or_else(|| {
            Error::Refused("there are encrypted credentials: the master key is required".into())
        })?;
        let sealed: String = row.try_get("sealed")?;
        let secret = key.open(&sealed, &credentials::place(&server, kind, old))?;
        let sealed = key.seal(&secret, &credentials::place(&server, kind, new))?;
        let update = "UPDATE credentials SET owner = $1, sealed = $2 \
                      WHERE server = $3 AND owner_kind = $4 AND owner = $5";
        sqlx::query(update)
            .bind(new)
            .bind(sealed)
            .bind(&server)
            .bind(kind.as_str())
            .bind(old)
            .execute(&mut **change)
            .await?;
        renamed += 1;
    }
    Ok(renamed)
}

/// The account, and what was spent of it. What a gateway has taken ahead it settles under the old name.
async fn rename_accounts(change: &mut Change, kind: Kind, old: &str, new: &str) -> Result<u64> {
    let account = |name: &str| format!("{kind}/{name}");
    let (from, to) = (account(old), account(new));
    let rows =
        sqlx::query("SELECT id, balance FROM credit_accounts").fetch_all(&mut **change).await?;
    let mut renamed = 0;
    for row in rows {
        let id: String = row.try_get("id")?;
        let is_held = |name: &str| {
            id.strip_prefix("held/").and_then(|rest| rest.split_once('/')).map(|(_, of)| of)
                == Some(name)
        };
        if id == to {
            return Err(taken("an account", kind, new));
        }
        if is_held(&from) && row.try_get::<i64, _>("balance")? != 0 {
            let why = "a gateway has reserved credit of it: stop the gateways first";
            return Err(Error::Refused(why.into()));
        }
        let new_id = match &id {
            id if *id == from => to.clone(),
            id if *id == format!("spent/{from}") => format!("spent/{to}"),
            _ => continue,
        };
        for (table, column) in
            [("credit_accounts", "id"), ("credit_entries", "account"), ("credit_alerts", "account")]
        {
            let update = format!("UPDATE {table} SET {column} = $1 WHERE {column} = $2");
            sqlx::query(sqlx::AssertSqlSafe(update))
                .bind(&new_id)
                .bind(&id)
                .execute(&mut **change)
                .await?;
        }
        renamed += 1;
    }
    Ok(renamed)
}
