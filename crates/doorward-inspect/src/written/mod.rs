//! Cleans what is written: audit records, logs, spans, error texts. Secrets and personal data that the built-in detectors
//! find are masked, whatever the settings of the operator say of what passes; what the operator's own detectors find, too.
//!
//! Whose text it is decides what is masked ([`Keep`]). Nothing is compiled in advance: a detector is when its literal is seen.

mod lines;
mod looks;
mod members;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;

pub use lines::Lines;
pub use members::members;

use crate::budget::Budget;
use crate::detect::{Context, Detectors, has_keyword};
use crate::json::NotJson;
use crate::redact::{Action, Plan, Redactor, string};

/// Shortest run of characters of base64 that may be a secret, or an encoded value, in bytes.
const RUN: usize = 12;

/// Shortest name of a secret with its value: `pwd=…`.
const SHORTEST: usize = 8;

/// Fewest digits of a number that is anybody's.
const DIGITS: usize = 4;

/// So many letters are a word, and no part of a number.
const WORD: usize = 4;

/// What stands in the place of a text that was too long to be inspected.
const TOO_LONG: &str = "[NOT_INSPECTED]";

/// What is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: what callers and servers say.
    Nothing,
    /// Addresses of machines, which operators need: what the gateway says of its connections.
    Addresses,
    /// All but secrets: what names people and agents, and what the operator has written.
    Personal,
}

struct BuiltIn {
    detectors: Detectors,
    all: Plan,
    but_addresses: Plan,
    secrets: Plan,
}

static BUILT_IN: LazyLock<BuiltIn> = LazyLock::new(|| {
    // The ready-made files are part of this crate; its tests parse them.
    let detectors = Detectors::with(&[]).expect("the ready-made detectors are valid");
    let all = Plan::all(Action::Mask);
    let addresses = ["ip", "mac"].map(|class| (class.to_owned(), Action::Report));
    let but_addresses = Plan { classes: HashMap::from(addresses), ..all.clone() };
    let secrets = Plan {
        classes: HashMap::from([("secret".to_owned(), Action::Mask)]),
        ..Plan::all(Action::Report)
    };
    BuiltIn { detectors, all, but_addresses, secrets }
});

/// The detectors of the operator with the built-in ones, while there are any.
static OWN: ArcSwapOption<Detectors> = ArcSwapOption::const_empty();

impl BuiltIn {
    fn redactor<'a>(&'a self, own: Option<&'a Detectors>, keep: Keep) -> Redactor<'a> {
        let plan = match keep {
            Keep::Nothing => &self.all,
            Keep::Addresses => &self.but_addresses,
            Keep::Personal => &self.secrets,
        };
        Redactor::new(own.unwrap_or(&self.detectors), plan, None)
    }
}

/// Uses detectors of the operator beside the built-in ones; `None` uses the built-in ones alone.
pub fn use_detectors(detectors: Option<Arc<Detectors>>) {
    OWN.store(detectors);
}

/// A text as it may be written.
pub fn text(text: &str, keep: Keep) -> Cow<'_, str> {
    let own = OWN.load();
    if !may_contain(text) && !own.as_ref().is_some_and(|own| own.may_find(text)) {
        return Cow::Borrowed(text);
    }
    let built_in = &*BUILT_IN;
    let redactor = built_in.redactor(own.as_deref(), keep);
    let mut budget = Budget::default();
    let outcome = string::redact(&redactor, text, Context::default(), &mut budget);
    if budget.is_exceeded() {
        return Cow::Borrowed(TOO_LONG);
    }
    let looked = looks::masked(outcome.text.as_deref().unwrap_or(text));
    looked.or(outcome.text).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// A JSON text of a caller or server as it may be written. Numbers that are masked become null. `None` if it is too long to
/// be inspected.
pub fn json(json: &str) -> Result<Option<Cow<'_, str>>, NotJson> {
    let own = OWN.load();
    let redactor = BUILT_IN.redactor(own.as_deref(), Keep::Nothing);
    let redacted = redactor.json(json, &mut Budget::default())?;
    if !redacted.complete {
        return Ok(None);
    }
    let clean = redacted.text.map_or(Cow::Borrowed(json), Cow::Owned);
    // The beginnings of secrets that were cut off are looked for by the same walk as members are.
    Ok(Some(match members::looked(&clean)? {
        Some(looked) => Cow::Owned(looked),
        None => clean,
    }))
}

/// Whether a text may contain anything to mask: next to no line of a log does, and finding that out costs little. Every
/// value that a detector finds has four digits, a long word, an escape or an `@`, or is assigned to a keyword. (Not so
/// addresses of machines, which are left out where they have few digits.)
fn may_contain(text: &str) -> bool {
    let (mut digits, mut letters, mut run) = (0, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => (digits, letters, run) = (digits + 1, 0, run + 1),
            b'A'..=b'Z' | b'a'..=b'z' => {
                (letters, run) = (letters + 1, run + 1);
                // No number goes on behind a word.
                if letters == WORD {
                    digits = 0;
                }
            }
            b'+' | b'/' | b'-' | b'_' => run += 1,
            b'@' | b'\\' | b'%' | b'&' => return true,
            _ => run = 0,
        }
        if digits >= DIGITS || run >= RUN {
            return true;
        }
    }
    text.len() >= SHORTEST && has_keyword(text)
}

#[cfg(test)]
mod tests;
