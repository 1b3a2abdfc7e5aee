//! The JSON-RPC binding (spec 1.0 §9, 0.3 §3.2.1).

use bytes::{BufMut, Bytes, BytesMut};
use doorward_mcp::json::{Fault, Limits, Value, scan_object};
use doorward_mcp::{Id, Message, RpcError};

use crate::error::{self, Error, ErrorKind, Invalid};
use crate::event::Event;
use crate::fields::{Fields, Reading};
use crate::http::wrong_revision;
use crate::out::Out;
use crate::params;
use crate::reply::Reply;
use crate::request::{Method, Request};
use crate::revision::{Binding, Form, Revision};

/// A request that is refused: the answer to it, with its id if that could be read.
#[derive(Debug, Clone)]
pub struct Refused {
    pub id: Option<Id>,
    pub error: Error,
}

/// Reads a request of a client.
///
/// # Errors
/// `Parse`, `InvalidRequest` (also for batches and notifications, which the protocol does not have), `MethodNotFound`,
/// `VersionNotSupported` for a method of the other revision, `InvalidParams`.
pub fn read(body: &Bytes, revision: Revision, limits: Limits) -> Result<(Id, Request), Refused> {
    let refuse =
        |id: Option<Id>, kind, message: String| Refused { id, error: Error::new(kind, message) };
    let message = Message::parse(body, limits).map_err(|invalid| {
        let is_json = matches!(invalid, doorward_mcp::message::Invalid::Message { .. });
        let kind = if is_json { ErrorKind::InvalidRequest } else { ErrorKind::Parse };
        refuse(invalid.id(), kind, invalid.to_string())
    })?;
    let (id, method, params) = match message {
        Message::Request { id, method, params } => (id, method, params),
        Message::Notification { .. } => {
            return Err(refuse(
                None,
                ErrorKind::InvalidRequest,
                "a request needs an 'id'".to_owned(),
            ));
        }
        Message::Response { .. } | Message::Error { .. } => {
            let why = "a request is expected here, not a response".to_owned();
            return Err(refuse(None, ErrorKind::InvalidRequest, why));
        }
    };
    let Some(method) = Method::of_name(&method, revision) else {
        let other =
            Revision::ALL.into_iter().find(|other| Method::of_name(&method, *other).is_some());
        let error = match other {
            Some(other) => wrong_revision("this method", other),
            None => Error::new(ErrorKind::MethodNotFound, "there is no such method in A2A"),
        };
        return Err(Refused { id: Some(id), error });
    };
    let reading = Reading { form: Form::of(revision, Binding::JsonRpc), strict: true };
    let request = Fields::open(&Value::Object(params), reading)
        .and_then(|fields| params::read(method, fields));
    match request {
        Ok(request) => Ok((id, request)),
        Err(invalid) => Err(Refused { id: Some(id), error: invalid.of_request() }),
    }
}

/// The request to an agent.
///
/// # Errors
/// If the revision does not have the operation.
pub fn write(id: &Id, request: &Request, revision: Revision) -> Result<Bytes, Invalid> {
    let method = request.method().name(revision);
    let method = method
        .ok_or_else(|| Invalid::new(format!("A2A {} cannot list tasks", revision.as_str())))?;
    let form = Form::of(revision, Binding::JsonRpc);
    let params = Out::of(form, |out| params::write(request, out));
    Ok(envelope(Some(id), |out| {
        out.put_slice(b"\"method\":\"");
        out.put_slice(method.as_bytes());
        out.put_slice(b"\",\"params\":");
        out.put_slice(&params);
    }))
}

/// The response with a result.
pub fn write_reply(id: &Id, reply: &Reply, revision: Revision) -> Bytes {
    result(id, &Out::of(Form::of(revision, Binding::JsonRpc), |out| reply.write(out)))
}

/// The data of an SSE event.
pub fn write_event(id: &Id, event: &Event, revision: Revision) -> Bytes {
    result(id, &Out::of(Form::of(revision, Binding::JsonRpc), |out| event.write(out)))
}

/// The response with an error; also the data of an SSE event that ends a stream. `id` is `None` if it could not be read.
pub fn write_error(id: Option<&Id>, error: &Error, revision: Revision) -> Bytes {
    let error = error.to_rpc(revision);
    envelope(id, |out| {
        out.put_slice(b"\"error\":");
        error.write(out);
    })
}

fn result(id: &Id, result: &Bytes) -> Bytes {
    envelope(Some(id), |out| {
        out.put_slice(b"\"result\":");
        out.put_slice(result);
    })
}

fn envelope(id: Option<&Id>, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(512);
    out.put_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    match id {
        Some(id) => id.write(&mut out),
        None => out.put_slice(b"null"),
    }
    out.put_u8(b',');
    write(&mut out);
    out.put_u8(b'}');
    out.freeze()
}

/// Reads an agent's response to a request with this id.
///
/// # Errors
/// What the agent has answered with; `InvalidAgentResponse` if that is none of the protocol.
pub fn read_reply(
    method: Method,
    body: &Bytes,
    id: &Id,
    revision: Revision,
    limits: Limits,
) -> Result<Reply, Error> {
    let result = read_result(body, id, limits)?;
    let reading = Reading { form: Form::of(revision, Binding::JsonRpc), strict: false };
    Reply::read(method, &result, reading).map_err(|invalid| invalid.of_agent())
}

/// Reads the data of an SSE event of an agent's stream.
///
/// # Errors
/// As [`read_reply`].
pub fn read_event(
    data: &Bytes,
    id: &Id,
    revision: Revision,
    limits: Limits,
) -> Result<Event, Error> {
    let result = read_result(data, id, limits)?;
    let reading = Reading { form: Form::of(revision, Binding::JsonRpc), strict: false };
    Event::read_value(&result, reading).map_err(|invalid| invalid.of_agent())
}

/// The result of a response: any JSON, for 0.3 has arrays and `null`.
fn read_result(body: &Bytes, id: &Id, limits: Limits) -> Result<Value, Error> {
    let invalid = |why: &str| Invalid::new(why).of_agent();
    let mut envelope =
        scan_object(body, limits).map_err(|fault: Fault| invalid(&fault.to_string()))?;
    if envelope.string("jsonrpc").as_deref() != Some("2.0") {
        return Err(invalid("'jsonrpc' must be \"2.0\""));
    }
    if let Some(error) = envelope.object("error") {
        let error = RpcError::read(&error);
        let error =
            error.ok_or_else(|| invalid("'error' needs an integer 'code' and a 'message'"))?;
        return Err(error::read_rpc(&error));
    }
    if envelope.get("id").and_then(Id::read).as_ref() != Some(id) {
        return Err(invalid("the response has another id than the request"));
    }
    envelope.remove("result").ok_or_else(|| invalid("'result' or 'error' is missing"))
}
