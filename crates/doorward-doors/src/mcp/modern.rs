//! Streamable HTTP of 2026-07-28: one request, one response, no state (spec 2026-07-28
//! basic/transports/streamable-http).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use doorward_mcp::interaction::Retry;
use doorward_mcp::{Id, Object, Revision, RpcError, headers, message, meta, method, sse};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::accept::{Form, needs_stream};
use super::call_stream::{self, CallStream, Ending, First};
use super::listen_stream::{ListenStream, TaskReader};
use super::{Body, Visit, error_response, events, held_task, json, names};
use doorward_gateway::call::{Asks, Call, Events, Protocol, Reply};
use doorward_gateway::gateway::Gateway;
use doorward_gateway::pipeline::Refusal;
use doorward_limits::rates::Nearest;
use doorward_observability::telemetry::context;

/// How a client names the conversation that a request belongs to.
const CONVERSATION: &str = "doorward-conversation";
const CONVERSATION_META: &str = "doorward/conversation";

pub async fn post(
    gateway: Arc<Gateway>,
    visit: Visit,
    sent: &HeaderMap,
    id: Id,
    method: Box<str>,
    params: Object,
    version: &str,
) -> Response<Body> {
    let form = visit.form;
    let mut params = params;
    context::adopt(&mut params, sent);
    let mut call = match read(&gateway, sent, visit, &method, params, version) {
        Ok(call) => call,
        Err((status, error)) => return error_response(status, Some(&id), &error),
    };
    if let Err(refused) = super::admit(&gateway, &call) {
        return *refused;
    }
    if !form.may_stream() && call.method.as_ref() == method::LISTEN {
        let error = needs_stream("Listening for changes");
        return error_response(StatusCode::NOT_ACCEPTABLE, Some(&id), &error);
    }
    let timeouts = &gateway.shared.timeouts;
    let (keep_alive, stream_after) = (timeouts.keep_alive.0, timeouts.stream_after.0);
    let nearest = gateway.limiter.reports_remaining().then(Arc::<OnceLock<Nearest>>::default);
    call.notes.nearest.clone_from(&nearest);
    let (sender, mut receiver) = Events::channel(gateway.shared.limits.queue.min(32));
    let sender = sender.counted(gateway.unread.counter(&call.caller.principal));
    let tasks = TaskReader::of(&gateway, &call);
    let mut run = Box::pin(held_task::run(gateway, call, sender));
    let first = call_stream::first(&mut run, &mut receiver, form, stream_after).await;
    let event = match first {
        First::Answer(reply) => {
            let told = if form.may_stream() { receiver.try_recv().ok() } else { None };
            let mut response = match told {
                // The run told something and ended in one go.
                Some(event) => {
                    let ending = ending(id, reply, keep_alive, tasks);
                    CallStream::ended(&event, ending, receiver, keep_alive).response()
                }
                None => answer(id, reply, keep_alive, tasks, form == Form::Stream),
            };
            tell_nearest(&nearest, response.headers_mut());
            return response;
        }
        First::Event(event) => Some(event),
        First::Silence => None,
    };
    let run = async move { ending(id, run.await, keep_alive, tasks) };
    let stream = CallStream::new(event, run, receiver, keep_alive);
    let mut response = stream.response();
    tell_nearest(&nearest, response.headers_mut());
    response
}

/// Tells what is left of the nearest limit, unless it is told already that one was hit.
pub(crate) fn tell_nearest(nearest: &Option<Arc<OnceLock<Nearest>>>, headers: &mut HeaderMap) {
    let nearest = nearest.as_ref().and_then(|nearest| nearest.get());
    if let Some(nearest) = nearest
        && !headers.contains_key(RETRY_AFTER)
    {
        nearest.tell(headers);
    }
}

/// What a call's stream ends with: its answer, or what is listened to.
fn ending(
    id: Id,
    reply: Result<Reply, Refusal>,
    keep_alive: Duration,
    tasks: Option<TaskReader>,
) -> Ending {
    match reply {
        Ok(Reply::Result(result)) => message::response(&id, &result).into(),
        // Its own run has answered it.
        Ok(Reply::Held(_)) => message::response(&id, &Object::new()).into(),
        Ok(Reply::Listening(listener)) => {
            Ending::Frames(Box::pin(ListenStream::new(id, listener, keep_alive, tasks)))
        }
        Err(refusal) => message::error_response(Some(&id), &refusal.error).into(),
    }
}

/// Checks what the headers and `_meta` must say, and makes a call of it.
fn read(
    gateway: &Gateway,
    sent: &HeaderMap,
    visit: Visit,
    method: &str,
    mut params: Object,
    version: &str,
) -> Result<Box<Call>, (StatusCode, RpcError)> {
    let bad = |error: RpcError| {
        let status =
            if error.code == doorward_mcp::error::code::METHOD_NOT_FOUND { 404 } else { 400 };
        (StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), error)
    };
    let values = |name: &HeaderName| sent.get_all(name).into_iter().map(HeaderValue::as_bytes);
    headers::check(headers::PROTOCOL_VERSION, values(&names::PROTOCOL_VERSION), version)
        .map_err(bad)?;
    if version != Revision::NEWEST.as_str() {
        return Err(bad(RpcError::unsupported_version(version, &[Revision::NEWEST])));
    }
    headers::check(headers::METHOD, values(&names::METHOD), method).map_err(bad)?;
    if let Some(member) = method::name_member(method)
        && let Some(name) = params.string(member)
    {
        headers::check(headers::NAME, values(&names::NAME), &name).map_err(bad)?;
    }
    let client = meta::take_client(&mut params).map_err(bad)?;
    let conversation = conversation(sent, &mut params).map_err(bad)?;
    if method::is_handshake_only(method) {
        return Err(bad(RpcError::method_not_found(method)));
    }
    let retry = if method::may_ask_for_input(method) {
        Retry::take(&mut params).map_err(|why| bad(RpcError::invalid_params(why)))?
    } else {
        None
    };
    let mut param_headers = HeaderMap::new();
    if method == method::TOOLS_CALL {
        let mirrors =
            sent.iter().filter(|(name, _)| name.as_str().starts_with(headers::PARAM_PREFIX));
        param_headers.extend(mirrors.map(|(name, value)| (name.clone(), value.clone())));
    }
    let asks = Asks {
        caller: visit.caller,
        protocol: Protocol::Mcp,
        portal: visit.portal,
        revision: Revision::NEWEST,
        client: Arc::new(client),
        session: None,
        conversation,
        retry,
        param_headers: Some(param_headers),
        discovery: visit.discovery,
    };
    Ok(gateway.call(asks, method, params))
}

/// The conversation that a client says that a request belongs to, in a header or in `_meta`.
pub(crate) fn conversation(
    sent: &HeaderMap,
    params: &mut Object,
) -> Result<Option<Box<str>>, RpcError> {
    let taken = params.object_mut("_meta").and_then(|meta| meta.remove(CONVERSATION_META));
    meta::drop_empty(params);
    let header = match sent.get(CONVERSATION) {
        None => None,
        Some(value) => {
            let text = value.to_str().ok().filter(|text| !text.is_empty());
            let wrong =
                || RpcError::invalid_request(format!("'{CONVERSATION}' must be ASCII text"));
            Some(Box::<str>::from(text.ok_or_else(wrong)?))
        }
    };
    let wrong = || RpcError::invalid_params(format!("'{CONVERSATION_META}' must be a string"));
    let member = match taken.filter(|value| !value.is_null()) {
        None => None,
        Some(value) => Some(Box::<str>::from(&*value.as_str().ok_or_else(wrong)?)),
    };
    match (header, member) {
        (Some(header), Some(member)) if header != member => Err(RpcError::header_mismatch(
            format!("'{CONVERSATION}' and '{CONVERSATION_META}' are not the same"),
        )),
        (header, member) => Ok(header.or(member)),
    }
}

/// The answer to a call that had nothing to tell before it.
fn answer(
    id: Id,
    reply: Result<Reply, Refusal>,
    keep_alive: Duration,
    tasks: Option<TaskReader>,
    streamed: bool,
) -> Response<Body> {
    match reply {
        Ok(Reply::Result(result)) if streamed => {
            events(Body::full(sse::encode(&message::response(&id, &result), None)))
        }
        Ok(Reply::Result(result)) => json(message::response(&id, &result)),
        // Its own run has answered it.
        Ok(Reply::Held(_)) => json(message::response(&id, &Object::new())),
        Ok(Reply::Listening(listener)) => {
            events(Body::endless(ListenStream::new(id, listener, keep_alive, tasks)))
        }
        Err(Refusal { error, status, limited }) => {
            let status = status.unwrap_or_else(|| error.modern_status());
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let mut response = error_response(status, Some(&id), &error);
            match limited {
                Some(limited) => limited.tell(response.headers_mut()),
                None if matches!(status.as_u16(), 429 | 503) => {
                    super::ask_to_come_back(&mut response);
                }
                None => {}
            }
            response
        }
    }
}
