//! What a call of one of the gateway's own tools asks for.

use std::borrow::Cow;

use doorward_mcp::json::{Limits, scan_object};
use doorward_mcp::{Object, Value};

use super::definitions::{CALL, DETAILS, READ_MORE, SEARCH};

/// Tools that a search returns unless it says how many.
pub const DEFAULT_LIMIT: usize = 8;
/// Most tools that a search returns.
pub const MAX_LIMIT: usize = 20;
/// Most tools whose definitions are returned at once.
pub const MAX_NAMES: usize = 10;

/// How much is told of a tool that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    #[default]
    Brief,
    /// Its whole definition.
    Full,
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Search {
    pub query: String,
    /// From 1 to 20.
    pub limit: usize,
    pub detail: Detail,
    /// Only tools of the server with this name.
    pub server: Option<String>,
    /// Only tools that change nothing.
    pub read_only: bool,
}

/// What is wanted.
#[derive(Debug)]
pub enum Wanted {
    Search(Search),
    /// The definitions of tools, by name.
    Details(Vec<String>),
    /// What follows in a result that was cut, by the cursor from its mark.
    ReadMore(String),
    /// A call of another tool. Its arguments are left as they were written.
    Call {
        name: String,
        arguments: Object,
    },
}

/// An argument that is missing or wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid {
    /// A JSON Pointer (RFC 6901).
    pub path: String,
    pub problem: String,
}

impl Invalid {
    fn new(path: &str, problem: impl Into<String>) -> Self {
        Self {
            path: format!("/{}", path.replace('~', "~0").replace('/', "~1")),
            problem: problem.into(),
        }
    }
}

/// Reads the arguments of one of the gateway's own tools; `None` for any other tool. `limits` are those of what clients send.
pub fn read(tool: &str, arguments: &Object, limits: Limits) -> Option<Result<Wanted, Invalid>> {
    Some(match tool {
        SEARCH => search(arguments).map(Wanted::Search),
        DETAILS => names(arguments).map(Wanted::Details),
        CALL => call(arguments, limits),
        READ_MORE => cursor(arguments).map(Wanted::ReadMore),
        _ => return None,
    })
}

fn search(arguments: &Object) -> Result<Search, Invalid> {
    only(arguments, &["query", "limit", "detail", "server", "read_only"])?;
    let query = text(arguments, "query")?.ok_or_else(|| Invalid::new("query", "is missing"))?;
    if query.trim().is_empty() {
        return Err(Invalid::new("query", "must not be empty: say what the tool should do"));
    }
    let limit = match given(arguments, "limit") {
        None => DEFAULT_LIMIT,
        Some(value) => value
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| Invalid::new("limit", format!("must be from 1 to {MAX_LIMIT}")))?,
    };
    let detail = match text(arguments, "detail")?.as_deref() {
        None | Some("brief") => Detail::Brief,
        Some("full") => Detail::Full,
        Some(_) => return Err(Invalid::new("detail", "must be 'brief' or 'full'")),
    };
    let read_only = match given(arguments, "read_only") {
        None => false,
        Some(value) => {
            value.as_bool().ok_or_else(|| Invalid::new("read_only", "must be true or false"))?
        }
    };
    Ok(Search { query, limit, detail, server: text(arguments, "server")?, read_only })
}

fn names(arguments: &Object) -> Result<Vec<String>, Invalid> {
    only(arguments, &["names"])?;
    let wrong =
        || Invalid::new("names", format!("must be an array of 1 to {MAX_NAMES} names of tools"));
    let all = given(arguments, "names").and_then(Value::as_array).ok_or_else(wrong)?;
    if all.is_empty() || all.len() > MAX_NAMES {
        return Err(wrong());
    }
    all.iter().map(|name| name.as_str().map(Into::into).ok_or_else(wrong)).collect()
}

fn cursor(arguments: &Object) -> Result<String, Invalid> {
    only(arguments, &["cursor"])?;
    text(arguments, "cursor")?.ok_or_else(|| Invalid::new("cursor", "is missing"))
}

fn call(arguments: &Object, limits: Limits) -> Result<Wanted, Invalid> {
    only(arguments, &["name", "arguments"])?;
    let name = text(arguments, "name")?.ok_or_else(|| Invalid::new("name", "is missing"))?;
    let Some(value) = given(arguments, "arguments") else {
        return Ok(Wanted::Call { name, arguments: Object::new() });
    };
    let wrong = |problem: &str| Invalid::new("arguments", problem);
    let arguments = match (value.as_object(), value.as_str()) {
        (Some(object), _) => object.into_owned(),
        // Models often write the object as a string.
        (None, Some(written)) => {
            scan_object(&written.into_owned().into(), limits).map_err(|fault| {
                wrong(&format!("must be an object; as text, it is not JSON: {}", fault.why))
            })?
        }
        (None, None) => return Err(wrong("must be an object")),
    };
    Ok(Wanted::Call { name, arguments })
}

/// An argument that is there. Clients that serialize empty members send null.
fn given<'a>(arguments: &'a Object, name: &str) -> Option<&'a Value> {
    arguments.get(name).filter(|value| !value.is_null())
}

fn text(arguments: &Object, name: &str) -> Result<Option<String>, Invalid> {
    let Some(value) = given(arguments, name) else { return Ok(None) };
    let text = value.as_str().ok_or_else(|| Invalid::new(name, "must be a string"))?;
    Ok(Some(text.into_owned()))
}

fn only(arguments: &Object, known: &[&str]) -> Result<(), Invalid> {
    let names = arguments.members().iter().map(|member| String::from_utf8_lossy(&member.name));
    let other = names.into_iter().find(|name: &Cow<'_, str>| !known.contains(&&**name));
    other.map_or(Ok(()), |name| {
        let known = known.join("', '");
        Err(Invalid::new(&name, format!("is not a known argument; there are '{known}'")))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn asked(tool: &str, arguments: &serde_json::Value) -> Result<Wanted, Invalid> {
        read(tool, &Object::from_serde(arguments).unwrap(), Limits::default()).unwrap()
    }

    #[test]
    fn other_tools_are_none_of_the_three() {
        for tool in ["search", "Search_Tools", "mail__call_tool", ""] {
            assert!(read(tool, &Object::new(), Limits::default()).is_none(), "{tool}");
        }
    }

    #[test]
    fn a_search_has_defaults() {
        let Wanted::Search(search) =
            asked(SEARCH, &serde_json::json!({ "query": "x", "server": null })).unwrap()
        else {
            panic!("not a search");
        };
        let expected = Search { query: "x".into(), limit: DEFAULT_LIMIT, ..Search::default() };
        assert_eq!(search, expected);
    }

    #[test]
    fn arguments_of_a_call_stay_as_they_were_written() {
        let text = r#"{"name":"a","arguments":{ "n": 1.0e2,  "x":[ ] }}"#;
        let object = scan_object(&text.into(), Limits::default()).unwrap();
        let Some(Ok(Wanted::Call { name, arguments })) = read(CALL, &object, Limits::default())
        else {
            panic!("not a call");
        };
        assert_eq!(name, "a");
        assert_eq!(arguments.to_bytes(), r#"{ "n": 1.0e2,  "x":[ ] }"#);
        for arguments in [serde_json::json!({ "a": 1 }), serde_json::json!("{\"a\": 1}")] {
            let of = asked(CALL, &serde_json::json!({ "name": "t", "arguments": arguments }));
            let Ok(Wanted::Call { arguments, .. }) = of else { panic!("not a call: {of:?}") };
            assert_eq!(arguments.to_serde(), serde_json::json!({ "a": 1 }));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (tool, arguments, path) in [
            (SEARCH, serde_json::json!({}), "/query"),
            (SEARCH, serde_json::json!({ "query": " " }), "/query"),
            (SEARCH, serde_json::json!({ "query": 1 }), "/query"),
            (SEARCH, serde_json::json!({ "query": "x", "limit": 0 }), "/limit"),
            (SEARCH, serde_json::json!({ "query": "x", "limit": 21 }), "/limit"),
            (SEARCH, serde_json::json!({ "query": "x", "limit": "8" }), "/limit"),
            (SEARCH, serde_json::json!({ "query": "x", "detail": "all" }), "/detail"),
            (SEARCH, serde_json::json!({ "query": "x", "read_only": "yes" }), "/read_only"),
            (SEARCH, serde_json::json!({ "query": "x", "a/b": 1 }), "/a~1b"),
            (DETAILS, serde_json::json!({}), "/names"),
            (DETAILS, serde_json::json!({ "names": [] }), "/names"),
            (DETAILS, serde_json::json!({ "names": ["a", 1] }), "/names"),
            (DETAILS, serde_json::json!({ "names": vec!["a"; 11] }), "/names"),
            (READ_MORE, serde_json::json!({}), "/cursor"),
            (CALL, serde_json::json!({ "arguments": {} }), "/name"),
            (CALL, serde_json::json!({ "name": "a", "arguments": [1] }), "/arguments"),
            (CALL, serde_json::json!({ "name": "a", "arguments": "x" }), "/arguments"),
            (
                CALL,
                serde_json::json!({ "name": "a", "arguments": "{\"a\":1,\"a\":2}" }),
                "/arguments",
            ),
            (CALL, serde_json::json!({ "name": "a", "task": {} }), "/task"),
        ] {
            assert_eq!(asked(tool, &arguments).unwrap_err().path, path, "{arguments}");
        }
    }
}
