//! Positions of exports: each export is run by one process, and resumes where it stopped.

use std::collections::BTreeMap;

use sqlx::Row;

use super::writer::WriterId;
use crate::{Result, Store};

impl Store {
    /// Claims an export unless a live process owns it. Returns whether this writer owns it.
    pub async fn own_export(&self, name: &str, writer: &WriterId) -> Result<bool> {
        let mut change = self.write().await?;
        sqlx::query(
            "INSERT INTO audit_exports (name, owner) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(&writer.0)
        .execute(&mut *change)
        .await?;
        let taken = sqlx::query(
            "UPDATE audit_exports SET owner = $1 WHERE name = $2 AND (owner = $1 OR owner NOT IN \
             (SELECT id FROM audit_writers WHERE ended IS NULL))",
        )
        .bind(&writer.0)
        .bind(name)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await?;
        Ok(taken.rows_affected() == 1)
    }

    /// The owners of all exports.
    pub async fn export_owners(&self) -> Result<BTreeMap<String, String>> {
        let rows = sqlx::query("SELECT name, owner FROM audit_exports").fetch_all(&self.pool);
        let rows = rows.await?;
        rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("owner")?))).collect()
    }

    /// The last record of each chain that an export has delivered.
    pub async fn export_positions(&self, name: &str) -> Result<BTreeMap<String, i64>> {
        let rows = sqlx::query("SELECT writer, seq FROM audit_export_positions WHERE name = $1")
            .bind(name)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok((row.try_get("writer")?, row.try_get("seq")?))).collect()
    }

    /// Stores up to which record of a chain an export has delivered.
    pub async fn exported(&self, name: &str, writer: &str, seq: i64) -> Result<()> {
        let mut change = self.write().await?;
        sqlx::query(
            "INSERT INTO audit_export_positions (name, writer, seq) VALUES ($1, $2, $3) \
             ON CONFLICT (name, writer) DO UPDATE SET seq = excluded.seq",
        )
        .bind(name)
        .bind(writer)
        .bind(seq)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await
    }
}
