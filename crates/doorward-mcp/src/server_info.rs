//! A server's declaration of itself, in the form of 2026-07-28, whatever revision it supports.

use crate::translate::CacheHints;
use crate::{Object, Value, capabilities, meta};

#[derive(Debug, Clone, Default)]
pub struct About {
    pub capabilities: Object,
    /// `{name, version, …}`, raw: for display, never for a decision.
    pub info: Option<Value>,
    pub instructions: Option<Value>,
    /// How long the declaration may be cached; `None` if the server does not say.
    pub hints: Option<CacheHints>,
    /// Unknown members of the result, passed on unchanged.
    pub extra: Option<Object>,
}

impl About {
    /// The result of `server/discover` with what was approved, its capabilities, and nothing else.
    pub fn with(&self, info: Option<Value>, instructions: Option<Value>) -> Object {
        let mut result = Object::new();
        result.set("capabilities", self.capabilities.clone());
        if let Some(instructions) = instructions {
            result.set("instructions", instructions);
        }
        if let Some(info) = info {
            let mut meta = Object::new();
            meta.set(crate::meta::SERVER_INFO, info);
            result.set("_meta", meta);
        }
        result
    }

    /// From the result of `initialize` (spec 2025-11-25 basic/lifecycle).
    pub fn from_initialize(result: &Object) -> Self {
        let declared = result.object("capabilities").unwrap_or_default();
        Self {
            capabilities: capabilities::server_to_modern(&without_nulls(&declared)),
            info: result.get("serverInfo").cloned(),
            instructions: result.get("instructions").cloned(),
            hints: None,
            extra: None,
        }
    }

    /// From the result of `server/discover` (spec 2026-07-28 server/discover).
    pub fn from_discover(result: &Object) -> Self {
        let mut extra = result.clone();
        for member in result.members().iter().filter(|member| member.value.is_null()) {
            extra.remove(&String::from_utf8_lossy(&member.name));
        }
        let declared = result.object("capabilities").unwrap_or_default();
        let capabilities = without_nulls(&declared);
        extra.set("capabilities", capabilities.clone());
        let info = result.object("_meta").and_then(|meta| meta.get(meta::SERVER_INFO).cloned());
        Self {
            capabilities,
            info: info.or_else(|| extra.get("serverInfo").cloned()),
            instructions: extra.get("instructions").cloned(),
            hints: CacheHints::read(result),
            extra: Some(extra),
        }
    }

    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    /// Whether the server announces changes of a list.
    pub fn announces(&self, group: &str) -> bool {
        self.capabilities
            .object(group)
            .and_then(|group| group.get("listChanged").and_then(Value::as_bool))
            .unwrap_or(false)
    }
}

/// The capabilities without members that are null, which count as absent.
fn without_nulls(declared: &Object) -> Object {
    let mut capabilities = declared.clone();
    for member in declared.members() {
        let name = String::from_utf8_lossy(&member.name);
        if member.value.is_null() {
            capabilities.remove(&name);
            continue;
        }
        let Some(group) = member.value.as_object() else { continue };
        let null = group.members().iter().filter(|flag| flag.value.is_null());
        for flag in null.map(|flag| String::from_utf8_lossy(&flag.name)) {
            if let Some(group) = capabilities.object_mut(&name) {
                group.remove(&flag);
            }
        }
    }
    capabilities
}
