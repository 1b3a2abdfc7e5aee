//! Pinned definitions, those that wait for a decision, and those that were refused.
//!
//! Servers are named in lower case. The store knows neither eras nor hashes: it compares them as texts.

mod governed;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;
use sqlx::any::AnyRow;

pub use self::rows::{DefinitionKey, StoredBook, StoredDefinition, StoredDrift, StoredPin};
use self::rows::{definition_of, drift_of, key_of, quoted};

use crate::{Act, Change, Error, Result, Store, now, sha256_hex};

/// So many definitions of one server wait for a decision. What comes beyond is withheld and not stored.
const MOST_WAITING: i64 = 20_000;
/// So many decisions of one act are listed in its audit record; of more, their number and a digest.
const MOST_LISTED: usize = 500;

/// What was decided of which definitions, for the audit record.
fn act(name: &'static str, server: &str, decided: &[(DefinitionKey, String)]) -> Act {
    let listed: Vec<String> = decided
        .iter()
        .map(|(DefinitionKey { era, kind, name }, hash)| format!("{era} {kind} {name} {hash}"))
        .collect();
    let act = Act::new(name, server).with("count", listed.len());
    if listed.len() <= MOST_LISTED {
        return act.with("definitions", listed);
    }
    let whole = sha256_hex(listed.join("\n").as_bytes());
    act.with("definitions", &listed[..MOST_LISTED]).with("digest", whole)
}

async fn turn_page(change: &mut Change, server: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO pin_books (server, n) VALUES ($1, 1) \
         ON CONFLICT (server) DO UPDATE SET n = pin_books.n + 1",
    )
    .bind(server)
    .execute(&mut **change)
    .await?;
    Ok(())
}

async fn learn(change: &mut Change, server: &str, kind: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO pin_kinds (server, kind) VALUES ($1, $2) ON CONFLICT (server, kind) DO NOTHING",
    )
    .bind(server)
    .bind(kind)
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// Marks the kinds of some definitions as learnt, each once.
async fn learn_kinds<'a>(
    change: &mut Change,
    server: &str,
    keys: impl Iterator<Item = &'a DefinitionKey>,
) -> Result<()> {
    let kinds: BTreeSet<&str> = keys.map(|key| key.kind.as_str()).collect();
    for kind in kinds {
        learn(change, server, kind).await?;
    }
    Ok(())
}

/// Pins a definition by what is stored of it, in the place of another where `replaces`. Returns whether it was pinned.
async fn pin(
    change: &mut Change,
    server: &str,
    said: &StoredDefinition,
    who: &str,
    replaces: bool,
) -> Result<bool> {
    let sql = match replaces {
        true => {
            "INSERT INTO pins (server, era, kind, name, hash, core, definition, accepted_by, \
             accepted) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
             ON CONFLICT (server, era, kind, name) DO UPDATE SET hash = excluded.hash, \
             core = excluded.core, definition = excluded.definition, \
             accepted_by = excluded.accepted_by, accepted = excluded.accepted"
        }
        false => {
            "INSERT INTO pins (server, era, kind, name, hash, core, definition, accepted_by, \
             accepted) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
             ON CONFLICT (server, era, kind, name) DO NOTHING"
        }
    };
    let pinned = sqlx::query(sql)
        .bind(server)
        .bind(&said.key.era)
        .bind(&said.key.kind)
        .bind(quoted(&said.key.name)?)
        .bind(&said.hash)
        .bind(&said.core)
        .bind(&said.definition)
        .bind(who)
        .bind(now())
        .execute(&mut **change)
        .await?;
    Ok(pinned.rows_affected() > 0)
}

/// Deletes all pins and decisions of a server. Returns how many pins there were.
async fn clear(change: &mut Change, server: &str) -> Result<u64> {
    let mut deleted = 0;
    for sql in [
        "DELETE FROM pin_kinds WHERE server = $1",
        "DELETE FROM drifts WHERE server = $1",
        "DELETE FROM pins WHERE server = $1",
    ] {
        deleted = sqlx::query(sql).bind(server).execute(&mut **change).await?.rows_affected();
    }
    Ok(deleted)
}

/// Pins a server to what was approved of it, in the place of all that was decided before.
pub(crate) async fn replace(
    change: &mut Change,
    server: &str,
    approved: &[StoredDefinition],
    who: &str,
) -> Result<()> {
    let server = server.to_ascii_lowercase();
    clear(change, &server).await?;
    for said in approved {
        pin(change, &server, said, who, true).await?;
    }
    learn_kinds(change, &server, approved.iter().map(|said| &said.key)).await?;
    turn_page(change, &server).await
}

impl Store {
    /// Which servers have pins or decisions, and how often they were changed.
    pub async fn pin_books(&self) -> Result<BTreeMap<String, i64>> {
        let rows = sqlx::query("SELECT server, n FROM pin_books").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get("server")?, row.try_get("n")?))).collect()
    }

    /// What is needed to judge what a server says.
    pub async fn pin_book(&self, server: &str) -> Result<StoredBook> {
        let pins = sqlx::query(
            "SELECT era, kind, name, hash, core, CASE WHEN kind IN ('identity', 'instructions') \
             THEN definition ELSE '' END AS definition FROM pins WHERE server = $1",
        )
        .bind(server)
        .fetch_all(&self.pool)
        .await?;
        let refused = sqlx::query(
            "SELECT era, kind, name, hash FROM drifts WHERE server = $1 AND refused IS NOT NULL",
        )
        .bind(server)
        .fetch_all(&self.pool)
        .await?;
        let kinds = sqlx::query("SELECT kind FROM pin_kinds WHERE server = $1")
            .bind(server)
            .fetch_all(&self.pool)
            .await?;
        let refused = refused.iter().map(|row| Ok((key_of(row)?, row.try_get("hash")?)));
        let kinds = kinds.iter().map(|row| Ok(row.try_get("kind")?));
        Ok(StoredBook {
            pins: pins.iter().map(definition_of).collect::<Result<_>>()?,
            refused: refused.collect::<Result<_>>()?,
            kinds: kinds.collect::<Result<_>>()?,
        })
    }

    /// A server's pins, with their texts.
    pub async fn pins(&self, server: &str) -> Result<Vec<StoredPin>> {
        let rows = sqlx::query(
            "SELECT era, kind, name, hash, core, definition, accepted_by, accepted FROM pins \
             WHERE server = $1 ORDER BY kind, name, era",
        )
        .bind(server)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &AnyRow| {
            Ok(StoredPin {
                said: definition_of(row)?,
                accepted_by: row.try_get("accepted_by")?,
                accepted: row.try_get("accepted")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// A server's definitions that are withheld, with their texts: those that wait, and those that were refused.
    pub async fn drifts(&self, server: &str) -> Result<Vec<StoredDrift>> {
        let rows = sqlx::query(
            "SELECT era, kind, name, hash, core, definition, seen, refused_by, refused FROM drifts \
             WHERE server = $1 ORDER BY kind, name, era, seen",
        )
        .bind(server)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(drift_of).collect()
    }

    /// How many definitions wait for a decision, by server.
    pub async fn drift_counts(&self) -> Result<BTreeMap<String, i64>> {
        let rows = sqlx::query(
            "SELECT server, COUNT(*) AS n FROM drifts WHERE refused IS NULL GROUP BY server",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.try_get("server")?, row.try_get("n")?))).collect()
    }

    /// Stores what is withheld. Another definition that waits in the same place is replaced. Returns those that were not
    /// known before.
    pub async fn note_drifts(
        &self,
        server: &str,
        drifts: &[StoredDefinition],
    ) -> Result<Vec<StoredDefinition>> {
        let mut change = self.write().await?;
        let waiting = sqlx::query("SELECT COUNT(*) AS n FROM drifts WHERE server = $1")
            .bind(server)
            .fetch_one(&mut *change)
            .await?;
        let mut room = MOST_WAITING - waiting.try_get::<i64, _>("n")?;
        let mut new = Vec::new();
        for said in drifts {
            let name = quoted(&said.key.name)?;
            let replaced = sqlx::query(
                "DELETE FROM drifts WHERE server = $1 AND era = $2 AND kind = $3 AND name = $4 \
                 AND hash <> $5 AND refused IS NULL",
            )
            .bind(server)
            .bind(&said.key.era)
            .bind(&said.key.kind)
            .bind(&name)
            .bind(&said.hash)
            .execute(&mut *change)
            .await?;
            room += i64::try_from(replaced.rows_affected()).unwrap_or_default();
            if room <= 0 {
                continue;
            }
            let stored = sqlx::query(
                "INSERT INTO drifts (server, era, kind, name, hash, core, definition, seen) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                 ON CONFLICT (server, era, kind, name, hash) DO NOTHING",
            )
            .bind(server)
            .bind(&said.key.era)
            .bind(&said.key.kind)
            .bind(&name)
            .bind(&said.hash)
            .bind(&said.core)
            .bind(&said.definition)
            .bind(now())
            .execute(&mut *change)
            .await?;
            if stored.rows_affected() > 0 {
                room -= 1;
                new.push(said.clone());
            }
        }
        change.commit_bookkeeping().await?;
        Ok(new)
    }

    /// Forgets what waits no more, for the server does not say it any longer. What was refused stays refused.
    pub async fn forget_drifts(
        &self,
        server: &str,
        gone: &[(DefinitionKey, String)],
    ) -> Result<()> {
        let mut change = self.write().await?;
        for (key, hash) in gone {
            sqlx::query(
                "DELETE FROM drifts WHERE server = $1 AND era = $2 AND kind = $3 AND name = $4 \
                 AND hash = $5 AND refused IS NULL",
            )
            .bind(server)
            .bind(&key.era)
            .bind(&key.kind)
            .bind(quoted(&key.name)?)
            .bind(hash)
            .execute(&mut *change)
            .await?;
        }
        change.commit_bookkeeping().await
    }

    /// Pins what has no pin, as settings or a review say: `act` is the word for it. Kinds are marked as learnt. What was
    /// pinned meanwhile stays.
    pub async fn pin_new(
        &self,
        act_name: &'static str,
        server: &str,
        said: &[StoredDefinition],
        kinds: &[&str],
    ) -> Result<()> {
        let mut change = self.change().await?;
        let mut decided = Vec::new();
        for one in said {
            let name = quoted(&one.key.name)?;
            if pin(&mut change, server, one, &self.actor.name, false).await? {
                drop_drift(&mut change, server, &one.key, &name, &one.hash).await?;
                decided.push((one.key.clone(), one.hash.clone()));
            }
        }
        for kind in kinds {
            learn(&mut change, server, kind).await?;
        }
        turn_page(&mut change, server).await?;
        change.commit(&act(act_name, server, &decided)).await
    }

    /// Pins definitions that wait or were refused, each by the hash that was seen. All of them or none: what the server
    /// has changed meanwhile is not accepted.
    pub async fn accept_drifts(
        &self,
        server: &str,
        accepted: &[(DefinitionKey, String)],
    ) -> Result<()> {
        let mut change = self.change().await?;
        for (key, hash) in accepted {
            let name = quoted(&key.name)?;
            let row = sqlx::query(
                "SELECT era, kind, name, hash, core, definition, seen, refused_by, refused \
                 FROM drifts WHERE server = $1 AND era = $2 AND kind = $3 AND name = $4 \
                 AND hash = $5",
            )
            .bind(server)
            .bind(&key.era)
            .bind(&key.kind)
            .bind(&name)
            .bind(hash)
            .fetch_optional(&mut *change)
            .await?;
            let said = drift_of(row.as_ref().ok_or_else(|| changed(server, key))?)?.said;
            pin(&mut change, server, &said, &self.actor.name, true).await?;
            drop_drift(&mut change, server, key, &name, hash).await?;
        }
        learn_kinds(&mut change, server, accepted.iter().map(|(key, _)| key)).await?;
        turn_page(&mut change, server).await?;
        change.commit(&act("definition.accept", server, accepted)).await
    }

    /// Refuses definitions that wait, each by the hash that was seen: they stay withheld.
    pub async fn refuse_drifts(
        &self,
        server: &str,
        refused: &[(DefinitionKey, String)],
    ) -> Result<()> {
        let mut change = self.change().await?;
        for (key, hash) in refused {
            let marked = sqlx::query(
                "UPDATE drifts SET refused_by = $1, refused = $2 WHERE server = $3 AND era = $4 \
                 AND kind = $5 AND name = $6 AND hash = $7",
            )
            .bind(&self.actor.name)
            .bind(now())
            .bind(server)
            .bind(&key.era)
            .bind(&key.kind)
            .bind(quoted(&key.name)?)
            .bind(hash)
            .execute(&mut *change)
            .await?;
            if marked.rows_affected() == 0 {
                return Err(changed(server, key));
            }
        }
        turn_page(&mut change, server).await?;
        change.commit(&act("definition.refuse", server, refused)).await
    }

    /// Takes all pins and decisions of a server away: what it says next is new.
    pub async fn unpin(&self, server: &str) -> Result<()> {
        let mut change = self.change().await?;
        let pins = clear(&mut change, server).await?;
        turn_page(&mut change, server).await?;
        change.commit(&Act::new("definition.unpin", server).with("count", pins)).await
    }
}

fn changed(server: &str, key: &DefinitionKey) -> Error {
    let DefinitionKey { kind, name, .. } = key;
    Error::Refused(format!(
        "{kind} '{name}' of '{server}' has changed since it was shown: compare it again"
    ))
}

async fn drop_drift(
    change: &mut Change,
    server: &str,
    key: &DefinitionKey,
    name: &str,
    hash: &str,
) -> Result<()> {
    sqlx::query(
        "DELETE FROM drifts WHERE server = $1 AND era = $2 AND kind = $3 AND name = $4 \
         AND hash = $5",
    )
    .bind(server)
    .bind(&key.era)
    .bind(&key.kind)
    .bind(name)
    .bind(hash)
    .execute(&mut **change)
    .await?;
    Ok(())
}
