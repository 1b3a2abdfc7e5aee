//! Processes that stopped unexpectedly: detection, their open calls, and their usage.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use sqlx::{AnyConnection, Row};

use super::act::ACTS;
use super::block::Block;
use super::writer::{AuditLog, WriterRow};
use crate::{Result, Tally};

impl AuditLog {
    /// Processes that died without ending their chains: those on this machine at once, others after
    /// `patience` without a heartbeat, compared with `seen` from earlier checks.
    pub async fn dead(
        &mut self,
        seen: &mut BTreeMap<String, (i64, Instant)>,
        patience: Duration,
    ) -> Result<Vec<WriterRow>> {
        let id = self.id().0.clone();
        let rows = sqlx::query(
            "SELECT id, place, started, beats, ended, seq, hash FROM audit_writers \
             WHERE ended IS NULL AND id <> $1 AND id <> $2",
        )
        .bind(id)
        .bind(ACTS)
        .fetch_all(self.connect().await?)
        .await?;
        let open: Vec<WriterRow> = rows.iter().map(WriterRow::read).collect::<Result<_>>()?;
        seen.retain(|id, _| open.iter().any(|row| row.id == *id));
        let now = Instant::now();
        let mut dead = Vec::new();
        for row in open {
            let (beats, since) = seen.entry(row.id.clone()).or_insert((row.beats, now));
            if *beats != row.beats {
                (*beats, *since) = (row.beats, now);
            }
            if self.place.knows_gone(&row.place) || since.elapsed() >= patience {
                dead.push(row);
            }
        }
        Ok(dead)
    }

    /// Usage in a process's records that was not counted yet.
    pub async fn uncounted(&mut self, writer: &str) -> Result<Tally> {
        let connection = self.connect().await?;
        let mut tally = Tally::default();
        let row = sqlx::query("SELECT counted FROM audit_writers WHERE id = $1")
            .bind(writer)
            .fetch_one(&mut *connection)
            .await?;
        let mut after: i64 = row.try_get(0)?;
        loop {
            let blocks =
                some_blocks(connection, writer, "first_seq > $2 ORDER BY first_seq", after).await?;
            let Some(last) = blocks.last() else { return Ok(tally) };
            after = last.first;
            blocks.iter().flat_map(Block::lines).for_each(|line| tally.add(line));
        }
    }

    /// Calls that a dead process began and did not end, according to its records.
    pub async fn left_open(&mut self, dead: &str) -> Result<Vec<LeftOpen>> {
        let connection = self.connect().await?;
        let mut open: BTreeMap<String, LeftOpen> = BTreeMap::new();
        let mut closed = std::collections::BTreeSet::new();
        let mut before = i64::MAX;
        // Reads backwards, to the last checkpoint, which states the first open record.
        let mut until = None;
        loop {
            let backwards = "first_seq < $2 ORDER BY first_seq DESC";
            let blocks = some_blocks(connection, dead, backwards, before).await?;
            if blocks.is_empty() {
                break;
            }
            for block in blocks {
                before = block.first;
                for line in block.lines().rev() {
                    let Ok(record) = serde_json::from_str::<LeftOpen>(line) else { continue };
                    match record.kind.as_str() {
                        "closed" => _ = closed.insert(record.id),
                        "opened" if !closed.remove(&record.id) => {
                            open.insert(record.id.clone(), record);
                        }
                        "checkpoint" if until.is_none() => until = record.open,
                        _ => {}
                    }
                }
            }
            if until.is_some_and(|until| before <= until) {
                break;
            }
        }
        Ok(open.into_values().collect())
    }
}

/// The next few blocks of a chain after a position, in either direction.
pub(super) async fn some_blocks(
    connection: &mut AnyConnection,
    writer: &str,
    beyond: &str,
    place: i64,
) -> Result<Vec<Block>> {
    let columns = Block::COLUMNS;
    let query =
        format!("SELECT {columns} FROM audit_blocks WHERE writer = $1 AND {beyond} LIMIT 16");
    let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(writer).bind(place);
    query.fetch_all(connection).await?.iter().map(Block::read).collect()
}

/// The members of an opening record that are needed to close it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LeftOpen {
    kind: String,
    pub id: String,
    pub class: String,
    pub tenant: Option<String>,
    pub user: Option<String>,
    pub service_account: Option<String>,
    pub agent: Option<String>,
    pub key: Option<String>,
    pub server: Option<String>,
    pub target: Option<String>,
    /// Maximum cost by account, in millionths.
    pub reserved: BTreeMap<String, i64>,
    /// In a checkpoint: the first record that was still open.
    open: Option<i64>,
}
