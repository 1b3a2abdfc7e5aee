//! Verifies all chains of a database: their records, and the tables about them that no hash covers.
//! Searches rely on the numbers and times of blocks, and exports on the list of chains: wrong
//! values there would hide records.

use sqlx::Row;

use super::act::Act;
use super::block::Block;
use super::checkpoint::{AuditKey, PublicKeys};
use super::removal::{Proof, RETENTION};
use super::report::{Fault, Report};
use super::verify::Verifier;
use super::writer::WriterRow;
use crate::{Error, Result, Store, random_id};

/// Maximum number of removed runs that one act signs.
const RUNS: usize = 10_000;
/// Allowed difference, in milliseconds, between the times of a record and of its block: each is
/// read from the clock separately.
const APART: i64 = 60_000;

impl Verifier {
    /// The second pass for a block, including the numbers and times under which its records are
    /// stored.
    fn check_block(&mut self, block: &Block) {
        let (mut numbers, mut times) = (None::<(i64, i64)>, None::<(i64, i64)>);
        let (mut is_own, mut has_removed) = (true, false);
        for text in block.lines() {
            let Some(line) = self.checked(text) else { continue };
            is_own &= line.writer == block.writer;
            has_removed |= line.removed.is_some();
            numbers = Some((numbers.map_or(line.seq, |(first, _)| first), line.last()));
            if let Ok(at) = line.at.parse::<jiff::Timestamp>() {
                let at = at.as_millisecond();
                times = Some(times.map_or((at, at), |(from, to)| (from.min(at), to.max(at))));
            }
        }
        let is_timed = times.is_none_or(|(from, to)| {
            let (early, late) = (from - block.first_at, block.last_at - to);
            // Records removed from a block may have been earlier or later than the rest.
            let most = if has_removed { i64::MAX } else { APART };
            (-APART..=most).contains(&early) && (-APART..=most).contains(&late)
        });
        if !is_own || !is_timed || numbers.is_some_and(|it| it != (block.first, block.last)) {
            self.found(&block.writer, block.first, Fault::Misfiled, String::new());
        }
    }
}

impl Store {
    /// Verifies all stored records. Concurrent writes are allowed.
    pub async fn verify_audit(&self, mut verifier: Verifier) -> Result<Report> {
        self.go_through(&mut verifier).await?;
        Ok(verifier.finish())
    }

    /// Signs removals made by versions that did not sign them, if nothing else is wrong. Returns how many runs of
    /// records it signed.
    pub async fn sign_earlier_removals(&self, key: &AuditKey, keys: PublicKeys) -> Result<usize> {
        let mut verifier = Verifier::new(keys, true).trusting_database(true);
        self.go_through(&mut verifier).await?;
        let unsigned = std::mem::take(&mut verifier.unsigned);
        let report = verifier.finish();
        if let Some(finding) = report.findings.first() {
            return Err(Error::Refused(format!("the audit log is not intact: {finding}")));
        }
        for runs in unsigned.chunks(RUNS) {
            let id = random_id::<6>()?;
            let act = Act::new(RETENTION, &id)
                .with("earlier", true)
                .with("removed", runs)
                .with("proof", Proof::of(key, &id, runs));
            self.write().await?.commit(&act).await?;
        }
        Ok(unsigned.len())
    }

    async fn go_through(&self, verifier: &mut Verifier) -> Result<()> {
        let (writers, unlisted) = self.writers_and_unlisted().await?;
        unlisted.iter().for_each(|name| verifier.unlisted(name));
        for writer in &writers {
            verifier.claim(&writer.id, &writer.head);
            if writer.ended.is_some() {
                verifier.closed.insert(writer.id.clone());
            }
        }
        let names = names(writers, unlisted);
        for gathers in [true, false] {
            for name in &names {
                let mut scan = self.audit_chain(name, i64::MIN);
                loop {
                    let blocks = scan.next().await?;
                    if blocks.is_empty() {
                        break;
                    }
                    for block in &blocks {
                        if gathers {
                            block.lines().for_each(|line| verifier.gather(line));
                        } else {
                            verifier.check_block(block);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The names of all chains: those of registered processes, oldest first, then others that have
    /// records.
    pub async fn audit_chains(&self) -> Result<Vec<String>> {
        let (writers, unlisted) = self.writers_and_unlisted().await?;
        Ok(names(writers, unlisted))
    }

    /// The registered processes, and the chains with records that belong to none of them.
    async fn writers_and_unlisted(&self) -> Result<(Vec<WriterRow>, Vec<String>)> {
        // A gateway registers its chain before it writes records.
        let mut unlisted = self.chains_with_records().await?;
        let writers = self.audit_writers().await?;
        unlisted.retain(|name| !writers.iter().any(|writer| writer.id == *name));
        Ok((writers, unlisted))
    }

    async fn chains_with_records(&self) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT DISTINCT writer FROM audit_blocks ORDER BY writer")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

fn names(writers: Vec<WriterRow>, unlisted: Vec<String>) -> Vec<String> {
    writers.into_iter().map(|writer| writer.id).chain(unlisted).collect()
}
