//! Whether servers are reviewed before they are served, and what of a server is approved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ServerSettings;

/// Whether the servers of the configuration file are served at once.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// Whoever may write the file has approved them.
    #[default]
    Trusted,
    /// They begin as proposed, and are served once somebody has approved and activated them; again when they change.
    Reviewed,
}

/// How servers are reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReviewSettings {
    /// Whoever proposed a server cannot approve it.
    pub four_eyes: bool,
}

impl Default for ReviewSettings {
    fn default() -> Self {
        Self { four_eyes: true }
    }
}

/// Longest address to ask, and longest notes, in bytes.
const MOST_CONTACT: usize = 256;
const MOST_NOTES: usize = 16 << 10;
/// What may change without another approval: it is for people, and no policy uses it.
const FOR_PEOPLE: [&str; 4] = ["contact", "review_by", "notes", "lifecycle"];

impl ServerSettings {
    /// What is approved, as a SHA-256 in hexadecimal: all settings but those for people. Of credentials, that they are
    /// there and as which client, but not their values, so that a rotated secret needs no approval; of a program, its
    /// environment in full, for that decides what it does.
    pub fn approval_digest(&self) -> String {
        let mut shown = crate::secret::redacted(self);
        if let Value::Object(members) = &mut shown {
            for name in FOR_PEOPLE {
                members.remove(name);
            }
            let env = self.env.iter().map(|(name, value)| (name.clone(), value.expose().into()));
            members.insert("env".into(), Value::Object(env.collect()));
        }
        let text = sorted(&shown).to_string();
        doorward_store::sha256_hex(text.as_bytes())
    }

    pub(super) fn problems_of_life(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.review_by.is_some() && self.review_day().is_none() {
            problems.push(("review_by", "expected a day, such as 2027-01-31".into()));
        }
        for (key, text, most) in
            [("contact", &self.contact, MOST_CONTACT), ("notes", &self.notes, MOST_NOTES)]
        {
            if text.as_ref().is_some_and(|text| text.len() > most) {
                problems.push((key, format!("must have at most {most} bytes")));
            }
        }
        problems
    }

    /// The day on which the server is to be reviewed again, if it is one.
    pub fn review_day(&self) -> Option<jiff::civil::Date> {
        self.review_by.as_ref()?.parse().ok()
    }
}

/// The same with the members of all objects in order, so that equal settings have equal texts.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            let members = names.into_iter().map(|name| (name.clone(), sorted(&members[name])));
            Value::Object(Map::from_iter(members))
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn digest_of(settings: Value) -> String {
        serde_json::from_value::<ServerSettings>(settings).unwrap().approval_digest()
    }

    #[test]
    fn what_changes_a_server_changes_what_is_approved() {
        let url = "https://a.example/mcp";
        let plain = digest_of(json!({ "url": url }));
        assert_eq!(plain.len(), 64);
        for other in [
            json!({ "url": "https://b.example/mcp" }),
            json!({ "url": url, "headers": { "x-key": "k" } }),
            json!({ "url": url, "credential": { "basic": { "user": "u", "password": "p" } } }),
            json!({ "url": url, "risk": "low" }),
            json!({ "url": url, "public_only": true }),
            json!({ "url": url, "tools": { "x": { "write": false } } }),
            json!({ "command": "a" }),
        ] {
            assert_ne!(digest_of(other.clone()), plain, "{other}");
        }
        let env =
            |value: &str| digest_of(json!({ "command": "a", "env": { "NODE_OPTIONS": value } }));
        assert_ne!(env("--inspect"), env("--require x"));
        let args = |value: &str| digest_of(json!({ "command": "a", "args": [value] }));
        assert_ne!(args("a"), args("b"));
    }

    #[test]
    fn what_is_for_people_and_rotated_secrets_need_no_approval() {
        let url = "https://a.example/mcp";
        let with = |key: &str, notes: &str| {
            digest_of(json!({ "url": url, "headers": { "x-key": key }, "notes": notes,
                "contact": notes, "review_by": "2027-01-31" }))
        };
        assert_eq!(with("one", "a"), with("two", "b"));
    }
}
