//! Changes of the store: each is one transaction, with its audit record.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::{Any, AnyConnection, Transaction};

use crate::audit::{Act, Actor};
use crate::{Result, Store};

impl Store {
    /// Begins a change of which no replica holds a copy: it is not counted.
    pub(crate) async fn write(&self) -> Result<Change> {
        let transaction = self.pool.begin_with(self.location.begin()).await?;
        Ok(Change { transaction, actor: self.actor.clone() })
    }

    /// Begins a change; it counts once it is committed. Changes come one after the other.
    pub(crate) async fn change(&self) -> Result<Change> {
        let mut change = self.write().await?;
        sqlx::query("UPDATE revision SET n = n + 1").execute(&mut *change).await?;
        Ok(change)
    }
}

/// A change on its way. It ends with the word on what was done, which is recorded with it, or with
/// nothing at all.
pub struct Change {
    transaction: Transaction<'static, Any>,
    actor: Arc<Actor>,
}

impl Change {
    /// Records what was done, and makes both true.
    pub(crate) async fn commit(mut self, act: &Act) -> Result<()> {
        act.record(&self.actor, &mut self.transaction).await?;
        Ok(self.transaction.commit().await?)
    }

    /// For what is no act of anybody's: tickets that are used, what is over and forgotten.
    pub(crate) async fn commit_bookkeeping(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }
}

impl Deref for Change {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}
