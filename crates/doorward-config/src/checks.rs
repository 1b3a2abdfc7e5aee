//! How arguments are checked before a server is asked, and results before they are passed on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ByteSize;

/// What happens when something does not fit its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Nothing is checked.
    Off,
    /// It is logged and counted, and passes.
    Report,
    /// It does not pass.
    Refuse,
}

/// What becomes of a tool whose schema cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnusableSchema {
    /// It is there, and what cannot be used of its schemas is not checked.
    Serve,
    /// It is left out.
    Hide,
}

/// How the arguments of tools are checked. What is absent is what is said less specially: for all tools
/// of the server, then for all servers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ArgumentSettings {
    /// Whether they must fit the tool's `inputSchema`; when absent everywhere, they must.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Whether what has the right meaning in the wrong form is put into the right one before anything
    /// looks at it: `"5"` where a number is wanted, or an object that is written as text. Off when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coerce: Option<bool>,
    /// The most bytes of all arguments together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// How deep they may nest; 1 when no argument has parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// The most bytes of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string: Option<ByteSize>,
    /// The most items of an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<usize>,
    /// What becomes of a tool whose `inputSchema` or `outputSchema` cannot be used. It is served when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unusable_schema: Option<UnusableSchema>,
}

/// How the results of tools are checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResultSettings {
    /// Whether what a tool answers must fit its `outputSchema`; when absent everywhere, what does not is
    /// reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

impl ArgumentSettings {
    /// With what is said less specially where nothing is said here.
    pub fn or(&self, other: &Self) -> Self {
        Self {
            check: self.check.or(other.check),
            coerce: self.coerce.or(other.coerce),
            size: self.size.or(other.size),
            depth: self.depth.or(other.depth),
            string: self.string.or(other.string),
            items: self.items.or(other.items),
            unusable_schema: self.unusable_schema.or(other.unusable_schema),
        }
    }

    pub fn check(&self) -> Check {
        self.check.unwrap_or(Check::Refuse)
    }

    pub fn hides_unusable(&self) -> bool {
        self.unusable_schema == Some(UnusableSchema::Hide)
    }

    /// Whether any part of a value is bounded beside its size.
    pub fn bounds_parts(&self) -> bool {
        self.depth.is_some() || self.string.is_some() || self.items.is_some()
    }
}

impl ResultSettings {
    pub fn or(&self, other: &Self) -> Self {
        Self { check: self.check.or(other.check) }
    }

    pub fn check(&self) -> Check {
        self.check.unwrap_or(Check::Report)
    }
}
