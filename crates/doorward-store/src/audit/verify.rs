//! Checking chains: that no record was changed, removed, inserted, moved or cut off. In two passes over
//! all records, in which those of one chain come in their order: first what is claimed of them is
//! gathered ([`Verifier::gather`]), then each is checked ([`Verifier::check`]).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::act::ACTS;
use super::checkpoint::{PublicKeys, Said};
use super::line::{Head, Line};
use super::retention::RETENTION;
use crate::{Result, Store};

/// Findings that are kept; the others are counted.
const MOST: usize = 100;

/// What can be wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It cannot be read.
    Unreadable,
    /// Its text is not that of its hash.
    Changed,
    /// It does not follow the record before it.
    Unlinked,
    /// Records between it and the one before are not there.
    Missing,
    /// It comes once more, or after one that it comes before.
    Misplaced,
    /// Its signature is not one of the gateway's.
    BadCheckpoint,
    /// A checkpoint has seen another record in its place.
    Replaced,
    /// A checkpoint has seen records after it, which are not there.
    CutOff,
    /// It was taken away, and no record says that it was to be.
    Unjustified,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "cannot be read",
            Self::Changed => "was changed",
            Self::Unlinked => "does not follow the record before it",
            Self::Missing => "is missing",
            Self::Misplaced => "is out of place",
            Self::BadCheckpoint => "is a checkpoint that cannot be trusted",
            Self::Replaced => "is not the record that a checkpoint has seen",
            Self::CutOff => "is missing: the chain was cut off before it",
            Self::Unjustified => "was taken away without a record of its retention",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub writer: String,
    pub seq: i64,
    pub fault: Fault,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} of {} {}", self.seq, self.writer, self.fault)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// One chain as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    pub first: i64,
    pub last: i64,
    pub hash: String,
    /// Up to where a checkpoint vouches for it.
    pub checkpointed: i64,
}

/// What checking has brought to light.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub records: u64,
    pub removed: u64,
    pub checkpoints: u64,
    pub chains: BTreeMap<String, Found>,
    /// The first of each chain's first, in the order of the chains.
    pub findings: Vec<Finding>,
    /// Further ones, which are not told.
    pub more: u64,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

#[derive(Debug)]
pub struct Verifier {
    keys: PublicKeys,
    /// All records are there from each chain's first on, not only those of a time.
    whole: bool,
    /// What records are said to be, by who says it.
    claims: BTreeMap<String, BTreeMap<i64, String>>,
    /// What was to be taken away, by the id of the record that says it.
    retained: BTreeMap<String, Vec<(String, i64, i64)>>,
    report: Report,
}

#[derive(Deserialize)]
struct RetentionAct {
    act: String,
    subject: String,
    details: RetentionDetails,
}

#[derive(Deserialize)]
struct RetentionDetails {
    removed: Vec<(String, i64, i64)>,
}

impl Verifier {
    /// Trusts checkpoints that are signed with these keys. `whole` demands that each chain begins with
    /// its first record.
    pub fn new(keys: PublicKeys, whole: bool) -> Self {
        let (claims, retained, report) = Default::default();
        Self { keys, whole, claims, retained, report }
    }

    /// Takes somebody's word on the last record of a chain.
    pub fn claim(&mut self, writer: &str, head: &Head) {
        if head.seq > 0 {
            self.claims.entry(writer.into()).or_default().insert(head.seq, head.hash.clone());
        }
    }

    /// The first pass: what a record says of others.
    pub fn gather(&mut self, text: &str) {
        if text.contains("\"kind\":\"checkpoint\"") {
            // One that is not signed as it should be claims nothing, and is told of in its place.
            let Ok(said) = Said::read(text, &self.keys) else { return };
            for (writer, (seq, hash)) in said.heads {
                self.claim(&writer, &Head { seq, hash });
            }
            self.claim(&said.writer, &Head { seq: said.seq - 1, hash: said.prev });
        } else if text.contains(RETENTION)
            && let Ok(act) = serde_json::from_str::<RetentionAct>(text)
            && act.act == RETENTION
        {
            self.retained.entry(act.subject).or_default().extend(act.details.removed);
        }
    }

    /// The second pass: whether a record is what it should be.
    pub fn check(&mut self, text: &str) {
        let Some(line) = Line::read(text) else {
            // Whose it was cannot be told; the chain that lacks it will.
            let start: String = text.chars().take(80).collect();
            return self.found("?", 0, Fault::Unreadable, start);
        };
        let (first, last) = (line.seq, line.last());
        let known = self.report.chains.get(&line.writer).cloned();
        let begins = known.is_none();
        let mut chain = known.unwrap_or_default();
        let mut fault = None;
        if begins {
            chain.first = first;
            if first != 1 && (self.whole || first < 1) {
                fault = Some((1, Fault::Missing, String::new()));
            }
        } else if first <= chain.last {
            fault = Some((first, Fault::Misplaced, format!("it comes after {}", chain.last)));
        } else if first != chain.last + 1 {
            fault = Some((chain.last + 1, Fault::Missing, String::new()));
        }
        if let Some(by) = &line.removed {
            if !self.is_justified(by, &line.writer, first, last) {
                fault = fault.or(Some((first, Fault::Unjustified, String::new())));
            }
            self.report.removed += u64::try_from(last - first + 1).unwrap_or_default();
        } else {
            self.report.records += 1;
            if !line.is_intact(text) {
                fault = fault.or(Some((first, Fault::Changed, String::new())));
            } else if fault.is_none() && (!begins || first == 1) && line.prev != chain.hash {
                fault = Some((first, Fault::Unlinked, String::new()));
            }
        }
        if line.kind == "checkpoint" && line.removed.is_none() {
            match Said::read(text, &self.keys) {
                Ok(said) => {
                    self.report.checkpoints += 1;
                    chain.checkpointed = first;
                    for (writer, (seq, _)) in &said.heads {
                        if let Some(other) = self.report.chains.get_mut(writer) {
                            other.checkpointed = other.checkpointed.max(*seq);
                        }
                    }
                }
                Err(why) => fault = fault.or(Some((first, Fault::BadCheckpoint, why))),
            }
        }
        if let Some(claims) = self.claims.get_mut(&line.writer) {
            let mut claimed = claims.split_off(&first);
            claims.append(&mut claimed.split_off(&(last + 1)));
            // Of what was taken away, the last hash alone is known.
            if claimed.get(&last).is_some_and(|hash| *hash != line.hash) {
                fault = fault.or(Some((last, Fault::Replaced, String::new())));
            }
        }
        if let Some((seq, fault, detail)) = fault {
            self.found(&line.writer, seq, fault, detail);
        }
        // One that is out of place says nothing of those that follow.
        if begins || last > chain.last {
            (chain.last, chain.hash) = (last, line.hash);
        }
        self.report.chains.insert(line.writer, chain);
    }

    fn is_justified(&self, by: &str, writer: &str, first: i64, last: i64) -> bool {
        let Some(ranges) = self.retained.get(by) else { return false };
        let mut next = first;
        let mut fitting: Vec<_> = ranges.iter().filter(|(of, ..)| of == writer).collect();
        fitting.sort_by_key(|(_, from, _)| *from);
        for (_, from, to) in fitting {
            if *from <= next && next <= *to {
                next = to + 1;
            }
        }
        next > last
    }

    fn found(&mut self, writer: &str, seq: i64, fault: Fault, detail: String) {
        if self.report.findings.len() == MOST {
            self.report.more += 1;
            return;
        }
        self.report.findings.push(Finding { writer: writer.into(), seq, fault, detail });
    }

    /// What was found. Claims that nothing fulfilled are findings, too.
    pub fn finish(mut self) -> Report {
        let claims = std::mem::take(&mut self.claims);
        for (writer, claimed) in claims {
            let Some(seq) = claimed.keys().next_back().copied() else { continue };
            match self.report.chains.get(&writer).map(|chain| (chain.first, chain.last)) {
                Some((_, last)) if seq > last => {
                    let detail = format!("record {seq} was seen by a checkpoint");
                    self.found(&writer, last + 1, Fault::CutOff, detail);
                }
                None if self.whole || writer == ACTS => {
                    let detail = format!("all of its {seq} records");
                    self.found(&writer, 1, Fault::CutOff, detail);
                }
                // Before what is looked at, or in a gap that was told of.
                Some(_) | None => {}
            }
        }
        self.report
    }
}

impl Store {
    /// Checks everything that is kept here. Somebody may go on writing meanwhile.
    pub async fn verify_audit(&self, mut verifier: Verifier) -> Result<Report> {
        let writers = self.audit_writers().await?;
        for writer in &writers {
            verifier.claim(&writer.id, &writer.head);
        }
        // Chains whose writer is not entered any more are there all the same.
        let mut names: Vec<String> = writers.into_iter().map(|writer| writer.id).collect();
        for name in self.audit_chains().await? {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for pass in [Verifier::gather, Verifier::check] {
            for name in &names {
                let mut scan = self.audit_chain(name, i64::MIN);
                loop {
                    let blocks = scan.next().await?;
                    if blocks.is_empty() {
                        break;
                    }
                    for block in &blocks {
                        for line in block.lines() {
                            pass(&mut verifier, line);
                        }
                    }
                }
            }
        }
        Ok(verifier.finish())
    }

    /// The names of all chains that have records.
    async fn audit_chains(&self) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT DISTINCT writer FROM audit_blocks ORDER BY writer")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
