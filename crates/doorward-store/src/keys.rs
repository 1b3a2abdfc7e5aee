//! API keys: `dwk_<id>_<secret>`. The id finds the key; of the secret, only a hash is stored.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::principals::subject;
use crate::{Act, Change, Entry, Error, Kind, NotAName, Result, Store, now};

/// The prefix of keys, by which secret scanners find them.
const PREFIX: &str = "dwk_";
/// Characters of an id, and bytes of a secret.
const ID: usize = 12;
const SECRET: usize = 32;

/// Identifies a key; reveals nothing about its secret.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct KeyId(pub String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key may be used for. An empty list does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scopes {
    /// Names of portals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub portals: Vec<String>,
    /// Names of servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Tools as `server/tool`; `*` stands for any run of characters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Read-only: only tools that are known to change nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Everything at the admin API, unless a policy forbids it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
    /// At the admin API, what policies permit the key's owner. Without it, a key administers nothing, whoever owns it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub administer: bool,
}

/// A key as it is presented.
#[derive(Debug)]
pub struct Presented<'a> {
    pub id: &'a str,
    hash: [u8; 32],
}

impl<'a> Presented<'a> {
    /// Parses a key's text. Does not check whether the key exists.
    pub fn read(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_at_checked(ID)?;
        let secret = secret.strip_prefix('_')?;
        let long = URL_SAFE_NO_PAD.encode([0; SECRET]).len();
        let fits = secret.len() == long && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| Self { id, hash: hash(secret) })
    }
}

fn hash(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    // The secret has 256 random bits: there is nothing to guess that a slow hash would protect.
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    hash
}

/// A stored key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    pub id: KeyId,
    #[serde(skip)]
    hash: Vec<u8>,
    pub label: String,
    pub owner_kind: Kind,
    pub owner: String,
    pub scopes: Scopes,
    pub created: i64,
    pub expires: Option<i64>,
    pub revoked: Option<i64>,
    pub replaced_by: Option<KeyId>,
}

impl Key {
    /// Whether a presented key is this one; compares in constant time.
    pub fn is(&self, presented: &Presented<'_>) -> bool {
        constant_time::verify_slices_are_equal(&self.hash, &presented.hash).is_ok()
    }

    /// Whether the key is valid at a time, in seconds since 1970.
    pub fn is_valid_at(&self, now: i64) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }

    fn read(row: &AnyRow) -> Result<Self> {
        let hash: String = row.try_get("hash")?;
        let owner_kind: String = row.try_get("owner_kind")?;
        let scopes: String = row.try_get("scopes")?;
        Ok(Self {
            id: KeyId(row.try_get("id")?),
            hash: URL_SAFE_NO_PAD
                .decode(hash)
                .map_err(|_| Error::Refused("a key's hash cannot be read".into()))?,
            label: row.try_get("label")?,
            owner_kind: owner_kind.parse().map_err(Error::Refused)?,
            owner: row.try_get("owner")?,
            scopes: serde_json::from_str(&scopes)?,
            created: row.try_get("created")?,
            expires: row.try_get("expires")?,
            revoked: row.try_get("revoked")?,
            replaced_by: row.try_get::<Option<String>, _>("replaced_by")?.map(KeyId),
        })
    }
}

/// The parameters of a new key.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub label: String,
    /// The owner; added to the directory if missing.
    pub owner: Entry,
    pub scopes: Scopes,
    /// Seconds since 1970.
    pub expires: Option<i64>,
}

/// A new key: the stored part, and the text that is displayed once.
struct Fresh {
    id: KeyId,
    hash: String,
    text: String,
}

fn fresh() -> Result<Fresh> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let (mut id, mut secret) = ([0; ID], [0; SECRET]);
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut secret)?;
    let id: String = id.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    let secret = URL_SAFE_NO_PAD.encode(secret);
    let text = format!("{PREFIX}{id}_{secret}");
    Ok(Fresh { id: KeyId(id), hash: URL_SAFE_NO_PAD.encode(hash(&secret)), text })
}

const COLUMNS: &str =
    "id, hash, label, owner_kind, owner, scopes, created, expires, revoked, replaced_by";

impl Store {
    /// Creates a key. Its text is returned and not stored.
    pub async fn create_key(&self, new: &NewKey) -> Result<(Key, String)> {
        NotAName::check(&new.owner.name)
            .map_err(|error| Error::Refused(format!("the owner's name: {error}")))?;
        let fresh = fresh()?;
        let mut change = self.change().await?;
        sqlx::query(
            "INSERT INTO principals (kind, name, tenant, teams, roles, disabled, created) \
             VALUES ($1, $2, $3, $4, $5, 0, $6) ON CONFLICT (kind, name) DO NOTHING",
        )
        .bind(new.owner.kind.as_str())
        .bind(&new.owner.name)
        .bind(new.owner.tenant.as_deref())
        .bind(serde_json::to_string(&new.owner.teams)?)
        .bind(serde_json::to_string(&new.owner.roles)?)
        .bind(now())
        .execute(&mut *change)
        .await?;
        insert(&mut change, &fresh, new).await?;
        // Within the transaction: a dry run rolls it back.
        let key = find(&mut change, &fresh.id).await?;
        change.commit(&created(&fresh.id, new)).await?;
        Ok((key, fresh.text))
    }

    pub async fn key(&self, id: &KeyId) -> Result<Key> {
        find(&mut *self.pool.acquire().await?, id).await
    }

    /// All keys, newest first.
    pub async fn keys(&self) -> Result<Vec<Key>> {
        let all = format!("SELECT {COLUMNS} FROM api_keys ORDER BY created DESC, id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(all)).fetch_all(&self.pool).await?;
        rows.iter().map(Key::read).collect()
    }

    /// Creates a key that replaces another one, which stays valid for `overlap` seconds.
    pub async fn rotate_key(&self, id: &KeyId, overlap: i64) -> Result<(Key, String)> {
        let old = self.key(id).await?;
        if !old.is_valid_at(now()) || old.replaced_by.is_some() {
            let why = "is revoked, expired or replaced; create a new one instead";
            return Err(Error::Refused(format!("the key '{id}' {why}")));
        }
        // A key that lived for a month is followed by one that lives for a month.
        let lifetime = old.expires.map(|expires| expires - old.created);
        let new = NewKey {
            label: old.label.clone(),
            owner: Entry::new(old.owner_kind, &old.owner),
            scopes: old.scopes.clone(),
            expires: lifetime.map(|lifetime| now() + lifetime),
        };
        let fresh = fresh()?;
        let until = now().saturating_add(overlap);
        let until = old.expires.map_or(until, |expires| expires.min(until));
        let mut change = self.change().await?;
        let replaced = sqlx::query(
            "UPDATE api_keys SET expires = $1, replaced_by = $2 \
             WHERE id = $3 AND revoked IS NULL AND replaced_by IS NULL",
        )
        .bind(until)
        .bind(&fresh.id.0)
        .bind(&id.0)
        .execute(&mut *change)
        .await?;
        if replaced.rows_affected() == 0 {
            return Err(Error::Refused(format!("the key '{id}' was replaced or revoked just now")));
        }
        insert(&mut change, &fresh, &new).await?;
        let key = find(&mut change, &fresh.id).await?;
        change
            .commit(
                &Act::new("key.rotate", &id.0).with("replaced_by", &fresh.id).with("until", until),
            )
            .await?;
        Ok((key, fresh.text))
    }

    /// Revokes a key. Idempotent.
    pub async fn revoke_key(&self, id: &KeyId) -> Result<Key> {
        let mut change = self.change().await?;
        let revoked =
            sqlx::query("UPDATE api_keys SET revoked = COALESCE(revoked, $1) WHERE id = $2")
                .bind(now())
                .bind(&id.0)
                .execute(&mut *change)
                .await?;
        if revoked.rows_affected() == 0 {
            return Err(Error::absent("key", &id.0));
        }
        let key = find(&mut change, id).await?;
        change.commit(&Act::new("key.revoke", &id.0)).await?;
        Ok(key)
    }
}

async fn find(connection: &mut AnyConnection, id: &KeyId) -> Result<Key> {
    let query = format!("SELECT {COLUMNS} FROM api_keys WHERE id = $1");
    let row =
        sqlx::query(sqlx::AssertSqlSafe(query)).bind(&id.0).fetch_optional(connection).await?;
    row.as_ref().map_or_else(|| Err(Error::absent("key", &id.0)), Key::read)
}

/// The audit record of a new key.
fn created(id: &KeyId, new: &NewKey) -> Act {
    Act::new("key.create", &id.0)
        .with("owner", subject(new.owner.kind, &new.owner.name))
        .with("label", &new.label)
        .with("scopes", &new.scopes)
        .with("expires", new.expires)
}

async fn insert(change: &mut Change, fresh: &Fresh, new: &NewKey) -> Result<()> {
    sqlx::query(
        "INSERT INTO api_keys (id, hash, label, owner_kind, owner, scopes, created, expires) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&fresh.id.0)
    .bind(&fresh.hash)
    .bind(&new.label)
    .bind(new.owner.kind.as_str())
    .bind(&new.owner.name)
    .bind(serde_json::to_string(&new.scopes)?)
    .bind(now())
    .bind(new.expires)
    .execute(&mut **change)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_of_the_right_form_are_looked_up() {
        let made = fresh().unwrap();
        let read = Presented::read(&made.text).unwrap();
        assert_eq!(read.id, made.id.0);
        for wrong in [
            "",
            "dwk_",
            "dwk_abcdefghijkm",
            "dwk_abcdefghijkm_",
            &made.text[1..],
            &made.text[..made.text.len() - 1],
            &format!("{}x", made.text),
            "dwk_äbcdefghijk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(Presented::read(wrong).is_none(), "{wrong}");
        }
    }
}
