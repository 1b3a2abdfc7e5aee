//! Removes invisible characters from a JSON text.

use std::ops::Range;

use crate::json::{Edits, NotJson, Path, Visitor, unescape, walk};
use crate::place::Place;
use crate::text::{Unseen, strip};

/// A JSON text without invisible characters.
#[derive(Debug)]
pub struct Cleaned {
    pub text: String,
    /// What was removed. At most 256.
    pub removed: Vec<(Unseen, Place)>,
    /// Two names of one object became equal. The text should not be used.
    pub collides: bool,
}

/// Removes invisible characters from all strings and member names of a JSON text, written as they are or as escapes.
/// Returns `None` if there are none.
pub fn strip_json(text: &str) -> Result<Option<Cleaned>, NotJson> {
    let mut stripping =
        Stripping { text, edits: Edits::default(), removed: Vec::new(), collides: false };
    walk(text, &mut stripping)?;
    let Stripping { edits, removed, collides, .. } = stripping;
    Ok((!edits.is_empty()).then(|| Cleaned { text: edits.apply(text), removed, collides }))
}

struct Stripping<'a> {
    text: &'a str,
    edits: Edits,
    removed: Vec<(Unseen, Place)>,
    collides: bool,
}

impl Stripping<'_> {
    fn clean(&self, range: &Range<usize>) -> String {
        let value = unescape(self.text, range.clone()).text;
        strip(&value).map_or_else(|| value.into_owned(), |(clean, _)| clean)
    }
}

impl Visitor for Stripping<'_> {
    fn string(&mut self, path: &Path<'_>, range: Range<usize>, is_name: bool) {
        let raw = &self.text[range.clone()];
        // Printable ASCII without escapes has nothing to remove.
        if raw.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\') {
            return;
        }
        let value = unescape(self.text, range.clone());
        let Some((clean, removed)) = strip(&value.text) else { return };
        for part in removed {
            if self.removed.len() < 256 {
                let range = value.map.original(part.range);
                self.removed
                    .push((part.kind, Place { pointer: path.pointer(), range, in_name: is_name }));
            }
        }
        self.edits.string(range, &clean);
    }

    fn object_end(&mut self, names: &[Range<usize>]) {
        let changed = |name: &Range<usize>| {
            let raw = self.text.get(name.clone()).unwrap_or_default();
            !raw.is_ascii() || raw.contains('\\')
        };
        if names.iter().any(changed) {
            let mut clean: Vec<String> = names.iter().map(|name| self.clean(name)).collect();
            clean.sort_unstable();
            self.collides |= clean.windows(2).any(|pair| pair[0] == pair[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unseen_characters_are_removed_however_they_are_written() {
        let json = "{\"a\u{200b}\":[\"x\\u202ey\",\"tab\\t\",1],\"b\":\"\\udb40\\udc41z\"}";
        let cleaned = strip_json(json).unwrap().unwrap();
        assert_eq!(cleaned.text, r#"{"a":["xy","tab\t",1],"b":"z"}"#);
        let places: Vec<_> = cleaned
            .removed
            .iter()
            .map(|(kind, place)| (kind.name(), &*place.pointer, &json[place.range.clone()]))
            .collect();
        assert_eq!(
            places,
            [
                ("invisible", "/a\u{200b}", "\u{200b}"),
                ("bidi", "/a\u{200b}/0", "\\u202e"),
                ("tag", "/b", "\\udb40\\udc41")
            ]
        );
        assert!(!cleaned.collides);
        assert!(strip_json("{\"a\u{200b}\":1,\"a\":2}").unwrap().unwrap().collides);
        assert!(strip_json(r#"{"a":"plain \n é 👩‍👩‍👧"}"#).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn stripped_json_is_json_with_nothing_to_strip(value in any::<Vec<(String, String)>>()) {
            let json = serde_json::to_string(&value).unwrap();
            if let Some(cleaned) = strip_json(&json).unwrap() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&cleaned.text).is_ok());
                prop_assert!(strip_json(&cleaned.text).unwrap().is_none());
            }
        }
    }
}
