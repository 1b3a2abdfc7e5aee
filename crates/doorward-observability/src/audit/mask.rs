//! Masks secrets in the arguments and results that are recorded.

use std::collections::BTreeSet;

use doorward_mcp::Object;
use doorward_mcp::json::fold;
use serde_json::Value;

use doorward_config::AuditSettings;
use doorward_core::pattern::Pattern;

/// What stands in the place of what was masked.
const MASKED: &str = "[masked]";

/// Parts of the names of members that hold secrets.
const NAMES: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "authorization",
    "cookie",
    "credential",
    "privatekey",
];

/// How secrets begin that are recognised wherever they stand.
const BEGINNINGS: [&str; 14] = [
    "sk-",
    "sk_live_",
    "rk_live_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "ASIA",
    "AIza",
    "dwk_",
];

/// Masks a value, `names` beside what is masked anyway.
pub fn mask(value: &mut Value, names: &BTreeSet<Pattern>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if is_secret(name, names) {
                    *value = MASKED.into();
                } else {
                    mask(value, names);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, names)),
        Value::String(text) => {
            if let Some(masked) = masked_text(text) {
                *text = masked;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_secret(name: &str, names: &BTreeSet<Pattern>) -> bool {
    let lower = fold(name.as_bytes().into());
    let lower = String::from_utf8_lossy(&lower);
    let plain = lower.replace('_', "");
    NAMES.iter().any(|part| lower.contains(part) || plain.contains(part))
        || names.iter().any(|pattern| pattern.matches(name))
}

/// A text without the secrets in it; `None` if there are none.
pub(crate) fn masked_text(text: &str) -> Option<String> {
    if text.contains("-----BEGIN") && text.contains("PRIVATE KEY") {
        return Some(MASKED.into());
    }
    let is_edge =
        |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '='));
    let mut out = String::new();
    let mut copied = 0;
    let mut after_scheme = false;
    for word in text.split(is_edge).filter(|word| !word.is_empty()) {
        let secret = looks_secret(word) || (after_scheme && word.len() >= 8);
        after_scheme = word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic");
        if secret {
            // The words are slices of the text.
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            out.push_str(&text[copied..at]);
            out.push_str(MASKED);
            copied = at + word.len();
        }
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&text[copied..]);
    Some(out)
}

fn looks_secret(word: &str) -> bool {
    let long = word.len() >= 16;
    let is_jwt = || word.starts_with("eyJ") && word.len() >= 40 && word.matches('.').count() >= 2;
    long && (BEGINNINGS.iter().any(|beginning| word.starts_with(beginning)) || is_jwt())
}

/// An object as text, masked; `None` if it is longer than what is recorded of one.
pub fn masked(settings: &AuditSettings, object: &Object) -> Option<String> {
    if object.size_hint() > settings.payload_limit.0 {
        return None;
    }
    let mut value = object.to_serde();
    mask(&mut value, &settings.mask);
    Some(crate::cleaned::payload(value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_masked_by_their_names_and_by_their_looks() {
        let mut value = json!({
            "user": "alice", "Password": "hunter2", "pa\u{17f}\u{17f}word": 1, "nested": [{ "apiKey": 17, "access_token": {"a": 1} }],
            "card": "4111", "note": "use ghp_0123456789abcdefABCD, or Bearer abcdefgh12345 (not skate)",
            "pem": "-----BEGIN RSA PRIVATE KEY-----\nabc",
            "jwt": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
        });
        mask(&mut value, &[Pattern("card".into())].into());
        assert_eq!(
            value,
            json!({
                "user": "alice", "Password": MASKED, "pa\u{17f}\u{17f}word": MASKED, "nested": [{ "apiKey": MASKED, "access_token": MASKED }],
                "card": MASKED, "note": "use [masked], or Bearer [masked] (not skate)", "pem": MASKED, "jwt": MASKED
            })
        );
    }
}
