//! The chain of one process: opened, written block by block, ended.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Connection, Row};

use super::block::{Block, unpack};
use super::checkpoint::Heads;
use super::line::{Chain, Head};
use super::place::Place;
use crate::{Amount, Error, Result, Store, Tally, credits, now};

/// The id of a writing process, and of its chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriterId(pub String);

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl WriterId {
    /// For a process whose call ids begin with `run`.
    pub fn new(run: u32) -> Self {
        Self(format!("{:08x}-{run:08x}", now()))
    }

    /// The common prefix of its calls' ids.
    pub fn run(&self) -> &str {
        self.0.rsplit('-').next().unwrap_or_default()
    }
}

/// A process as stored in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterRow {
    pub id: String,
    pub place: Place,
    pub started: i64,
    pub beats: i64,
    pub ended: Option<i64>,
    pub head: Head,
}

impl WriterRow {
    pub(super) fn read(row: &AnyRow) -> Result<Self> {
        let place: String = row.try_get("place")?;
        Ok(Self {
            id: row.try_get("id")?,
            place: serde_json::from_str(&place).unwrap_or_default(),
            started: row.try_get("started")?,
            beats: row.try_get("beats")?,
            ended: row.try_get("ended")?,
            head: Head { seq: row.try_get("seq")?, hash: row.try_get("hash")? },
        })
    }
}

impl Store {
    /// All writers of chains that still exist, oldest first.
    pub async fn audit_writers(&self) -> Result<Vec<WriterRow>> {
        let rows = sqlx::query(
            "SELECT id, place, started, beats, ended, seq, hash FROM audit_writers ORDER BY started, id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(WriterRow::read).collect()
    }
}

/// Records to write in one transaction, with their effects.
#[derive(Debug, Clone)]
pub struct Commit {
    pub block: Block,
    /// The chain's last record after the commit.
    pub head: Head,
    /// The costs of the calls that the records close, by account.
    pub charges: BTreeMap<String, Amount>,
    /// Usage from all records that were not counted before.
    pub usage: Option<Tally>,
    /// The dead process whose open calls these records close; their costs are charged to it.
    pub ends: Option<Ended>,
}

/// The remains of a dead process.
#[derive(Debug, Clone)]
pub struct Ended {
    pub writer: WriterId,
    /// Its heartbeat count when it was found dead. If the count has changed since, the process
    /// lives.
    pub beats: i64,
    /// The costs of its open calls, by account.
    pub charges: BTreeMap<String, Amount>,
    /// Usage from its records that was not counted yet.
    pub usage: Tally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    Written,
    /// Nothing was written: another process has already ended the dead one, or it lives.
    TooLate,
    /// Nothing was or will be written: another process declared this one dead.
    Fenced,
}

/// The chain of this process, with a dedicated connection.
#[derive(Debug)]
pub struct AuditLog {
    pub(super) store: Store,
    id: WriterId,
    pub(super) place: Place,
    chain: Chain,
    /// Heads of other chains that must not be signed.
    pub(super) unsigned: Heads,
    connection: Option<AnyConnection>,
}

impl AuditLog {
    /// Registers a new writer with an empty chain.
    pub async fn open(store: &Store, id: WriterId, place: Place) -> Result<Self> {
        let chain = Chain::new(&id.0, Head::default());
        let mut log = Self {
            store: store.clone(),
            id,
            place,
            chain,
            unsigned: Heads::new(),
            connection: None,
        };
        let place = serde_json::to_string(&log.place)?;
        sqlx::query(
            "INSERT INTO audit_writers (id, place, started, beats, seq, hash) \
             VALUES ($1, $2, $3, 1, 0, '')",
        )
        .bind(log.id.0.clone())
        .bind(place)
        .bind(now())
        .execute(log.connect().await?)
        .await?;
        Ok(log)
    }

    pub fn id(&self) -> &WriterId {
        &self.id
    }

    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Advances to the chain's state after a commit.
    pub fn advance(&mut self, chain: Chain) {
        self.chain = chain;
    }

    pub(super) async fn connect(&mut self) -> Result<&mut AnyConnection> {
        if self.connection.is_none() {
            self.connection = Some(self.store.connect_apart().await?);
        }
        self.connection.as_mut().ok_or_else(|| Error::Refused("there is no connection".into()))
    }

    /// Writes a commit atomically. May be retried after an error or a cancellation: it is written
    /// at most once.
    pub async fn write(&mut self, commit: &Commit) -> Result<Committed> {
        let id = self.id.0.clone();
        let begin = self.store.location().begin();
        // Returned to the pool after success only: a connection cancelled in between is not reused.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.store.connect_apart().await?,
        };
        let mut change = connection.begin_with(begin).await?;
        let alive = sqlx::query(
            "UPDATE audit_writers SET beats = beats + 1, seq = $1, hash = $2 \
             WHERE id = $3 AND ended IS NULL",
        )
        .bind(commit.head.seq)
        .bind(&commit.head.hash)
        .bind(&id)
        .execute(&mut *change)
        .await?;
        let mut outcome = Committed::Written;
        if alive.rows_affected() == 0 {
            // An earlier attempt may have written it.
            if !is_written(&mut change, commit).await? {
                outcome = Committed::Fenced;
            }
        } else if commit.block.insert(&mut change).await? {
            if let Some(dead) = &commit.ends {
                let ended = sqlx::query(
                    "UPDATE audit_writers SET ended = $1 \
                     WHERE id = $2 AND ended IS NULL AND beats = $3",
                )
                .bind(now())
                .bind(&dead.writer.0)
                .bind(dead.beats)
                .execute(&mut *change)
                .await?;
                if ended.rows_affected() == 0 {
                    outcome = Committed::TooLate;
                } else {
                    credits::bury(&mut change, &dead.writer.0, &dead.charges).await?;
                    dead.usage.write(&mut change).await?;
                }
            }
            let records = format!("{id}/{}", commit.block.first);
            credits::settle(&mut change, &id, &records, &commit.charges).await?;
            if let Some(usage) = &commit.usage {
                usage.write(&mut change).await?;
                sqlx::query("UPDATE audit_writers SET counted = $1 WHERE id = $2")
                    .bind(commit.head.seq)
                    .bind(&id)
                    .execute(&mut *change)
                    .await?;
            }
        } else {
            // The effects were written with it in that attempt.
            is_written(&mut change, commit).await?;
        }
        match outcome {
            Committed::Written => change.commit().await?,
            Committed::TooLate | Committed::Fenced => change.rollback().await?,
        }
        self.connection = Some(connection);
        Ok(outcome)
    }

    /// Drops the connection, which may hang.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Updates the heartbeat. `false` if another process declared this one dead.
    pub async fn beat(&mut self) -> Result<bool> {
        let id = self.id.0.clone();
        let beat = sqlx::query(
            "UPDATE audit_writers SET beats = beats + 1 WHERE id = $1 AND ended IS NULL",
        );
        let done = beat.bind(id).execute(self.connect().await?).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends the chain, and releases reserved credit.
    pub async fn end(&mut self) -> Result<()> {
        let id = self.id.0.clone();
        let begin = self.store.location().begin();
        let mut change = self.connect().await?.begin_with(begin).await?;
        let ended =
            sqlx::query("UPDATE audit_writers SET ended = $1 WHERE id = $2 AND ended IS NULL")
                .bind(now())
                .bind(&id)
                .execute(&mut *change)
                .await?;
        if ended.rows_affected() == 1 {
            credits::free_all(&mut change, &id).await?;
        }
        Ok(change.commit().await?)
    }
}

/// Whether a block is stored. Fails if its place holds another block.
async fn is_written(connection: &mut AnyConnection, commit: &Commit) -> Result<bool> {
    let Block { writer, first, body, .. } = &commit.block;
    let row = sqlx::query("SELECT body FROM audit_blocks WHERE writer = $1 AND first_seq = $2")
        .bind(writer)
        .bind(*first)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(false) };
    if unpack(row.try_get(0)?) != *body {
        let why = format!("record {first} of {writer} differs from what was written");
        return Err(Error::Refused(why));
    }
    Ok(true)
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time in the records' format (RFC 3339), from microseconds since 1970.
pub fn written_at(micros: i64) -> String {
    thread_local! {
        /// The last formatted second: most records share it with the one before.
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let (second, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    SECOND.with_borrow_mut(|(last, written)| {
        if *last != second {
            let time = jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            (*last, *written) = (second, time.strftime("%Y-%m-%dT%H:%M:%S").to_string());
        }
        let mut digits = *b".000000Z";
        let mut rest = rest;
        for digit in digits[1..7].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        let mut text = String::with_capacity(written.len() + digits.len());
        text.push_str(written);
        text.extend(digits.map(char::from));
        text
    })
}
