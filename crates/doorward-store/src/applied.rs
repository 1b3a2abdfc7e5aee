//! Objects created by `doorward apply`, so that pruning removes nothing else.

use std::collections::BTreeSet;

use sqlx::Row;

use crate::{Result, Store, now};

impl Store {
    /// Kinds and names of applied objects that have not been removed.
    pub async fn applied(&self) -> Result<BTreeSet<(String, String)>> {
        let rows = sqlx::query("SELECT kind, name FROM applied").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get("kind")?, row.try_get("name")?))).collect()
    }

    /// Stores that an object was applied or removed. Writes no audit record, because the change itself has one.
    pub async fn note_applied(&self, kind: &str, name: &str, is_there: bool) -> Result<()> {
        let mut change = self.write().await?;
        let text = if is_there {
            "INSERT INTO applied (kind, name, since) VALUES ($1, $2, $3) \
             ON CONFLICT (kind, name) DO NOTHING"
        } else {
            "DELETE FROM applied WHERE kind = $1 AND name = $2 AND since <= $3"
        };
        sqlx::query(text).bind(kind).bind(name).bind(now()).execute(&mut *change).await?;
        change.commit_bookkeeping().await
    }
}
