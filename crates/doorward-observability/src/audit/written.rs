//! Writes blocks of the chain. Each is written once, whatever the database answers: a block for which it is unknown
//! whether it was written is tried again before any other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use doorward_store::{Amount, AuditLog, Block, Chain, Commit, Committed, Ended, Error, Tally};

use super::queue::{Mark, Record};
use super::recorder::{COUNT, Recorder, fresh_id, here};

/// Delay between two attempts to write.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How a call ended that somebody else had closed as `unknown` before. It is neither charged nor counted again.
const LATE: &str = "late";

/// Records as they will stand in the chain, and what will be remembered of them.
#[derive(Debug)]
pub(super) struct Prepared {
    pub commit: Commit,
    pub chain: Chain,
    pub marks: Vec<(Mark, i64)>,
    /// What was used, by these records.
    pub tally: Tally,
}

impl Recorder {
    /// Tries until the records are written, with nothing lost and nothing twice.
    pub(super) async fn until_written(&mut self, records: Vec<Record>) {
        let (mut pause, longest) = PAUSES;
        // Whether these records are what is in doubt.
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
                // Somebody has closed what was open here; what follows is another chain.
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

    /// Writes a block. Nothing else must be in doubt.
    pub(super) async fn write(&mut self, prepared: Prepared) -> Result<Committed, String> {
        self.doubt = Some(prepared);
        let began = Instant::now();
        match self.try_doubt().await {
            // A connection that has ended meanwhile is replaced at once; what fails on a new one, or hangs, is trouble.
            Err(_) if began.elapsed() < self.terms.write_timeout / 2 => self.try_doubt().await,
            outcome => outcome,
        }
    }

    /// Tries to write what is in doubt. It stays so when this is given up on its way.
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
                // What was not counted yet, whoever closed the other chain has counted.
                self.tally = Tally::default();
                self.audit.wrote_as(self.log.id());
                // Where it is not written at once, it is in doubt, and comes before all else.
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

    /// Records as they will stand in the chain.
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

    /// What was prepared is written.
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
