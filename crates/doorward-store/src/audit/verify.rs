//! Verifies chains: that no record was changed, removed, inserted, moved or truncated. In two
//! passes over all records, those of one chain in order: the first collects claims about them
//! ([`Verifier::gather`]), the second checks each ([`Verifier::check`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::act::ACTS;
use super::checkpoint::{PublicKeys, Said};
use super::line::{Head, Line};
use super::removal::{Gone, RemovalAct, gone, read_removal};
use super::report::{Fault, Finding, Found, Report};

/// Maximum number of findings stored; further ones are counted.
const MOST: usize = 100;

#[derive(Debug)]
pub struct Verifier {
    keys: PublicKeys,
    /// All records from each chain's first one on are present, not only those of a time range.
    whole: bool,
    /// The hashes that records claim for other records. All must match: no claim, signed or not,
    /// overrides another.
    claims: BTreeMap<String, BTreeMap<i64, Vec<String>>>,
    /// Accept unsigned claims of the database.
    trusts_database: bool,
    /// Ranges removed by a signed act.
    removed: BTreeSet<Gone>,
    /// Ranges removed by unsigned acts, by the act's id.
    retained: BTreeMap<String, Vec<(String, i64, i64)>>,
    /// Ranges found removed that only an unsigned act reports.
    pub(super) unsigned: Vec<Gone>,
    /// A version that did not sign removals has removed records.
    removed_earlier: bool,
    /// The last record of each chain that checkpoints, signed retention or signed deaths cover.
    vouched: BTreeMap<String, i64>,
    /// Chains with something signed by their own gateway.
    signs: BTreeSet<String>,
    /// The records with which processes ended their own chains.
    ends: BTreeMap<String, i64>,
    /// Records of the death of a chain's process.
    deaths: BTreeMap<String, Vec<Death>>,
    /// The last records of chains whose deaths are signed.
    died: BTreeMap<String, i64>,
    /// Whether the first pass is complete and its claims were evaluated.
    weighed: bool,
    /// Chains that have ended, according to the database.
    pub(super) closed: BTreeSet<String>,
    /// The first act is present: no earlier act is missing.
    from_start: bool,
    report: Report,
}

/// A record of the death of a process.
#[derive(Debug, PartialEq, Eq)]
struct Death {
    /// The chain and the record that report the death.
    heir: String,
    seq: i64,
    /// The dead process's last record. Early versions did not write it.
    last: Option<i64>,
    hash: String,
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
    /// Trusts checkpoints that are signed with these keys. `whole` requires each chain to begin
    /// with its first record.
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
            signs: BTreeSet::new(),
            ends: BTreeMap::new(),
            deaths: BTreeMap::new(),
            died: BTreeMap::new(),
            weighed: false,
            closed: BTreeSet::new(),
            from_start: false,
            report: Report::default(),
        }
    }

    /// Accepts unsigned claims of the database. Changes by someone who can write to it go
    /// undetected then.
    pub fn trusting_database(mut self, trusts: bool) -> Self {
        self.trusts_database = trusts;
        self
    }

    fn vouch(&mut self, writer: &str, seq: i64) {
        let upto = self.vouched.entry(writer.to_owned()).or_default();
        *upto = (*upto).max(seq);
    }

    /// Adds a claim about the last record of a chain.
    pub fn claim(&mut self, writer: &str, head: &Head) {
        if head.seq > 0 {
            let claims = self.claims.entry(writer.into()).or_default().entry(head.seq).or_default();
            if !claims.contains(&head.hash) {
                claims.push(head.hash.clone());
            }
        }
    }

    /// Adds a line of an anchor: a file of checkpoints that others cannot write. Returns whether it
    /// is a checkpoint.
    pub fn anchor(&mut self, anchor: &str, number: i64, text: &str) -> bool {
        let Some(line) = Line::read(text).filter(|line| line.kind == "checkpoint") else {
            self.gather(text);
            return false;
        };
        match Said::read(text, &self.keys) {
            Ok(_) => {
                self.gather(text);
                if line.is_intact(text) {
                    self.claim(&line.writer, &Head { seq: line.seq, hash: line.hash });
                }
            }
            Err(why) => self.found(anchor, number, Fault::BadAnchor, why),
        }
        true
    }

    /// Reports that the anchor is missing or has no checkpoint.
    pub fn no_anchor(&mut self, anchor: &str) {
        self.found(anchor, 0, Fault::NoAnchor, String::new());
    }

    /// The first pass: collects a record's claims about others.
    pub fn gather(&mut self, text: &str) {
        if text.contains("\"kind\":\"checkpoint\"") {
            // A record with an invalid signature makes no claim. The second pass reports it.
            let Ok(said) = Said::read(text, &self.keys) else { return };
            for (writer, (seq, hash)) in said.heads {
                self.vouch(&writer, seq);
                self.claim(&writer, &Head { seq, hash });
            }
            self.claim(&said.writer, &Head { seq: said.seq - 1, hash: said.prev });
            self.vouch(&said.writer, said.seq);
            self.signs.insert(said.writer);
            return;
        }
        match read_removal(text, &self.keys) {
            Some(RemovalAct::Signed(runs, earlier)) => {
                self.removed_earlier |= earlier;
                for (writer, _, last, hash) in &runs {
                    self.claim(writer, &Head { seq: *last, hash: hash.clone() });
                    self.vouch(writer, *last);
                    // The gateway removes only records that a checkpoint covers.
                    self.signs.insert(writer.clone());
                }
                self.removed.extend(runs);
            }
            Some(RemovalAct::Unsigned(id, runs)) => {
                self.retained.entry(id).or_default().extend(runs);
            }
            None => self.gather_death(text),
        }
    }

    fn gather_death(&mut self, text: &str) {
        if !text.contains("\"writer.died\"") {
            return;
        }
        let Ok(death) = serde_json::from_str::<Died>(text) else { return };
        let is_gateways = death.writer != ACTS && death.died != ACTS && death.died != death.writer;
        if death.event != "writer.died" || !is_gateways {
            return;
        }
        let Died { writer: heir, seq, died, last, last_hash: hash, .. } = death;
        if let Some(last) = last {
            self.claim(&died, &Head { seq: last, hash: hash.clone() });
        }
        let death = Death { heir, seq, last, hash };
        let deaths = self.deaths.entry(died).or_default();
        if !deaths.contains(&death) {
            deaths.push(death);
        }
    }

    /// Evaluates the claims after the first pass. A death counts if it is signed: by a later
    /// checkpoint, or by the death record of the process that reported it. A chain ends at its
    /// earliest end.
    fn weigh(&mut self) {
        if std::mem::replace(&mut self.weighed, true) {
            return;
        }
        let mut deaths: Vec<(String, Death)> = Vec::new();
        let mut disputed = BTreeSet::new();
        for (died, all) in &mut self.deaths {
            if all.len() > 1 {
                disputed.insert(died.clone());
            }
            deaths.extend(all.drain(..).map(|death| (died.clone(), death)));
        }
        loop {
            let is_signed = |(_, death): &(String, Death)| {
                self.vouched.get(&death.heir).is_some_and(|upto| *upto >= death.seq)
            };
            let (signed, open): (Vec<_>, Vec<_>) = deaths.into_iter().partition(is_signed);
            deaths = open;
            if signed.is_empty() {
                break;
            }
            for (died, death) in signed {
                // Written by a version that did not store the last record: covers all records.
                let last = death.last.unwrap_or(i64::MAX);
                // If a chain was never signed by its own gateway, the process that reported its
                // death cannot prove it.
                if death.last.is_some() && self.signs.contains(&died) {
                    self.vouch(&died, last);
                }
                if self.died.contains_key(&died) {
                    self.found(&death.heir, death.seq, Fault::SecondDeath, String::new());
                }
                let end = self.died.entry(died).or_insert(last);
                *end = (*end).min(last);
            }
        }
        for (_, death) in deaths.iter().filter(|(died, _)| disputed.contains(died)) {
            self.found(&death.heir, death.seq, Fault::SecondDeath, String::new());
        }
    }

    /// Reports a chain that has records but that the database does not list.
    pub(super) fn unlisted(&mut self, writer: &str) {
        self.found(writer, 1, Fault::Unlisted, String::new());
    }

    /// The second pass: checks a record.
    pub fn check(&mut self, text: &str) {
        self.checked(text);
    }

    /// The same; returns the parsed line.
    pub(super) fn checked(&mut self, text: &str) -> Option<Line> {
        self.weigh();
        let Some(line) = Line::read(text) else {
            // The chain it belongs to is unknown; the missing record is reported there.
            let start: String = text.chars().take(80).collect();
            self.found("?", 0, Fault::Unreadable, start);
            return None;
        };
        let (first, last) = (line.seq, line.last());
        let known = self.report.chains.get(&line.writer).cloned();
        let begins = known.is_none();
        let mut chain = known.unwrap_or_default();
        let mut fault = None;
        self.from_start |= line.writer == ACTS && first == 1 && line.removed.is_none();
        // Signed by the gateway: with a checkpoint, or as a removal.
        let mut is_signed = false;
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
                is_signed = true;
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
        if line.kind == "checkpoint" && line.removed.is_none() {
            match Said::read(text, &self.keys) {
                Ok(_) => {
                    is_signed = true;
                    self.report.checkpoints += 1;
                    self.vouch(&line.writer, first);
                    self.signs.insert(line.writer.clone());
                }
                Err(why) => fault = fault.or(Some((first, Fault::BadCheckpoint, why))),
            }
        }
        let is_after_end =
            self.ends.get(&line.writer).is_some_and(|end| first > *end && !is_signed)
                || self.died.get(&line.writer).is_some_and(|end| last > *end);
        if is_after_end {
            fault = fault.or(Some((first, Fault::AfterEnd, String::new())));
        }
        if line.kind == "end" && line.removed.is_none() {
            self.ends.entry(line.writer.clone()).or_insert(first);
        }
        if let Some(claims) = self.claims.get_mut(&line.writer) {
            let mut claimed = claims.split_off(&first);
            claims.append(&mut claimed.split_off(&(last + 1)));
            // For removed records, only the last hash is known.
            if claimed.get(&last).is_some_and(|all| all.iter().any(|hash| *hash != line.hash)) {
                fault = fault.or(Some((last, Fault::Replaced, String::new())));
            }
        }
        if let Some((seq, fault, detail)) = fault {
            self.found(&line.writer, seq, fault, detail);
        }
        // A misplaced record does not affect the checks of later ones.
        if begins || last > chain.last {
            (chain.last, chain.hash) = (last, line.hash.clone());
        }
        self.report.chains.insert(line.writer.clone(), chain);
        Some(line)
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

    pub(super) fn found(&mut self, writer: &str, seq: i64, fault: Fault, detail: String) {
        if self.report.findings.len() == MOST {
            self.report.more += 1;
            return;
        }
        self.report.findings.push(Finding { writer: writer.into(), seq, fault, detail });
    }

    /// Checks the ends of chains, above all of those that have ended.
    fn check_ends(&mut self) {
        let chains: Vec<(String, Found)> = self
            .report
            .chains
            .iter()
            .filter(|(writer, chain)| *writer != ACTS && chain.last > 0)
            .map(|(writer, chain)| (writer.clone(), chain.clone()))
            .collect();
        if self.keys.is_empty() && !self.trusts_database && self.whole {
            // A gateway that signs has its key before its first record.
            if let Some((writer, ..)) = chains.first() {
                self.found(writer, 1, Fault::NoKey, String::new());
            }
            return;
        }
        let must_sign = !self.keys.is_empty() && !self.trusts_database;
        if must_sign && !self.whole && self.report.checkpoints == 0 {
            self.found("these records", 0, Fault::NoCheckpoint, String::new());
        }
        for (writer, Found { first, last, checkpointed, .. }) in chains {
            let (is_closed, has_end) =
                (self.closed.contains(&writer), self.ends.contains_key(&writer));
            // Versions that did not sign retention removed such records, too.
            let has_death = self.deaths.contains_key(&writer);
            if is_closed && !has_end && !has_death && !self.removed_earlier {
                self.found(&writer, last, Fault::NoEnd, String::new());
            }
            // A gateway signs its chain in the transaction that begins it. If it has not, other
            // chains' claims about it prove nothing: anyone may have inserted it.
            let is_proven = checkpointed >= first && self.signs.contains(&writer);
            let must_be_signed = (is_closed && has_end) || self.died.contains_key(&writer);
            if must_sign && !is_proven {
                self.found(&writer, first, Fault::NeverSigned, String::new());
            } else if must_be_signed && last > checkpointed && !self.keys.is_empty() {
                self.found(&writer, checkpointed + 1, Fault::Unsigned, String::new());
            }
        }
    }

    /// Returns the report. Claims that no record matches are findings, too.
    pub fn finish(mut self) -> Report {
        self.weigh();
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
                None if self.whole || self.from_start || writer == ACTS => {
                    let detail = format!("all of its {seq} records");
                    self.found(&writer, 1, Fault::CutOff, detail);
                }
                // Before the verified range, or in a gap that was already reported.
                Some(_) | None => {}
            }
        }
        self.report
    }
}
