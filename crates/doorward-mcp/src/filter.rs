//! Subscription filters (spec 2026-07-28 basic/patterns/subscriptions).

use std::collections::BTreeSet;

use crate::error::RpcError;
use crate::json::{Object, Value};
use crate::method;

/// The filter of a `subscriptions/listen` request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub tools: bool,
    pub prompts: bool,
    pub resources: bool,
    pub uris: BTreeSet<String>,
    /// Tasks extension.
    pub tasks: BTreeSet<String>,
}

impl Filter {
    /// All list changes, no resources.
    pub fn lists() -> Self {
        Self { tools: true, prompts: true, resources: true, ..Self::default() }
    }

    /// Parses the params of `subscriptions/listen`.
    pub fn read(params: &Object) -> Result<Self, RpcError> {
        let wrong = |what: &str| RpcError::invalid_params(format!("{what} in 'notifications'"));
        let filter = params
            .object("notifications")
            .ok_or_else(|| RpcError::invalid_params("'notifications' must be an object"))?;
        let flag = |name: &str| match filter.get(name) {
            None => Ok(false),
            Some(value) => {
                value.as_bool().ok_or_else(|| wrong(&format!("'{name}' must be a boolean")))
            }
        };
        let texts = |name: &str| match filter.get(name) {
            None => Ok(BTreeSet::new()),
            Some(value) => value
                .as_array()
                .and_then(|items| {
                    items
                        .iter()
                        .map(|item| item.as_str().map(std::borrow::Cow::into_owned))
                        .collect()
                })
                .ok_or_else(|| wrong(&format!("'{name}' must be an array of strings"))),
        };
        Ok(Self {
            tools: flag("toolsListChanged")?,
            prompts: flag("promptsListChanged")?,
            resources: flag("resourcesListChanged")?,
            uris: texts("resourceSubscriptions")?,
            tasks: texts("taskIds")?,
        })
    }

    /// The filter as the member `notifications` of a request or an acknowledgement.
    pub fn to_object(&self) -> Object {
        let mut filter = Object::new();
        for (name, set) in [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ] {
            if set {
                filter.set(name, Value::bool(true));
            }
        }
        for (name, texts) in [("resourceSubscriptions", &self.uris), ("taskIds", &self.tasks)] {
            if !texts.is_empty() {
                filter.set(name, Value::from_serde(texts));
            }
        }
        filter
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn add(&mut self, other: &Self) {
        self.tools |= other.tools;
        self.prompts |= other.prompts;
        self.resources |= other.resources;
        self.uris.extend(other.uris.iter().cloned());
        self.tasks.extend(other.tasks.iter().cloned());
    }

    /// The part of the filter that a server with these capabilities supports.
    pub fn honoured_by(&self, capabilities: &Object) -> Self {
        let can = |group: &str, name: &str| {
            capabilities
                .object(group)
                .and_then(|group| group.get(name).and_then(Value::as_bool))
                .unwrap_or(false)
        };
        Self {
            tools: self.tools && can("tools", "listChanged"),
            prompts: self.prompts && can("prompts", "listChanged"),
            resources: self.resources && can("resources", "listChanged"),
            uris: if can("resources", "subscribe") { self.uris.clone() } else { BTreeSet::new() },
            tasks: if crate::capabilities::has_tasks(capabilities) {
                self.tasks.clone()
            } else {
                BTreeSet::new()
            },
        }
    }

    /// Whether a notification matches the filter.
    pub fn wants(&self, notification: &str, params: &Object) -> bool {
        match notification {
            method::TOOLS_CHANGED => self.tools,
            method::PROMPTS_CHANGED => self.prompts,
            method::RESOURCES_CHANGED => self.resources,
            method::RESOURCE_UPDATED => {
                params.string("uri").is_some_and(|uri| self.wants_uri(&uri))
            }
            method::TASK_CHANGED => {
                params.string("taskId").is_some_and(|id| self.tasks.contains(id.as_ref()))
            }
            _ => false,
        }
    }

    /// A subscription to a resource includes its sub-resources (spec 2025-11-25 server/resources).
    fn wants_uri(&self, uri: &str) -> bool {
        self.uris.contains(uri)
            || self.uris.iter().any(|whole| {
                uri.strip_prefix(whole.as_str())
                    .is_some_and(|rest| whole.ends_with('/') || rest.starts_with('/'))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn only_what_the_server_supports_is_honoured() {
        let params = Object::parse(&Bytes::from_static(
            br#"{"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["a:b"]}}"#,
        ));
        let filter = Filter::read(&params.unwrap()).unwrap();
        let capabilities =
            Object::parse(&Bytes::from_static(br#"{"tools":{"listChanged":true},"resources":{}}"#));
        let honoured = filter.honoured_by(&capabilities.unwrap());
        assert_eq!(honoured.to_object().to_bytes(), r#"{"toolsListChanged":true}"#);
    }

    #[test]
    fn bad_filters_are_refused() {
        for params in
            ["{}", r#"{"notifications":[]}"#, r#"{"notifications":{"toolsListChanged":1}}"#]
        {
            let params = Object::parse(&Bytes::from_static(params.as_bytes())).unwrap();
            assert!(Filter::read(&params).is_err());
        }
    }
}
