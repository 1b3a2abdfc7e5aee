//! What is written is clean already: cleaning it again changes nothing, JSON stays JSON, and nothing grows without bound.

use std::borrow::Cow;

use doorward_inspect::written::{Keep, Lines, json, text};

/// A mask is longer than the shortest value that it stands for, by this factor at most.
const GROWTH: usize = 16;

/// Checks one input: as a text, line by line, and as JSON.
pub fn check(data: &[u8]) {
    let input = String::from_utf8_lossy(data);
    for keep in [Keep::Nothing, Keep::Addresses, Keep::Personal] {
        let once = text(&input, keep);
        assert!(once.len() <= GROWTH * input.len() + GROWTH, "it grows");
        assert_eq!(text(&once, keep), once, "cleaning twice changes something");
    }
    let mut lines = Lines::default();
    for line in input.lines() {
        let clean = lines.clean(line, Keep::Nothing);
        assert!(!clean.contains('\n'), "a line becomes two");
    }
    let Ok(clean) = json(&input) else { return };
    let is_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
    // Numbers beyond a double's range are JSON for the gateway, and not for this parser.
    if let Some(Cow::Owned(clean)) = clean
        && is_json(&input)
    {
        assert!(is_json(&clean), "{clean}");
    }
}
