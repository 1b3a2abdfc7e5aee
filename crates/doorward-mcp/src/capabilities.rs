//! Capabilities in the form of each revision.
//!
//! Both sets are open: unknown capabilities are passed on. Only those are converted whose meaning differs between
//! revisions, or that a revision does not define and would be misleading.

use std::sync::LazyLock;

use bytes::Bytes;

use crate::json::{self, Object, Value};
use crate::method;
use crate::revision::Revision;
use crate::tasks;

pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// A handshake-era client's capabilities in the form of a modern request: without `roots.listChanged` and the
/// tasks of 2025-11-25, which only exist in that era.
pub fn client_to_modern(capabilities: &Object) -> Object {
    let mut modern = capabilities.clone();
    if modern.contains("roots") {
        modern.set("roots", Value::Object(Object::new()));
    }
    modern.remove("tasks");
    modern
}

/// A modern client's capabilities in the form of `initialize` in `revision`.
pub fn client_to_handshake(capabilities: &Object, revision: Revision) -> Object {
    let mut legacy = capabilities.clone();
    if legacy.contains("roots") {
        legacy.set("roots", Value::Object(Object::new()));
    }
    drop_tasks_extension(&mut legacy);
    if revision < Revision::V2025_06_18 {
        legacy.remove("elicitation");
    } else if revision < Revision::V2025_11_25 {
        // There is only one mode, without a name: the form.
        if elicits(capabilities, "form") {
            legacy.set("elicitation", Value::Object(Object::new()));
        } else {
            legacy.remove("elicitation");
        }
    }
    if revision < Revision::V2025_11_25 && legacy.contains("sampling") {
        legacy.set("sampling", Value::Object(Object::new()));
    }
    legacy
}

/// A handshake-era server's capabilities in the form of `server/discover`.
pub fn server_to_modern(capabilities: &Object) -> Object {
    let mut modern = capabilities.clone();
    if tasks::runs_tools(capabilities) {
        put_tasks(&mut modern);
    }
    modern.remove("tasks");
    modern
}

/// Declares the tasks extension.
pub fn put_tasks(capabilities: &mut Object) {
    if let Some(extensions) = capabilities.object_mut("extensions")
        && !extensions.contains(TASKS_EXTENSION)
    {
        extensions.set(TASKS_EXTENSION, Object::new());
    }
}

/// A modern server's capabilities in the form of an `initialize` result.
pub fn server_to_handshake(capabilities: &Object) -> Object {
    let mut legacy = capabilities.clone();
    drop_tasks_extension(&mut legacy);
    legacy
}

fn drop_tasks_extension(capabilities: &mut Object) {
    if !capabilities.object("extensions").is_some_and(|all| all.contains(TASKS_EXTENSION)) {
        return;
    }
    if let Some(extensions) = capabilities.object_mut("extensions") {
        extensions.remove(TASKS_EXTENSION);
        if extensions.is_empty() {
            capabilities.remove("extensions");
        }
    }
}

/// Whether a client or a server has declared the tasks extension.
pub fn has_tasks(capabilities: &Object) -> bool {
    capabilities.object("extensions").is_some_and(|all| all.contains(TASKS_EXTENSION))
}

/// Whether a client supports a mode of elicitation. An empty object means the form only.
pub fn elicits(capabilities: &Object, mode: &str) -> bool {
    capabilities.object("elicitation").is_some_and(|elicitation| {
        elicitation.contains(mode) || (mode == "form" && !elicitation.contains("url"))
    })
}

/// The capability that a server's request requires and the client has not declared; `None` if the request may be
/// sent.
pub fn missing_for(capabilities: &Object, asked: &str, params: &Object) -> Option<&'static str> {
    match asked {
        method::ELICIT => {
            let mode = params.string("mode");
            let mode = mode.as_deref().unwrap_or("form");
            (!elicits(capabilities, mode)).then_some("elicitation")
        }
        method::SAMPLE => (!capabilities.contains("sampling")).then_some("sampling"),
        method::ROOTS_LIST => (!capabilities.contains("roots")).then_some("roots"),
        _ => Some("unknown"),
    }
}

/// Whether a client supports any request from a server.
pub fn is_interactive(capabilities: &Object) -> bool {
    ["elicitation", "sampling", "roots"].iter().any(|name| capabilities.contains(name))
}

/// Merges the capabilities of several servers. A flag is set if any server sets it.
pub fn merge(all: impl IntoIterator<Item = Object>) -> Object {
    let mut merged = serde_json::Map::new();
    for capabilities in all {
        if let serde_json::Value::Object(capabilities) = capabilities.to_serde() {
            merge_maps(&mut merged, capabilities);
        }
    }
    Object::from_serde(&merged).unwrap_or_default()
}

fn merge_maps(
    into: &mut serde_json::Map<String, serde_json::Value>,
    from: serde_json::Map<String, serde_json::Value>,
) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(serde_json::Value::Object(into)), serde_json::Value::Object(from)) => {
                merge_maps(into, from);
            }
            (Some(serde_json::Value::Bool(flag)), serde_json::Value::Bool(more)) => *flag |= more,
            (Some(_), _) => {}
            (None, value) => {
                into.insert(name, value);
            }
        }
    }
}

/// A key for sharing sessions between clients with the same capabilities: their canonical form. Capabilities that
/// differ in meaning have different keys.
pub fn canonical(capabilities: &Object) -> Bytes {
    let text = capabilities.to_bytes();
    json::canonical_exact(&text).map_or(text, Bytes::from)
}

/// All client capabilities that the gateway supports.
pub fn everything() -> &'static Object {
    static EVERYTHING: LazyLock<Object> = LazyLock::new(|| {
        let all = serde_json::json!({
            "elicitation": { "form": {}, "url": {} },
            "roots": {},
            "sampling": { "context": {}, "tools": {} },
        });
        Object::from_serde(&all).unwrap_or_default()
    });
    &EVERYTHING
}

/// The part of the declared capabilities that the gateway supports.
pub fn standard(declared: &Object) -> Object {
    let part = match (declared.to_serde(), everything().to_serde()) {
        (serde_json::Value::Object(declared), serde_json::Value::Object(all)) => {
            common_part(declared, &all)
        }
        _ => Members::new(),
    };
    Object::from_serde(&part).unwrap_or_default()
}

fn common_part(declared: Members, all: &Members) -> Members {
    let common = declared.into_iter().filter_map(|(name, value)| {
        let part = match (value, all.get(&name)?) {
            (serde_json::Value::Object(value), serde_json::Value::Object(all)) => {
                common_part(value, all)
            }
            _ => Members::new(),
        };
        Some((name, part.into()))
    });
    common.collect()
}

/// Whether a session with the `declared` capabilities can serve a client with the `wanted` ones.
pub fn covers(declared: &Object, wanted: &Object) -> bool {
    match (declared.to_serde(), wanted.to_serde()) {
        (serde_json::Value::Object(declared), serde_json::Value::Object(wanted)) => {
            covers_all(&declared, &wanted)
        }
        _ => false,
    }
}

type Members = serde_json::Map<String, serde_json::Value>;

fn covers_all(declared: &Members, wanted: &Members) -> bool {
    wanted.iter().all(|(name, wanted)| match (declared.get(name), wanted) {
        (Some(serde_json::Value::Object(declared)), serde_json::Value::Object(wanted)) => {
            covers_all(declared, wanted)
        }
        (Some(declared), wanted) => declared == wanted,
        (None, _) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &'static str) -> Object {
        Object::parse(&Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn client_capabilities_have_the_form_of_the_revision() {
        let modern = r#"{"roots":{},"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}},"extensions":{"io.modelcontextprotocol/tasks":{}},"experimental":{"x":{}}}"#;
        for (revision, expected) in [
            (
                Revision::V2025_11_25,
                r#"{"roots":{},"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}},"experimental":{"x":{}}}"#,
            ),
            (
                Revision::V2025_06_18,
                r#"{"roots":{},"sampling":{},"elicitation":{},"experimental":{"x":{}}}"#,
            ),
            (Revision::V2025_03_26, r#"{"roots":{},"sampling":{},"experimental":{"x":{}}}"#),
        ] {
            assert_eq!(client_to_handshake(&object(modern), revision).to_bytes(), expected);
        }
    }

    #[test]
    fn only_capabilities_with_the_same_meaning_share_a_key() {
        let key = |text| canonical(&object(text));
        assert_eq!(key(r#"{"a":1,"b":{"c":2.0}}"#), key(r#"{"b":{"c":2},"a":1}"#));
        let (one, other) = (r#"{"x":10000000000000000000001}"#, r#"{"x":10000000000000000000002}"#);
        assert_ne!(key(one), key(other));
    }

    #[test]
    fn url_mode_is_used_only_if_declared() {
        assert!(elicits(&object(r#"{"elicitation":{}}"#), "form"));
        assert!(!elicits(&object(r#"{"elicitation":{}}"#), "url"));
        assert!(elicits(&object(r#"{"elicitation":{"url":{}}}"#), "url"));
        assert!(!elicits(&object(r#"{"elicitation":{"url":{}}}"#), "form"));
    }

    #[test]
    fn merging_retains_every_capability() {
        let merged = merge([
            object(r#"{"tools":{"listChanged":false},"logging":{}}"#),
            object(r#"{"tools":{"listChanged":true},"resources":{"subscribe":true}}"#),
        ]);
        assert_eq!(
            merged.to_serde(),
            serde_json::json!({"tools": {"listChanged": true}, "logging": {}, "resources": {"subscribe": true}})
        );
    }

    #[test]
    fn a_session_serves_clients_with_no_more_capabilities_than_it_declares() {
        for (declared, wanted, serves) in [
            ("{}", "{}", true),
            (r#"{"roots":{}}"#, "{}", true),
            ("{}", r#"{"roots":{}}"#, false),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, r#"{"elicitation":{"url":{}}}"#, true),
            (r#"{"elicitation":{"form":{}}}"#, r#"{"elicitation":{"url":{}}}"#, false),
            (r#"{"roots":{"listChanged":true}}"#, r#"{"roots":{"listChanged":false}}"#, false),
        ] {
            assert_eq!(covers(&object(declared), &object(wanted)), serves, "{declared} {wanted}");
        }
        assert!(covers(everything(), &object(r#"{"roots":{},"sampling":{"tools":{}}}"#)));
    }
}
