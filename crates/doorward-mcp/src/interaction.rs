//! `input_required` results and the responses to them (spec 2026-07-28 basic/patterns/mrtr).

use crate::json::{Object, Value};

pub const INPUT_RESPONSES: &str = "inputResponses";
pub const REQUEST_STATE: &str = "requestState";
pub const INPUT_REQUESTS: &str = "inputRequests";

/// A request from a server for input: `elicitation/create`, `sampling/createMessage` or `roots/list`.
#[derive(Debug, Clone)]
pub struct InputRequest {
    pub key: String,
    pub method: String,
    pub params: Object,
}

/// The input that a server requires to continue.
#[derive(Debug, Clone, Default)]
pub struct InputRequired {
    pub requests: Vec<InputRequest>,
    /// The client returns it unchanged; `None` if the server sent none.
    pub state: Option<String>,
}

/// The type of a result: complete, input required, or defined by an extension.
pub fn result_type(result: &Object) -> std::borrow::Cow<'_, str> {
    result.string("resultType").unwrap_or("complete".into())
}

/// Whether a tool result reports an error (spec 2026-07-28 server/tools, error handling).
pub fn is_tool_error(result: &Object) -> bool {
    result.get("isError").and_then(Value::as_bool) == Some(true)
}

impl InputRequired {
    /// Parses a result whose `resultType` is `input_required`. Fails if it has neither requests nor state, or a
    /// request without a method.
    pub fn read(result: &Object) -> Result<Self, &'static str> {
        let state = match result.get(REQUEST_STATE) {
            None => None,
            Some(state) => {
                Some(state.as_str().ok_or("'requestState' must be a string")?.into_owned())
            }
        };
        let mut requests = Vec::new();
        if let Some(asked) = result.get(INPUT_REQUESTS) {
            let asked = asked.as_object().ok_or("'inputRequests' must be an object")?;
            for member in asked.members() {
                let request =
                    member.value.as_object().ok_or("an input request must be an object")?;
                let method = request.string("method").ok_or("an input request has no method")?;
                requests.push(InputRequest {
                    key: String::from_utf8_lossy(&member.name).into_owned(),
                    method: method.into_owned(),
                    params: request
                        .object("params")
                        .map(std::borrow::Cow::into_owned)
                        .unwrap_or_default(),
                });
            }
        }
        if requests.is_empty() && state.is_none() {
            return Err("neither 'inputRequests' nor 'requestState'");
        }
        Ok(Self { requests, state })
    }

    pub fn to_result(&self) -> Object {
        let mut result = Object::new();
        result.set("resultType", "input_required");
        if !self.requests.is_empty() {
            result.set(INPUT_REQUESTS, requests(self.requests.iter().cloned()));
        }
        if let Some(state) = &self.state {
            result.set(REQUEST_STATE, state.as_str());
        }
        result
    }
}

/// Input requests as the object `inputRequests`.
pub fn requests(questions: impl IntoIterator<Item = InputRequest>) -> Object {
    let mut asked = Object::new();
    for request in questions {
        let mut entry = Object::new();
        entry.set("method", request.method.as_str());
        entry.set("params", request.params);
        asked.set(&request.key, entry);
    }
    asked
}

/// The input in a client's retry.
#[derive(Debug, Default)]
pub struct Retry {
    /// Bare results by key.
    pub responses: Object,
    pub state: Option<String>,
}

impl Retry {
    /// Removes `inputResponses` and `requestState` from a request; `None` if it has neither.
    pub fn take(params: &mut Object) -> Result<Option<Self>, &'static str> {
        // Null counts as absent, because some clients send empty members.
        let responses = params.remove(INPUT_RESPONSES).filter(|value| !value.is_null());
        let state = params.remove(REQUEST_STATE).filter(|value| !value.is_null());
        if responses.is_none() && state.is_none() {
            return Ok(None);
        }
        let responses = match responses {
            None => Object::new(),
            Some(value) => {
                value.as_object().ok_or("'inputResponses' must be an object")?.into_owned()
            }
        };
        let state = match state {
            None => None,
            Some(value) => {
                Some(value.as_str().ok_or("'requestState' must be a string")?.into_owned())
            }
        };
        Ok(Some(Self { responses, state }))
    }

    /// Adds the responses and the state that the server expects to a request.
    pub fn put(&self, params: &mut Object) {
        params.set(INPUT_RESPONSES, self.responses.clone());
        match &self.state {
            Some(state) => params.set(REQUEST_STATE, state.as_str()),
            None => {
                params.remove(REQUEST_STATE);
            }
        }
    }
}

/// A response that declines an input request; `None` if its method has none.
pub fn decline(method: &str) -> Option<Value> {
    (method == crate::method::ELICIT)
        .then(|| Value::Raw(bytes::Bytes::from_static(br#"{"action":"decline"}"#)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn writing_reverses_reading() {
        let text = r#"{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list","params":{}}},"requestState":"s"}"#;
        let result = Object::parse(&Bytes::from_static(text.as_bytes())).unwrap();
        let read = InputRequired::read(&result).unwrap();
        assert_eq!(read.requests[0].method, "roots/list");
        assert_eq!(read.to_result().to_bytes(), text);
    }

    #[test]
    fn a_retry_of_nulls_is_none() {
        let text = br#"{"name":"n","inputResponses":null,"requestState":null}"#;
        let mut params = Object::parse(&Bytes::from_static(text)).unwrap();
        assert!(Retry::take(&mut params).unwrap().is_none());
        assert_eq!(params.to_bytes(), r#"{"name":"n"}"#);
    }

    #[test]
    fn a_result_without_input_requests_is_refused() {
        let result = Object::parse(&Bytes::from_static(b"{\"resultType\":\"input_required\"}"));
        assert!(InputRequired::read(&result.unwrap()).is_err());
    }
}
