//! Taking away records whose time is over, provably: of each its number and its hash stay, so that the
//! chain still holds, and an act says which were taken away and why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::block::{Block, pack};
use super::hold::Hold;
use super::line::Removed;
use crate::{Result, Store, random_id};

/// The act's name.
pub(super) const RETENTION: &str = "audit.retention";
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
}

#[derive(Deserialize)]
struct Record<'a> {
    seq: i64,
    hash: String,
    #[serde(borrow, default)]
    class: &'a str,
    #[serde(borrow, default)]
    at: &'a str,
    tenant: Option<String>,
    user: Option<String>,
    agent: Option<String>,
    removed: Option<String>,
    to: Option<i64>,
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
    /// Takes away what is over, batch by batch.
    pub async fn retain_audit(&self, retention: &Retention) -> Result<Retained> {
        let holds: Vec<Hold> = self.audit_holds().await?;
        let holds: Vec<Hold> = holds.into_iter().filter(|hold| hold.released.is_none()).collect();
        let mut all = Retained::default();
        if retention.rules.is_empty() {
            return Ok(all);
        }
        for writer in self.audit_writers().await? {
            let mut after = 0;
            loop {
                let (last, done) = self.retain_batch(&writer.id, after, retention, &holds).await?;
                all.removed += done.removed;
                all.held += done.held;
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
        retention: &Retention,
        holds: &[Hold],
    ) -> Result<(Option<i64>, Retained)> {
        let query = format!(
            "SELECT {} FROM audit_blocks WHERE writer = $1 AND first_seq > $2 AND first_at < $3 \
             ORDER BY first_seq LIMIT {BATCH}",
            Block::COLUMNS
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(writer)
            .bind(after)
            .bind(retention.earliest())
            .fetch_all(&self.pool)
            .await?;
        let blocks: Vec<Block> = rows.iter().map(Block::read).collect::<Result<_>>()?;
        let id = random_id::<6>()?;
        let mut done = Retained::default();
        let mut ranges: Vec<(String, i64, i64)> = Vec::new();
        let mut changed = Vec::new();
        for block in &blocks {
            let thinned = thin(block, &id, retention, holds, &mut done);
            if let Some((body, removed)) = thinned {
                for (from, to) in removed {
                    match ranges.last_mut() {
                        Some((_, _, last)) if *last + 1 == from => *last = to,
                        _ => ranges.push((writer.to_owned(), from, to)),
                    }
                }
                changed.push((block, body));
            }
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
        join_empty(&mut change, writer, &id, &changed).await?;
        let act = Act::new(RETENTION, &id)
            .with("rules", &retention.rules)
            .with("count", done.removed)
            .with("removed", &ranges);
        change.commit(&act).await?;
        Ok((last, done))
    }
}

/// A line of a block as it will be.
enum Thinned<'a> {
    Kept(&'a str),
    /// From one number to another, with the hash of the last.
    Gone(i64, i64, String),
}

/// A block without what is over: its new text, and the numbers of what was taken away.
fn thin(
    block: &Block,
    id: &str,
    retention: &Retention,
    holds: &[Hold],
    done: &mut Retained,
) -> Option<(String, Vec<(i64, i64)>)> {
    let mut removed: Vec<(i64, i64)> = Vec::new();
    let mut lines: Vec<Thinned<'_>> = Vec::new();
    for line in block.lines() {
        let record = serde_json::from_str::<Record<'_>>(line).ok();
        let over = record.as_ref().is_some_and(|record| {
            let tenant = record.tenant.as_deref();
            let until = retention.until(record.class, tenant);
            let at = record.at.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
            let over = record.removed.is_none()
                && at.zip(until).is_some_and(|(at, until)| at < until)
                // The acts say what was taken away elsewhere.
                && !line.contains(RETENTION);
            let whose = [record.user.as_deref(), record.agent.as_deref()];
            let held = over && holds.iter().any(|hold| hold.covers(tenant, &whose));
            done.held += u64::from(held);
            over && !held
        });
        let Some(record) = record.filter(|_| over) else {
            lines.push(Thinned::Kept(line));
            continue;
        };
        let last = record.to.unwrap_or(record.seq);
        match lines.last_mut() {
            Some(Thinned::Gone(_, to, hash)) if *to + 1 == record.seq => {
                (*to, *hash) = (last, record.hash);
            }
            _ => lines.push(Thinned::Gone(record.seq, last, record.hash)),
        }
        match removed.last_mut() {
            Some((_, to)) if *to + 1 == record.seq => *to = last,
            _ => removed.push((record.seq, last)),
        }
    }
    if removed.is_empty() {
        return None;
    }
    done.removed += removed
        .iter()
        .map(|(from, to)| u64::try_from(to - from + 1).unwrap_or_default())
        .sum::<u64>();
    let texts = lines.into_iter().map(|line| match line {
        Thinned::Kept(line) => line.to_owned(),
        Thinned::Gone(first, last, hash) => {
            Removed { writer: &block.writer, first, last, hash: &hash, by: id }.to_line()
        }
    });
    Some((texts.collect::<Vec<_>>().join("\n"), removed))
}

/// Makes one block of those that follow one another and have nothing left.
async fn join_empty(
    change: &mut sqlx::AnyConnection,
    writer: &str,
    id: &str,
    changed: &[(&Block, String)],
) -> Result<()> {
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
    Ok(())
}
