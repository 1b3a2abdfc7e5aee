//! Pins and drifts as rows of the database.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Result;

/// Identifies a definition: the era in which the server presents it, its kind, and its name at the server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DefinitionKey {
    pub era: String,
    pub kind: String,
    pub name: String,
}

/// A definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredDefinition {
    #[serde(flatten)]
    pub key: DefinitionKey,
    /// Hashes of the whole definition, and of all members but `_meta`.
    pub hash: String,
    pub core: String,
    /// Canonical JSON.
    pub definition: String,
}

/// A definition that was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredPin {
    #[serde(flatten)]
    pub said: StoredDefinition,
    pub accepted_by: String,
    /// In seconds since 1970.
    pub accepted: i64,
}

/// A definition that is withheld.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredDrift {
    #[serde(flatten)]
    pub said: StoredDefinition,
    /// In seconds since 1970.
    pub seen: i64,
    pub refused_by: Option<String>,
    pub refused: Option<i64>,
}

/// The data needed to judge a server's definitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredBook {
    /// Without the texts of what has a name.
    pub pins: Vec<StoredDefinition>,
    pub refused: Vec<(DefinitionKey, String)>,
    pub kinds: Vec<String>,
}

pub(super) fn quoted(name: &str) -> Result<String> {
    Ok(serde_json::to_string(name)?)
}

pub(super) fn key_of(row: &AnyRow) -> Result<DefinitionKey> {
    let name: String = row.try_get("name")?;
    Ok(DefinitionKey {
        era: row.try_get("era")?,
        kind: row.try_get("kind")?,
        name: serde_json::from_str(&name)?,
    })
}

pub(super) fn definition_of(row: &AnyRow) -> Result<StoredDefinition> {
    Ok(StoredDefinition {
        key: key_of(row)?,
        hash: row.try_get("hash")?,
        core: row.try_get("core")?,
        definition: row.try_get("definition")?,
    })
}

pub(super) fn drift_of(row: &AnyRow) -> Result<StoredDrift> {
    Ok(StoredDrift {
        said: definition_of(row)?,
        seen: row.try_get("seen")?,
        refused_by: row.try_get("refused_by")?,
        refused: row.try_get("refused")?,
    })
}
