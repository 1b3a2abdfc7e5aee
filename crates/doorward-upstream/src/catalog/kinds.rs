//! The four lists of a server: how each is fetched, and how its changes are announced.

use doorward_mcp::method;

/// One of the four lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub method: &'static str,
    /// The member of the result that holds the items.
    pub member: &'static str,
    /// The member that names an item.
    pub key: &'static str,
    /// The capability that declares the list.
    pub group: &'static str,
    /// The notification of a change.
    pub changed: &'static str,
}

pub const KINDS: [Kind; 4] = [
    Kind {
        method: method::TOOLS_LIST,
        member: "tools",
        key: "name",
        group: "tools",
        changed: method::TOOLS_CHANGED,
    },
    Kind {
        method: method::PROMPTS_LIST,
        member: "prompts",
        key: "name",
        group: "prompts",
        changed: method::PROMPTS_CHANGED,
    },
    Kind {
        method: method::RESOURCES_LIST,
        member: "resources",
        key: "uri",
        group: "resources",
        changed: method::RESOURCES_CHANGED,
    },
    Kind {
        method: method::TEMPLATES_LIST,
        member: "resourceTemplates",
        key: "uriTemplate",
        group: "resources",
        changed: method::RESOURCES_CHANGED,
    },
];

/// The index of each list.
pub const TOOLS: usize = 0;
pub const PROMPTS: usize = 1;
pub const RESOURCES: usize = 2;
pub const TEMPLATES: usize = 3;

/// The index of a list, by the method that fetches it.
pub fn kind_of(list: &str) -> Option<usize> {
    KINDS.iter().position(|kind| kind.method == list)
}
