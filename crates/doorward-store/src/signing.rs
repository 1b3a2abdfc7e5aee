//! The encrypted keys with which the gateway signs tokens.

use sqlx::Row;
use zeroize::Zeroizing;

use crate::seal::{MasterKey, SealError};
use crate::{Act, Result, Store, now};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    pub id: String,
    pub created: i64,
    sealed: String,
}

impl SigningKey {
    /// The private key, as passed in.
    pub fn open(&self, key: &MasterKey) -> std::result::Result<Zeroizing<String>, SealError> {
        key.open(&self.sealed, &place(&self.id))
    }
}

/// The place to which a sealed private key is bound.
pub(crate) fn place(id: &str) -> String {
    format!("signing key {id:?}")
}

impl Store {
    /// Stores a key, unless another replica has created one after this time. Returns whether it was stored.
    pub async fn put_signing_key(
        &self,
        master: &MasterKey,
        id: &str,
        private: &str,
        unless_after: i64,
    ) -> Result<bool> {
        let sealed = master.seal(private, &place(id))?;
        let mut change = self.change().await?;
        let row = sqlx::query("SELECT COUNT(*) FROM signing_keys WHERE created > $1")
            .bind(unless_after)
            .fetch_one(&mut *change)
            .await?;
        if row.try_get::<i64, _>(0)? > 0 {
            return Ok(false);
        }
        sqlx::query("INSERT INTO signing_keys (id, sealed, created) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(sealed)
            .bind(now())
            .execute(&mut *change)
            .await?;
        change.commit(&Act::new("signing_key.create", id)).await?;
        Ok(true)
    }

    /// All keys, newest first.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>> {
        let rows =
            sqlx::query("SELECT id, sealed, created FROM signing_keys ORDER BY created DESC, id")
                .fetch_all(&self.pool)
                .await?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(SigningKey {
                id: row.try_get("id")?,
                sealed: row.try_get("sealed")?,
                created: row.try_get("created")?,
            })
        };
        rows.iter().map(read).collect()
    }

    pub async fn remove_signing_key(&self, id: &str) -> Result<()> {
        let mut change = self.change().await?;
        sqlx::query("DELETE FROM signing_keys WHERE id = $1")
            .bind(id)
            .execute(&mut *change)
            .await?;
        change.commit(&Act::new("signing_key.remove", id)).await?;
        Ok(())
    }
}
