//! A parsed OpenAPI document.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Maximum length of a chain of references.
const MOST_HOPS: usize = 32;

/// Why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// An OpenAPI document, version 3.0 or 3.1.
#[derive(Debug, Clone)]
pub struct Description {
    root: Value,
    /// Version 3.0, whose schemas differ from JSON Schema.
    pub is_3_0: bool,
}

impl Description {
    /// Parses a document in JSON or YAML.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let is_json = text.trim_start().starts_with('{');
        let root: Value = if is_json {
            serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))?
        } else {
            let options = serde_saphyr::options! {
                strict_booleans: true,
                budget: serde_saphyr::budget! {
                    max_reader_input_bytes: Some(64 << 20),
                    max_events: 5_000_000,
                    max_nodes: 5_000_000,
                    max_total_scalar_bytes: 64 << 20,
                    max_depth: 256,
                },
            };
            serde_saphyr::from_str_with_options(text, options)
                .map_err(|error| Unreadable(error.to_string()))?
        };
        let version = root.get("openapi").and_then(Value::as_str).unwrap_or_default();
        let is_3_0 = version.starts_with("3.0.") || version == "3.0";
        if !is_3_0 && !version.starts_with("3.1") {
            let found = match (version, root.get("swagger").and_then(Value::as_str)) {
                ("", Some(swagger)) => format!("it is Swagger {swagger}"),
                ("", None) => "it has no member 'openapi'".into(),
                (other, _) => format!("it is OpenAPI {other}"),
            };
            let why = "only OpenAPI 3.0 and 3.1 can be read; `npx swagger2openapi` converts";
            return Err(Unreadable(format!("{found}; {why}")));
        }
        if root.get("paths").is_some_and(|paths| !paths.is_object()) {
            return Err(Unreadable("'paths' must be an object".into()));
        }
        Ok(Self { root, is_3_0 })
    }

    pub fn title(&self) -> &str {
        self.root["info"]["title"].as_str().unwrap_or_default()
    }

    /// The paths, in the order of the document.
    pub fn paths(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.root.get("paths").and_then(Value::as_object).into_iter().flatten()
    }

    /// The URL of the API: that of the first server, with the default values of its variables.
    pub fn server(&self) -> Option<String> {
        let server = self.root.get("servers")?.get(0)?;
        let mut url = server.get("url")?.as_str()?.to_owned();
        let variables = server.get("variables").and_then(Value::as_object);
        for (name, variable) in variables.into_iter().flatten() {
            let default = variable.get("default").and_then(Value::as_str).unwrap_or_default();
            url = url.replace(&format!("{{{name}}}"), default);
        }
        Some(url)
    }

    /// The part that a reference within the document points to.
    pub fn at(&self, reference: &str) -> Option<&Value> {
        self.root.pointer(&percent_decode_str(reference.strip_prefix('#')?).decode_utf8_lossy())
    }

    /// Follows references. Fails if a reference points outside the document or nowhere, or if there are too many.
    pub fn resolved<'a>(&'a self, value: &'a Value) -> Result<&'a Value, String> {
        let mut value = value;
        for _ in 0..MOST_HOPS {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Ok(value);
            };
            value = self.at(reference).ok_or_else(|| {
                format!(
                    "'{reference}' is not part of the document; external references are not fetched"
                )
            })?;
        }
        Err("its references are cyclic".into())
    }

    /// The security requirements of operations that have none of their own.
    pub fn security(&self) -> Option<&Value> {
        self.root.get("security")
    }

    /// The security schemes, by name.
    pub(crate) fn security_schemes(&self) -> Option<&Map<String, Value>> {
        self.root.get("components")?.get("securitySchemes")?.as_object()
    }
}
