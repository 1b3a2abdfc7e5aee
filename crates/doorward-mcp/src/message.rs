//! JSON-RPC envelopes (spec 2026-07-28 basic/index).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{RpcError, code};
use crate::json::{Fault, Limits, Object, Value, items, quote_into, scan_object};
use crate::meta;

/// The id of a request: a string or an integer, never null. `1` and `"1"` are different ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    Number(i64),
    Text(Box<str>),
}

impl Id {
    pub fn read(value: &Value) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return Some(Self::Text(text.into()));
        }
        let Value::Raw(raw) = value else { return None };
        std::str::from_utf8(raw).ok()?.parse().ok().map(Self::Number)
    }

    pub fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Number(number) => out.put_slice(number.to_string().as_bytes()),
            Self::Text(text) => quote_into(out, text),
        }
    }

    pub fn to_value(&self) -> Value {
        match self {
            Self::Number(number) => Value::number(*number),
            Self::Text(text) => Value::text(text),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Maximum length of an id and of a progress token, in bytes. Both are stored and returned to the client.
pub const LONGEST_ID: usize = 1024;

/// A JSON-RPC message with raw payload.
#[derive(Debug, Clone)]
pub enum Message {
    Request {
        id: Id,
        method: Box<str>,
        params: Object,
    },
    Notification {
        method: Box<str>,
        params: Object,
    },
    Response {
        id: Id,
        result: Object,
    },
    /// An error response; without an id if the peer could not read it.
    Error {
        id: Option<Id>,
        error: RpcError,
    },
}

/// Why a text is not a message. [`Invalid::error`] is the response to a client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Invalid {
    /// Not JSON: -32700.
    #[error("Parse error: {0}")]
    Json(String),
    /// JSON, but not a JSON-RPC message, or ambiguous: -32600.
    #[error("Invalid request: {why}")]
    Message { id: Option<Id>, why: String },
}

impl Invalid {
    fn message(id: Option<Id>, why: &str) -> Self {
        Self::Message { id, why: why.to_owned() }
    }

    /// For a text that the scan has refused.
    pub(crate) fn of_fault(fault: &Fault, text: &[u8]) -> Self {
        if fault.well_formed || is_batch(text) {
            Self::message(None, &fault.to_string())
        } else {
            Self::Json(fault.to_string())
        }
    }

    pub fn id(&self) -> Option<Id> {
        match self {
            Self::Json(_) => None,
            Self::Message { id, .. } => id.clone(),
        }
    }

    pub fn error(&self) -> RpcError {
        let code = match self {
            Self::Json(_) => code::PARSE,
            Self::Message { .. } => code::INVALID_REQUEST,
        };
        RpcError::new(code, self.to_string())
    }
}

impl Message {
    /// Parses one message, strictly. Fails if the text is not JSON or not a message.
    pub fn parse(text: &Bytes, limits: Limits) -> Result<Self, Invalid> {
        let envelope =
            scan_object(text, limits).map_err(|fault| Invalid::of_fault(&fault, text))?;
        Self::from_envelope(envelope)
    }

    pub(crate) fn from_envelope(mut envelope: Object) -> Result<Self, Invalid> {
        let id = match envelope.get("id") {
            None => None,
            Some(value) if value.is_null() => {
                if envelope.contains("error") {
                    None
                } else {
                    return Err(Invalid::message(None, "'id' must not be null"));
                }
            }
            Some(value) => Some(
                Id::read(value)
                    .ok_or_else(|| Invalid::message(None, "'id' must be a string or an integer"))?,
            ),
        };
        if matches!(&id, Some(Id::Text(text)) if text.len() > LONGEST_ID) {
            let why = format!("'id' must have at most {LONGEST_ID} bytes");
            return Err(Invalid::message(None, &why));
        }
        if envelope.string("jsonrpc").as_deref() != Some("2.0") {
            return Err(Invalid::message(id, "'jsonrpc' must be \"2.0\""));
        }
        if let Some(method) = envelope.get("method") {
            let Some(method) = method.as_str().map(|method| Box::from(method.as_ref())) else {
                return Err(Invalid::message(id, "'method' must be a string"));
            };
            if envelope.contains("result") || envelope.contains("error") {
                return Err(Invalid::message(id, "both a request and a response"));
            }
            let params = match envelope.remove("params") {
                None => Object::new(),
                Some(Value::Object(params)) => params,
                // Several SDKs write absent members as null.
                Some(value) if value.is_null() => Object::new(),
                Some(Value::Raw(_)) => {
                    return Err(Invalid::message(id, "'params' must be an object"));
                }
            };
            if params.size_hint() > LONGEST_ID
                && meta::progress_token(&params)
                    .is_some_and(|token| token.to_bytes().len() > LONGEST_ID)
            {
                let why = format!("'progressToken' must have at most {LONGEST_ID} bytes");
                return Err(Invalid::message(id, &why));
            }
            return Ok(match id {
                Some(id) => Self::Request { id, method, params },
                None => Self::Notification { method, params },
            });
        }
        match (envelope.remove("result"), envelope.remove("error")) {
            (Some(Value::Object(result)), None) => match id {
                Some(id) => Ok(Self::Response { id, result }),
                None => Err(Invalid::message(None, "a response without 'id'")),
            },
            (None, Some(Value::Object(error))) => match RpcError::read(&error) {
                Some(error) => Ok(Self::Error { id, error }),
                None => {
                    Err(Invalid::message(id, "'error' needs an integer 'code' and a 'message'"))
                }
            },
            (Some(_), Some(_)) => Err(Invalid::message(id, "both 'result' and 'error'")),
            (None, None) => Err(Invalid::message(id, "'method', 'result' or 'error' is missing")),
            (Some(_), None) => Err(Invalid::message(id, "'result' must be an object")),
            (None, Some(_)) => Err(Invalid::message(id, "'error' must be an object")),
        }
    }

    /// The approximate length of the message, in bytes.
    pub fn size_hint(&self) -> usize {
        64 + match self {
            Self::Request { params, .. } | Self::Notification { params, .. } => params.size_hint(),
            Self::Response { result, .. } => result.size_hint(),
            Self::Error { error, .. } => {
                let data = error.data.as_ref().map_or(0, |data| data.to_bytes().len());
                error.message.len() + data
            }
        }
    }

    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request { id, method, params } => request(id, method, params),
            Self::Notification { method, params } => notification(method, params),
            Self::Response { id, result } => response(id, result),
            Self::Error { id, error } => error_response(id.as_ref(), error),
        }
    }
}

/// Whether a body is a batch: an array of messages.
pub fn is_batch(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'[')
}

/// Splits a batch into the texts of its messages.
pub fn split_batch(text: &Bytes, limits: Limits) -> Result<Vec<Bytes>, Invalid> {
    items(text, limits).map_err(|fault| {
        if fault.well_formed {
            Invalid::message(None, &fault.to_string())
        } else {
            Invalid::Json(fault.to_string())
        }
    })
}

pub fn request(id: &Id, method: &str, params: &Object) -> Bytes {
    let mut out = envelope(params.size_hint() + method.len());
    out.put_slice(b",\"id\":");
    id.write(&mut out);
    call(out, method, params)
}

pub fn notification(method: &str, params: &Object) -> Bytes {
    call(envelope(params.size_hint() + method.len()), method, params)
}

fn call(mut out: BytesMut, method: &str, params: &Object) -> Bytes {
    out.put_slice(b",\"method\":");
    quote_into(&mut out, method);
    if !params.is_empty() {
        out.put_slice(b",\"params\":");
        params.write(&mut out);
    }
    out.put_u8(b'}');
    out.freeze()
}

pub fn response(id: &Id, result: &Object) -> Bytes {
    let mut out = envelope(result.size_hint());
    out.put_slice(b",\"id\":");
    id.write(&mut out);
    out.put_slice(b",\"result\":");
    result.write(&mut out);
    out.put_u8(b'}');
    out.freeze()
}

/// An error response; without `id` if it could not be read.
pub fn error_response(id: Option<&Id>, error: &RpcError) -> Bytes {
    let mut out = envelope(64 + error.message.len());
    if let Some(id) = id {
        out.put_slice(b",\"id\":");
        id.write(&mut out);
    }
    out.put_slice(b",\"error\":");
    error.write(&mut out);
    out.put_u8(b'}');
    out.freeze()
}

fn envelope(payload: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(payload + 80);
    out.put_slice(b"{\"jsonrpc\":\"2.0\"");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Message, Invalid> {
        Message::parse(&Bytes::copy_from_slice(text.as_bytes()), Limits::default())
    }

    #[test]
    fn the_error_says_why_a_text_is_not_a_message() {
        for (text, code, why) in [
            ("", code::PARSE, "expected an object"),
            ("{", code::PARSE, "expected a member name"),
            ("7", code::PARSE, "expected an object"),
            ("[]", code::INVALID_REQUEST, "expected an object"),
            ("{}", code::INVALID_REQUEST, "'jsonrpc'"),
            (r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#, code::INVALID_REQUEST, "'jsonrpc'"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, code::INVALID_REQUEST, "null"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#, code::INVALID_REQUEST, "integer"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#, code::INVALID_REQUEST, "integer"),
            (r#"{"jsonrpc":"2.0","id":1,"method":2}"#, code::INVALID_REQUEST, "'method'"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[]}"#,
                code::INVALID_REQUEST,
                "params",
            ),
            (r#"{"jsonrpc":"2.0","id":1}"#, code::INVALID_REQUEST, "missing"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, code::INVALID_REQUEST, "both"),
            (r#"{"jsonrpc":"2.0","id":1,"result":3}"#, code::INVALID_REQUEST, "'result'"),
            (r#"{"jsonrpc":"2.0","result":{}}"#, code::INVALID_REQUEST, "without 'id'"),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}"#, code::INVALID_REQUEST, "'error'"),
        ] {
            let error = parse(text).expect_err(text).error();
            assert_eq!(error.code, code, "{text}");
            assert!(error.message.contains(why), "{text}: {}", error.message);
        }
    }

    #[test]
    fn ids_and_progress_tokens_are_bounded() {
        let long = "x".repeat(LONGEST_ID + 1);
        let fits = &long[1..];
        for (id, token, good) in
            [(fits, "t", true), (&*long, "t", false), ("i", &fits[2..], true), ("i", &*long, false)]
        {
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":"{id}","method":"m","params":{{"_meta":{{"progressToken":"{token}"}}}}}}"#
            );
            let parsed = parse(&text);
            assert_eq!(parsed.is_ok(), good, "{} {}", id.len(), token.len());
            if let Err(invalid) = parsed {
                assert!(invalid.error().message.len() < 200);
            }
        }
    }

    #[test]
    fn params_that_are_null_are_absent() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#;
        assert_eq!(parse(text).unwrap().to_bytes(), r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    }

    #[test]
    fn ids_retain_their_type() {
        let text = r#"{"jsonrpc":"2.0","id":"1","method":"ping"}"#;
        assert_eq!(parse(text).unwrap().to_bytes(), text);
        let Message::Request { id, .. } = parse(text).unwrap() else { panic!() };
        assert_ne!(id, Id::Number(1));
    }

    #[test]
    fn an_error_may_come_without_an_id() {
        let text = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#;
        assert!(matches!(parse(text), Ok(Message::Error { id: None, .. })));
    }
}
