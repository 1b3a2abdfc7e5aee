//! Encoded media in answers: members that the protocol says are base64. Members of the same names anywhere else are text.

use doorward_mcp::{Object, Value, method};

/// Nesting of contents: results of tools in messages.
pub(crate) const DEPTH: usize = 8;

/// The pointers of encoded media in the result of a method; without one, in that of any.
pub(crate) fn of_result(of: Option<&str>, result: &Object) -> Vec<String> {
    let mut found = Vec::new();
    let is = |method: &str| of.is_none_or(|of| of == method || of == method::TASKS_RESULT);
    if is(method::TOOLS_CALL) {
        content(result.get("content"), "/content", DEPTH, &mut found);
    }
    if is(method::PROMPTS_GET) {
        messages(result.get("messages"), "/messages", DEPTH, &mut found);
    }
    if is(method::RESOURCES_READ) {
        resources(result.get("contents"), "/contents", &mut found);
    }
    found
}

pub(crate) fn messages(
    value: Option<&Value>,
    pointer: &str,
    depth: usize,
    found: &mut Vec<String>,
) {
    for (at, message) in value.and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let Some(message) = message.as_object() {
            let pointer = format!("{pointer}/{at}/content");
            content(message.get("content"), &pointer, depth, found);
        }
    }
}

fn resources(value: Option<&Value>, pointer: &str, found: &mut Vec<String>) {
    for (at, resource) in value.and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let Some(resource) = resource.as_object() {
            encoded(&resource, "blob", &format!("{pointer}/{at}"), found);
        }
    }
}

/// One block of content, or several.
fn content(value: Option<&Value>, pointer: &str, depth: usize, found: &mut Vec<String>) {
    let (Some(value), Some(depth)) = (value, depth.checked_sub(1)) else { return };
    if let Some(blocks) = value.as_array() {
        for (at, block) in blocks.iter().enumerate() {
            content(Some(block), &format!("{pointer}/{at}"), depth, found);
        }
        return;
    }
    let Some(block) = value.as_object() else { return };
    match block.string("type").as_deref() {
        Some("image" | "audio") => encoded(&block, "data", pointer, found),
        Some("resource") => {
            if let Some(resource) = block.object("resource") {
                encoded(&resource, "blob", &format!("{pointer}/resource"), found);
            }
        }
        Some("tool_result") => {
            content(block.get("content"), &format!("{pointer}/content"), depth, found);
        }
        _ => {}
    }
}

/// Notes a member that is base64. One that only seems so by its name is inspected.
fn encoded(object: &Object, name: &str, pointer: &str, found: &mut Vec<String>) {
    let Some(Value::Raw(raw)) = object.get(name) else { return };
    let Some(text) = raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")) else {
        return;
    };
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if text.len() % 4 == 0 && text.iter().all(is_base64) {
        found.push(format!("{pointer}/{name}"));
    }
}
