//! Portals that were created at run time; the gateway parses their content.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Act, Error, Result, Store, now};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredPortal {
    pub name: String,
    /// As JSON.
    pub definition: String,
    pub created: i64,
    pub changed: i64,
}

impl Store {
    pub async fn put_portal(&self, name: &str, definition: &str) -> Result<()> {
        let mut change = self.change().await?;
        sqlx::query(
            "INSERT INTO portals (name, definition, created, changed) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, \
             changed = excluded.changed",
        )
        .bind(name)
        .bind(definition)
        .bind(now())
        .bind(now())
        .execute(&mut *change)
        .await?;
        change.commit(&Act::new("portal.put", name).with("definition", definition)).await?;
        Ok(())
    }

    pub async fn remove_portal(&self, name: &str) -> Result<()> {
        let mut change = self.change().await?;
        let removed = sqlx::query("DELETE FROM portals WHERE name = $1")
            .bind(name)
            .execute(&mut *change)
            .await?;
        if removed.rows_affected() == 0 {
            return Err(Error::absent("portal", name));
        }
        change.commit(&Act::new("portal.remove", name)).await?;
        Ok(())
    }

    pub async fn portals(&self) -> Result<Vec<StoredPortal>> {
        let rows =
            sqlx::query("SELECT name, definition, created, changed FROM portals ORDER BY name")
                .fetch_all(&self.pool)
                .await?;
        let read = |row: &AnyRow| {
            Ok(StoredPortal {
                name: row.try_get("name")?,
                definition: row.try_get("definition")?,
                created: row.try_get("created")?,
                changed: row.try_get("changed")?,
            })
        };
        rows.iter().map(read).collect()
    }
}
