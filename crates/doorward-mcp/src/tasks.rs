//! Tasks: those of 2025-11-25 (spec 2025-11-25 basic/utilities/tasks) in the form of the extension
//! `io.modelcontextprotocol/tasks` of the modern era.

use crate::json::{Object, Value};
use crate::meta;

/// The member of `_meta` with the task that a message of 2025-11-25 belongs to.
pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// Whether a tool of 2025-11-25 runs as a task (its `execution.taskSupport`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Support {
    #[default]
    Forbidden,
    Optional,
    Required,
}

impl Support {
    pub fn of(tool: &Object) -> Self {
        let execution = tool.object("execution");
        match execution.as_ref().and_then(|execution| execution.string("taskSupport")).as_deref() {
            Some("optional") => Self::Optional,
            Some("required") => Self::Required,
            _ => Self::Forbidden,
        }
    }

    /// Removes `taskSupport` from a tool definition for clients, because clients of the gateway cannot request tasks
    /// of 2025-11-25.
    pub fn hide(tool: &mut Object) {
        if !tool.contains("execution") {
            return;
        }
        if let Some(execution) = tool.object_mut("execution") {
            execution.remove("taskSupport");
            if execution.is_empty() {
                tool.remove("execution");
            }
        }
    }
}

/// Whether a server of 2025-11-25 runs tool calls as tasks.
pub fn runs_tools(capabilities: &Object) -> bool {
    capabilities
        .object("tasks")
        .and_then(|tasks| Some(tasks.object("requests")?.object("tools")?.contains("call")))
        .unwrap_or(false)
}

/// Converts a result of 2025-11-25 that creates a task to the modern form. `None` if it does not create one.
pub fn created_to_modern(result: &Object) -> Option<Object> {
    let mut task = result.object("task")?.into_owned();
    to_modern(&mut task);
    if let Some(meta) = result.get("_meta") {
        task.set("_meta", meta.clone());
        drop_related(&mut task);
    }
    task.set("resultType", "task");
    Some(task)
}

/// Renames the members of a task.
pub fn to_modern(task: &mut Object) {
    for (old, new) in [("ttl", "ttlMs"), ("pollInterval", "pollIntervalMs")] {
        if let Some(value) = task.remove(old) {
            task.set(new, value);
        }
    }
    // Required in the extension; null means that it does not expire.
    if !task.contains("ttlMs") {
        task.set("ttlMs", Value::null());
    }
}

/// Removes the reference to a task from a message that is now part of the task.
pub fn drop_related(message: &mut Object) {
    if message.object("_meta").is_some_and(|meta| meta.contains(RELATED_TASK))
        && let Some(meta) = message.object_mut("_meta")
    {
        meta.remove(RELATED_TASK);
    }
    meta::drop_empty(message);
}

/// The task that a message of 2025-11-25 belongs to.
pub fn related(params: &Object) -> Option<String> {
    let related = params.object("_meta")?.object(RELATED_TASK)?.into_owned();
    related.string("taskId").map(std::borrow::Cow::into_owned)
}

/// The parameters of a request about a task.
pub fn named(task: &str) -> Object {
    let mut params = Object::new();
    params.set("taskId", task);
    params
}

/// Whether a task has ended.
pub fn is_over(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn object(text: &'static str) -> Object {
        Object::parse(&Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn a_created_task_has_the_modern_form() {
        let created = created_to_modern(&object(
            r#"{"task":{"taskId":"t","status":"working","ttl":60000,"pollInterval":500,"x":1},"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"},"y":2}}"#,
        ));
        assert_eq!(
            created.unwrap().to_bytes(),
            r#"{"taskId":"t","status":"working","x":1,"ttlMs":60000,"pollIntervalMs":500,"_meta":{"y":2},"resultType":"task"}"#
        );
        assert!(created_to_modern(&object(r#"{"content":[]}"#)).is_none());
        let mut endless = object(r#"{"taskId":"t","ttl":null}"#);
        to_modern(&mut endless);
        assert_eq!(endless.to_bytes(), r#"{"taskId":"t","ttlMs":null}"#);
    }

    #[test]
    fn support_is_read_and_hidden() {
        for (tool, support, expected) in [
            (r#"{"name":"a"}"#, Support::Forbidden, r#"{"name":"a"}"#),
            (
                r#"{"name":"a","execution":{"taskSupport":"required"}}"#,
                Support::Required,
                r#"{"name":"a"}"#,
            ),
            (
                r#"{"name":"a","execution":{"taskSupport":"optional","x":1}}"#,
                Support::Optional,
                r#"{"name":"a","execution":{"x":1}}"#,
            ),
        ] {
            let mut tool = object(tool);
            assert_eq!(Support::of(&tool), support);
            Support::hide(&mut tool);
            assert_eq!(tool.to_bytes(), expected);
        }
    }

    #[test]
    fn support_of_tool_tasks_is_detected() {
        assert!(runs_tools(&object(r#"{"tasks":{"list":{},"requests":{"tools":{"call":{}}}}}"#)));
        assert!(!runs_tools(&object(r#"{"tasks":{"requests":{"sampling":{}}}}"#)));
        assert!(!runs_tools(&object("{}")));
    }

    #[test]
    fn the_task_of_a_message_is_read_and_removed() {
        let mut params = object(
            r#"{"message":"m","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#,
        );
        assert_eq!(related(&params).as_deref(), Some("t"));
        drop_related(&mut params);
        assert_eq!(params.to_bytes(), r#"{"message":"m"}"#);
        assert_eq!(related(&params), None);
    }
}
