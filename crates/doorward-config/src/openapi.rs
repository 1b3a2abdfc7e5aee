//! HTTP APIs whose operations become tools.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_openapi::Selection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Secret;

/// An API at `url`, described by an OpenAPI document (3.0 or 3.1, JSON or YAML). Only `url` is ever called,
/// whatever servers the document names. An operation must match each list that is not empty; `*` matches any
/// characters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OpenApiSettings {
    /// Text of the document: `${file:PATH}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub description: Option<Arc<str>>,
    /// URL of the document; it is fetched when the gateway starts and when its configuration changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<url::Url>,
    /// Operations to include, by `operationId`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// HTTP methods to include, such as `get`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Operations to exclude, by `operationId`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Include deprecated operations.
    pub deprecated: bool,
    /// Names for tools, by `operationId`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    /// Descriptions of tools, by `operationId`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub descriptions: BTreeMap<String, String>,
    /// Credentials, by security scheme of the document: a token, a key, or `user:password`. Each operation
    /// receives only the credentials that it requires.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub security: BTreeMap<String, Secret>,
    /// Pagination: pages of a response are combined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<PageSettings>,
}

/// How to find the next page of a response: the header `Link` with `rel="next"` (RFC 8288), or a value in the
/// response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PageSettings {
    /// Maximum number of pages, including the first.
    pub most: usize,
    /// JSON pointer to the next page in the response: a URL, or with `query` a value. If it is absent, null,
    /// false or empty, the page is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Query parameter for the value of `next`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// JSON pointer to the items in the response. Default: the whole response.
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
            problems.push("expected either 'description' or 'from'".into());
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
                problems.push("pages: 'query' requires 'next'".into());
            }
        }
        if !has_url {
            problems.push(
                "requires 'url', the address of the API; servers in the document are ignored"
                    .into(),
            );
        }
        problems
    }
}
