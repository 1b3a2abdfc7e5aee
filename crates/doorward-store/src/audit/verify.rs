//! Checking chains: that no record was changed, removed, inserted, moved or cut off. In two passes over
//! all records, in which those of one chain come in their order: first what is claimed of them is
//! gathered ([`Verifier::gather`]), then each is checked ([`Verifier::check`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::act::{ACTS, Act};
use super::checkpoint::{AuditKey, PublicKeys, Said};
use super::line::{Head, Line};
use super::removal::{Gone, Proof, RETENTION, Told, gone, told};
use crate::{Error, Result, Store, random_id};

/// Findings that are kept; the others are counted.
const MOST: usize = 100;
/// Runs that one act signs.
const RUNS: usize = 10_000;

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
    /// It was taken away, and nobody has signed the record that says so.
    UnsignedRemoval,
    /// It comes after the end of its chain.
    AfterEnd,
    /// Its chain has ended, and no record says how.
    NoEnd,
    /// Its chain has ended, and no checkpoint vouches for it.
    Unsigned,
    /// There is no key with which any checkpoint could be trusted.
    NoKey,
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
            Self::UnsignedRemoval => "was taken away by a retention that is not signed",
            Self::AfterEnd => "comes after the end of its chain",
            Self::NoEnd => "is the last of a chain that has ended, and no record says so",
            Self::Unsigned => "and those after it are not signed, though their chain has ended",
            Self::NoKey => "and all others are signed by no key that is trusted",
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
    /// What nobody can prove is taken on the database's word.
    trusts_database: bool,
    /// What was taken away, by a signed record.
    removed: BTreeSet<Gone>,
    /// What was to be taken away by records that nobody signed, by their ids.
    retained: BTreeMap<String, Vec<(String, i64, i64)>>,
    /// What was taken away by the word of such a record.
    pub(super) unsigned: Vec<Gone>,
    /// Versions that signed nothing of it have taken records away.
    removed_earlier: bool,
    /// Up to where checkpoints and signed retention vouch for each chain.
    vouched: BTreeMap<String, i64>,
    /// The last own checkpoint of each chain.
    signs: BTreeMap<String, i64>,
    /// The records with which chains have ended themselves.
    ends: BTreeMap<String, i64>,
    /// Chains whose processes were found dead.
    deaths: BTreeMap<String, Death>,
    /// Chains that have ended, by the database's word.
    closed: BTreeSet<String>,
    report: Report,
}

/// How it was recorded that a process has died.
#[derive(Debug)]
struct Death {
    /// The chain and the record that say it.
    heir: String,
    seq: i64,
    /// The last record of the dead process, where the version that wrote it said so.
    last: Option<i64>,
}

#[derive(Deserialize)]
struct Died {
    writer: String,
    seq: i64,
    #[serde(default)]
    event: String,
    #[serde(default)]
    died: String,
    last: Option<i64>,
    #[serde(default)]
    last_hash: String,
}

impl Verifier {
    /// Trusts checkpoints that are signed with these keys. `whole` demands that each chain begins with
    /// its first record.
    pub fn new(keys: PublicKeys, whole: bool) -> Self {
        Self {
            keys,
            whole,
            trusts_database: false,
            claims: BTreeMap::new(),
            removed: BTreeSet::new(),
            retained: BTreeMap::new(),
            unsigned: Vec::new(),
            removed_earlier: false,
            vouched: BTreeMap::new(),
            signs: BTreeMap::new(),
            ends: BTreeMap::new(),
            deaths: BTreeMap::new(),
            closed: BTreeSet::new(),
            report: Report::default(),
        }
    }

    /// Takes on the database's word what nobody has signed: who can write it is not found out then.
    pub fn trusting_database(mut self, trusts: bool) -> Self {
        self.trusts_database = trusts;
        self
    }

    fn vouch(&mut self, writer: &str, seq: i64) {
        let upto = self.vouched.entry(writer.to_owned()).or_default();
        *upto = (*upto).max(seq);
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
                self.vouch(&writer, seq);
                self.claim(&writer, &Head { seq, hash });
            }
            self.claim(&said.writer, &Head { seq: said.seq - 1, hash: said.prev });
            return;
        }
        match told(text, &self.keys) {
            Some(Told::Signed(runs, earlier)) => {
                self.removed_earlier |= earlier;
                for (writer, _, last, hash) in &runs {
                    self.claim(writer, &Head { seq: *last, hash: hash.clone() });
                }
                self.removed.extend(runs);
            }
            Some(Told::Unsigned(id, runs)) => self.retained.entry(id).or_default().extend(runs),
            None => self.gather_death(text),
        }
    }

    fn gather_death(&mut self, text: &str) {
        if !text.contains("\"writer.died\"") {
            return;
        }
        let Ok(told) = serde_json::from_str::<Died>(text) else { return };
        if told.event != "writer.died" {
            return;
        }
        if let Some(seq) = told.last {
            self.claim(&told.died, &Head { seq, hash: told.last_hash });
        }
        let death = Death { heir: told.writer, seq: told.seq, last: told.last };
        self.deaths.insert(told.died, death);
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
            let run = gone(&line).filter(|run| !self.removed.contains(run));
            if let Some(run) = run {
                if !self.is_justified(by, &line.writer, first, last) {
                    fault = fault.or(Some((first, Fault::Unjustified, String::new())));
                } else if self.trusts_database {
                    self.unsigned.push(run);
                    self.removed_earlier = true;
                } else {
                    fault = fault.or(Some((first, Fault::UnsignedRemoval, String::new())));
                }
            } else {
                self.vouch(&line.writer, last);
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
        let mut is_signed = false;
        if line.kind == "checkpoint" && line.removed.is_none() {
            match Said::read(text, &self.keys) {
                Ok(said) => {
                    is_signed = true;
                    self.report.checkpoints += 1;
                    self.vouch(&line.writer, first);
                    self.signs.insert(line.writer.clone(), first);
                    for (writer, (seq, _)) in &said.heads {
                        self.vouch(writer, *seq);
                    }
                }
                Err(why) => fault = fault.or(Some((first, Fault::BadCheckpoint, why))),
            }
        }
        let is_after_end = self
            .ends
            .get(&line.writer)
            .is_some_and(|end| first > *end && !is_signed)
            || self.deaths.get(&line.writer).is_some_and(|it| it.last.is_some_and(|it| last > it));
        if is_after_end {
            fault = fault.or(Some((first, Fault::AfterEnd, String::new())));
        }
        if line.kind == "end" && line.removed.is_none() {
            self.ends.entry(line.writer.clone()).or_insert(first);
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

    /// Where chains that have ended are not what the gateway leaves.
    fn check_ends(&mut self) {
        let chains: Vec<(String, i64, i64)> = self
            .report
            .chains
            .iter()
            .filter(|(writer, chain)| *writer != ACTS && chain.last > 0)
            .map(|(writer, chain)| (writer.clone(), chain.last, chain.checkpointed))
            .collect();
        if self.keys.is_empty() && !self.trusts_database && self.whole {
            // A gateway that signs has its key before its first record.
            if let Some((writer, ..)) = chains.first() {
                self.found(writer, 1, Fault::NoKey, String::new());
            }
            return;
        }
        for (writer, last, checkpointed) in chains {
            let (is_closed, has_end) =
                (self.closed.contains(&writer), self.ends.contains_key(&writer));
            let death = self.deaths.get(&writer);
            // The first checkpoint after a death vouches for what the dead have written.
            let must_be_signed = (is_closed && has_end)
                || death.is_some_and(|death| {
                    self.signs.get(&death.heir).is_some_and(|signed| *signed > death.seq)
                });
            // Versions that did not sign retention took such records away, too.
            if is_closed && !has_end && death.is_none() && !self.removed_earlier {
                self.found(&writer, last, Fault::NoEnd, String::new());
            }
            if must_be_signed && last > checkpointed && !self.keys.is_empty() {
                self.found(&writer, checkpointed + 1, Fault::Unsigned, String::new());
            }
        }
    }

    /// What was found. Claims that nothing fulfilled are findings, too.
    pub fn finish(mut self) -> Report {
        for (writer, chain) in &mut self.report.chains {
            let vouched = self.vouched.get(writer).copied().unwrap_or_default();
            chain.checkpointed = vouched.min(chain.last);
        }
        self.check_ends();
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
        self.go_through(&mut verifier).await?;
        Ok(verifier.finish())
    }

    /// Signs what versions that did not sign it have taken away, if nothing else is wrong. Returns how many runs of
    /// records that were.
    pub async fn sign_earlier_removals(&self, key: &AuditKey, keys: PublicKeys) -> Result<usize> {
        let mut verifier = Verifier::new(keys, true).trusting_database(true);
        self.go_through(&mut verifier).await?;
        let unsigned = std::mem::take(&mut verifier.unsigned);
        let report = verifier.finish();
        if let Some(finding) = report.findings.first() {
            return Err(Error::Refused(format!("the log is not whole: {finding}")));
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
        let writers = self.audit_writers().await?;
        for writer in &writers {
            verifier.claim(&writer.id, &writer.head);
            if writer.ended.is_some() {
                verifier.closed.insert(writer.id.clone());
            }
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
                            pass(verifier, line);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The names of all chains that have records.
    async fn audit_chains(&self) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT DISTINCT writer FROM audit_blocks ORDER BY writer")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
