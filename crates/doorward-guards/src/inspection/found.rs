//! What an inspection has found, and what follows from it. Never contains values.

use std::collections::{BTreeMap, BTreeSet};

use doorward_inspect::Action;

/// The finding of a message that was not inspected as a whole.
pub const NOT_INSPECTED: &str = "not-inspected";

/// The word for values that were turned back from their tokens.
const TURNED_BACK: &str = "detokenize";

/// Words for why a message was refused.
pub mod codes {
    pub const INVISIBLE: &str = "invisible_characters";
    pub const SUSPICIOUS: &str = "suspicious_text";
    pub const DATA: &str = "sensitive_data";
    pub const BUDGET: &str = "inspection_budget";
    /// What is left after redaction does not match the tool's output schema.
    pub const SCHEMA: &str = "redacted_result";
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    Arguments,
    Results,
}

impl Direction {
    /// As the settings call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Results => "results",
        }
    }
}

/// What was found in one or several messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Ids of signals, and `not-inspected`.
    pub findings: BTreeSet<String>,
    /// How often data of a class was found, by what was done with it.
    pub data: BTreeMap<(String, &'static str), u64>,
    /// Invisible characters were removed.
    pub is_stripped: bool,
    /// Values were replaced or turned back.
    pub replaced: u64,
}

impl Found {
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty() && self.data.is_empty()
    }

    /// Classes of the data that was found.
    pub fn classes(&self) -> BTreeSet<String> {
        self.data.keys().map(|(class, _)| class.clone()).collect()
    }

    /// How often each thing was done with data: `masked`, `hashed` and so on.
    pub fn done(&self) -> BTreeMap<&'static str, u64> {
        let mut done = BTreeMap::new();
        for ((_, action), count) in &self.data {
            let word = match *action {
                "mask" => "masked",
                "hash" => "hashed",
                "tokenize" => "tokenized",
                TURNED_BACK => "detokenized",
                "refuse" => "refused",
                _ => "reported",
            };
            *done.entry(word).or_default() += count;
        }
        done
    }

    /// Of this, what was turned back from tokens.
    pub(super) fn turned_back(&self) -> Self {
        let turned = |((_, action), _): &(&(String, &'static str), &u64)| *action == TURNED_BACK;
        let data = self.data.iter().filter(turned);
        let data: BTreeMap<_, _> = data.map(|(key, count)| (key.clone(), *count)).collect();
        Self { replaced: data.values().sum(), data, ..Self::default() }
    }

    /// Adds what was found in another message.
    pub fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        for (key, count) in other.data {
            *self.data.entry(key).or_default() += count;
        }
        self.is_stripped |= other.is_stripped;
        self.replaced += other.replaced;
    }

    pub(super) fn note(&mut self, class: &str, action: Action, count: u64) {
        let word = match action {
            Action::Ignore => return,
            Action::Report => "report",
            Action::Mask => "mask",
            Action::Hash => "hash",
            Action::Tokenize => "tokenize",
            Action::Refuse => "refuse",
        };
        *self.data.entry((class.to_owned(), word)).or_default() += count;
        if action.replaces() {
            self.replaced += count;
        }
    }

    /// A value of a class was turned back from its token.
    pub(super) fn note_turned_back(&mut self, class: &str) {
        *self.data.entry((class.to_owned(), TURNED_BACK)).or_default() += 1;
        self.replaced += 1;
    }
}

/// Why a message was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// One of [`codes`].
    pub code: &'static str,
    /// What it contains: `data of class 'card'`, without values.
    pub what: String,
    /// The JSON pointer of the place, if there is one.
    pub place: String,
}

/// What follows from what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Verdict {
    #[default]
    Pass,
    /// A person has to approve the call. The reason names the signals.
    Hold(String),
    Refuse(Refused),
}

/// An inspected message.
#[derive(Debug, Clone, Default)]
pub struct Inspected {
    /// The message as it may pass; `None` if nothing of it was changed.
    pub text: Option<String>,
    pub found: Found,
    pub verdict: Verdict,
}

impl Inspected {
    /// The stricter of two verdicts remains.
    pub(super) fn judge(&mut self, verdict: Verdict) {
        let rank = |verdict: &Verdict| match verdict {
            Verdict::Pass => 0,
            Verdict::Hold(_) => 1,
            Verdict::Refuse(_) => 2,
        };
        if rank(&verdict) > rank(&self.verdict) {
            self.verdict = verdict;
        }
    }
}
