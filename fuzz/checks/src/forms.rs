//! The forms of any text are bounded, know where they come from, and contain nothing that is not seen.

use doorward_inspect::text::{fold, open, strip, unescaped, unseen};

/// Checks one input.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let folded = fold(&text);
    assert!(folded.text.len() <= 4 * text.len());
    assert!(unseen(&folded.text).is_empty());
    for (at, c) in folded.text.char_indices() {
        assert!(text.get(folded.map.original(at..at + c.len_utf8())).is_some());
    }
    if let Some((stripped, removed)) = strip(&text) {
        assert!(!removed.is_empty() && stripped.len() < text.len());
        assert!(unseen(&stripped).is_empty());
    }
    if let Some((plain, map)) = unescaped(&text) {
        assert!(plain.len() <= text.len());
        assert!(text.get(map.original(0..plain.len())).is_some());
    }
    for part in open(&text) {
        assert!(text.get(part.range).is_some_and(|encoded| part.text.len() <= encoded.len()));
    }
}
