//! A handshake-era request without a session, as many scripts send it to servers without sessions. It is served as the
//! only request of its own session, in the revision of its header (spec 2025-06-18 basic/transports: 2025-03-26 without
//! one).

use std::collections::HashSet;
use std::sync::Arc;

use doorward_mcp::meta::Client;
use doorward_mcp::{Id, Message, Object, Revision, RpcError, Value, headers, method, sse};
use futures_util::future::join_all;
use http::{HeaderMap, Response, StatusCode};

use super::accept::Form;
use super::call_stream::{self, CallStream, First};
use super::{Body, Visit, converse, empty, error_response, events, json};
use doorward_gateway::call::{Events, Protocol};
use doorward_gateway::gateway::Gateway;
use doorward_gateway::pipeline::{Refusal, refusal};
use doorward_gateway::sessions::{Opening, Session};
use doorward_observability::telemetry::context;

pub struct Request {
    pub id: Id,
    pub method: Box<str>,
    pub params: Object,
    pub revision: Revision,
}

/// The revision that a request without a session is of, if its headers are those of the handshake
/// era. One that mirrors its method in a header is of the modern era, and lacks what that era needs.
pub fn revision(sent: &HeaderMap) -> Option<Revision> {
    let Some(version) = sent.get(headers::PROTOCOL_VERSION) else {
        let modern = sent.contains_key(headers::METHOD) || sent.contains_key(headers::NAME);
        return (!modern).then_some(Revision::V2025_03_26);
    };
    let revision: Revision = version.to_str().ok()?.parse().ok()?;
    (!revision.is_modern()).then_some(revision)
}

/// Ends the session with the request, however that ends.
struct Alone {
    gateway: Arc<Gateway>,
    session: Arc<Session>,
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.gateway.sessions.end(&self.session);
    }
}

pub async fn post(
    gateway: Arc<Gateway>,
    Visit { caller, portal, form, discovery }: Visit,
    sent: &HeaderMap,
    request: Request,
) -> Response<Body> {
    let Request { id, method, params, revision } = request;
    serve(
        gateway,
        Visit { caller, portal, form, discovery },
        sent,
        revision,
        vec![(id, method, params)],
        false,
    )
    .await
}

/// A batch without a session: its requests have one of their own together (spec 2025-03-26 basic/index).
pub async fn post_batch(
    gateway: Arc<Gateway>,
    visit: Visit,
    sent: &HeaderMap,
    revision: Revision,
    messages: Vec<Message>,
) -> Response<Body> {
    let requests = messages.into_iter().filter_map(|message| match message {
        Message::Request { id, method, params } => Some((id, method, params)),
        // Nothing is in progress that it could be about.
        Message::Notification { .. } | Message::Response { .. } | Message::Error { .. } => None,
    });
    let requests: Vec<_> = requests.collect();
    if requests.is_empty() {
        return empty(StatusCode::ACCEPTED);
    }
    serve(gateway, visit, sent, revision, requests, true).await
}

async fn serve(
    gateway: Arc<Gateway>,
    Visit { caller, portal, form, discovery }: Visit,
    sent: &HeaderMap,
    revision: Revision,
    mut requests: Vec<(Id, Box<str>, Object)>,
    batch: bool,
) -> Response<Body> {
    let first = requests.first().filter(|_| !batch).map(|(id, ..)| id.clone());
    let refused = |status, error: &RpcError| error_response(status, first.as_ref(), error);
    let mut ids = HashSet::new();
    if !requests.iter().all(|(id, ..)| ids.insert(id.clone())) {
        let error = RpcError::invalid_request("Two requests of the batch have the same id");
        return refused(StatusCode::BAD_REQUEST, &error);
    }
    let lives_on = |method: &str| {
        matches!(method, method::RESOURCES_SUBSCRIBE | method::RESOURCES_UNSUBSCRIBE)
    };
    if requests.iter().any(|(_, method, _)| lives_on(method)) {
        let why = "Subscriptions require a session: open one with 'initialize' first";
        return refused(StatusCode::BAD_REQUEST, &RpcError::invalid_request(why));
    }
    let (client, protocol) = (Client::default(), Protocol::Mcp);
    let opening = Opening { portal, revision, client, protocol, discovery };
    let opened = gateway.sessions.prepare(caller.clone(), opening);
    let session = match opened {
        Ok(session) => session,
        Err(error) => {
            let Refusal { error, status, .. } = refusal(error, "", "");
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            return refused(status.unwrap_or(StatusCode::OK), &error);
        }
    };
    let alone = Alone { gateway: gateway.clone(), session: session.clone() };
    for (_, method, params) in &mut requests {
        context::adopt(params, sent);
        let call = converse::new_call(&gateway, &session, &caller, method, params.clone());
        if let Err(refused) = super::admit(&gateway, &call) {
            return *refused;
        }
    }
    let timeouts = &gateway.shared.timeouts;
    let (keep_alive, stream_after) = (timeouts.keep_alive.0, timeouts.stream_after.0);
    let (sender, mut receiver) = Events::channel(gateway.shared.limits.queue.min(32));
    let sender = sender.counted(gateway.unread.counter(&caller.principal));
    // Nothing can be asked of the client: there is no session in which it could answer.
    let sender = sender.one_way();
    // Runs with the connection, unlike in a session: nobody can come back for the answer.
    let mut run = Box::pin(async move {
        let Alone { gateway, session } = &alone;
        let (caller, sender) = (&caller, &sender);
        let answers = requests.into_iter().map(|(id, method, params)| async move {
            converse::answer(gateway, session, caller, &id, &method, params, sender).await
        });
        let mut answers = join_all(answers).await;
        match batch {
            false => answers.pop().unwrap_or_default(),
            true => {
                let answers: Vec<_> = answers.into_iter().map(Value::Raw).collect();
                Value::array(&answers).to_bytes()
            }
        }
    });
    let event = match call_stream::first(&mut run, &mut receiver, form, stream_after).await {
        First::Answer(last) => {
            return match receiver.try_recv() {
                Ok(event) if form.may_stream() => {
                    CallStream::ended(&event, last.into(), receiver, keep_alive).response()
                }
                _ if form == Form::Stream => events(Body::full(sse::encode(&last, None))),
                _ => json(last),
            };
        }
        First::Event(event) => Some(event),
        First::Silence => None,
    };
    let run = async move { run.await.into() };
    CallStream::new(event, run, receiver, keep_alive).response()
}
