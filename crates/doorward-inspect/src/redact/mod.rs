//! Rewrites texts and JSON so that what [`Detectors`](crate::Detectors) find is masked, hashed, or replaced by tokens.
//!
//! Redacted JSON is JSON, and redacting it again changes nothing: what replaces a value is never found again, and if what is
//! left of a string still contains something, the string is masked as a whole. Values are found in JSON escapes, percent
//! encoding, base64 and hexadecimal, too; encoded text is redacted and encoded again.

mod json;
mod plan;
pub(crate) mod string;

pub use json::{Found, Redacted};
pub use plan::{Action, Plan, Pseudonyms, Replacement};

use std::collections::HashSet;

use crate::budget::Budget;
use crate::detect::Detectors;
use crate::field::Opaque;
use crate::json::{NotJson, Path};

/// Redacts by a plan.
#[derive(Clone, Copy)]
pub struct Redactor<'a> {
    detectors: &'a Detectors,
    plan: &'a Plan,
    pseudonyms: Option<&'a dyn Pseudonyms>,
    /// What is done with everything in the current field.
    field: Option<Action>,
    /// Values that are left as they are, and not reported.
    spared: Option<&'a HashSet<String>>,
}

impl<'a> Redactor<'a> {
    /// Without `pseudonyms`, what the plan hashes or tokenizes is masked.
    pub fn new(
        detectors: &'a Detectors,
        plan: &'a Plan,
        pseudonyms: Option<&'a dyn Pseudonyms>,
    ) -> Self {
        Self { detectors, plan, pseudonyms, field: None, spared: None }
    }

    /// Leaves these values as they are, where they are found as a whole.
    pub fn sparing(self, values: &'a HashSet<String>) -> Self {
        Self { spared: Some(values).filter(|values| !values.is_empty()), ..self }
    }

    fn spares(&self, value: &str) -> bool {
        self.spared.is_some_and(|values| values.contains(value))
    }

    /// Redacts all strings, names and numbers of a JSON text.
    pub fn json(&self, text: &str, budget: &mut Budget) -> Result<Redacted, NotJson> {
        json::redact(self, text, &Opaque::default(), budget)
    }

    /// Redacts all strings, names and numbers of a JSON text but those that are opaque.
    pub fn json_but(
        &self,
        text: &str,
        opaque: &Opaque,
        budget: &mut Budget,
    ) -> Result<Redacted, NotJson> {
        json::redact(self, text, opaque, budget)
    }

    /// The redactor for the value at a place.
    fn at(&self, path: &Path<'_>) -> Self {
        if self.plan.fields.is_empty() {
            return *self;
        }
        let pointer = path.pointer();
        let field = self.plan.fields.iter().find(|(pattern, _)| pattern.matches(&pointer));
        Self { field: field.map(|(_, action)| *action), ..*self }
    }

    /// Redacts a plain text.
    pub fn text(&self, text: &str, budget: &mut Budget) -> Redacted {
        json::redact_text(self, text, budget)
    }
}

impl std::fmt::Debug for Redactor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("plan", &self.plan).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
