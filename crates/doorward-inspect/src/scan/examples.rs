//! Tests of a rule set by the examples beside its rules.

use super::{Scan, Scanner, Subject};
use crate::budget::Budget;
use crate::map::Map;
use crate::rules::{BadRule, Field, Signal};

impl Scanner {
    /// Checks the examples of every signal: each text under `hit` must show the signal, and none under `miss` may.
    /// Returns what is wrong, by signal.
    pub fn check_examples(&self) -> Vec<BadRule> {
        let mut wrong = Vec::new();
        let bad = |id: &str, why| BadRule::Signal { id: id.to_owned(), why };
        for signal in self.rules.signals() {
            for text in &signal.examples.hit {
                if !self.shows(signal, text) {
                    wrong.push(bad(&signal.id, format!("is not found in {text:?}")));
                }
            }
            for text in &signal.examples.miss {
                if self.shows(signal, text) {
                    wrong.push(bad(&signal.id, format!("is found in {text:?}")));
                }
            }
        }
        wrong
    }

    /// Whether a text shows a signal, as the first subject and field that it applies to.
    fn shows(&self, signal: &Signal, text: &str) -> bool {
        let subject = signal.subjects.first().copied().unwrap_or(Subject::Definition);
        let field = signal.fields.first().copied().unwrap_or(Field::Description);
        let mut budget = Budget::default();
        let mut scan = Scan::new(self, "", subject, None, &mut budget);
        scan.string(text, &Map::shift(0, text.len()), field, &|| (String::new(), false));
        scan.finish().of(&signal.id).next().is_some()
    }
}
