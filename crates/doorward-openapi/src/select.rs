//! Which operations become tools.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Selects operations that match every list that is not empty; `*` matches any characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// By `operationId`.
    pub operations: Vec<String>,
    pub tags: Vec<String>,
    pub paths: Vec<String>,
    /// Such as `get`.
    pub methods: Vec<String>,
    /// Excluded operations, by `operationId`.
    pub except: Vec<String>,
    /// Also select deprecated operations.
    pub deprecated: bool,
    /// Tool names that replace the default, by `operationId`.
    pub names: BTreeMap<String, String>,
    /// Descriptions that replace the default, by `operationId`.
    pub descriptions: BTreeMap<String, String>,
}

impl Selection {
    /// Why an operation is not selected; `None` if it is.
    pub fn refuses(
        &self,
        id: &str,
        tags: &[&str],
        path: &str,
        method: &str,
        deprecated: bool,
    ) -> Option<&'static str> {
        let one_of = |patterns: &[String], name: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, name))
        };
        if !one_of(&self.operations, id) {
            return Some("its id is not selected");
        }
        if !self.tags.is_empty() && !tags.iter().any(|tag| one_of(&self.tags, tag)) {
            return Some("its tags are not selected");
        }
        if !one_of(&self.paths, path) {
            return Some("its path is not selected");
        }
        if !self.methods.is_empty()
            && !self.methods.iter().any(|wanted| wanted.eq_ignore_ascii_case(method))
        {
            return Some("its method is not selected");
        }
        if self.except.iter().any(|pattern| fits(pattern, id)) {
            return Some("it is excluded");
        }
        (deprecated && !self.deprecated).then_some("it is deprecated")
    }
}

/// Whether a name matches a pattern. The time is at most proportional to the product of both lengths.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
