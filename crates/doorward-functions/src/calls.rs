//! Calls, as a model returns them.
//!
//! Accepted are one call, a list of calls, and the messages and responses that contain them. Everything in these that is no
//! call, such as texts, is passed over.

use bytes::{BufMut, Bytes, BytesMut};
use doorward_mcp::json::{Limits, items, scan_object};
use doorward_mcp::{Object, Value};

use crate::Dialect;

/// Levels of messages around calls.
const MOST_LEVELS: usize = 6;

/// One call of a model.
#[derive(Debug, Clone)]
pub struct Call {
    pub dialect: Dialect,
    /// By which the result refers to it, if it has one.
    pub id: Option<Value>,
    pub name: String,
    /// The arguments, or why they cannot be read: for the model, which can correct them.
    pub arguments: Result<Object, String>,
}

/// Why a text has no calls that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A JSON pointer.
    pub at: String,
    pub message: String,
}

impl Problem {
    fn new(at: &str, message: impl Into<String>) -> Self {
        Self { at: at.to_owned(), message: message.into() }
    }
}

const FORMS: &str = "no call is recognized: send 'tool_calls' of OpenAI, 'function_call' items of its Responses API, \
    'tool_use' blocks of Anthropic or 'functionCall' parts of Gemini, one or an array, or the message that contains them";

/// Reads the calls in a text, at most so many.
pub fn read(text: &Bytes, limits: Limits, most: usize) -> Result<Vec<Call>, Problem> {
    let mut calls = Vec::new();
    let mut reader = Reader { limits, most, calls: &mut calls, is_message: false };
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        let all = items(text, limits).map_err(|fault| Problem::new("", fault.why))?;
        for (number, item) in all.iter().enumerate() {
            reader.text(item, &format!("/{number}"), 0)?;
        }
    } else {
        reader.text(text, "", 0)?;
    }
    let is_message = reader.is_message || first == Some(&b'[');
    if calls.is_empty() && !is_message {
        return Err(Problem::new("", FORMS));
    }
    Ok(calls)
}

struct Reader<'a> {
    limits: Limits,
    most: usize,
    calls: &'a mut Vec<Call>,
    /// There is something that may contain calls.
    is_message: bool,
}

impl Reader<'_> {
    fn text(&mut self, text: &Bytes, at: &str, level: usize) -> Result<(), Problem> {
        let object = scan_object(text, self.limits).map_err(|fault| Problem::new(at, fault.why))?;
        self.object(&object, at, level)
    }

    fn object(&mut self, object: &Object, at: &str, level: usize) -> Result<(), Problem> {
        if level > MOST_LEVELS {
            return Err(Problem::new(at, "messages are nested too deeply"));
        }
        if let Some(call) = self.call(object, at)? {
            if self.calls.len() >= self.most {
                let message = format!("more than {} calls in one request", self.most);
                return Err(Problem::new(at, message));
            }
            self.calls.push(call);
            return Ok(());
        }
        // A message or a response, by what it contains its calls in.
        for member in [
            "tool_calls",
            "output",
            "content",
            "parts",
            "candidates",
            "choices",
            "message",
            "calls",
        ] {
            let Some(inner) = object.get(member) else { continue };
            self.is_message = true;
            let at = format!("{at}/{member}");
            if let Some(inner) = inner.as_object() {
                self.object(&inner, &at, level + 1)?;
            }
            for (number, item) in inner.as_array().unwrap_or_default().iter().enumerate() {
                if let Some(item) = item.as_object() {
                    self.object(&item, &format!("{at}/{number}"), level + 1)?;
                }
            }
        }
        Ok(())
    }

    fn call(&self, object: &Object, at: &str) -> Result<Option<Call>, Problem> {
        let kind = object.string("type");
        let of = |member: &str| object.get(member).and_then(Value::as_object);
        let gemini = of("functionCall").map(|it| ("functionCall", it));
        let gemini = gemini.or_else(|| of("function_call").map(|it| ("function_call", it)));
        let (dialect, place, inner, arguments, id) = if let Some((member, inner)) = gemini {
            (Dialect::Gemini, format!("{at}/{member}"), inner.into_owned(), "args", "id")
        } else if kind.as_deref() == Some("function_call") {
            (Dialect::OpenAiResponses, at.to_owned(), object.clone(), "arguments", "call_id")
        } else if kind.as_deref() == Some("tool_use") {
            (Dialect::Anthropic, at.to_owned(), object.clone(), "input", "id")
        } else if let Some(inner) = of("function") {
            (Dialect::OpenAi, format!("{at}/function"), inner.into_owned(), "arguments", "id")
        } else if kind.is_none() && object.contains("name") && object.contains("arguments") {
            (Dialect::Mcp, at.to_owned(), object.clone(), "arguments", "id")
        } else {
            return Ok(None);
        };
        let name = inner.string("name").filter(|name| !name.is_empty());
        let Some(name) = name.map(std::borrow::Cow::into_owned) else {
            return Err(Problem::new(&format!("{place}/name"), "must be the name of a tool"));
        };
        let holder = if dialect == Dialect::OpenAi { object } else { &inner };
        let id_at = if dialect == Dialect::OpenAi { at } else { &place };
        let id = holder.get(id).filter(|id| !id.is_null()).cloned();
        let needs_id =
            matches!(dialect, Dialect::OpenAi | Dialect::OpenAiResponses | Dialect::Anthropic);
        let member = match dialect {
            Dialect::OpenAiResponses => "call_id",
            _ => "id",
        };
        let is_text = id.as_ref().is_some_and(|id| id.as_str().is_some());
        if (needs_id || id.is_some()) && !is_text && dialect != Dialect::Mcp {
            return Err(Problem::new(&format!("{id_at}/{member}"), "must be a string"));
        }
        let arguments = self.arguments(inner.get(arguments));
        Ok(Some(Call { dialect, id, name, arguments }))
    }

    fn arguments(&self, sent: Option<&Value>) -> Result<Object, String> {
        let Some(sent) = sent.filter(|sent| !sent.is_null()) else { return Ok(Object::new()) };
        if let Some(object) = sent.as_object() {
            return Ok(object.into_owned());
        }
        let Some(text) = sent.as_str() else {
            return Err("The arguments must be a JSON object".into());
        };
        if text.trim().is_empty() {
            return Ok(Object::new());
        }
        // Scanned as a member, because members of a message itself may not look like others of a message.
        let mut whole = BytesMut::with_capacity(text.len() + 16);
        whole.put_slice(b"{\"arguments\":");
        whole.put_slice(text.as_bytes());
        whole.put_slice(b"}");
        let invalid = |why: &str| format!("The arguments are not valid JSON: {why}");
        let limits = Limits { depth: self.limits.depth.saturating_add(1), ..self.limits };
        let read = scan_object(&whole.freeze(), limits).map_err(|fault| invalid(fault.why))?;
        let ([member], Some(arguments)) = (read.members(), read.get("arguments")) else {
            return Err(invalid("trailing characters"));
        };
        debug_assert_eq!(&member.name[..], b"arguments");
        let object = arguments.as_object();
        object
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| "The arguments must be a JSON object".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<(Dialect, String, String)>, Problem> {
        let calls = read(&Bytes::copy_from_slice(text.as_bytes()), Limits::default(), 3)?;
        let told = calls.into_iter().map(|call| {
            let arguments = match &call.arguments {
                Ok(object) => String::from_utf8(object.to_bytes().to_vec()).unwrap(),
                Err(why) => why.clone(),
            };
            let id = call.id.and_then(|id| id.as_str().map(std::borrow::Cow::into_owned));
            (call.dialect, format!("{}#{}", call.name, id.unwrap_or_default()), arguments)
        });
        Ok(told.collect())
    }

    #[test]
    fn calls_are_read_in_every_dialect_and_shape() {
        let openai = r#"{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": 1.0, \"Name\": 1}"}}"#;
        let responses =
            r#"{"type":"function_call","id":"fc","call_id":"c2","name":"f","arguments":"{}"}"#;
        let anthropic = r#"{"type":"tool_use","id":"c3","name":"f","input":{"a":2}}"#;
        let gemini = r#"{"functionCall":{"name":"f","args":{"a":3}}}"#;
        let one = |dialect, id: &str, arguments: &str| {
            vec![(dialect, format!("f#{id}"), arguments.to_owned())]
        };
        for (text, calls) in [
            (openai.to_owned(), one(Dialect::OpenAi, "c1", r#"{"a": 1.0, "Name": 1}"#)),
            (format!("[{openai}]"), one(Dialect::OpenAi, "c1", r#"{"a": 1.0, "Name": 1}"#)),
            (
                format!(r#"{{"role":"assistant","content":null,"tool_calls":[{openai}]}}"#),
                one(Dialect::OpenAi, "c1", r#"{"a": 1.0, "Name": 1}"#),
            ),
            (
                format!(
                    r#"{{"choices":[{{"index":0,"message":{{"content":"x","tool_calls":[{openai}]}}}}]}}"#
                ),
                one(Dialect::OpenAi, "c1", r#"{"a": 1.0, "Name": 1}"#),
            ),
            (responses.to_owned(), one(Dialect::OpenAiResponses, "c2", "{}")),
            (
                format!(r#"{{"output":[{{"type":"reasoning"}},{responses}]}}"#),
                one(Dialect::OpenAiResponses, "c2", "{}"),
            ),
            (anthropic.to_owned(), one(Dialect::Anthropic, "c3", r#"{"a":2}"#)),
            (
                format!(
                    r#"{{"role":"assistant","content":[{{"type":"text","text":"x"}},{anthropic}]}}"#
                ),
                one(Dialect::Anthropic, "c3", r#"{"a":2}"#),
            ),
            (gemini.to_owned(), one(Dialect::Gemini, "", r#"{"a":3}"#)),
            (
                format!(
                    r#"{{"candidates":[{{"content":{{"parts":[{{"text":"x"}},{gemini}]}}}}]}}"#
                ),
                one(Dialect::Gemini, "", r#"{"a":3}"#),
            ),
            (r#"{"name":"f","arguments":{"a":4}}"#.into(), one(Dialect::Mcp, "", r#"{"a":4}"#)),
            (r#"{"role":"assistant","content":"nothing to call"}"#.into(), Vec::new()),
        ] {
            assert_eq!(all(&text), Ok(calls), "{text}");
        }
        assert_eq!(all(&format!("[{openai},{anthropic},{gemini}]")).unwrap().len(), 3);
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (text, at) in [
            ("7", ""),
            ("{}", ""),
            (r#"[7]"#, "/0"),
            (r#"[{"a":1,"a":2}]"#, ""),
            (r#"{"type":"tool_use","id":"x","input":{}}"#, "/name"),
            (r#"{"type":"tool_use","name":"f","input":{}}"#, "/id"),
            (r#"{"type":"function_call","name":"f","arguments":""}"#, "/call_id"),
            (r#"{"tool_calls":[{"type":"function","function":{"name":"f"}}]}"#, "/tool_calls/0/id"),
            (r#"[{"functionCall":{"name":""}}]"#, "/0/functionCall/name"),
        ] {
            assert_eq!(all(text).unwrap_err().at, at, "{text}");
        }
        let one = r#"{"functionCall":{"name":"f"}}"#;
        let four = format!("[{one},{one},{one},{one}]");
        assert!(all(&four).unwrap_err().message.contains("more than 3"));
        let deep = format!("{}{one}{}", r#"{"parts":["#.repeat(9), "]}".repeat(9));
        assert!(all(&deep).is_err());
    }

    #[test]
    fn arguments_that_a_model_got_wrong_become_words_for_the_model() {
        for (arguments, wrong) in [
            (r#""{\"a\":""#, true),
            (r#""{\"a\":1,\"a\":2}""#, true),
            (r#""{},\"x\":1""#, true),
            (r#""{}}""#, true),
            (r#""[]""#, true),
            ("7", true),
            (r#""""#, false),
            ("null", false),
            ("{}", false),
        ] {
            let text = format!(
                r#"{{"id":"c","type":"function","function":{{"name":"f","arguments":{arguments}}}}}"#
            );
            let read = read(&text.clone().into(), Limits::default(), 1).unwrap();
            assert_eq!(read[0].arguments.is_err(), wrong, "{text}");
        }
    }
}
