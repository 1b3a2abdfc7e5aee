//! APIs whose operations are tools.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_openapi::Selection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Secret;

/// An API at `url`, by its OpenAPI description (3.0 or 3.1, JSON or YAML). Whatever servers the description
/// names, nothing but `url` is ever called. Of the lists that are not empty, an operation must fit each; `*`
/// stands for any run of characters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OpenApiSettings {
    /// The description's text: `${file:PATH}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub description: Option<Arc<str>>,
    /// Where the description is fetched, when the gateway starts and when its configuration changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<url::Url>,
    /// By `operationId`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Such as `get`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Not these, by `operationId`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Those that are deprecated, too.
    pub deprecated: bool,
    /// Other names for tools, by `operationId`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    /// Other descriptions of tools, by `operationId`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub descriptions: BTreeMap<String, String>,
    /// What is shown for each of the description's security schemes: a token, a key, or `user:password`. Each
    /// operation is shown what it asks for, and nothing else of these.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub security: BTreeMap<String, Secret>,
    /// Answers that come page by page are put together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<PageSettings>,
}

/// How the pages of an answer are followed: by the header `Link` with `rel="next"` (RFC 8288), or by what the answer says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PageSettings {
    /// So many at most; the first is one.
    pub most: usize,
    /// Where the answer says what comes next, as a JSON pointer: an URL, or with `query` a value. Absent, null, false or
    /// empty, the page is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The parameter of the query that takes the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Where the answer's items are, as a JSON pointer; the whole answer when absent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub items: String,
}

impl Default for PageSettings {
    fn default() -> Self {
        Self { most: 5, next: None, query: None, items: String::new() }
    }
}

impl OpenApiSettings {
    pub fn selection(&self) -> Selection {
        Selection {
            operations: self.operations.clone(),
            tags: self.tags.clone(),
            paths: self.paths.clone(),
            methods: self.methods.clone(),
            except: self.except.clone(),
            deprecated: self.deprecated,
            names: self.names.clone(),
            descriptions: self.descriptions.clone(),
        }
    }

    pub fn problems(&self, has_url: bool) -> Vec<String> {
        let mut problems = Vec::new();
        if self.description.is_some() == self.from.is_some() {
            problems.push("expected 'description' or 'from', and not both".into());
        }
        if let Some(from) = &self.from
            && !super::is_trustworthy(from)
        {
            problems.push("'from': expected an https:// URL (http:// on loopback only)".into());
        }
        if let Some(pages) = &self.pages {
            if !(2..=100).contains(&pages.most) {
                problems.push("pages: 'most' must be 2 to 100".into());
            }
            let pointers = [Some(&pages.items), pages.next.as_ref()];
            if pointers.into_iter().flatten().any(|it| !it.is_empty() && !it.starts_with('/')) {
                problems.push(
                    "pages: 'next' and 'items' are JSON pointers, such as /links/next".into(),
                );
            }
            if pages.query.is_some() && pages.next.is_none() {
                problems
                    .push("pages: 'query' takes what 'next' points at, which is not there".into());
            }
        }
        if !has_url {
            problems.push("needs 'url': where the API is, whatever its description says".into());
        }
        problems
    }
}
