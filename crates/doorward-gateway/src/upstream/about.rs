//! What a server says of itself, in the words of 2026-07-28 whatever it speaks.

use doorward_mcp::translate::CacheHints;
use doorward_mcp::{Object, Value, capabilities, meta};

#[derive(Debug, Clone, Default)]
pub struct About {
    pub capabilities: Object,
    /// `{name, version, …}`, raw: for display, never for a decision.
    pub info: Option<Value>,
    pub instructions: Option<Value>,
    /// How long the server says this holds; `None` where it cannot say.
    pub hints: Option<CacheHints>,
    /// Unknown members of the answer, passed on as they came.
    pub extra: Option<Object>,
}

impl About {
    /// From the result of `initialize` (spec 2025-11-25 basic/lifecycle).
    pub fn from_initialize(result: &Object) -> Self {
        let declared = result.object("capabilities").unwrap_or_default();
        Self {
            capabilities: capabilities::server_to_modern(&declared),
            info: result.get("serverInfo").cloned(),
            instructions: result.get("instructions").cloned(),
            hints: None,
            extra: None,
        }
    }

    /// From the result of `server/discover` (spec 2026-07-28 server/discover).
    pub fn from_discover(result: &Object) -> Self {
        let info = result.object("_meta").and_then(|meta| meta.get(meta::SERVER_INFO).cloned());
        Self {
            capabilities: result
                .object("capabilities")
                .map(std::borrow::Cow::into_owned)
                .unwrap_or_default(),
            info: info.or_else(|| result.get("serverInfo").cloned()),
            instructions: result.get("instructions").cloned(),
            hints: CacheHints::read(result),
            extra: Some(result.clone()),
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
