//! What some clients write differently from others in the entries of their servers.

use serde_json::{Map, Value};

/// Codex has names of its own for headers.
pub fn as_others_write_it(value: &mut Value) {
    let Some(members) = value.as_object_mut() else { return };
    let mut headers = match members.remove("http_headers") {
        Some(Value::Object(headers)) => headers,
        _ => Map::new(),
    };
    if let Some(Value::String(variable)) = members.remove("bearer_token_env_var") {
        headers.insert("Authorization".into(), format!("Bearer ${{env:{variable}}}").into());
    }
    if let Some(Value::Object(variables)) = members.remove("env_http_headers") {
        for (header, variable) in variables {
            let variable = variable.as_str().unwrap_or_default();
            headers.insert(header, format!("${{env:{variable}}}").into());
        }
    }
    if !headers.is_empty() {
        members.insert("headers".into(), headers.into());
    }
}

/// Whether a text has `$NAME`, which only Gemini CLI replaces.
pub fn refers_bare(value: &Value) -> bool {
    match value {
        Value::String(text) => text.match_indices('$').any(|(at, _)| {
            text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        }),
        Value::Array(items) => items.iter().any(refers_bare),
        Value::Object(members) => members.values().any(refers_bare),
        _ => false,
    }
}
