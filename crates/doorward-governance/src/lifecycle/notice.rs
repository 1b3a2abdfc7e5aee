//! What clients of a deprecated server are told: a line before each description, and a member of `_meta`. Pins do not cover
//! it: they are of what the server says, and this is the gateway's word.

use std::collections::BTreeMap;

use doorward_mcp::{Object, Value};
use serde_json::json;

/// The member of `_meta` that programs read: `{"note": …, "successor": …, "retires": …}`, each if it is known.
pub const DEPRECATED: &str = "io.doorward/deprecated";

/// Notices by server, in lower case.
pub type Notices = BTreeMap<String, Notice>;

/// The notice of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    line: String,
    meta: serde_json::Value,
}

impl Notice {
    /// `note` says why, `successor` names the server to use instead, `retires` is the last day, such as `2027-01-31`.
    pub fn new(server: &str, note: &str, successor: Option<&str>, retires: Option<&str>) -> Self {
        let mut line = format!("[Deprecated] The server '{server}' is deprecated.");
        let mut meta = serde_json::Map::new();
        if !note.is_empty() {
            line.push_str(&format!(" {note}"));
            meta.insert("note".into(), json!(note));
        }
        if let Some(successor) = successor {
            line.push_str(&format!(" Use '{successor}' instead."));
            meta.insert("successor".into(), json!(successor));
        }
        if let Some(day) = retires {
            line.push_str(&format!(" It will be retired after {day}."));
            meta.insert("retires".into(), json!(day));
        }
        Self { line, meta: meta.into() }
    }

    /// What users are told.
    pub fn text(&self) -> &str {
        self.line.strip_prefix("[Deprecated] ").unwrap_or(&self.line)
    }

    /// Puts the notice into a definition of a tool, prompt, resource or template.
    pub fn mark(&self, definition: &mut Object) {
        let told = match definition.string("description").filter(|told| !told.is_empty()) {
            Some(told) => format!("{}\n\n{told}", self.line),
            None => self.line.clone(),
        };
        definition.set("description", told.as_str());
        if let Some(meta) = definition.object_mut("_meta") {
            meta.set(DEPRECATED, Value::from_serde(&self.meta));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::needless_pass_by_value)]
    fn marked(definition: serde_json::Value) -> serde_json::Value {
        let notice = Notice::new("tickets", "Moved.", Some("issues"), Some("2027-01-31"));
        let mut definition = Object::from_serde(&definition).unwrap();
        notice.mark(&mut definition);
        definition.to_serde()
    }

    #[test]
    fn people_and_programs_are_told_and_what_was_there_stays() {
        let line = "[Deprecated] The server 'tickets' is deprecated. Moved. Use 'issues' instead. It will be retired \
            after 2027-01-31.";
        let meta = json!({ "note": "Moved.", "successor": "issues", "retires": "2027-01-31" });
        assert_eq!(
            marked(json!({ "name": "find", "description": "Finds.", "_meta": { "a": 1 } })),
            json!({ "name": "find", "description": format!("{line}\n\nFinds."),
                "_meta": { "a": 1, DEPRECATED: meta } })
        );
        assert_eq!(
            marked(json!({ "name": "find" })),
            json!({ "name": "find", "description": line, "_meta": { DEPRECATED: meta } })
        );
        let bare = Notice::new("s", "", None, None);
        assert_eq!(bare.line, "[Deprecated] The server 's' is deprecated.");
        assert_eq!(bare.meta, json!({}));
    }
}
