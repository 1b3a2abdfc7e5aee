//! Dynamically registered clients of the gateway's authorization server (RFC 7591).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Act, Error, Result, Store, hash_of, now};

/// A stored client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredClient {
    pub id: String,
    /// Its metadata, as JSON.
    pub registration: String,
    #[serde(skip)]
    pub secret_hash: Option<String>,
    pub created: i64,
    /// When a user last consented to it.
    pub used: Option<i64>,
}

const COLUMNS: &str = "id, registration, secret_hash, created, used";

fn read(row: &AnyRow) -> Result<StoredClient> {
    Ok(StoredClient {
        id: row.try_get("id")?,
        registration: row.try_get("registration")?,
        secret_hash: row.try_get("secret_hash")?,
        created: row.try_get("created")?,
        used: row.try_get("used")?,
    })
}

impl Store {
    /// Stores a client that registered dynamically from a network. When `most` clients are stored,
    /// deletes one that no user has consented to: the oldest of the network with the most of these.
    /// Returns `false` if there is none.
    pub async fn put_client(
        &self,
        id: &str,
        network: &str,
        registration: &str,
        secret: Option<&str>,
        most: i64,
    ) -> Result<bool> {
        let mut change = self.write().await?;
        let row = sqlx::query("SELECT COUNT(*) FROM oauth_clients").fetch_one(&mut *change).await?;
        if row.try_get::<i64, _>(0)? >= most {
            let oldest = "SELECT id FROM oauth_clients WHERE used IS NULL AND network = \
                 (SELECT network FROM oauth_clients WHERE used IS NULL \
                  GROUP BY network ORDER BY COUNT(*) DESC, MIN(created) LIMIT 1) \
                 ORDER BY created, id LIMIT 1";
            let oldest = sqlx::query(oldest).fetch_optional(&mut *change).await?;
            let Some(oldest) = oldest else { return Ok(false) };
            sqlx::query("DELETE FROM oauth_clients WHERE id = $1")
                .bind(oldest.try_get::<String, _>("id")?)
                .execute(&mut *change)
                .await?;
        }
        sqlx::query(
            "INSERT INTO oauth_clients (id, registration, secret_hash, created, network) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id)
        .bind(registration)
        .bind(secret.map(hash_of))
        .bind(now())
        .bind(network)
        .execute(&mut *change)
        .await?;
        change.commit(&Act::new("client.register", id)).await?;
        Ok(true)
    }

    pub async fn client(&self, id: &str) -> Result<Option<StoredClient>> {
        let query = format!("SELECT {COLUMNS} FROM oauth_clients WHERE id = $1");
        let row =
            sqlx::query(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(&self.pool).await?;
        row.as_ref().map(read).transpose()
    }

    /// All clients, newest first.
    pub async fn clients(&self) -> Result<Vec<StoredClient>> {
        let query = format!("SELECT {COLUMNS} FROM oauth_clients ORDER BY created DESC, id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&self.pool).await?;
        rows.iter().map(read).collect()
    }

    /// Deletes a client, and revokes all its grants.
    pub async fn remove_client(&self, id: &str) -> Result<()> {
        let mut change = self.change().await?;
        let removed = sqlx::query("DELETE FROM oauth_clients WHERE id = $1")
            .bind(id)
            .execute(&mut *change)
            .await?;
        if removed.rows_affected() == 0 {
            return Err(Error::absent("client", id));
        }
        sqlx::query("UPDATE oauth_grants SET revoked = COALESCE(revoked, $1) WHERE client = $2")
            .bind(now())
            .bind(id)
            .execute(&mut *change)
            .await?;
        change.commit(&Act::new("client.remove", id)).await?;
        Ok(())
    }
}
