//! Signatures of what retention has removed: the number of the first and last record of each range, and the hash of the
//! last. Without the key, nobody can remove records or claim that others were removed.

use serde::{Deserialize, Serialize};

use super::checkpoint::{AuditKey, PublicKeys, is_signed};
use super::line::Line;

/// The act's name.
pub(super) const RETENTION: &str = "audit.retention";

/// A run of records of one chain: the chain, the first, the last, and the hash of the last.
pub(super) type Gone = (String, i64, i64, String);

/// The run that a line stands for, where it stands for what was removed.
pub(super) fn gone(line: &Line) -> Option<Gone> {
    line.removed.as_ref()?;
    Some((line.writer.clone(), line.seq, line.last(), line.hash.clone()))
}

/// The members of an act that make it a proof.
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
    /// Another version had taken it away, without a signature.
    #[serde(default)]
    earlier: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Removed {
    Signed(Vec<Gone>),
    /// As versions before 1.0 wrote it: without hashes, and signed by nobody.
    Unsigned(Vec<(String, i64, i64)>),
}

/// What an act says of removed records.
pub(super) enum Told {
    /// With a signature that is trusted.
    /// With whether it was signed afterwards only.
    Signed(Vec<Gone>, bool),
    /// By the database's word alone: the act's id, and the runs.
    Unsigned(String, Vec<(String, i64, i64)>),
}

/// Reads an act of retention; `None` for all else.
pub(super) fn told(text: &str, keys: &PublicKeys) -> Option<Told> {
    if !text.contains(RETENTION) {
        return None;
    }
    let act: Act = serde_json::from_str(text).ok()?;
    if act.act != RETENTION {
        return None;
    }
    let runs = match act.details.removed {
        Removed::Signed(runs) => runs,
        Removed::Unsigned(runs) => return Some(Told::Unsigned(act.subject, runs)),
    };
    let is_proven = act.details.proof.as_ref().is_some_and(|proof| {
        let signed = signed_text(&act.subject, &runs);
        keys.get(&proof.key).is_some_and(|key| is_signed(&signed, &proof.signature, key))
    });
    if is_proven {
        return Some(Told::Signed(runs, act.details.earlier));
    }
    let runs = runs.into_iter().map(|(writer, first, last, _)| (writer, first, last));
    Some(Told::Unsigned(act.subject, runs.collect()))
}
