//! What a check is asked about: a call with its arguments, or the answer to one.

use std::collections::BTreeSet;

use doorward_config::{CheckWhen, SendPart};
use doorward_mcp::{Object, Value};
use serde_json::json;

use crate::media;

/// Which part of a call `body` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Arguments,
    Result,
    /// The server's error: `code`, `message`, `data`.
    Error,
    /// The definition of a tool, prompt, resource or template, or how a server describes itself.
    Definition,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Result => "result",
            Self::Error => "error",
            Self::Definition => "definition",
        }
    }
}

/// A value without its secrets, as JSON; `None` if it is too long to be inspected.
pub type Mask<'a> = &'a (dyn Fn(serde_json::Value) -> Option<String> + Send + Sync);

/// A value is too long to be masked.
#[derive(Debug)]
pub struct TooLong;

/// A call, or the answer to one, and what is known of it.
pub struct Subject<'a> {
    /// The id of the call; for a definition, of the question.
    pub call: &'a str,
    pub server: &'a str,
    pub method: &'a str,
    /// The tool, prompt or resource by the server's own name; `None` for a task.
    pub name: Option<&'a str>,
    /// What else checks receive, such as `principal`: an object.
    pub about: serde_json::Value,
    pub mask: Mask<'a>,
    pub part: Part,
    /// The arguments, or the answer; what checks change.
    pub body: Object,
    /// Classes of data that were found in it, and labels; both grow with what checks say.
    pub data: BTreeSet<String>,
    pub labels: BTreeSet<String>,
}

impl Subject<'_> {
    pub fn when(&self) -> CheckWhen {
        match self.part {
            Part::Arguments => CheckWhen::Before,
            Part::Result | Part::Error => CheckWhen::After,
            Part::Definition => CheckWhen::Definition,
        }
    }

    /// The pointers of encoded media in the body: what is no text.
    pub(super) fn media(&self) -> Vec<String> {
        if self.part != Part::Result {
            return Vec::new();
        }
        let mut media = media::of_result(Some(self.method), &self.body);
        // What a task returns is in a member of its own.
        if let Some(inner) = self.body.object("result").filter(|_| self.name.is_none()) {
            let inner = media::of_result(None, &inner);
            media.extend(inner.into_iter().map(|at| format!("/result{at}")));
        }
        media
    }

    /// The arguments or the answer as a check may see them; `None` where it may not.
    pub(super) fn part(&self, send: SendPart) -> Result<Option<serde_json::Value>, TooLong> {
        match send {
            SendPart::None => Ok(None),
            SendPart::Whole => Ok(Some(self.body.to_serde())),
            SendPart::Masked => {
                let text = (self.mask)(self.body.to_serde()).ok_or(TooLong)?;
                serde_json::from_str(&text).map(Some).map_err(|_| TooLong)
            }
        }
    }

    /// The request in Doorward's own form.
    pub(super) fn request(&self, send: SendPart) -> Result<Object, TooLong> {
        let mut request = Object::from_serde(&self.about).unwrap_or_default();
        request.set("version", Value::number(1));
        request.set("when", self.when().as_str());
        request.set("server", self.server);
        if let Some(name) = self.name {
            request.set("name", name);
        }
        if self.part != Part::Definition {
            request.set("call", self.call);
            request.set("method", self.method);
            for (name, set) in [("data", &self.data), ("labels", &self.labels)] {
                request.set(name, Value::from_serde(&json!(set)));
            }
        }
        match send {
            // Numbers stay as they are written.
            SendPart::Whole => request.set(self.part.as_str(), Value::Object(self.body.clone())),
            send => {
                if let Some(value) = self.part(send)? {
                    request.set(self.part.as_str(), Value::from_serde(&value));
                }
            }
        }
        Ok(request)
    }
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("call", &self.call).finish_non_exhaustive()
    }
}
