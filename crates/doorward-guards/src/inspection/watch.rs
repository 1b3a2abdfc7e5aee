//! The inspection of what a server sends during a call. Values that are split over several messages, such as the lines of a
//! log, are found when they end: what has passed cannot be taken back, and the rest of the value is masked.

use std::collections::HashMap;

use doorward_core::Filter;
use doorward_inspect::redact::{Redacted, Replacement};
use doorward_inspect::{Action, Budget, Place, Redactor};
use doorward_mcp::{Object, Value, method};
use parking_lot::Mutex;

use super::found::{Found, Inspected, Refused, Verdict, codes};
use super::message::{data_of, refuse};
use super::{Guard, LARGE};

/// Bytes of a text that are searched together with the next, and bytes of the next.
const BEFORE: usize = 512;
const AFTER: usize = 1024;

/// Loggers of one call whose texts are followed; of more, nothing is.
const MOST: usize = 16;

/// Inspects the notifications of one call, and remembers what was found in them.
#[derive(Debug)]
pub struct Watch {
    guard: Guard,
    found: Mutex<(Found, Option<Refused>)>,
    ends: Mutex<Ends>,
}

impl Watch {
    pub fn new(guard: Guard) -> Self {
        Self { guard, found: Mutex::default(), ends: Mutex::default() }
    }

    /// What was found until now, and why a notification was refused, if one was.
    pub fn take(&self) -> (Found, Option<Refused>) {
        std::mem::take(&mut *self.found.lock())
    }
}

impl Filter for Watch {
    fn is_slow(&self, params: &Object) -> bool {
        params.size_hint() >= LARGE
    }

    /// Progress is passed on in any case, without its message if that is refused: a call without it may time out.
    fn pass(&self, method: &str, params: Object) -> Option<Object> {
        let bare = (method == method::PROGRESS).then(|| {
            let mut bare = params.clone();
            bare.retain(|name| matches!(name, b"progressToken" | b"progress" | b"total"));
            bare
        });
        let (inspected, mut passed) = self.guard.notification(params.clone());
        let split = passed
            .as_mut()
            .and_then(|passed| self.ends.lock().follow(&self.guard, method, &params, passed));
        let is_split_refused = split.as_ref().is_some_and(Inspected::is_refused);
        let mut found = self.found.lock();
        for inspected in std::iter::once(inspected).chain(split) {
            found.0.add(inspected.found);
            if let Verdict::Refuse(refused) = inspected.verdict {
                found.1.get_or_insert(refused);
            }
        }
        passed.filter(|_| !is_split_refused).or(bare)
    }
}

/// The ends of texts, by what they belong to: progress, or a logger.
#[derive(Debug, Default)]
struct Ends(HashMap<String, String>);

impl Ends {
    /// Looks for values that began in an earlier text of the same kind and end in this one. `said` is the notification as the
    /// server sent it, and `passed` as it would be passed on.
    fn follow(
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
        let redacted = self.redact(&format!("{before}{}", start(text, AFTER)))?;
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
        self.redact(text).and_then(|redacted| redacted.text).unwrap_or_else(|| text.to_owned())
    }

    /// What is found in a text that a server sends; `None` if nothing is looked for.
    fn redact(&self, text: &str) -> Option<Redacted> {
        let plan = self.plans.results.data.as_ref()?;
        let pseudonyms = self.of_tenant();
        let redactor = Redactor::new(&self.inspection.detectors, plan, Some(&pseudonyms));
        Some(redactor.text(text, &mut Budget::new(self.inspection.settings.budget.0)))
    }
}

impl Inspected {
    fn is_refused(&self) -> bool {
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
