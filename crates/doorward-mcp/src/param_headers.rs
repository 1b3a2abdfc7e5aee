//! Tool arguments mirrored in headers: `x-mcp-header` annotations in a tool's input schema
//! (spec 2026-07-28 server/tools, basic/transports/streamable-http).

use std::collections::HashSet;

use serde_json::Value as Json;

use crate::error::RpcError;
use crate::headers;
use crate::json::Object;

const ANNOTATION: &str = "x-mcp-header";
/// Larger integers are not the same number to every JSON parser.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// An annotated argument: its header, and its path in the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// The full header name, in lower case: `mcp-param-…`.
    pub header: String,
    path: Vec<String>,
}

/// An invalid annotation. HTTP clients must remove such a tool from the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAnnotation {
    #[error("'{ANNOTATION}' must be a non-empty header token, not {0}")]
    NotAToken(String),
    #[error("'{ANNOTATION}: {0}' is on two properties")]
    Repeated(String),
    #[error("'{ANNOTATION}: {0}' is on a property that is not a string, integer or boolean")]
    WrongType(String),
    #[error("'{ANNOTATION}' is only allowed where 'properties' lead: found at {0}")]
    Unreachable(String),
}

/// Reads the annotations of a tool's input schema.
pub fn read(schema: &Json) -> Result<Vec<ParamHeader>, BadAnnotation> {
    let mut found = Vec::new();
    let mut path = Vec::new();
    walk(schema, &mut path, &mut found)?;
    let mut seen = HashSet::new();
    for entry in &found {
        if !seen.insert(entry.header.clone()) {
            let name = entry.header.trim_start_matches(headers::PARAM_PREFIX);
            return Err(BadAnnotation::Repeated(name.to_owned()));
        }
    }
    Ok(found)
}

fn walk(
    schema: &Json,
    path: &mut Vec<String>,
    found: &mut Vec<ParamHeader>,
) -> Result<(), BadAnnotation> {
    let Some(schema) = schema.as_object() else { return Ok(()) };
    for (keyword, value) in schema {
        if keyword == "properties" {
            for (name, property) in value.as_object().into_iter().flatten() {
                path.push(name.clone());
                if let Some(annotation) = property.get(ANNOTATION) {
                    found.push(annotated(annotation, property, path)?);
                }
                walk(property, path, found)?;
                path.pop();
            }
        } else if keyword == ANNOTATION {
            // On a property it was read above; at the root there is no argument to mirror.
            if path.is_empty() {
                return Err(BadAnnotation::Unreachable("the root".into()));
            }
        } else if !matches!(keyword.as_str(), "default" | "const" | "enum" | "examples") {
            refuse_below(value, keyword)?;
        }
    }
    Ok(())
}

fn annotated(
    annotation: &Json,
    property: &Json,
    path: &[String],
) -> Result<ParamHeader, BadAnnotation> {
    let token = annotation.as_str().filter(|text| is_token(text));
    let Some(token) = token else {
        return Err(BadAnnotation::NotAToken(annotation.to_string()));
    };
    match property.get("type").and_then(Json::as_str) {
        Some("string" | "integer" | "boolean") => Ok(ParamHeader {
            header: format!("{}{}", headers::PARAM_PREFIX, token.to_ascii_lowercase()),
            path: path.to_vec(),
        }),
        _ => Err(BadAnnotation::WrongType(token.to_owned())),
    }
}

/// Refuses annotations under any keyword other than `properties`: items, combinators, conditions, `$defs`.
fn refuse_below(value: &Json, place: &str) -> Result<(), BadAnnotation> {
    match value {
        Json::Object(members) => {
            if members.contains_key(ANNOTATION) {
                return Err(BadAnnotation::Unreachable(place.to_owned()));
            }
            members.values().try_for_each(|member| refuse_below(member, place))
        }
        Json::Array(items) => items.iter().try_for_each(|item| refuse_below(item, place)),
        _ => Ok(()),
    }
}

/// A token (RFC 9110 section 5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The value that an argument's header must have.
enum Expected {
    Text(String),
    Integer(i64),
}

impl ParamHeader {
    fn expected(&self, arguments: Option<&Object>) -> Result<Option<Expected>, RpcError> {
        let Some((last, parents)) = self.path.split_last() else { return Ok(None) };
        let Some(arguments) = arguments else { return Ok(None) };
        let mut place = std::borrow::Cow::Borrowed(arguments);
        for name in parents {
            let Some(inner) = place.object(name).map(std::borrow::Cow::into_owned) else {
                return Ok(None);
            };
            place = std::borrow::Cow::Owned(inner);
        }
        let Some(value) = place.get(last).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        if let Some(text) = value.as_str() {
            return Ok(Some(Expected::Text(text.into_owned())));
        }
        if let Some(flag) = value.as_bool() {
            return Ok(Some(Expected::Text(flag.to_string())));
        }
        integer(&String::from_utf8_lossy(&value.to_bytes()))
            .map(|n| Some(Expected::Integer(n)))
            .ok_or_else(|| {
                RpcError::header_mismatch(format!(
                    "The argument '{}' is mirrored in the header '{}' and must be a string, an \
                     integer within ±(2^53-1) or a boolean",
                    self.path.join("."),
                    self.header
                ))
            })
    }

    /// The header's value for these arguments; `None` if the header must be absent.
    pub fn value(&self, arguments: Option<&Object>) -> Result<Option<String>, RpcError> {
        Ok(self.expected(arguments)?.map(|expected| match expected {
            Expected::Text(text) => headers::encode(&text).into_owned(),
            Expected::Integer(number) => number.to_string(),
        }))
    }

    /// Checks a received header against the arguments.
    pub fn check<'a>(
        &self,
        values: impl IntoIterator<Item = &'a [u8]>,
        arguments: Option<&Object>,
    ) -> Result<(), RpcError> {
        let values: Vec<_> = values.into_iter().collect();
        match self.expected(arguments)? {
            None if values.is_empty() => Ok(()),
            None => Err(RpcError::header_mismatch(format!(
                "The header '{}' is present without its argument '{}'",
                self.header,
                self.path.join(".")
            ))),
            Some(Expected::Text(text)) => headers::check(&self.header, values, &text),
            Some(Expected::Integer(number)) => {
                let same = values.len() == 1
                    && headers::decode(values[0]).and_then(|text| integer(&text)) == Some(number);
                if same {
                    Ok(())
                } else {
                    headers::check(&self.header, values, &number.to_string())
                }
            }
        }
    }
}

/// An integer by value: `3`, `3.0` and `3e0` are the same number.
fn integer(text: &str) -> Option<i64> {
    let number = match text.parse::<i64>() {
        Ok(number) => number,
        Err(_) => {
            let number = text.parse::<f64>().ok()?;
            if number.fract() != 0.0 || number.abs() > MAX_INTEGER as f64 {
                return None;
            }
            number as i64
        }
    };
    (-MAX_INTEGER..=MAX_INTEGER).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use serde_json::json;

    #[test]
    fn annotations_are_allowed_only_below_properties() {
        let place = json!({"type": "string", "x-mcp-header": "Zone"});
        for (schema, good) in [
            (json!({"properties": {"zone": place}}), true),
            (json!({"properties": {"a": {"type": "object", "properties": {"zone": place}}}}), true),
            (json!({"properties": {"a": {"type": "array", "items": place}}}), false),
            (json!({"anyOf": [{"properties": {"zone": place}}]}), false),
            (json!({"$defs": {"z": place}, "properties": {"a": {"$ref": "#/$defs/z"}}}), false),
            (json!({"properties": {"zone": {"type": "number", "x-mcp-header": "Z"}}}), false),
            (json!({"properties": {"zone": {"type": "string", "x-mcp-header": ""}}}), false),
            (json!({"properties": {"zone": {"type": "string", "x-mcp-header": "a b"}}}), false),
            (json!({"properties": {"zone": {"type": "string", "x-mcp-header": 7}}}), false),
            (
                json!({"properties": {"a": place, "b": {"type": "string", "x-mcp-header": "zONE"}}}),
                false,
            ),
            (json!({"x-mcp-header": "Z", "type": "string"}), false),
            (json!({"properties": {"x-mcp-header": {"type": "string"}}}), true),
        ] {
            assert_eq!(read(&schema).is_ok(), good, "{schema}");
        }
    }

    #[test]
    fn headers_match_the_arguments() {
        let schema = json!({"properties": {
            "n": {"type": "integer", "x-mcp-header": "N"},
            "deep": {"type": "object", "properties": {"s": {"type": "string", "x-mcp-header": "S"}}},
        }});
        let headers = read(&schema).unwrap();
        let by = |name: &str| headers.iter().find(|h| h.header.ends_with(name)).unwrap();
        let arguments =
            Object::parse(&Bytes::from_static("{\"n\":3.0,\"deep\":{\"s\":\"é\"}}".as_bytes()))
                .unwrap();
        assert_eq!(by("-n").value(Some(&arguments)).unwrap().unwrap(), "3");
        assert_eq!(by("-s").value(Some(&arguments)).unwrap().unwrap(), "=?base64?w6k=?=");
        assert!(by("-n").check([&b"3"[..]], Some(&arguments)).is_ok());
        assert!(by("-n").check([&b"03"[..]], Some(&arguments)).is_ok());
        assert!(by("-n").check([&b"4"[..]], Some(&arguments)).is_err());
        assert!(by("-s").check([&b"e"[..]], Some(&arguments)).is_err());
        let none = Object::new();
        assert!(by("-n").check([], Some(&none)).is_ok());
        assert!(by("-n").check([&b"3"[..]], Some(&none)).is_err());
    }
}
