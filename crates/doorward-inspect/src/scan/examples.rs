//! Tests of a rule set by the examples beside its rules.

use super::{Scan, Scanner, Subject};
use crate::budget::Budget;
use crate::map::Map;
use crate::rules::{Field, Signal};

impl Scanner {
    /// Checks the examples of every signal: each text under `hit` must show the signal, and none under `miss` may.
    /// Returns what is wrong, one sentence each.
    pub fn check_examples(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for signal in self.rules.signals() {
            for text in &signal.examples.hit {
                if !self.shows(signal, text) {
                    wrong.push(format!("signal {} is not found in {text:?}", signal.id));
                }
            }
            for text in &signal.examples.miss {
                if self.shows(signal, text) {
                    wrong.push(format!("signal {} is found in {text:?}", signal.id));
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
