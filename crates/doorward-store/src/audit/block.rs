//! Records that were written together, and reading through them.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Result, Store};

/// Blocks that are read in one go.
const PAGE: i64 = 64;

/// Some records of one chain, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub writer: String,
    pub first: i64,
    pub last: i64,
    /// Between which times they were written, in milliseconds since 1970.
    pub first_at: i64,
    pub last_at: i64,
    /// A line each.
    pub body: String,
}

impl Block {
    pub(super) const COLUMNS: &str = "writer, first_seq, last_seq, first_at, last_at, body";

    pub(super) fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            writer: row.try_get("writer")?,
            first: row.try_get("first_seq")?,
            last: row.try_get("last_seq")?,
            first_at: row.try_get("first_at")?,
            last_at: row.try_get("last_at")?,
            body: row.try_get("body")?,
        })
    }

    /// Adds the block to its chain. Returns whether it was not there before.
    pub(super) async fn insert(&self, connection: &mut sqlx::AnyConnection) -> Result<bool> {
        let put = sqlx::query(
            "INSERT INTO audit_blocks (writer, first_seq, last_seq, first_at, last_at, body) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (writer, first_seq) DO NOTHING",
        )
        .bind(&self.writer)
        .bind(self.first)
        .bind(self.last)
        .bind(self.first_at)
        .bind(self.last_at)
        .bind(&self.body)
        .execute(connection)
        .await?;
        Ok(put.rows_affected() == 1)
    }

    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.body.lines()
    }
}

/// Times between which records are looked for, in milliseconds since 1970; the end is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: i64,
    pub to: i64,
}

impl Default for Span {
    fn default() -> Self {
        Self { from: 0, to: i64::MAX }
    }
}

/// Reads blocks one page after the other.
#[derive(Debug)]
pub struct Scan {
    store: Store,
    span: Span,
    /// One chain, or all.
    writer: Option<String>,
    /// What was read last: by time, or within one chain by number.
    after: (i64, String, i64),
}

impl Store {
    /// All blocks with records of a time, in the order in which they were written.
    pub fn audit_between(&self, span: Span) -> Scan {
        let after = (span.from - 1, "~".to_owned(), i64::MAX);
        Scan { store: self.clone(), span, writer: None, after }
    }

    /// When the latest record was written, in milliseconds since 1970.
    pub async fn audit_latest(&self) -> Result<i64> {
        let row = sqlx::query("SELECT COALESCE(MAX(last_at), 0) FROM audit_blocks")
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get(0)?)
    }

    /// The blocks of one chain after a record, in their order.
    pub fn audit_chain(&self, writer: &str, after: i64) -> Scan {
        let after = (0, String::new(), after);
        Scan { store: self.clone(), span: Span::default(), writer: Some(writer.to_owned()), after }
    }
}

impl Scan {
    /// The next blocks; none at the end. Asked again then, it brings what has come since.
    pub async fn next(&mut self) -> Result<Vec<Block>> {
        let columns = Block::COLUMNS;
        let rows = match &self.writer {
            Some(writer) => {
                let query = format!(
                    "SELECT {columns} FROM audit_blocks WHERE writer = $1 AND first_seq > $2 \
                     ORDER BY first_seq LIMIT {PAGE}"
                );
                sqlx::query(sqlx::AssertSqlSafe(query))
                    .bind(writer)
                    .bind(self.after.2)
                    .fetch_all(&self.store.pool)
                    .await?
            }
            None => {
                let (at, writer, seq) = &self.after;
                let query = format!(
                    "SELECT {columns} FROM audit_blocks WHERE first_at < $1 AND (last_at > $2 OR \
                     (last_at = $2 AND (writer > $3 OR (writer = $3 AND first_seq > $4)))) \
                     ORDER BY last_at, writer, first_seq LIMIT {PAGE}"
                );
                sqlx::query(sqlx::AssertSqlSafe(query))
                    .bind(self.span.to)
                    .bind(at)
                    .bind(writer)
                    .bind(seq)
                    .fetch_all(&self.store.pool)
                    .await?
            }
        };
        let blocks: Vec<Block> = rows.iter().map(Block::read).collect::<Result<_>>()?;
        if let Some(last) = blocks.last() {
            self.after = (last.last_at, last.writer.clone(), last.first);
        }
        Ok(blocks)
    }
}
