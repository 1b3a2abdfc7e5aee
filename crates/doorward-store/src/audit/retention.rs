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

/// Blocks that are looked at in one transaction.
const BATCH: i64 = 64;

/// Until when records are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// `None` for all that no other rule names.
    pub class: Option<String>,
    pub tenant: Option<String>,
    /// Records from before go: milliseconds since 1970.
    pub before: i64,
}

/// All rules. The one that names tenant and class decides, then the one that names the tenant, then
/// the one that names the class.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    pub rules: Vec<Rule>,
}

/// What was taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Retained {
    pub removed: u64,
    pub held: u64,
    /// Over, but no checkpoint vouches for it yet, or its chain is not whole: it stays.
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
    /// What says of other records that they were removed or held, or of a chain that it has ended, stays.
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
    /// Until when a record is kept; `None` for always.
    fn until(&self, class: &str, tenant: Option<&str>) -> Option<i64> {
        // What vouches for others stays as long as the longest of them.
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
    /// Takes away what is over, batch by batch, and signs what it took.
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

    /// One batch of one chain. Returns the first number of the last block that was looked at.
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
            // How far checkpoints vouch is looked up once something is over.
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
                // Somebody else is at it.
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

    /// The number of the last checkpoint of a chain: it vouches for what is left of it, and stays.
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

/// What one pass through all chains goes by.
struct Pass<'a> {
    retention: &'a Retention,
    holds: &'a [Hold],
    key: &'a AuditKey,
    keys: PublicKeys,
    /// What checkpoints have seen of other chains, once that was needed.
    heads: Option<Heads>,
    /// Up to where checkpoints vouch for the chain at hand, once that was needed.
    vouched: Option<i64>,
    /// The last checkpoint of the chain at hand, looked up with it.
    last_checkpoint: Option<i64>,
}

/// The runs that an act has removed, as they stand in the blocks now.
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

/// A line of a block as it will be.
enum Thinned<'a> {
    Kept(&'a str),
    /// From one number to another, with the hash of the last.
    Gone(i64, i64, String),
}

/// A block without what is over up to a record, but for one that is kept: its new text, if anything was taken away.
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

/// Makes one block of those that follow one another and have nothing left. Returns the runs it made.
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
