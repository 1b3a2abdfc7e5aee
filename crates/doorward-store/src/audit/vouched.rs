//! How far checkpoints cover a chain: what retention may remove. It signs what it removes, and must not sign what was
//! changed before a checkpoint covered it.

use sqlx::Row;

use super::block::{Block, unpack};
use super::checkpoint::{Heads, PublicKeys, Said};
use super::line::Line;
use crate::{Result, Store};

/// Checkpoints per read.
const PAGE: i64 = 256;

impl Store {
    /// The number of the last record of a chain after `after` that checkpoints cover; all records
    /// up to it are linked. Reads no further than the first checkpoint after `horizon`
    /// (milliseconds since 1970). `heads` are the heads seen by other chains' checkpoints, read
    /// when first needed.
    pub(super) async fn vouched(
        &self,
        writer: &str,
        after: i64,
        horizon: i64,
        keys: &PublicKeys,
        heads: &mut Option<Heads>,
    ) -> Result<i64> {
        let mut walk = Walk::default();
        let is_seen = self.walk(&mut walk, writer, after, horizon, keys, None).await?;
        if is_seen {
            return Ok(walk.vouched);
        }
        if heads.is_none() {
            *heads = Some(self.signed_heads(keys).await?);
        }
        let Some(head) = heads.as_ref().and_then(|heads| heads.get(writer)) else {
            return Ok(walk.vouched);
        };
        let mut walk = Walk::default();
        self.walk(&mut walk, writer, after, horizon, keys, Some(head)).await?;
        Ok(walk.vouched)
    }

    /// Returns whether a checkpoint after the horizon was found.
    async fn walk(
        &self,
        walk: &mut Walk,
        writer: &str,
        after: i64,
        horizon: i64,
        keys: &PublicKeys,
        head: Option<&(i64, String)>,
    ) -> Result<bool> {
        let mut scan = self.audit_chain(writer, after);
        loop {
            let blocks = scan.next().await?;
            if blocks.is_empty() {
                return Ok(false);
            }
            for block in &blocks {
                let before = walk.vouched;
                for line in block.lines() {
                    if !walk.take(line, writer, keys, head) {
                        return Ok(true);
                    }
                }
                if walk.vouched > before && block.first_at >= horizon {
                    return Ok(true);
                }
            }
        }
    }

    /// The latest head of each chain in valid checkpoints.
    async fn signed_heads(&self, keys: &PublicKeys) -> Result<Heads> {
        let mut heads = Heads::new();
        let mut after = (String::new(), i64::MIN);
        loop {
            // A checkpoint is a block of its own; a long one is compressed.
            let query = format!(
                "SELECT {} FROM audit_blocks WHERE (writer, first_seq) > ($1, $2) AND first_seq = last_seq \
                 AND (body LIKE '%\"kind\":\"checkpoint\"%' OR body LIKE 'lz4:%') \
                 ORDER BY writer, first_seq LIMIT {PAGE}",
                Block::COLUMNS
            );
            let rows = sqlx::query(sqlx::AssertSqlSafe(query))
                .bind(&after.0)
                .bind(after.1)
                .fetch_all(&self.pool)
                .await?;
            let Some(last) = rows.last() else { return Ok(heads) };
            after = (last.try_get("writer")?, last.try_get("first_seq")?);
            for row in &rows {
                let body = unpack(row.try_get("body")?);
                let Ok(said) = Said::read(&body, keys) else { continue };
                for (writer, head) in said.heads {
                    if heads.get(&writer).is_none_or(|(seq, _)| *seq < head.0) {
                        heads.insert(writer, head);
                    }
                }
            }
        }
    }
}

/// The state of reading one chain.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) last: Option<Line>,
    vouched: i64,
}

impl Walk {
    /// Takes the next line; `false` if it does not link to the previous one.
    pub(super) fn take(
        &mut self,
        text: &str,
        writer: &str,
        keys: &PublicKeys,
        head: Option<&(i64, String)>,
    ) -> bool {
        let Some(line) = Line::read(text).filter(|line| line.writer == writer) else {
            return false;
        };
        let is_removed = line.removed.is_some();
        let follows = self.last.as_ref().is_none_or(|last| {
            last.last() + 1 == line.seq && (is_removed || last.hash == line.prev)
        });
        if !follows || !(is_removed || line.is_intact(text)) {
            return false;
        }
        if (line.kind == "checkpoint" && !is_removed && Said::read(text, keys).is_ok())
            || head.is_some_and(|(seq, hash)| (*seq, hash) == (line.last(), &line.hash))
        {
            self.vouched = line.last();
        }
        self.last = Some(line);
        true
    }
}
