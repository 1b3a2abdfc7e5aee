//! The HTTP request of a call: each argument in its place, and in no other (attack T29, regression R5).

use doorward_mcp::uri;
use serde_json::{Map, Value};

use crate::slot::{is_method, is_same_slot};
use crate::tool::{Parameter, Place, Style, Tool};

/// A request without the server's URL and credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// In upper case.
    pub method: &'static str,
    /// Starts with a slash and is percent-encoded.
    pub path_and_query: String,
    pub headers: Vec<(String, String)>,
    /// Content type and bytes.
    pub body: Option<(String, Vec<u8>)>,
}

/// Arguments from which no request can be built: path and reason of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(|(path, why)| format!("{path}: {why}")).collect::<Vec<_>>().join("\n"))]
pub struct BadArguments(pub Vec<(String, String)>);

impl BadArguments {
    pub(crate) fn of(argument: &str, why: &str) -> Self {
        let path = format!("/{}", argument.replace('~', "~0").replace('/', "~1"));
        Self(vec![(path, why.to_owned())])
    }
}

/// Headers that the gateway sets itself, or that carry credentials.
const OWN: [&str; 27] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// Whether an argument must not set this header.
pub fn is_own_header(name: &str) -> bool {
    // Servers that pass headers as CGI variables do not distinguish `-` from `_` (RFC 3875 section 4.1.18).
    let name = name.to_ascii_lowercase().replace('_', "-");
    OWN.contains(&name.as_str())
        || name.starts_with("x-forwarded-")
        || name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

impl Tool {
    /// The request of a call. `boundary` separates the parts of a multipart body and must be unpredictable.
    pub fn request(
        &self,
        arguments: &Map<String, Value>,
        boundary: &str,
    ) -> Result<Request, BadArguments> {
        let mut bad = BadArguments::default();
        let mut path = self.path.clone();
        let mut query: Vec<(&Parameter, Vec<Pair>)> = Vec::new();
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut cookies: Vec<String> = Vec::new();
        for parameter in &self.parameters {
            let Some(value) = arguments.get(&parameter.argument).filter(|value| !value.is_null())
            else {
                if parameter.required {
                    bad.0.extend(BadArguments::of(&parameter.argument, "is missing").0);
                }
                continue;
            };
            let placed = match parameter.place {
                Place::Path => in_path(parameter, value).map(|text| {
                    path = path.replace(&format!("{{{}}}", parameter.name), &text);
                }),
                Place::Query => {
                    let pairs = in_query(parameter, value);
                    self.check_slots(parameter, value, &pairs, &query)
                        .map(|()| query.push((parameter, pairs)))
                }
                Place::Header => in_header(parameter, value)
                    .map(|text| headers.push((parameter.name.clone(), text))),
                Place::Cookie => {
                    let mut pairs = Vec::new();
                    form_pairs(&parameter.name, value, &mut pairs);
                    let pairs = pairs
                        .into_iter()
                        .map(|(name, value)| format!("{}={}", encoded(&name), encoded(&value)));
                    cookies.extend(pairs);
                    Ok(())
                }
            };
            if let Err(why) = placed {
                bad.0.extend(BadArguments::of(&parameter.argument, &why).0);
            }
        }
        let body = match self.write_body(arguments, boundary) {
            Ok(body) => body,
            Err(more) => {
                bad.0.extend(more.0);
                None
            }
        };
        // Several values may be adjacent; together they must not form a dot segment.
        if uri::has_dot_segment(&path) {
            bad.0.push((String::new(), format!("the path {}", uri::WHY)));
        }
        if !bad.0.is_empty() {
            return Err(bad);
        }
        let pairs = query.iter().flat_map(|(_, pairs)| pairs);
        for (at, Pair { name, value }) in pairs.enumerate() {
            // The document's path may already have a query.
            path.push(if at == 0 && !self.path.contains('?') { '?' } else { '&' });
            path.push_str(&format!("{}={value}", encoded(name)));
        }
        if !cookies.is_empty() {
            headers.push(("cookie".into(), cookies.join("; ")));
        }
        Ok(Request { method: self.method, path_and_query: path, headers, body })
    }

    /// Checks that the members of an exploded object do not collide with other parameters.
    fn check_slots(
        &self,
        parameter: &Parameter,
        value: &Value,
        pairs: &[Pair],
        before: &[(&Parameter, Vec<Pair>)],
    ) -> Result<(), String> {
        if !(value.is_object() && parameter.is_exploded_object()) {
            return Ok(());
        }
        let others = self
            .parameters
            .iter()
            .filter(|other| other.place == Place::Query && !std::ptr::eq(*other, parameter));
        let own = self.members_of(parameter);
        for Pair { name, .. } in pairs {
            let is = |known: &str| is_same_slot(name, known);
            let is_others = others.clone().any(|other| {
                is(&other.name)
                    || (other.is_exploded_object()
                        && !own.iter().any(|member| is(member))
                        && self.members_of(other).iter().any(|member| is(member)))
            });
            let is_taken = before.iter().flat_map(|(_, pairs)| pairs).any(|pair| is(&pair.name));
            if is_others || is_taken || self.fixed_names().any(is) || is_method(name) {
                return Err(format!(
                    "must not have a member '{name}', which is a separate parameter"
                ));
            }
        }
        Ok(())
    }

    /// The members that the document declares for an object.
    fn members_of(&self, parameter: &Parameter) -> Vec<&str> {
        let schema = self.input.pointer("/properties").and_then(|all| all.get(&parameter.argument));
        let members = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        members.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    /// Names of query parameters in the document's own path.
    pub(crate) fn fixed_names(&self) -> impl Iterator<Item = &str> {
        fixed_names(&self.path)
    }
}

/// Names of query parameters in a path.
pub(crate) fn fixed_names(path: &str) -> impl Iterator<Item = &str> {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty())
}

/// A query parameter: the name decoded, the value encoded.
struct Pair {
    name: String,
    value: String,
}

fn in_query(parameter: &Parameter, value: &Value) -> Vec<Pair> {
    let encode = |text: &str| encode(text, parameter.allow_reserved);
    let pair = |name: &str, value: String| Pair { name: name.to_owned(), value };
    let name = &*parameter.name;
    if parameter.json {
        return vec![pair(name, encoded(&value.to_string()))];
    }
    match (value, parameter.style) {
        (Value::Object(members), Style::DeepObject) => {
            let mut pairs = Vec::new();
            for (key, value) in members {
                form_pairs(&format!("{name}[{key}]"), value, &mut pairs);
            }
            pairs.into_iter().map(|(name, value)| pair(&name, encode(&value))).collect()
        }
        (Value::Array(items), style) => {
            let items: Vec<String> = items.iter().map(|item| encode(&plain(item))).collect();
            match (parameter.explode, style) {
                (true, _) => items.into_iter().map(|item| pair(name, item)).collect(),
                (false, Style::SpaceDelimited) => vec![pair(name, items.join("%20"))],
                (false, Style::PipeDelimited) => vec![pair(name, items.join("%7C"))],
                (false, _) => vec![pair(name, items.join(","))],
            }
        }
        (Value::Object(members), _) if parameter.explode => {
            members.iter().map(|(key, value)| pair(key, encode(&plain(value)))).collect()
        }
        (Value::Object(members), _) => {
            let all = members.iter().flat_map(|(key, value)| [encoded(key), encode(&plain(value))]);
            vec![pair(name, all.collect::<Vec<_>>().join(","))]
        }
        (one, _) => vec![pair(name, encode(&plain(one)))],
    }
}

fn in_path(parameter: &Parameter, value: &Value) -> Result<String, String> {
    let name = encoded(&parameter.name);
    if parameter.json {
        return Ok(encoded(&value.to_string()));
    }
    let style = parameter.style;
    let (before, between) = match (style, parameter.explode) {
        (Style::Label, true) => (".", "."),
        (Style::Label, false) => (".", ","),
        (Style::Matrix, true) => (";", ";"),
        (Style::Matrix, false) => (";", ","),
        _ => ("", ","),
    };
    let text = match value {
        Value::Array(items) => {
            let items = items.iter().map(|item| encoded(&plain(item)));
            let items: Vec<String> = match (style, parameter.explode) {
                (Style::Matrix, true) => items.map(|item| format!("{name}={item}")).collect(),
                _ => items.collect(),
            };
            items.join(between)
        }
        Value::Object(members) => {
            let join = if parameter.explode { "=" } else { "," };
            let members = members
                .iter()
                .map(|(key, value)| format!("{}{join}{}", encoded(key), encoded(&plain(value))));
            members.collect::<Vec<_>>().join(between)
        }
        one => encoded(&plain(one)),
    };
    if text.is_empty() {
        return Err("must not be empty: it is part of the path".into());
    }
    let named = match (style, value, parameter.explode) {
        (Style::Matrix, Value::Array(_) | Value::Object(_), true) => text,
        (Style::Matrix, ..) => format!("{name}={text}"),
        _ => text,
    };
    Ok(format!("{before}{named}"))
}

fn in_header(parameter: &Parameter, value: &Value) -> Result<String, String> {
    let text = match value {
        _ if parameter.json => value.to_string(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(members) => {
            let join = if parameter.explode { "=" } else { "," };
            let members = members.iter().map(|(key, value)| format!("{key}{join}{}", plain(value)));
            members.collect::<Vec<_>>().join(",")
        }
        one => plain(one),
    };
    let fits = text.bytes().all(|byte| (0x20..0x7f).contains(&byte) || byte == b'\t');
    if fits {
        Ok(text)
    } else {
        Err("must be a single line of plain text: it is sent in a header".into())
    }
}

/// A value as text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Form pairs of a value; nested values have names with brackets.
pub(crate) fn form_pairs(name: &str, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                form_pairs(&format!("{name}[{key}]"), value, pairs);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let name = match item {
                    Value::Object(_) | Value::Array(_) => format!("{name}[{at}]"),
                    _ => format!("{name}[]"),
                };
                form_pairs(&name, item, pairs);
            }
        }
        one => pairs.push((name.to_owned(), plain(one))),
    }
}

/// Encodes all characters except the unreserved ones (RFC 3986 section 2.3).
pub(crate) fn encoded(text: &str) -> String {
    encode(text, false)
}

fn encode(text: &str, allow_reserved: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let stays = byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            // Only those reserved characters that do not end or separate anything in a query for any server.
            || (allow_reserved && b":/?@!$'()*,".contains(&byte));
        if stays {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
