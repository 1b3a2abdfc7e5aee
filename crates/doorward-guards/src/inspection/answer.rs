//! The inspection of what servers return: results, errors, notifications.

use bytes::Bytes;
use doorward_inspect::{Opaque, Subject};
use doorward_mcp::interaction::result_type;
use doorward_mcp::{Object, RpcError, Value};

use super::found::{Inspected, Verdict};
use super::{Guard, opaque};

/// The texts of an error that a client is told.
#[derive(Debug, Clone)]
pub struct ErrorTexts {
    /// The number of the error; 0 for the gateway's own.
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

impl ErrorTexts {
    /// About how long they are.
    pub fn bytes(&self) -> usize {
        self.message.len() + self.data.as_ref().map_or(0, |data| data.to_bytes().len())
    }
}

impl From<&RpcError> for ErrorTexts {
    fn from(error: &RpcError) -> Self {
        Self { code: error.code, message: error.message.clone(), data: error.data.clone() }
    }
}

impl Guard {
    /// Inspects the result of a method, and what a task returns within it.
    pub fn result(&self, of: &str, result: Object) -> (Inspected, Option<Object>) {
        let opaque = opaque::of_result(of, &result);
        self.opened(result, &opaque, opaque::is_of_task(of))
    }

    fn opened(
        &self,
        mut result: Object,
        opaque: &Opaque,
        of_task: bool,
    ) -> (Inspected, Option<Object>) {
        let inner =
            result.get("result").and_then(Value::as_object).map(std::borrow::Cow::into_owned);
        let (mut inspected, mut changed) = self.whole(&mut result, inner.is_some(), opaque);
        if let Some(inner) = inner {
            // As the result of the call that has become a task: fields are relative to it.
            let opaque = if of_task { opaque::of_task(&inner) } else { Opaque::default() };
            let (found, own) = self.opened(inner, &opaque, false);
            if let Some(own) = own {
                result.set("result", own);
                changed = true;
            }
            inspected.found.add(found.found);
            inspected.judge(found.verdict);
        }
        (inspected, changed.then_some(result))
    }

    /// Inspects a result but for what a task returns. Returns whether it was changed.
    fn whole(&self, result: &mut Object, has_inner: bool, opaque: &Opaque) -> (Inspected, bool) {
        let subject = match &*result_type(result) {
            "input_required" => Subject::Request,
            _ => Subject::Content,
        };
        let outer = if has_inner {
            let mut outer = result.clone();
            outer.set("result", Value::null());
            outer.to_bytes()
        } else {
            result.to_bytes()
        };
        let Ok(text) = std::str::from_utf8(&outer) else { return (Inspected::default(), false) };
        let mut inspected = self.returned(text, opaque, subject);
        let Some(changed) = inspected.text.take().and_then(|text| Object::parse(&text.into()))
        else {
            return (inspected, false);
        };
        let inner = has_inner.then(|| result.remove("result")).flatten();
        *result = changed;
        if let Some(inner) = inner {
            result.set("result", inner);
        }
        (inspected, true)
    }

    /// Inspects the texts of an error. Returns the texts as they may pass, if they are changed.
    pub fn error(&self, error: &ErrorTexts) -> (Inspected, Option<ErrorTexts>) {
        let mut object = Object::new();
        object.set("message", &*error.message);
        if let Some(data) = &error.data {
            object.set("data", data.clone());
        }
        let text = object.to_bytes();
        let Ok(text) = std::str::from_utf8(&text) else { return (Inspected::default(), None) };
        let opaque = opaque::of_error(error.code, error.data.as_ref());
        let mut inspected = self.returned(text, &opaque, Subject::Content);
        let changed = inspected.text.take().and_then(|text| {
            let object = Object::parse(&Bytes::from(text))?;
            let message = object.string("message")?.into_owned();
            Some(ErrorTexts { code: error.code, message, data: object.get("data").cloned() })
        });
        (inspected, changed)
    }

    /// Inspects the parameters of a notification. Returns them as they may pass; `None` if it must not be sent.
    pub(super) fn notification(&self, params: Object) -> (Inspected, Option<Object>) {
        let bytes = params.to_bytes();
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return (Inspected::default(), Some(params));
        };
        let mut inspected = self.returned(text, &opaque::of_notification(), Subject::Content);
        if matches!(inspected.verdict, Verdict::Refuse(_)) {
            return (inspected, None);
        }
        let changed = inspected.text.take().and_then(|text| Object::parse(&text.into()));
        (inspected, Some(changed.unwrap_or(params)))
    }
}
