//! Masks secrets and personal data in recorded arguments and results: values of members with a
//! secret's name, and what the built-in detectors find.

use std::collections::BTreeSet;

use doorward_inspect::written;
use doorward_mcp::Object;
use doorward_mcp::json::fold;
use serde_json::Value;

use doorward_config::AuditSettings;
use doorward_core::pattern::Pattern;

/// Replaces a value that is masked because of its name.
pub const MASKED: &str = "[masked]";

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

/// Masks the values of members with a secret's name, and of `names`.
fn by_name(value: &mut Value, names: &BTreeSet<Pattern>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if is_secret(name, names) {
                    *value = MASKED.into();
                } else {
                    by_name(value, names);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| by_name(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_secret(name: &str, names: &BTreeSet<Pattern>) -> bool {
    let lower = fold(name.as_bytes().into());
    let lower = String::from_utf8_lossy(&lower);
    let plain = lower.replace('_', "");
    NAMES.iter().any(|part| lower.contains(part) || plain.contains(part))
        || names.iter().any(|pattern| pattern.matches(name))
}

/// A value as masked JSON; `None` if it is too long to be inspected.
pub fn masked_value(settings: &AuditSettings, mut value: Value) -> Option<String> {
    by_name(&mut value, &settings.mask);
    let text = value.to_string();
    // The masked value is JSON.
    written::json(&text).ok()?.map(std::borrow::Cow::into_owned)
}

/// An object as masked JSON; `None` if it exceeds the size limit of records.
pub fn masked(settings: &AuditSettings, object: &Object) -> Option<String> {
    if object.size_hint() > settings.payload_limit.0 {
        return None;
    }
    masked_value(settings, object.to_serde())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_masked_by_their_names_and_by_their_looks() {
        let value = json!({
            "user": "alice", "Password": "hunter2", "pa\u{17f}\u{17f}word": 1, "nested": [{ "apiKey": 17, "access_token": {"a": 1} }],
            "pin": "4711", "note": "use ghp_0123456789abcdefABCD, or Bearer abcdefgh12345 (not skate)",
            "pem": "-----BEGIN RSA PRIVATE KEY-----\nabc", "mail": "ann.lee@acme.example", "card": 4_111_111_111_111_111_u64,
            "jwt": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
        });
        let settings = AuditSettings { mask: [Pattern("pin".into())].into(), ..Default::default() };
        let masked: Value = serde_json::from_str(&masked_value(&settings, value).unwrap()).unwrap();
        assert_eq!(
            masked,
            json!({
                "user": "alice", "Password": MASKED, "pa\u{17f}\u{17f}word": MASKED, "nested": [{ "apiKey": MASKED, "access_token": MASKED }],
                "pin": MASKED, "note": "use [SECRET], or Bearer [SECRET] (not skate)", "pem": "[SECRET]", "mail": "[EMAIL]",
                "card": null, "jwt": "[SECRET]"
            })
        );
    }
}
