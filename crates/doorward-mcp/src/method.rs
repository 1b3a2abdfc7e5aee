//! The methods of the protocol, and their properties.

/// The names of methods.
pub const INITIALIZE: &str = "initialize";
pub const INITIALIZED: &str = "notifications/initialized";
pub const PING: &str = "ping";
pub const DISCOVER: &str = "server/discover";
pub const TOOLS_LIST: &str = "tools/list";
pub const TOOLS_CALL: &str = "tools/call";
pub const PROMPTS_LIST: &str = "prompts/list";
pub const PROMPTS_GET: &str = "prompts/get";
pub const RESOURCES_LIST: &str = "resources/list";
pub const TEMPLATES_LIST: &str = "resources/templates/list";
pub const RESOURCES_READ: &str = "resources/read";
pub const RESOURCES_SUBSCRIBE: &str = "resources/subscribe";
pub const RESOURCES_UNSUBSCRIBE: &str = "resources/unsubscribe";
pub const COMPLETE: &str = "completion/complete";
pub const SET_LEVEL: &str = "logging/setLevel";
pub const LISTEN: &str = "subscriptions/listen";
pub const TASKS_GET: &str = "tasks/get";
pub const TASKS_UPDATE: &str = "tasks/update";
pub const TASKS_CANCEL: &str = "tasks/cancel";
pub const TASKS_RESULT: &str = "tasks/result";
pub const TASKS_LIST: &str = "tasks/list";

pub const CANCELLED: &str = "notifications/cancelled";
pub const PROGRESS: &str = "notifications/progress";
pub const LOG: &str = "notifications/message";
pub const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
pub const PROMPTS_CHANGED: &str = "notifications/prompts/list_changed";
pub const RESOURCES_CHANGED: &str = "notifications/resources/list_changed";
pub const RESOURCE_UPDATED: &str = "notifications/resources/updated";
pub const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
pub const ROOTS_CHANGED: &str = "notifications/roots/list_changed";
pub const TASK_CHANGED: &str = "notifications/tasks";

pub const ELICIT: &str = "elicitation/create";
pub const SAMPLE: &str = "sampling/createMessage";
pub const ROOTS_LIST: &str = "roots/list";

/// Whether a method is defined in any revision of the protocol.
pub fn is_known(method: &str) -> bool {
    matches!(
        method,
        INITIALIZE
            | PING
            | DISCOVER
            | TOOLS_LIST
            | TOOLS_CALL
            | PROMPTS_LIST
            | PROMPTS_GET
            | RESOURCES_LIST
            | TEMPLATES_LIST
            | RESOURCES_READ
            | RESOURCES_SUBSCRIBE
            | RESOURCES_UNSUBSCRIBE
            | COMPLETE
            | SET_LEVEL
            | LISTEN
            | TASKS_GET
            | TASKS_UPDATE
            | TASKS_CANCEL
            | TASKS_RESULT
            | TASKS_LIST
    )
}

/// Methods that exist in the handshake era only (spec 2026-07-28 changelog).
pub fn is_handshake_only(method: &str) -> bool {
    matches!(
        method,
        INITIALIZE
            | INITIALIZED
            | PING
            | SET_LEVEL
            | RESOURCES_SUBSCRIBE
            | RESOURCES_UNSUBSCRIBE
            | ROOTS_CHANGED
            | TASKS_RESULT
            | TASKS_LIST
    )
}

/// The member of `params` that the header `Mcp-Name` mirrors (spec 2026-07-28 basic/transports/streamable-http;
/// for tasks, the tasks extension).
pub fn name_member(method: &str) -> Option<&'static str> {
    match method {
        TOOLS_CALL | PROMPTS_GET => Some("name"),
        RESOURCES_READ => Some("uri"),
        TASKS_GET | TASKS_UPDATE | TASKS_CANCEL => Some("taskId"),
        _ => None,
    }
}

/// Whether the result may be `input_required` (spec 2026-07-28 basic/patterns/mrtr).
pub fn may_ask_for_input(method: &str) -> bool {
    matches!(method, TOOLS_CALL | PROMPTS_GET | RESOURCES_READ)
}

/// Whether a complete result must contain `ttlMs` and `cacheScope` (spec 2026-07-28 server/utilities/caching).
pub fn is_cacheable(method: &str) -> bool {
    matches!(
        method,
        DISCOVER | TOOLS_LIST | PROMPTS_LIST | RESOURCES_LIST | TEMPLATES_LIST | RESOURCES_READ
    )
}

/// Whether a request can be repeated without further effect, for any server.
pub fn is_read_only(method: &str) -> bool {
    matches!(
        method,
        DISCOVER
            | PING
            | TOOLS_LIST
            | PROMPTS_LIST
            | RESOURCES_LIST
            | TEMPLATES_LIST
            | RESOURCES_READ
            | PROMPTS_GET
            | COMPLETE
            | TASKS_GET
    )
}
