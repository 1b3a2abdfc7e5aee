//! Writes blocks of the chain. Each is written once, whatever the database answers: a block whose
//! write had no known result is retried before any other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use doorward_store::{Amount, AuditLog, Block, Chain, Commit, Committed, Ended, Error, Tally};

use super::queue::{Mark, Record};
use super::recorder::{COUNT, Recorder, fresh_id, here};

/// Delay between two attempts to write.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The outcome of a call that another process had already closed as `unknown`. It is neither
/// charged nor counted again.
const LATE: &str = "late";

/// Records with their place in the chain, and the state after they are written.
#[derive(Debug)]
pub(super) struct Prepared {
    pub commit: Commit,
    pub chain: Chain,
    pub marks: Vec<(Mark, i64)>,
    /// The usage of these records.
    pub tally: Tally,
}

impl Recorder {
    /// Retries until the records are written, without loss or duplicates.
    pub(super) async fn until_written(&mut self, records: Vec<Record>) {
        let (mut pause, longest) = PAUSES;
        // Whether the write of these records has been attempted.
        let mut tried = false;
        loop {
            let outcome = if tried {
                self.try_doubt().await
            } else {
                match self.settle_doubt().await {
                    Ok(()) => {
                        tried = true;
                        let prepared = self.prepare(&records, None);
                        self.write(prepared).await
                    }
                    Err(why) => Err(why),
                }
            };
            match outcome {
                Ok(Committed::Written | Committed::TooLate) => return self.audit.works(),
                // Another process has closed the open calls; the following records go to a new
                // chain.
                Ok(Committed::Fenced) => {
                    tried = false;
                    if self.open_another_chain().await {
                        continue;
                    }
                }
                Err(why) => self.audit.fails(&why),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Writes immediately, or returns the error.
    pub(super) async fn write_now(
        &mut self,
        records: Vec<Record>,
        ends: Option<Ended>,
    ) -> Result<Committed, Error> {
        self.settle_doubt().await.map_err(Error::Refused)?;
        let prepared = self.prepare(&records, ends);
        self.write(prepared).await.map_err(Error::Refused)
    }

    /// Ensures that the last attempted block is written, or will never be.
    pub(super) async fn settle_doubt(&mut self) -> Result<(), String> {
        self.try_doubt().await.map(drop)
    }

    /// Writes a block. No earlier write may be pending.
    pub(super) async fn write(&mut self, prepared: Prepared) -> Result<Committed, String> {
        self.doubt = Some(prepared);
        let began = Instant::now();
        match self.try_doubt().await {
            // A connection that was closed is replaced at once; an error or a timeout on a new
            // connection counts.
            Err(_) if began.elapsed() < self.terms.write_timeout / 2 => self.try_doubt().await,
            outcome => outcome,
        }
    }

    /// Retries the pending block. It stays pending if this is cancelled.
    async fn try_doubt(&mut self) -> Result<Committed, String> {
        let Some(doubt) = &self.doubt else { return Ok(Committed::Written) };
        let why =
            match tokio::time::timeout(self.terms.write_timeout, self.log.write(&doubt.commit))
                .await
            {
                Ok(Ok(outcome)) => {
                    let settled = self.doubt.take().filter(|_| outcome == Committed::Written);
                    settled.into_iter().for_each(|written| self.advance(written));
                    return Ok(outcome);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => {
                    format!("the database did not write within {:?}", self.terms.write_timeout)
                }
            };
        self.log.disconnect();
        Err(why)
    }

    pub(super) async fn open_another_chain(&mut self) -> bool {
        match AuditLog::open(&self.store, fresh_id(), here()).await {
            Ok(log) => {
                let left = self.log.id();
                tracing::warn!(writer = %left, "this gateway was considered stopped; audit \
                    records continue in a new chain");
                self.audit.event("writer.fenced", |members| _ = members.text("left", &left.0));
                self.log = log;
                self.overtaken.extend(self.open.drain().map(|(call, _)| call));
                // The process that closed the other chain has counted its usage.
                self.tally = Tally::default();
                self.audit.wrote_as(self.log.id());
                // If it is not written at once, it is pending, and is written before anything else.
                if let Err(error) = self.begin_chain().await {
                    self.audit.fails(&error.to_string());
                }
                true
            }
            Err(error) => {
                self.audit.fails(&error.to_string());
                false
            }
        }
    }

    /// Assigns the records their places in the chain.
    pub(super) fn prepare(&mut self, records: &[Record], ends: Option<Ended>) -> Prepared {
        let mut chain = self.log.chain().clone();
        let first = chain.head().seq + 1;
        let mut body = std::mem::take(&mut self.spare);
        body.clear();
        body.reserve(records.iter().map(|record| record.members.len() + 220).sum());
        let (mut first_at, mut last_at) = (i64::MAX, i64::MIN);
        let (mut marks, mut charges) = (Vec::new(), BTreeMap::<String, Amount>::new());
        let mut tally = Tally::default();
        for (at, record) in records.iter().enumerate() {
            if at > 0 {
                body.push('\n');
            }
            let is_late =
                matches!(record.mark, Mark::Closes(call) if self.overtaken.contains(&call));
            let kind = if is_late { LATE } else { record.kind };
            chain.append(&["\"kind\":\"", kind, "\",", &record.members], &mut body);
            (first_at, last_at) = (first_at.min(record.at), last_at.max(record.at));
            if let Some(ended) = record.ended.as_ref().filter(|_| !is_late) {
                for (account, amount) in &ended.charges {
                    match charges.get_mut(&**account) {
                        Some(all) => *all = all.plus(*amount),
                        None => _ = charges.insert(account.to_string(), *amount),
                    }
                }
                if ended.common.counted {
                    tally.count(record.at / 1_000, &ended.common.text, &ended.usage);
                }
            }
            if record.mark != Mark::None {
                marks.push((record.mark, chain.head().seq));
            }
        }
        let commit = self.commit(&chain, first, (first_at, last_at), body);
        let due =
            self.last_count.elapsed() >= COUNT && !(tally.is_empty() && self.tally.is_empty());
        let usage = due.then(|| {
            let mut all = self.tally.clone();
            all.merge(&tally);
            all
        });
        let commit = Commit { charges, usage, ends, ..commit };
        Prepared { commit, chain, marks, tally }
    }

    pub(super) fn commit(
        &self,
        chain: &Chain,
        first: i64,
        (first_at, last_at): (i64, i64),
        body: String,
    ) -> Commit {
        let head = chain.head().clone();
        let (writer, last) = (chain.writer().to_owned(), head.seq);
        let block = Block { writer, first, last, first_at, last_at, body };
        Commit { block, head, charges: BTreeMap::new(), usage: None, ends: None }
    }

    /// Applies the state after a successful write.
    fn advance(&mut self, prepared: Prepared) {
        let Prepared { commit, chain, marks, tally } = prepared;
        self.log.advance(chain);
        self.spare = commit.block.body;
        if commit.usage.is_some() {
            (self.tally, self.last_count) = (Tally::default(), Instant::now());
        } else {
            self.tally.merge(&tally);
        }
        for (mark, seq) in marks {
            match mark {
                Mark::Opens(call) => _ = self.open.insert(call, seq),
                Mark::Closes(call) => {
                    if self.open.remove(&call).is_none() {
                        self.overtaken.remove(&call);
                    }
                }
                Mark::None => {}
            }
        }
    }
}
