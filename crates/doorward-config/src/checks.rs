//! How arguments are validated before a server is called, and results before they are returned.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ByteSize;

/// What happens when a value does not match its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Do not validate.
    Off,
    /// Log and count it, but accept it.
    Report,
    /// Reject it.
    Refuse,
}

/// What happens to a tool whose schema cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnusableSchema {
    /// List the tool; the unusable parts of its schemas are not validated.
    Serve,
    /// Remove the tool from lists.
    Hide,
}

/// How the arguments of tools are validated. Settings that are absent are inherited from the less specific level:
/// from all tools of the server, then from all servers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ArgumentSettings {
    /// Validation against the tool's `inputSchema`. Default: `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Convert values of the wrong type where the meaning is clear, before anything else uses them: `"5"` where a
    /// number is expected, or an object written as text. Default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coerce: Option<bool>,
    /// Maximum total size of the arguments, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// Maximum nesting depth; 1 if no argument has members or items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Maximum size of a string, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string: Option<ByteSize>,
    /// Maximum number of items of an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<usize>,
    /// What happens to a tool whose `inputSchema` or `outputSchema` cannot be used. Default: the tool is listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unusable_schema: Option<UnusableSchema>,
}

/// How the results of tools are validated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResultSettings {
    /// Validation against the tool's `outputSchema`. Default: `report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

impl ArgumentSettings {
    /// These settings, with absent ones inherited from the less specific level.
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

    /// Whether any part of a value is limited, besides its size.
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
