//! Policy sets: every version that was ever applied, and which one is active.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Act, Change, Error, Result, Store, now, sha256_hex};

/// A stored policy set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyVersion {
    pub version: i64,
    /// SHA-256 of names and texts, in hexadecimal.
    pub digest: String,
    /// Policy texts by file name.
    pub files: BTreeMap<String, String>,
    pub note: String,
    pub created: i64,
}

/// An activation of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Activation {
    pub version: i64,
    pub since: i64,
}

impl PolicyVersion {
    pub fn digest_of(files: &BTreeMap<String, String>) -> String {
        let text = serde_json::to_string(files).unwrap_or_default();
        sha256_hex(text.as_bytes())
    }

    fn read(row: &AnyRow) -> Result<Self> {
        let files: String = row.try_get("files")?;
        Ok(Self {
            version: row.try_get("version")?,
            digest: row.try_get("digest")?,
            files: serde_json::from_str(&files)?,
            note: row.try_get("note")?,
            created: row.try_get("created")?,
        })
    }
}

impl Store {
    /// Stores and activates a policy set, which the caller has validated.
    pub async fn apply_policies(
        &self,
        files: &BTreeMap<String, String>,
        note: &str,
    ) -> Result<i64> {
        let mut change = self.change().await?;
        let last = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM policy_versions")
            .fetch_one(&mut *change)
            .await?;
        let version = last.try_get::<i64, _>(0)? + 1;
        sqlx::query(
            "INSERT INTO policy_versions (version, digest, files, note, created) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(version)
        .bind(PolicyVersion::digest_of(files))
        .bind(serde_json::to_string(files)?)
        .bind(note)
        .bind(now())
        .execute(&mut *change)
        .await?;
        activate(&mut change, version).await?;
        change
            .commit(
                &Act::new("policy.apply", version.to_string())
                    .with("digest", PolicyVersion::digest_of(files))
                    .with("note", note),
            )
            .await?;
        Ok(version)
    }

    /// Activates an earlier version: the one named, or the one that was active before.
    pub async fn roll_back_policies(&self, to: Option<i64>) -> Result<i64> {
        let mut change = self.change().await?;
        let version = match to {
            Some(version) => version,
            None => {
                let before = sqlx::query(
                    "SELECT a.version FROM policy_activations a WHERE a.version <> (SELECT \
                     version FROM policy_activations ORDER BY n DESC LIMIT 1) ORDER BY a.n DESC \
                     LIMIT 1",
                )
                .fetch_optional(&mut *change)
                .await?;
                let none = || Error::Refused("there is no earlier version of the policies".into());
                before.ok_or_else(none)?.try_get(0)?
            }
        };
        let known = sqlx::query("SELECT version FROM policy_versions WHERE version = $1")
            .bind(version)
            .fetch_optional(&mut *change)
            .await?;
        if known.is_none() {
            return Err(Error::absent("version of the policies", &version.to_string()));
        }
        activate(&mut change, version).await?;
        change.commit(&Act::new("policy.rollback", version.to_string())).await?;
        Ok(version)
    }

    /// The active policies; `None` if none were ever applied.
    pub async fn active_policies(&self) -> Result<Option<PolicyVersion>> {
        let row = sqlx::query(
            "SELECT version, digest, files, note, created FROM policy_versions WHERE version = \
             (SELECT version FROM policy_activations ORDER BY n DESC LIMIT 1)",
        )
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(PolicyVersion::read).transpose()
    }

    pub async fn policy_version(&self, version: i64) -> Result<PolicyVersion> {
        let row = sqlx::query(
            "SELECT version, digest, files, note, created FROM policy_versions WHERE version = $1",
        )
        .bind(version)
        .fetch_optional(&self.pool)
        .await?;
        let absent = || Error::absent("version of the policies", &version.to_string());
        PolicyVersion::read(row.as_ref().ok_or_else(absent)?)
    }

    /// All versions, newest first.
    pub async fn policy_versions(&self) -> Result<Vec<PolicyVersion>> {
        let rows = sqlx::query(
            "SELECT version, digest, files, note, created FROM policy_versions \
             ORDER BY version DESC",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(PolicyVersion::read).collect()
    }

    /// All activations, latest first.
    pub async fn policy_activations(&self) -> Result<Vec<Activation>> {
        let rows = sqlx::query("SELECT version, since FROM policy_activations ORDER BY n DESC")
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &AnyRow| {
            Ok(Activation { version: row.try_get("version")?, since: row.try_get("since")? })
        };
        rows.iter().map(read).collect()
    }
}

async fn activate(change: &mut Change, version: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO policy_activations (n, version, since) \
         SELECT COALESCE(MAX(n), 0) + 1, $1, $2 FROM policy_activations",
    )
    .bind(version)
    .bind(now())
    .execute(&mut **change)
    .await?;
    Ok(())
}
