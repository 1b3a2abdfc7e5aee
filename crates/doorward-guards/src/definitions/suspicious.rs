//! Definitions that look as if they spoke to a model instead of describing something.

use std::collections::HashSet;

use doorward_inspect::{Budget, Report, Scanner};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A definition that is suspicious, or was not inspected as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suspicious {
    /// `tool`, `prompt`, `resource`, `template`, `instructions` or `identity`.
    pub kind: String,
    pub name: String,
    /// The sum of the weights of the signals.
    pub score: u32,
    /// From which score a definition is suspicious.
    pub threshold: u32,
    /// Whether all of it was inspected.
    pub complete: bool,
    pub signals: Vec<Signal>,
}

/// Why, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signal {
    pub id: String,
    pub weight: u32,
    pub explanation: String,
    /// The value, as a JSON pointer (RFC 6901); empty for a text that is no part of JSON.
    pub pointer: String,
    /// The words that made it, with invisible characters written as escapes.
    pub excerpt: String,
}

impl Suspicious {
    /// A definition in which nothing was found yet.
    pub(super) fn none(kind: &str, name: &str, threshold: u32) -> Self {
        let (kind, name) = (kind.into(), name.into());
        Self { kind, name, score: 0, threshold, complete: true, signals: Vec::new() }
    }

    pub(super) fn add(&mut self, signal: Signal) {
        self.score += signal.weight;
        self.signals.push(signal);
    }
}

impl Signal {
    /// A tool whose name looks like that of another server's.
    pub(super) fn look_alike(pair: &str, weight: u32) -> Self {
        Self {
            id: "looks-like-other-tool".into(),
            weight,
            explanation: "Its name looks like that of another server's tool.".into(),
            pointer: "/name".into(),
            excerpt: pair.into(),
        }
    }
}

/// What a scan has found, whatever its score; `None` if that is nothing.
pub(super) fn found(kind: &str, name: &str, report: Report) -> Option<Suspicious> {
    if report.findings.is_empty() && report.complete {
        return None;
    }
    // A signal is told once of a place, with the first words that made it.
    let mut told = HashSet::new();
    let mut findings = report.findings;
    findings.retain(|found| told.insert((found.signal.clone(), found.place.pointer.clone())));
    let signals = findings.into_iter().map(|found| Signal {
        id: found.signal,
        weight: found.weight,
        explanation: found.explanation,
        pointer: found.place.pointer,
        excerpt: found.excerpt,
    });
    Some(Suspicious {
        kind: kind.into(),
        name: name.into(),
        score: report.score,
        threshold: report.threshold,
        complete: report.complete,
        signals: signals.collect(),
    })
}

/// Scans one definition as JSON. `None` if it is not suspicious.
pub fn suspicious(kind: &str, name: &str, json: &Value, scanner: &Scanner) -> Option<Suspicious> {
    let report = scanner.definition(&json.to_string(), None, &mut Budget::default()).ok()?;
    found(kind, name, report).filter(|found| !found.complete || found.score >= found.threshold)
}
