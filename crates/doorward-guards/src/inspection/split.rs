//! Values that are split over the notifications of a call, such as the lines of a log. What has passed cannot be taken back:
//! the rest of the value is masked, and the value is found.

use std::collections::HashMap;

use doorward_inspect::redact::Replacement;
use doorward_inspect::{Action, Budget, Place, Redactor};
use doorward_mcp::{Object, Value, method};

use super::Guard;
use super::found::{Inspected, Verdict, codes};
use super::message::{data_of, refuse};

/// Bytes of a text that are searched together with the next, and bytes of the next.
const BEFORE: usize = 512;
const AFTER: usize = 1024;

/// Loggers of one call whose texts are followed; of more, nothing is.
const MOST: usize = 16;

/// The ends of texts, by what they belong to: progress, or a logger.
#[derive(Debug, Default)]
pub(super) struct Ends(HashMap<String, String>);

impl Ends {
    /// Looks for values that began in an earlier text of the same kind and end in this one. `said` is the notification as the
    /// server sent it, and `passed` as it would be passed on.
    pub fn follow(
        &mut self,
        guard: &Guard,
        name: &str,
        said: &Object,
        passed: &mut Object,
    ) -> Option<Inspected> {
        let (key, member) = kind(name, said)?;
        let text = said.get(member)?.as_str()?.into_owned();
        let found = match self.0.get_mut(&key) {
            Some(before) => {
                let found = guard.continued(before, &text);
                before.push_str(end(&text, BEFORE));
                *before = end(before, BEFORE).to_owned();
                found
            }
            None => {
                if self.0.len() < MOST {
                    self.0.insert(key, end(&text, BEFORE).to_owned());
                }
                None
            }
        };
        let (inspected, class, rest) = found?;
        if inspected.found.replaced > 0 {
            let shown = passed.get(member).and_then(Value::as_str).unwrap_or_default();
            // What was replaced in the text alone stays replaced.
            let rest = match shown.strip_prefix(&text[..text.len() - rest.len()]) {
                Some(shown) => shown.to_owned(),
                None => guard.redacted(rest),
            };
            passed.set(member, &*(Replacement::mask(&class) + &rest));
        }
        Some(inspected)
    }
}

/// What the text of a notification belongs to, and the member that has it.
fn kind(name: &str, said: &Object) -> Option<(String, &'static str)> {
    match name {
        method::PROGRESS => Some((String::new(), "message")),
        method::LOG => {
            let logger = said.string("logger").unwrap_or_default();
            Some((format!("logger {}", start(&logger, 64)), "data"))
        }
        _ => None,
    }
}

impl Guard {
    /// A value that began in `before` and ends in `text`: what follows from it, its class, and the text behind it.
    fn continued<'a>(&self, before: &str, text: &'a str) -> Option<(Inspected, String, &'a str)> {
        let plan = self.plans.results.data.as_ref()?;
        let pseudonyms = self.of_tenant();
        let redactor = Redactor::new(&self.inspection.detectors, plan, Some(&pseudonyms));
        let joined = format!("{before}{}", start(text, AFTER));
        let redacted = redactor.text(&joined, &mut Budget::new(self.inspection.settings.budget.0));
        let spans =
            |place: &Place| place.range.start < before.len() && before.len() < place.range.end;
        let split: Vec<_> = redacted.found.iter().filter(|it| spans(&it.place)).collect();
        let last = split.iter().max_by_key(|found| found.place.range.end)?;
        let mut inspected = Inspected::default();
        for found in &split {
            inspected.found.note(&found.class, found.action, 1);
            if found.action == Action::Refuse {
                let place = Place::default();
                inspected.verdict = refuse(codes::DATA, data_of(&found.class), &place);
            }
        }
        let rest = &text[last.place.range.end - before.len()..];
        Some((inspected, last.class.clone(), rest))
    }

    fn redacted(&self, text: &str) -> String {
        let Some(plan) = self.plans.results.data.as_ref() else { return text.to_owned() };
        let pseudonyms = self.of_tenant();
        let redactor = Redactor::new(&self.inspection.detectors, plan, Some(&pseudonyms));
        let mut budget = Budget::new(self.inspection.settings.budget.0);
        redactor.text(text, &mut budget).text.unwrap_or_else(|| text.to_owned())
    }
}

impl Inspected {
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.verdict, Verdict::Refuse(_))
    }
}

/// The first bytes of a text, up to a number.
fn start(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// The last bytes of a text, up to a number.
fn end(text: &str, most: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(most))..]
}
