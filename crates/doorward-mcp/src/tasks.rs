//! Tasks: those of 2025-11-25 (spec 2025-11-25 basic/utilities/tasks) in the form of the extension
//! `io.modelcontextprotocol/tasks` of the modern era.

use crate::json::{Object, Value};
use crate::meta;

/// Names the task that a message of 2025-11-25 belongs to.
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

    /// Takes the mark out of a definition that is told to a client: no client of the gateway's can
    /// ask for a task of 2025-11-25.
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

/// Whether a server of 2025-11-25 runs calls of tools as tasks.
pub fn runs_tools(capabilities: &Object) -> bool {
    capabilities
        .object("tasks")
        .and_then(|tasks| Some(tasks.object("requests")?.object("tools")?.contains("call")))
        .unwrap_or(false)
}

/// The task that a result of 2025-11-25 announces, as the modern result that announces it. `None`
/// for a result that announces none.
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

/// A task's own members, renamed.
pub fn to_modern(task: &mut Object) {
    for (old, new) in [("ttl", "ttlMs"), ("pollInterval", "pollIntervalMs")] {
        if let Some(value) = task.remove(old) {
            task.set(new, value);
        }
    }
    // Required in the extension; nothing said means no end.
    if !task.contains("ttlMs") {
        task.set("ttlMs", Value::null());
    }
}

/// Leaves out what names the task in a message that belongs to it: the message stands in the task now.
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

/// Whether nothing can become of a task any more.
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
    fn a_task_is_announced_in_modern_words() {
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
        for (tool, support, told) in [
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
            assert_eq!(tool.to_bytes(), told);
        }
    }

    #[test]
    fn a_server_says_that_it_runs_tools_as_tasks() {
        assert!(runs_tools(&object(r#"{"tasks":{"list":{},"requests":{"tools":{"call":{}}}}}"#)));
        assert!(!runs_tools(&object(r#"{"tasks":{"requests":{"sampling":{}}}}"#)));
        assert!(!runs_tools(&object("{}")));
    }

    #[test]
    fn what_belongs_to_a_task_says_so() {
        let mut params = object(
            r#"{"message":"m","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#,
        );
        assert_eq!(related(&params).as_deref(), Some("t"));
        drop_related(&mut params);
        assert_eq!(params.to_bytes(), r#"{"message":"m"}"#);
        assert_eq!(related(&params), None);
    }
}
