//! The definitions of the gateway's own tools. They are the same for every caller, so that a model's prompt cache stays valid.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, json};

use super::asked::{DEFAULT_LIMIT, MAX_LIMIT, MAX_NAMES};

/// Finds tools.
pub const SEARCH: &str = "search_tools";
/// Returns the definitions of tools.
pub const DETAILS: &str = "get_tool_details";
/// Calls a tool.
pub const CALL: &str = "call_tool";

/// Returns what follows in a result that was cut.
pub const READ_MORE: &str = "read_more";

/// Whether a name is that of one of the gateway's own tools.
pub fn is_own(name: &str) -> bool {
    matches!(name, SEARCH | DETAILS | CALL | READ_MORE)
}

/// The definition of the tool that reads on, serialized.
pub fn read_more_definition() -> &'static Bytes {
    static ONE: LazyLock<Bytes> = LazyLock::new(|| read_more().to_string().into());
    &ONE
}

/// The definitions of the three tools, serialized.
pub fn definitions() -> &'static [Bytes; 3] {
    static ALL: LazyLock<[Bytes; 3]> =
        LazyLock::new(|| [search(), get_details(), call()].map(|all| all.to_string().into()));
    &ALL
}

fn search() -> Value {
    json!({
        "name": SEARCH,
        "title": "Search tools",
        "description": "Finds tools for a task: names, what they do, and their arguments ('?' marks optional ones), best \
            match first. Call those that fit with call_tool. Search again in other words before you conclude that no tool \
            exists.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": { "type": "string", "description": "The task in a few words, in any language" },
                "limit": { "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT },
                "detail": {
                    "type": "string", "enum": ["brief", "full"], "default": "brief",
                    "description": "full: with JSON Schemas"
                },
                "server": { "type": "string", "description": "Only tools of this server" },
                "read_only": { "type": "boolean", "description": "Only tools that change nothing" },
            },
            "required": ["query"],
            "additionalProperties": false,
        },
        "annotations": { "readOnlyHint": true, "openWorldHint": false },
    })
}

fn get_details() -> Value {
    json!({
        "name": DETAILS,
        "title": "Get tool details",
        "description": "Returns the full definitions of tools, with the JSON Schemas of their arguments.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "names": {
                    "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": MAX_NAMES,
                },
            },
            "required": ["names"],
            "additionalProperties": false,
        },
        "annotations": { "readOnlyHint": true, "openWorldHint": false },
    })
}

fn read_more() -> Value {
    json!({
        "name": READ_MORE,
        "title": "Read more",
        "description": "Returns what follows in a result that was cut.",
        "inputSchema": {
            "type": "object",
            "properties": { "cursor": { "type": "string", "description": "From the mark behind the result" } },
            "required": ["cursor"],
            "additionalProperties": false,
        },
        "annotations": { "readOnlyHint": true, "openWorldHint": false },
    })
}

fn call() -> Value {
    json!({
        "name": CALL,
        "title": "Call a tool",
        "description": "Calls a tool by its name from search_tools.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "name": { "type": "string" },
                "arguments": { "type": "object", "description": "The tool's arguments" },
            },
            "required": ["name"],
            "additionalProperties": false,
        },
    })
}
