//! Cleans the values of an object whose member names are the gateway's own: a line of the log, an event.

use std::borrow::Cow;
use std::ops::Range;

use super::{Keep, looks, text};
use crate::json::{Edits, NotJson, Path, Visitor, unescape, walk};

/// A JSON text whose strings are cleaned by the names of their members: `keep` says how, and `None` leaves them as they
/// are. Names and numbers are left as they are.
pub fn members<'a>(
    json: &'a str,
    keep: impl Fn(&str) -> Option<Keep>,
) -> Result<Cow<'a, str>, NotJson> {
    let clean = |name: &str, value: &str| match text(value, keep(name)?) {
        Cow::Owned(clean) => Some(clean),
        Cow::Borrowed(clean) => (clean != value).then(|| clean.to_owned()),
    };
    let mut cleaning = Cleaning { json, clean, edits: Edits::default() };
    walk(json, &mut cleaning)?;
    let edits = cleaning.edits;
    Ok(if edits.is_empty() { Cow::Borrowed(json) } else { Cow::Owned(edits.apply(json)) })
}

/// A JSON text without strings that begin like secrets; `None` if it has none.
pub(super) fn looked(json: &str) -> Result<Option<String>, NotJson> {
    let mut cleaning = Cleaning {
        json,
        clean: |_: &str, value: &str| looks::masked(value),
        edits: Edits::default(),
    };
    walk(json, &mut cleaning)?;
    let edits = cleaning.edits;
    Ok((!edits.is_empty()).then(|| edits.apply(json)))
}

struct Cleaning<'a, F> {
    json: &'a str,
    clean: F,
    edits: Edits,
}

impl<F: Fn(&str, &str) -> Option<String>> Visitor for Cleaning<'_, F> {
    fn string(&mut self, path: &Path<'_>, range: Range<usize>, is_name: bool) {
        if is_name || range.is_empty() {
            return;
        }
        let value = unescape(self.json, range.clone()).text;
        if let Some(clean) = (self.clean)(path.member().unwrap_or_default(), &value) {
            self.edits.string(range, &clean);
        }
    }
}
