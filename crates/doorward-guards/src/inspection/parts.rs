//! The parts of a call that come from its caller.

use bytes::Bytes;
use doorward_inspect::Opaque;
use doorward_mcp::error::Kind;
use doorward_mcp::interaction::{INPUT_RESPONSES, Retry};
use doorward_mcp::{Object, RpcError, Value, method};

use super::Guard;
use super::found::{Found, Inspected, Refused, Verdict};

/// What is inspected of a call, as JSON texts.
#[derive(Debug)]
pub struct Parts(Vec<(Part, Bytes)>);

/// The same, inspected.
#[derive(Debug)]
pub struct InspectedParts(Vec<(Part, Inspected)>);

#[derive(Debug, Clone, Copy)]
enum Part {
    /// A member of the parameters.
    Member(&'static str),
    /// It names what is read, and is not changed.
    Uri,
    /// Everything that a method of an extension sends.
    Params,
    /// What the user has answered to a server.
    Responses,
}

impl Parts {
    /// The parts of a call. `about_task`: it is about a task, and has at most answers of the user.
    pub fn of(of: &str, params: &Object, retry: Option<&Retry>, about_task: bool) -> Self {
        let members: &[Part] = match of {
            method::TOOLS_CALL | method::PROMPTS_GET => &[Part::Member("arguments")],
            method::RESOURCES_READ => &[Part::Uri],
            method::COMPLETE => &[Part::Member("argument"), Part::Member("context")],
            _ if about_task => &[Part::Member(INPUT_RESPONSES)],
            _ => &[Part::Params],
        };
        let text = |part: &Part| match part {
            Part::Member(name) => Some((*part, params.get(name)?.to_bytes())),
            Part::Uri => Some((*part, params.get("uri")?.to_bytes())),
            Part::Params => {
                let mut params = params.clone();
                params.remove("_meta");
                Some((*part, params.to_bytes()))
            }
            Part::Responses => None,
        };
        let responses = retry.map(|retry| &retry.responses).filter(|them| !them.is_empty());
        let responses = responses.map(|responses| (Part::Responses, responses.to_bytes()));
        Self(members.iter().filter_map(text).chain(responses).collect())
    }

    /// How long they are.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(_, text)| text.len()).sum()
    }

    pub fn inspect(self, guard: &Guard) -> InspectedParts {
        let one = |(part, text): (Part, Bytes)| {
            let mut opaque = Opaque::default();
            if matches!(part, Part::Responses | Part::Member(INPUT_RESPONSES)) {
                // The keys that the server has chosen.
                opaque.names("");
            }
            // A text that was scanned as JSON is UTF-8.
            Some((part, guard.arguments(std::str::from_utf8(&text).ok()?, &opaque)))
        };
        InspectedParts(self.0.into_iter().filter_map(one).collect())
    }
}

impl InspectedParts {
    /// Whether arguments are replaced.
    pub fn change_arguments(&self) -> bool {
        let changes = |(part, inspected): &(Part, Inspected)| {
            matches!(part, Part::Member("arguments")) && inspected.text.is_some()
        };
        self.0.iter().any(changes)
    }

    /// Puts what was replaced in its place. Returns what was found, and the strictest verdict.
    pub fn apply(self, params: &mut Object, retry: Option<&mut Retry>) -> (Found, Verdict) {
        let mut all = Inspected::default();
        let mut retry = retry;
        for (part, inspected) in self.0 {
            all.found.add(inspected.found);
            all.judge(inspected.verdict);
            let Some(text) = inspected.text.map(Bytes::from) else { continue };
            match part {
                Part::Member(name) => params.set(name, Value::Raw(text)),
                Part::Params => {
                    let meta = params.remove("_meta");
                    *params = Object::parse(&text).unwrap_or_default();
                    if let Some(meta) = meta {
                        params.set("_meta", meta);
                    }
                }
                Part::Responses => {
                    if let (Some(retry), Some(responses)) = (&mut retry, Object::parse(&text)) {
                        retry.responses = responses;
                    }
                }
                Part::Uri => {}
            }
        }
        (all.found, all.verdict)
    }
}

impl Refused {
    /// The error for a caller. `subject` is what contains it: `The arguments contain`.
    pub fn error(&self, subject: &str, call: &str) -> RpcError {
        let (what, place) = (&self.what, &self.place);
        let at = if place.is_empty() { String::new() } else { format!(" at {place}") };
        let message = format!("{subject} {what}{at}, which this gateway does not let pass");
        let mut data = serde_json::json!({
            "kind": Kind::Denied.as_str(),
            "code": self.code,
            "retryable": false,
            "call": call,
        });
        if !place.is_empty() {
            data["place"] = place.as_str().into();
        }
        RpcError::new(Kind::Denied.code(), message).with_data(&data)
    }
}
