//! Streamable HTTP of 2025-03-26 to 2025-11-25, for handshake-era clients (spec 2025-11-25 basic/transports).

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use doorward_mcp::meta::Client;
use doorward_mcp::{
    Id, Message, Object, Revision, RpcError, Value, capabilities, headers, message, method, sse,
};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::sync::oneshot;

use super::accept::Form;
use super::call_stream;
use super::{Body, Visit, converse, empty, error_response, events, json};
use doorward_core::byte_queue;
use doorward_gateway::call::{CallError, Events, Pauses, Portal, Protocol};
use doorward_gateway::gateway::Gateway;
use doorward_gateway::pipeline::{Refusal, refusal};
use doorward_gateway::sessions::{Begun, Opening, Session};
use doorward_identity::identity::Caller;
use doorward_observability::telemetry::context;
use doorward_web::streams::OutStream;

/// Opens a session and answers `initialize`.
pub fn initialize(
    gateway: &Arc<Gateway>,
    Visit { caller, portal, form, discovery }: Visit,
    id: &Id,
    params: &Object,
) -> Response<Body> {
    let asked = match read_initialize(params) {
        Ok(asked) => asked,
        Err(error) => return error_response(StatusCode::BAD_REQUEST, Some(id), &error),
    };
    let (revision, client) = asked;
    let opening = Opening { portal, revision, client, protocol: Protocol::Mcp, discovery };
    let session = match gateway.sessions.prepare(caller, opening) {
        Ok(session) => session,
        Err(error) => return refused(id, error),
    };
    if let Err(refused) = super::admit_session(gateway, &session) {
        return *refused;
    }
    if let Err(error) = gateway.sessions.open(&session) {
        return refused(id, error);
    }
    let (gateway, id) = (gateway.clone(), id.clone());
    // What the servers offer may have to be found out first; the client waits on its stream.
    let header = HeaderValue::try_from(&*session.id).ok();
    let introducing = introduce(gateway, session, id);
    let mut response = match form {
        Form::Stream => {
            let event = async move { sse::encode(&introducing.await, None) };
            events(Body::stream(futures_util::stream::once(event)))
        }
        Form::Json | Form::Either => json_later(introducing),
    };
    if let Some(header) = header {
        response.headers_mut().insert(headers::SESSION_ID, header);
    }
    response
}

/// The asked revision and the client, from the params of `initialize`.
pub fn read_initialize(params: &Object) -> Result<(Revision, Client), RpcError> {
    let version = params
        .string("protocolVersion")
        .ok_or_else(|| RpcError::invalid_params("'protocolVersion' must be a string"))?;
    // Null is an empty object: some clients leave out no empty member.
    let member = |name: &str| match params.get(name) {
        Some(value) if value.is_null() => Ok(Cow::default()),
        value => value
            .and_then(Value::as_object)
            .ok_or_else(|| RpcError::invalid_params(format!("'{name}' must be an object"))),
    };
    let declared = member("capabilities")?;
    let info = member("clientInfo")?;
    // Copies, which do not hold the request that they came with for as long as the session lives.
    let copied = |object: &Object| Bytes::copy_from_slice(&object.to_bytes());
    let client = Client {
        info: (!info.is_empty()).then(|| copied(&info).into()),
        capabilities: Object::parse(&copied(&declared)).unwrap_or_default(),
        log_level: None,
    };
    client.check_size()?;
    let capabilities = capabilities::client_to_modern(&client.capabilities);
    let client = Client { capabilities, ..client };
    Ok((Revision::negotiate(&version), client))
}

async fn introduce(gateway: Arc<Gateway>, session: Arc<Session>, id: Id) -> Bytes {
    match converse::introduce(&gateway, &session).await {
        Ok(result) => message::response(&id, &result),
        Err(refusal) => {
            gateway.sessions.end(&session);
            message::error_response(Some(&id), &refusal.error)
        }
    }
}

/// A JSON body that is not there yet.
fn json_later(text: impl Future<Output = Bytes> + Send + 'static) -> Response<Body> {
    let mut response = json(Bytes::new());
    *response.body_mut() = Body::stream(futures_util::stream::once(text));
    response
}

fn refused(id: &Id, error: CallError) -> Response<Body> {
    let Refusal { error, status, .. } = refusal(error, "", "");
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    error_response(status.unwrap_or(StatusCode::OK), Some(id), &error)
}

/// The session that a request names, and whether it may be spoken to in this revision.
pub fn session(
    gateway: &Gateway,
    caller: &Caller,
    portal: &Portal,
    sent: &HeaderMap,
) -> Result<Arc<Session>, (StatusCode, RpcError)> {
    let Some(id) = sent.get(headers::SESSION_ID) else {
        let error = RpcError::invalid_request("The 'Mcp-Session-Id' header is missing");
        return Err((StatusCode::BAD_REQUEST, error));
    };
    let id = id.to_str().unwrap_or_default();
    let found = gateway.sessions.find(id, &caller.principal, Some(portal));
    let session = found.ok_or_else(|| {
        let why = "Session not found: open a new one with 'initialize'";
        (StatusCode::NOT_FOUND, RpcError::invalid_request(why))
    })?;
    if let Some(version) = sent.get(headers::PROTOCOL_VERSION) {
        let said = version.to_str().ok().and_then(|text| text.parse::<Revision>().ok());
        if said.is_none_or(Revision::is_modern) {
            let why = format!("'MCP-Protocol-Version' must be {}", session.revision());
            return Err((StatusCode::BAD_REQUEST, RpcError::invalid_request(why)));
        }
    }
    Ok(session)
}

/// One message in a session.
pub async fn post(
    gateway: Arc<Gateway>,
    Visit { caller, portal, form, .. }: Visit,
    sent: &HeaderMap,
    message: Message,
) -> Response<Body> {
    let session = match session(&gateway, &caller, &portal, sent) {
        Ok(session) => session,
        Err((status, error)) => return error_response(status, id_of(&message), &error),
    };
    match message {
        Message::Request { id, method, params } => {
            let begun = match session.begin(&id) {
                Ok(begun) => begun,
                Err(error) => return error_response(StatusCode::BAD_REQUEST, Some(&id), &error),
            };
            let mut params = params;
            context::adopt(&mut params, sent);
            let requests = vec![Request { id, method, params, begun }];
            if let Err(refused) = admit(&gateway, &session, &caller, &requests) {
                return *refused;
            }
            run(gateway, session, caller, requests, false, form).await
        }
        other => {
            take(&session, other);
            empty(StatusCode::ACCEPTED)
        }
    }
}

fn id_of(message: &Message) -> Option<&Id> {
    match message {
        Message::Request { id, .. } => Some(id),
        _ => None,
    }
}

/// A notification or an answer of the client's.
pub fn take(session: &Session, message: Message) {
    match message {
        Message::Notification { method, params } if *method == *method::CANCELLED => {
            if let Some(id) = params.get("requestId").and_then(Id::read) {
                session.cancel(&id);
            }
        }
        Message::Response { id, result } => session.answer(&id, Ok(result)),
        Message::Error { id: Some(id), error } => session.answer(&id, Err(error)),
        // `initialized` needs nothing; a change of roots has no counterpart: roots are asked anew.
        Message::Notification { .. }
        | Message::Error { id: None, .. }
        | Message::Request { .. } => {}
    }
}

/// Whether the caller's token is enough for each of the requests, as far as a status can tell.
pub fn admit(
    gateway: &Arc<Gateway>,
    session: &Session,
    caller: &Caller,
    requests: &[Request],
) -> Result<(), Box<Response<Body>>> {
    for request in requests {
        if gateway.is_unrestricted(&caller.principal, &session.portal) {
            break;
        }
        let call =
            converse::new_call(gateway, session, caller, &request.method, request.params.clone());
        super::admit(gateway, &call)?;
    }
    Ok(())
}

pub struct Request {
    pub id: Id,
    pub method: Box<str>,
    pub params: Object,
    pub begun: Begun,
}

/// What the client gets: a text if the answer comes first, a stream as soon as anything else does.
enum First {
    Text(Option<Bytes>),
    Stream(Body),
}

/// Runs requests apart from the connection, for a client that loses it has not cancelled anything.
pub async fn run(
    gateway: Arc<Gateway>,
    session: Arc<Session>,
    caller: Caller,
    requests: Vec<Request>,
    batch: bool,
    form: Form,
) -> Response<Body> {
    let (decided, first) = oneshot::channel();
    let tasks = gateway.shared.tasks.clone();
    tasks.spawn(async move {
        let (sender, messages, pauses) = Events::with_pauses(32);
        let sender = sender.counted(gateway.unread.counter(&caller.principal));
        let sender = if form.may_stream() { sender } else { sender.one_way() };
        let answering =
            answer_all(gateway.clone(), session.clone(), caller, requests, batch, sender);
        let interim = Interim { messages, pauses };
        follow(&gateway, &session, answering, interim, decided, form).await;
    });
    match first.await {
        Ok(First::Text(Some(text))) => json(text),
        // Cancelled by the client: there is no answer (spec 2025-11-25 basic/utilities/cancellation).
        Ok(First::Text(None)) | Err(_) => empty(StatusCode::ACCEPTED),
        Ok(First::Stream(body)) => events(body),
    }
}

/// The answers to all requests; `None` when all were cancelled.
async fn answer_all(
    gateway: Arc<Gateway>,
    session: Arc<Session>,
    caller: Caller,
    requests: Vec<Request>,
    batch: bool,
    events: Events,
) -> Option<Bytes> {
    let answers = join_all(requests.into_iter().map(|request| {
        let (gateway, session, caller, events) = (&gateway, &session, &caller, &events);
        async move {
            let Request { id, method, params, begun } = request;
            tokio::select! {
                answer = converse::answer(gateway, session, caller, &id, &method, params, events) => Some(answer),
                () = begun.cancelled.cancelled() => None,
            }
        }
    }))
    .await;
    let mut answers: Vec<Bytes> = answers.into_iter().flatten().collect();
    if !batch || answers.is_empty() {
        return answers.pop();
    }
    Some(Value::array(&answers.into_iter().map(Value::Raw).collect::<Vec<_>>()).to_bytes())
}

/// What is sent to the client before a response.
struct Interim {
    messages: byte_queue::Receiver<Bytes>,
    /// The server sends the gateway away for a while.
    pauses: Pauses,
}

async fn follow(
    gateway: &Gateway,
    session: &Arc<Session>,
    answering: impl Future<Output = Option<Bytes>>,
    interim: Interim,
    decided: oneshot::Sender<First>,
    form: Form,
) {
    tokio::pin!(answering);
    let Interim { messages: mut receiver, mut pauses } = interim;
    let mut answered = None;
    let stream_after = gateway.shared.timeouts.stream_after.0;
    let event = if form == Form::Stream {
        None
    } else {
        match call_stream::first(&mut answering, &mut receiver, form, stream_after).await {
            call_stream::First::Event(event) => Some(event),
            call_stream::First::Silence => None,
            call_stream::First::Answer(answer) => match receiver.try_recv() {
                // It sent something and ended at once: what it sent comes first.
                Ok(event) if form.may_stream() => {
                    answered = Some(answer);
                    Some(event)
                }
                _ => {
                    let _ = decided.send(First::Text(answer));
                    return;
                }
            },
        }
    };
    let stream = session.new_stream();
    let keep_alive = gateway.shared.timeouts.keep_alive.0;
    if let Ok(connection) = stream.connect(None, session.revision().primes_streams(), keep_alive) {
        let _ = decided.send(First::Stream(Body::stream(connection)));
    }
    if let Some(event) = event {
        stream.push(&event).await;
    }
    let can_pause = session.revision().primes_streams();
    let answer = loop {
        if let Some(answer) = answered.take() {
            break answer;
        }
        tokio::select! {
            biased;
            Some(event) = receiver.recv() => stream.push(&event).await,
            Some(retry) = pauses.away.recv(), if can_pause => stream.pause(retry).await,
            () = stream.returned() => pauses.back.notify_one(),
            answer = &mut answering => break answer,
        }
    };
    while let Ok(event) = receiver.try_recv() {
        stream.push(&event).await;
    }
    if let Some(answer) = answer {
        stream.push(&answer).await;
    }
    stream.end();
}

/// The listening stream of a session, or one taken up again.
pub fn get(
    gateway: &Arc<Gateway>,
    caller: &Caller,
    portal: &Portal,
    sent: &HeaderMap,
) -> Response<Body> {
    if !super::accept::accepts(sent, "text/event-stream") {
        let error = RpcError::invalid_request("'Accept' must list text/event-stream");
        return error_response(StatusCode::NOT_ACCEPTABLE, None, &error);
    }
    // The modern era has no GET (spec 2026-07-28 basic/transports/streamable-http).
    if !sent.contains_key(headers::SESSION_ID) {
        return super::not_allowed("POST");
    }
    let session = match session(gateway, caller, portal, sent) {
        Ok(session) => session,
        Err((status, error)) => return error_response(status, None, &error),
    };
    let keep_alive = gateway.shared.timeouts.keep_alive.0;
    let prime = session.revision().primes_streams();
    let last = sent.get(headers::LAST_EVENT_ID).map(|value| value.to_str().unwrap_or_default());
    let (stream, after): (Arc<OutStream>, _) = match last.map(OutStream::parse_id) {
        None => (session.main.clone(), None),
        Some(Some((stream, number))) => match session.stream(stream) {
            Some(stream) => (stream, Some(number)),
            None => return gone(),
        },
        Some(None) => {
            let error =
                RpcError::invalid_request("'Last-Event-ID' does not belong to this session");
            return error_response(StatusCode::BAD_REQUEST, None, &error);
        }
    };
    if !session.is_listening() {
        let (gateway, session) = (gateway.clone(), session.clone());
        let tasks = gateway.shared.tasks.clone();
        tasks.spawn(async move {
            if let Err(error) = session.listen(&gateway).await {
                tracing::info!(error = error.logged(), "a session cannot listen");
                session.main.end();
            }
        });
    }
    match stream.connect(after, prime, keep_alive) {
        Ok(connection) => events(Body::endless(connection)),
        Err(doorward_web::streams::Gap) => gone(),
    }
}

/// What was missed is not kept any more: the stream says so by ending at once.
fn gone() -> Response<Body> {
    events(Body::empty())
}

/// Ends a session.
pub fn delete(
    gateway: &Arc<Gateway>,
    caller: &Caller,
    portal: &Portal,
    sent: &HeaderMap,
) -> Response<Body> {
    if !sent.contains_key(headers::SESSION_ID) {
        return super::not_allowed("POST");
    }
    match session(gateway, caller, portal, sent) {
        Ok(session) => {
            gateway.sessions.end(&session);
            empty(StatusCode::NO_CONTENT)
        }
        Err((status, error)) => error_response(status, None, &error),
    }
}
