//! Changes of the store: each is one transaction, with its audit record.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::Mutex;
use sqlx::{Any, AnyConnection, Row, Transaction};

use crate::audit::{Act, Actor};
use crate::claims;
use crate::terms::{Batch, Claim};
use crate::{Error, Result, Store};

impl Store {
    /// Returns a handle whose changes are checked and then rolled back.
    pub fn rehearsing(&self) -> Self {
        let mut store = self.clone();
        store.terms.rehearsal = true;
        store
    }

    /// Returns a handle that makes changes only at this revision; otherwise [`Error::Moved`].
    pub fn at_revision(&self, revision: i64) -> Self {
        let mut store = self.clone();
        store.terms.revision = Some(revision);
        store
    }

    /// Returns a handle whose changes [`commit_batch`](Self::commit_batch) commits together, or not at all.
    pub fn batch(&self) -> Self {
        let mut store = self.clone();
        store.terms.batch = Some(Arc::default());
        store
    }

    /// Commits the changes of a [`batch`](Self::batch). If one of them failed, nothing is changed.
    pub async fn commit_batch(self) -> Result<()> {
        let Some(batch) = &self.terms.batch else { return Ok(()) };
        let (transaction, has_begun) = {
            let mut batch = batch.lock();
            (batch.transaction.take(), batch.has_begun)
        };
        match transaction {
            Some(transaction) => finish(transaction, self.terms.rehearsal).await,
            None if has_begun => Err(Error::Refused("a change of the batch has failed".into())),
            None => Ok(()),
        }
    }

    /// The only revision at which this handle makes changes.
    pub fn pinned(&self) -> Option<i64> {
        self.terms.revision
    }

    /// Returns a handle whose first change claims an idempotency key; [`Error::Claimed`] if it is in use.
    pub fn claiming(&self, claim: Claim) -> Self {
        let mut store = self.clone();
        store.terms.claim = Some(Arc::new(claim));
        store
    }

    /// Begins a change of which no replica holds a copy: it is not counted.
    pub(crate) async fn write(&self) -> Result<Change> {
        let batch = self.terms.batch.clone();
        let (going, has_begun) = match &batch {
            Some(batch) => {
                let mut batch = batch.lock();
                (batch.transaction.take(), std::mem::replace(&mut batch.has_begun, true))
            }
            None => (None, false),
        };
        let rehearsal = self.terms.rehearsal;
        if let Some(transaction) = going {
            return Ok(Change { transaction, actor: self.actor.clone(), rehearsal, batch });
        }
        if has_begun {
            return Err(Error::Refused("a change of the batch has failed".into()));
        }
        let mut transaction = self.pool.begin_with(self.location.begin()).await?;
        if let Some(expected) = self.terms.revision {
            let row = sqlx::query("SELECT n FROM revision").fetch_one(&mut *transaction).await?;
            if row.try_get::<i64, _>(0)? != expected {
                return Err(Error::Moved);
            }
        }
        if let Some(claim) = &self.terms.claim {
            claims::insert(claim, &mut transaction).await?;
        }
        Ok(Change { transaction, actor: self.actor.clone(), rehearsal, batch })
    }

    /// Begins a change; it counts once it is committed. Changes come one after the other.
    pub(crate) async fn change(&self) -> Result<Change> {
        let mut change = self.write().await?;
        let counted = self
            .terms
            .batch
            .as_ref()
            .is_some_and(|batch| std::mem::replace(&mut batch.lock().is_counted, true));
        if counted {
            return Ok(change);
        }
        let expected = self.terms.revision;
        // In the same statement: two that have both read the number must not both count it up.
        let counted = sqlx::query("UPDATE revision SET n = n + 1 WHERE n = $1 OR $2 = 0")
            .bind(expected.unwrap_or_default())
            .bind(i64::from(expected.is_some()))
            .execute(&mut *change)
            .await?;
        if counted.rows_affected() == 0 {
            return Err(Error::Moved);
        }
        Ok(change)
    }
}

/// A change in progress. It ends with the act that is recorded with it, or is rolled back.
pub struct Change {
    transaction: Transaction<'static, Any>,
    actor: Arc<Actor>,
    rehearsal: bool,
    batch: Option<Arc<Mutex<Batch>>>,
}

impl Change {
    /// Records what was done, and commits both.
    pub(crate) async fn commit(mut self, act: &Act) -> Result<()> {
        act.record(&self.actor, &mut self.transaction).await?;
        self.end().await
    }

    /// For what nobody did: tickets that were used, what has expired and is removed.
    pub(crate) async fn commit_bookkeeping(self) -> Result<()> {
        self.end().await
    }

    async fn end(self) -> Result<()> {
        match self.batch {
            Some(batch) => {
                batch.lock().transaction = Some(self.transaction);
                Ok(())
            }
            None => finish(self.transaction, self.rehearsal).await,
        }
    }
}

async fn finish(transaction: Transaction<'static, Any>, rehearsal: bool) -> Result<()> {
    if rehearsal {
        return Ok(transaction.rollback().await?);
    }
    Ok(transaction.commit().await?)
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
