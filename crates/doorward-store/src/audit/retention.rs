//! Removes expired records, provably: the number and hash of each are retained, so that the chain stays valid, and a
//! signed record says which were removed and why. Only records that a checkpoint covers are removed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::act::Act;
use super::block::{Block, pack};
use super::checkpoint::{AuditKey, Heads, PublicKeys};
use super::hold::{HOLD, Hold, RELEASE};
use super::line::{Line, Removed};
use super::removal::{Gone, Proof, RETENTION, gone};
use crate::{Result, Store, random_id};

/// Blocks processed per transaction.
const BATCH: i64 = 64;

/// How long records are retained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// `None` for all classes without a rule.
    pub class: Option<String>,
    pub tenant: Option<String>,
    /// Earlier records are removed: milliseconds since 1970.
    pub before: i64,
}

/// All rules. The most specific one applies: tenant and class, then tenant, then class.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    pub rules: Vec<Rule>,
}

/// The outcome of a retention run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Retained {
    pub removed: u64,
    pub held: u64,
    /// Expired but retained, because no checkpoint covers them yet or their chain is broken.
    pub unvouched: u64,
}

#[derive(Deserialize)]
struct Record<'a> {
    seq: i64,
    hash: String,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    act: Cow<'a, str>,
    #[serde(borrow, default)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    class: Cow<'a, str>,
    #[serde(borrow, default)]
    at: Cow<'a, str>,
    tenant: Option<String>,
    user: Option<String>,
    agent: Option<String>,
    removed: Option<String>,
}

impl Record<'_> {
    /// Whether the record proves something about other records or chains (removals, holds, the end
    /// of a chain), and is therefore retained.
    fn vouches(&self) -> bool {
        match &*self.kind {
            "act" => matches!(&*self.act, RETENTION | HOLD | RELEASE),
            "event" => self.event == "writer.died",
            "end" => true,
            _ => false,
        }
    }
}

impl Retention {
    /// Until when a record is retained; `None` for forever.
    fn until(&self, class: &str, tenant: Option<&str>) -> Option<i64> {
        // Checkpoints are retained as long as the longest-lived records they cover.
        if class == "checkpoints" {
            let always = self.rules.iter().all(|rule| rule.class.is_some());
            return if always { None } else { self.rules.iter().map(|rule| rule.before).min() };
        }
        let fits = |rule: &&Rule| {
            rule.class.as_deref().is_none_or(|it| it == class)
                && rule.tenant.as_deref().is_none_or(|it| tenant == Some(it))
        };
        let rank = |rule: &&Rule| (rule.tenant.is_some(), rule.class.is_some());
        self.rules.iter().filter(fits).max_by_key(rank).map(|rule| rule.before)
    }

    fn earliest(&self) -> i64 {
        self.rules.iter().map(|rule| rule.before).max().unwrap_or(0)
    }
}

impl Store {
    /// Removes expired records batch by batch, and signs each removal.
    pub async fn retain_audit(&self, retention: &Retention, key: &AuditKey) -> Result<Retained> {
        let mut all = Retained::default();
        if retention.rules.is_empty() {
            return Ok(all);
        }
        let holds = self.proven_holds().await?;
        let mut pass = Pass {
            retention,
            holds: &holds,
            key,
            keys: [(key.id.clone(), key.public_bytes())].into(),
            heads: None,
            vouched: None,
            last_checkpoint: None,
        };
        for writer in self.audit_writers().await? {
            let mut after = 0;
            (pass.vouched, pass.last_checkpoint) = (None, None);
            loop {
                let (last, done) = self.retain_batch(&writer.id, after, &mut pass).await?;
                all.removed += done.removed;
                all.held += done.held;
                all.unvouched += done.unvouched;
                match last {
                    Some(last) => after = last,
                    None => break,
                }
            }
        }
        Ok(all)
    }

    /// Processes one batch of one chain. Returns the first number of the last block processed.
    async fn retain_batch(
        &self,
        writer: &str,
        after: i64,
        pass: &mut Pass<'_>,
    ) -> Result<(Option<i64>, Retained)> {
        let query = format!(
            "SELECT {} FROM audit_blocks WHERE writer = $1 AND first_seq > $2 AND first_at < $3 \
             ORDER BY first_seq LIMIT {BATCH}",
            Block::COLUMNS
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(writer)
            .bind(after)
            .bind(pass.retention.earliest())
            .fetch_all(&self.pool)
            .await?;
        let blocks: Vec<Block> = rows.iter().map(Block::read).collect::<Result<_>>()?;
        let id = random_id::<6>()?;
        let mut done = Retained::default();
        let (retention, holds) = (pass.retention, pass.holds);
        let mut changed = Vec::new();
        for block in &blocks {
            // The covered range is computed only once something has expired.
            let mut upto = pass.vouched.unwrap_or(i64::MAX);
            let mut tried = Retained::default();
            let kept = pass.last_checkpoint;
            let mut thinned = thin(block, &id, retention, holds, (upto, kept), &mut tried);
            if thinned.is_some() && pass.vouched.is_none() {
                let (keys, horizon) = (&pass.keys, retention.earliest());
                upto =
                    self.vouched(writer, block.first - 1, horizon, keys, &mut pass.heads).await?;
                pass.vouched = Some(upto);
                pass.last_checkpoint = self.last_checkpoint(writer).await?;
                let kept = pass.last_checkpoint;
                tried = Retained::default();
                thinned = thin(block, &id, retention, holds, (upto, kept), &mut tried);
            }
            done.removed += tried.removed;
            done.held += tried.held;
            done.unvouched += tried.unvouched;
            changed.extend(thinned.map(|body| (block, body)));
        }
        let last = blocks.last().map(|block| block.first);
        if changed.is_empty() {
            return Ok((last, done));
        }
        let mut change = self.write().await?;
        for (block, body) in &changed {
            let put = sqlx::query(
                "UPDATE audit_blocks SET body = $1 WHERE writer = $2 AND first_seq = $3 AND body = $4",
            )
            .bind(pack(body).into_owned())
            .bind(writer)
            .bind(block.first)
            .bind(pack(&block.body).into_owned())
            .execute(&mut *change)
            .await?;
            if put.rows_affected() == 0 {
                // Another process is removing records of this chain.
                return Ok((last, Retained::default()));
            }
        }
        let runs = join_empty(&mut change, writer, &id, &changed).await?;
        let removed = removed(&id, &changed, runs);
        let act = Act::new(RETENTION, &id)
            .with("rules", &retention.rules)
            .with("count", done.removed)
            .with("removed", &removed)
            .with("proof", Proof::of(pass.key, &id, &removed));
        change.commit(&act).await?;
        Ok((last, done))
    }

    /// The number of a chain's last checkpoint: it covers the remaining records, and is retained.
    async fn last_checkpoint(&self, writer: &str) -> Result<Option<i64>> {
        let row = sqlx::query(
            "SELECT first_seq FROM audit_blocks WHERE writer = $1 AND first_seq = last_seq \
             AND (body LIKE '%\"kind\":\"checkpoint\"%' OR body LIKE 'lz4:%') \
             ORDER BY first_seq DESC LIMIT 1",
        )
        .bind(writer)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}

/// The state of one pass over all chains.
struct Pass<'a> {
    retention: &'a Retention,
    holds: &'a [Hold],
    key: &'a AuditKey,
    keys: PublicKeys,
    /// The heads that checkpoints have seen of other chains, once they were needed.
    heads: Option<Heads>,
    /// The last record of the current chain that checkpoints cover, once it was needed.
    vouched: Option<i64>,
    /// The current chain's last checkpoint, looked up at the same time.
    last_checkpoint: Option<i64>,
}

/// The ranges that an act has removed, as they now appear in the blocks.
fn removed(id: &str, changed: &[(&Block, String)], joined: Vec<Gone>) -> Vec<Gone> {
    let lines = changed.iter().flat_map(|(_, body)| body.lines()).filter_map(Line::read);
    let mut removed: Vec<Gone> = lines
        .filter(|line| line.removed.as_deref() == Some(id))
        .filter_map(|it| gone(&it))
        .collect();
    for run in joined {
        removed.retain(|(_, first, last, _)| *first < run.1 || *last > run.2);
        removed.push(run);
    }
    removed.sort_by_key(|(_, first, ..)| *first);
    removed
}

/// A line of a block after removal.
enum Thinned<'a> {
    Kept(&'a str),
    /// The first and last number of a removed range, and the hash of the last record.
    Gone(i64, i64, String),
}

/// Removes expired records up to a number from a block, except the given one. Returns the new text
/// if anything was removed.
fn thin(
    block: &Block,
    id: &str,
    retention: &Retention,
    holds: &[Hold],
    (upto, kept): (i64, Option<i64>),
    done: &mut Retained,
) -> Option<String> {
    let before = done.removed;
    let mut lines: Vec<Thinned<'_>> = Vec::new();
    for line in block.lines() {
        let record = serde_json::from_str::<Record<'_>>(line).ok();
        let over = record.as_ref().is_some_and(|record| {
            let tenant = record.tenant.as_deref();
            let until = retention.until(&record.class, tenant);
            let at = record.at.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
            let over = record.removed.is_none()
                && at.zip(until).is_some_and(|(at, until)| at < until)
                && !(record.vouches() || kept == Some(record.seq));
            let whose = [record.user.as_deref(), record.agent.as_deref()];
            let held = over && holds.iter().any(|hold| hold.covers(tenant, &whose));
            done.held += u64::from(held);
            let vouched = record.seq <= upto;
            done.unvouched += u64::from(over && !held && !vouched);
            over && !held && vouched
        });
        let Some(record) = record.filter(|_| over) else {
            lines.push(Thinned::Kept(line));
            continue;
        };
        done.removed += 1;
        match lines.last_mut() {
            Some(Thinned::Gone(_, to, hash)) if *to + 1 == record.seq => {
                (*to, *hash) = (record.seq, record.hash);
            }
            _ => lines.push(Thinned::Gone(record.seq, record.seq, record.hash)),
        }
    }
    if done.removed == before {
        return None;
    }
    let texts = lines.into_iter().map(|line| match line {
        Thinned::Kept(line) => line.to_owned(),
        Thinned::Gone(first, last, hash) => {
            Removed { writer: &block.writer, first, last, hash: &hash, by: id }.to_line()
        }
    });
    Some(texts.collect::<Vec<_>>().join("\n"))
}

/// Merges consecutive blocks that have no records left. Returns the resulting ranges.
async fn join_empty(
    change: &mut sqlx::AnyConnection,
    writer: &str,
    id: &str,
    changed: &[(&Block, String)],
) -> Result<Vec<Gone>> {
    let mut joined_runs = Vec::new();
    let by = format!("\"removed\":\"{id}\"");
    let is_empty = |body: &String| !body.contains('\n') && body.contains(&by);
    let mut runs: Vec<Vec<&Block>> = Vec::new();
    for (block, body) in changed.iter().filter(|(_, body)| is_empty(body)) {
        let _ = body;
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| last.last + 1 == block.first) => {
                run.push(block);
            }
            _ => runs.push(vec![block]),
        }
    }
    let bodies: BTreeMap<i64, &String> =
        changed.iter().map(|(block, body)| (block.first, body)).collect();
    for run in runs.iter().filter(|run| run.len() > 1) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let hash = bodies.get(&last.first).and_then(|body| super::Line::read(body));
        let Some(hash) = hash.map(|line| line.hash) else { continue };
        joined_runs.push((writer.to_owned(), first.first, last.last, hash.clone()));
        let joined =
            Removed { writer, first: first.first, last: last.last, hash: &hash, by: id }.to_line();
        sqlx::query(
            "DELETE FROM audit_blocks WHERE writer = $1 AND first_seq > $2 AND first_seq <= $3",
        )
        .bind(writer)
        .bind(first.first)
        .bind(last.first)
        .execute(&mut *change)
        .await?;
        sqlx::query(
            "UPDATE audit_blocks SET body = $1, last_seq = $2, last_at = $3 \
             WHERE writer = $4 AND first_seq = $5",
        )
        .bind(joined)
        .bind(last.last)
        .bind(last.last_at)
        .bind(writer)
        .bind(first.first)
        .execute(&mut *change)
        .await?;
    }
    Ok(joined_runs)
}
