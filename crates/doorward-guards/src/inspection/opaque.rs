//! What of a result is passed on unread: encoded media, and what only identifies something.

use doorward_inspect::Opaque;
use doorward_mcp::{Object, Value};

/// Nesting of contents: messages in requests in results.
const DEPTH: usize = 8;

/// What is opaque in a result of a server.
pub(super) fn of_result(result: &Object) -> Opaque {
    let mut opaque = Opaque::default();
    for name in ["resultType", "requestState", "nextCursor", "taskId", "status"] {
        if result.contains(name) {
            opaque.value(format!("/{name}"));
        }
    }
    for name in ["content", "contents", "messages", "inputRequests", "result", "error"] {
        if let Some(value) = result.get(name) {
            media(value, &format!("/{name}"), DEPTH, &mut opaque);
        }
    }
    if result.contains("inputRequests") {
        opaque.names("/inputRequests");
    }
    opaque
}

/// What is opaque in the data of an error, which is at `/data`.
pub(super) fn of_error(data: Option<&Value>) -> Opaque {
    let mut opaque = Opaque::default();
    if let Some(data) = data {
        media(data, "/data", DEPTH, &mut opaque);
    }
    opaque
}

/// What is opaque in the parameters of a notification.
pub(super) fn of_notification() -> Opaque {
    let mut opaque = Opaque::default();
    for name in ["/progressToken", "/level", "/requestId"] {
        opaque.value(name);
    }
    opaque
}

/// Notes encoded media, and URLs that users open in a browser: the tokens in these are meant for it.
fn media(value: &Value, pointer: &str, depth: usize, opaque: &mut Opaque) {
    let Some(depth) = depth.checked_sub(1) else { return };
    if let Some(items) = value.as_array() {
        for (number, item) in items.iter().enumerate() {
            media(item, &format!("{pointer}/{number}"), depth, opaque);
        }
        return;
    }
    let Some(object) = value.as_object() else { return };
    if matches!(object.string("type").as_deref(), Some("image" | "audio")) {
        encoded(&object, "data", pointer, opaque);
    }
    encoded(&object, "blob", pointer, opaque);
    if object.string("mode").as_deref() == Some("url") {
        opaque.value(format!("{pointer}/url"));
        opaque.value(format!("{pointer}/elicitationId"));
    }
    for member in object.members() {
        let Ok(name) = std::str::from_utf8(&member.name) else { continue };
        let is_nested = matches!(
            name,
            "content" | "resource" | "params" | "messages" | "contents" | "elicitations" | "result"
        );
        // Requests of a server have keys that it chooses.
        if is_nested || pointer == "/inputRequests" {
            let name = name.replace('~', "~0").replace('/', "~1");
            media(&member.value, &format!("{pointer}/{name}"), depth, opaque);
        }
    }
}

/// Notes a member that is base64. One that only seems so by its name is inspected.
fn encoded(object: &Object, name: &str, pointer: &str, opaque: &mut Opaque) {
    let Some(Value::Raw(raw)) = object.get(name) else { return };
    let Some(text) = raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")) else {
        return;
    };
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if text.len() % 4 == 0 && text.iter().all(is_base64) {
        opaque.value(format!("{pointer}/{name}"));
    }
}
