//! Signatures of what retention has removed: the number of the first and last record of each range, and the hash of the
//! last. Without the key, nobody can remove records or claim that others were removed.

use serde::{Deserialize, Serialize};

use super::checkpoint::{AuditKey, PublicKeys, is_signed};
use super::line::Line;

/// The act's name.
pub(super) const RETENTION: &str = "audit.retention";

/// A range of removed records: the chain, the first number, the last number, and the hash of the
/// last record.
pub(super) type Gone = (String, i64, i64, String);

/// The removed range that a line stands for, if it does.
pub(super) fn gone(line: &Line) -> Option<Gone> {
    line.removed.as_ref()?;
    Some((line.writer.clone(), line.seq, line.last(), line.hash.clone()))
}

/// The signed members of a retention act.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Proof {
    key: String,
    signature: String,
}

fn signed_text(id: &str, removed: &[Gone]) -> String {
    let removed = serde_json::to_string(removed).unwrap_or_default();
    format!("doorward audit retention\n{id}\n{removed}")
}

impl Proof {
    pub fn of(key: &AuditKey, id: &str, removed: &[Gone]) -> Self {
        Self { key: key.id.clone(), signature: key.sign(&signed_text(id, removed)) }
    }
}

#[derive(Deserialize)]
struct Act {
    act: String,
    subject: String,
    details: Details,
}

#[derive(Deserialize)]
struct Details {
    removed: Removed,
    proof: Option<Proof>,
    /// Removed by an earlier version without a signature, and signed afterwards.
    #[serde(default)]
    earlier: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Removed {
    Signed(Vec<Gone>),
    /// Written by versions before 1.0: without hashes or signature.
    Unsigned(Vec<(String, i64, i64)>),
}

/// The removals that a retention act reports.
pub(super) enum RemovalAct {
    /// With a trusted signature. The flag says whether it was signed only afterwards.
    Signed(Vec<Gone>, bool),
    /// Unsigned: the act's id, and the ranges.
    Unsigned(String, Vec<(String, i64, i64)>),
}

/// Parses a retention act; `None` for any other record.
pub(super) fn read_removal(text: &str, keys: &PublicKeys) -> Option<RemovalAct> {
    if !text.contains(RETENTION) {
        return None;
    }
    let act: Act = serde_json::from_str(text).ok()?;
    if act.act != RETENTION {
        return None;
    }
    let runs = match act.details.removed {
        Removed::Signed(runs) => runs,
        Removed::Unsigned(runs) => return Some(RemovalAct::Unsigned(act.subject, runs)),
    };
    let is_proven = act.details.proof.as_ref().is_some_and(|proof| {
        let signed = signed_text(&act.subject, &runs);
        keys.get(&proof.key).is_some_and(|key| is_signed(&signed, &proof.signature, key))
    });
    if is_proven {
        return Some(RemovalAct::Signed(runs, act.details.earlier));
    }
    let runs = runs.into_iter().map(|(writer, first, last, _)| (writer, first, last));
    Some(RemovalAct::Unsigned(act.subject, runs.collect()))
}
