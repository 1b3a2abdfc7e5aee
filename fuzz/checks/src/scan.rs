//! Any text and any JSON is scanned; every finding has a place in it.

use std::sync::LazyLock;

use doorward_inspect::{Budget, Rules, Scanner, Subject, strip_json};

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| match Rules::ready_made() {
    Ok(rules) => Scanner::new(rules),
    Err(error) => panic!("the ready-made rules are valid: {error}"),
});

/// Checks one input.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for subject in [Subject::Definition, Subject::Content, Subject::Request] {
        let report = SCANNER.text(&text, subject, &mut Budget::default());
        for finding in report.findings {
            assert!(text.get(finding.place.range).is_some());
        }
    }
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
    let report = SCANNER.definition(&text, None, &mut Budget::default());
    assert!(
        report.is_ok()
            || !is_json
            || text.contains(&"[".repeat(64))
            || text.contains(&"{\"\":".repeat(64))
    );
    for finding in report.into_iter().flat_map(|report| report.findings) {
        assert!(text.get(finding.place.range).is_some());
    }
    if let Ok(Some(cleaned)) = strip_json(&text) {
        assert_eq!(
            is_json,
            serde_json::from_str::<&serde_json::value::RawValue>(&cleaned.text).is_ok()
        );
        assert!(matches!(strip_json(&cleaned.text), Ok(None)));
    }
}
