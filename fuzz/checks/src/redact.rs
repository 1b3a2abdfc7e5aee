//! Redacted JSON is JSON, and is redacted already, whatever replaces a value.

use std::sync::LazyLock;

use doorward_inspect::redact::Pseudonyms;
use doorward_inspect::{Action, Budget, Detectors, Plan, Redactor};

static DETECTORS: LazyLock<Detectors> = LazyLock::new(|| match Detectors::with(&[]) {
    Ok(detectors) => detectors,
    Err(error) => panic!("the ready-made detectors are valid: {error}"),
});
static PLANS: LazyLock<[Plan; 3]> =
    LazyLock::new(|| [Action::Mask, Action::Hash, Action::Tokenize].map(Plan::all));

/// Hashes and tokens that say how long a value was.
struct Lengths;

impl Pseudonyms for Lengths {
    fn hash(&self, _class: &str, value: &str) -> [u8; 8] {
        (value.len() as u64).to_be_bytes()
    }

    fn token(&self, _class: &str, value: &str) -> Option<String> {
        Some(format!("dw_{}", value.len()))
    }

    fn is_token(&self, _class: &str, token: &str) -> bool {
        token.strip_prefix("dw_").is_some_and(|length| length.parse::<usize>().is_ok())
    }
}

/// Checks one input: as JSON, and as a text.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for plan in PLANS.iter() {
        check_plan(&text, &Redactor::new(&DETECTORS, plan, Some(&Lengths)));
    }
}

fn check_plan(text: &str, redactor: &Redactor<'_>) {
    if let Ok(redacted) = redactor.json(text, &mut Budget::default()) {
        for found in &redacted.found {
            assert!(text.get(found.place.range.clone()).is_some());
        }
        if let Some(out) = redacted.text {
            assert!(
                serde_json::from_str::<&serde_json::value::RawValue>(&out).is_ok()
                    || serde_json::from_str::<&serde_json::value::RawValue>(text).is_err()
            );
            assert!(out.len() <= 32 * text.len());
            let again = redactor.json(&out, &mut Budget::default()).map(|again| again.text);
            assert_eq!(again, Ok(None), "{text}");
        }
    }
    let redacted = redactor.text(text, &mut Budget::default());
    if let Some(out) = redacted.text {
        assert_eq!(redactor.text(&out, &mut Budget::default()).text, None);
    }
}
