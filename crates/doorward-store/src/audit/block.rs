//! Blocks of records that were written together. Long ones are compressed (LZ4, in base64): records
//! are similar, and a third of the bytes takes a third of the time to write.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Result, Store};

/// Blocks per read: as many as hold about [`WANTED_BYTES`].
const PAGES: (i64, i64) = (8, 1_024);
const WANTED_BYTES: usize = 2 << 20;

/// Some records of one chain, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub writer: String,
    pub first: i64,
    pub last: i64,
    /// The times of the first and the last record, in milliseconds since 1970.
    pub first_at: i64,
    pub last_at: i64,
    /// One record per line.
    pub body: String,
}

/// Shorter bodies are stored uncompressed, so that they can be read in the database.
const PACKED: usize = 8 << 10;
const PACKED_FORM: &str = "lz4:";
/// Maximum size of a decompressed body. Bodies are written shorter than this.
const MOST_UNPACKED: usize = 64 << 20;

/// Encodes a body for storage. The encoding is deterministic.
pub(super) fn pack(body: &str) -> Cow<'_, str> {
    if body.len() < PACKED {
        return body.into();
    }
    let packed = lz4_flex::block::compress_prepend_size(body.as_bytes());
    format!("{PACKED_FORM}{}", STANDARD_NO_PAD.encode(packed)).into()
}

/// Decodes a stored body. One that cannot be decoded yields a line that is not a record.
pub(crate) fn unpack(kept: String) -> String {
    let Some(packed) = kept.strip_prefix(PACKED_FORM) else { return kept };
    let unpacked = STANDARD_NO_PAD.decode(packed).ok().and_then(|packed| {
        // The length comes first.
        let length: [u8; 4] = packed.get(..4)?.try_into().ok()?;
        if u32::from_le_bytes(length) as usize > MOST_UNPACKED {
            return None;
        }
        String::from_utf8(lz4_flex::block::decompress_size_prepended(&packed).ok()?).ok()
    });
    unpacked.unwrap_or_else(|| "these records cannot be unpacked".into())
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
            body: unpack(row.try_get("body")?),
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
        .bind(pack(&self.body).into_owned())
        .execute(connection)
        .await?;
        Ok(put.rows_affected() == 1)
    }

    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.body.lines()
    }
}

/// A half-open time range for searches, in milliseconds since 1970.
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

/// Reads blocks page by page.
#[derive(Debug)]
pub struct Scan {
    store: Store,
    span: Span,
    /// One chain, or all.
    writer: Option<String>,
    /// The last block read: by time, or within one chain by number.
    after: (i64, String, i64),
    page: i64,
}

impl Store {
    /// All blocks with records in a time range, in the order in which they were written.
    pub fn audit_between(&self, span: Span) -> Scan {
        let after = (span.from.saturating_sub(1), "~".to_owned(), i64::MAX);
        Scan { store: self.clone(), span, writer: None, after, page: PAGES.0 }
    }

    /// The same, resuming after the [`Scan::position`] of another scan.
    pub fn audit_between_after(&self, span: Span, position: (i64, String, i64)) -> Scan {
        Scan { after: position, ..self.audit_between(span) }
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
        Scan {
            store: self.clone(),
            span: Span::default(),
            writer: Some(writer.to_owned()),
            after,
            page: PAGES.0,
        }
    }
}

impl Scan {
    /// The position after the last block read.
    pub fn position(&self) -> (i64, String, i64) {
        self.after.clone()
    }

    /// Returns the next blocks, none at the end. Later calls return blocks written since.
    pub async fn next(&mut self) -> Result<Vec<Block>> {
        let (columns, page) = (Block::COLUMNS, self.page);
        let rows = match &self.writer {
            Some(writer) => {
                let query = format!(
                    "SELECT {columns} FROM audit_blocks WHERE writer = $1 AND first_seq > $2 \
                     ORDER BY first_seq LIMIT {page}"
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
                    "SELECT {columns} FROM audit_blocks WHERE (last_at, writer, first_seq) > ($1, $2, $3) \
                     AND first_at < $4 ORDER BY last_at, writer, first_seq LIMIT {page}"
                );
                sqlx::query(sqlx::AssertSqlSafe(query))
                    .bind(at)
                    .bind(writer)
                    .bind(seq)
                    .bind(self.span.to)
                    .fetch_all(&self.store.pool)
                    .await?
            }
        };
        let blocks: Vec<Block> = rows.iter().map(Block::read).collect::<Result<_>>()?;
        let bytes: usize = blocks.iter().map(|block| block.body.len()).sum();
        let wanted = if bytes < WANTED_BYTES { page * 2 } else { page / 2 };
        self.page = wanted.clamp(PAGES.0, PAGES.1);
        if let Some(last) = blocks.last() {
            self.after = (last.last_at, last.writer.clone(), last.first);
        }
        Ok(blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_kept_shorter_and_comes_back_as_it_was() {
        let line = |number: u32| {
            format!("{{\"writer\":\"w\",\"seq\":{number},\"kind\":\"call\",\"user\":\"alice\"}}")
        };
        let long = (0..1_000).map(line).collect::<Vec<_>>().join("\n");
        let packed = pack(&long).into_owned();
        assert!(packed.len() * 2 < long.len(), "{} of {}", packed.len(), long.len());
        assert_eq!(unpack(packed.clone()), long);
        assert_eq!(pack(&line(1)), line(1));
        for wrong in ["lz4:", "lz4:AAAA", "lz4://///w", "lz4:?", &packed[..packed.len() - 9]] {
            assert!(!unpack(wrong.to_owned()).contains("seq\":999"), "{wrong}");
        }
    }
}
