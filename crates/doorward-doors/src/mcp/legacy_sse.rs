//! HTTP+SSE of 2024-11-05: a stream that names the endpoint to post to, and carries every response (spec 2024-11-05
//! basic/transports). The stream is the session: they end together.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use doorward_mcp::meta::Client;
use doorward_mcp::{Message, Revision, RpcError, message, method, sse};
use futures_util::Stream;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::{Body, body, check_type, converse, empty, error_response, events, handshake, parse};
use doorward_config::Discovery;
use doorward_gateway::call::{CallError, Events, Portal, Protocol};
use doorward_gateway::gateway::Gateway;
use doorward_gateway::pipeline::{Refusal, refusal};
use doorward_gateway::sessions::{Opening, Session};
use doorward_identity::identity::Caller;
use doorward_web::streams::Connection;

/// Opens a stream, and with it a session.
pub async fn open(
    gateway: Arc<Gateway>,
    caller: Caller,
    portal: Portal,
    discovery: Option<Discovery>,
) -> Response<Body> {
    let (revision, client) = (Revision::V2024_11_05, Client::default());
    let opening = Opening { portal, revision, client, protocol: Protocol::Sse, discovery };
    let session = match gateway.sessions.prepare(caller, opening) {
        Ok(session) => session,
        Err(error) => return unavailable(error),
    };
    if let Err(refused) = super::admit_session(&gateway, &session) {
        return *refused;
    }
    if let Err(error) = gateway.sessions.open(&session) {
        return unavailable(error);
    }
    if let Err(error) = session.listen(&gateway).await {
        gateway.sessions.end(&session);
        return unavailable(error);
    }
    let keep_alive = gateway.shared.timeouts.keep_alive.0;
    let Ok(mut connection) = session.main.connect(None, false, keep_alive) else {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    };
    let endpoint = format!("/messages?session_id={}", session.id);
    connection.begin_with(sse::encode_kind("endpoint", endpoint.as_bytes(), None));
    events(Body::endless(Held { connection, session, gateway }))
}

fn unavailable(error: CallError) -> Response<Body> {
    let Refusal { error, status, .. } = refusal(error, "", "");
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    error_response(status, None, &RpcError::invalid_request(error.message))
}

/// The stream's body: its end is the session's.
struct Held {
    connection: Connection,
    session: Arc<Session>,
    gateway: Arc<Gateway>,
}

impl Stream for Held {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Pin::new(&mut self.connection).poll_next(context)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gateway.sessions.end(&self.session);
    }
}

/// One message of the client's; its answer comes on the stream.
pub async fn post(
    gateway: Arc<Gateway>,
    caller: Caller,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let id = head.uri.query().and_then(|query| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| matches!(key.as_ref(), "session_id" | "sessionId"))
            .map(|(_, value)| value.into_owned())
    });
    let session = id.and_then(|id| gateway.sessions.find(&id, &caller.principal, None));
    let Some(session) = session else {
        let error = RpcError::invalid_request("Session not found: open the stream first");
        return error_response(StatusCode::NOT_FOUND, None, &error);
    };
    // These clients are not asked what they accept: the answer is a bare 202.
    if let Err((status, error)) = check_type(&head.headers) {
        return error_response(status, None, &error);
    }
    let text = match body::read(body, &gateway.shared).await {
        Ok(text) => text,
        Err((status, error)) => return error_response(status, None, &error),
    };
    let message = match parse(&gateway, &text) {
        Ok(message) => message,
        Err(refused) => return *refused,
    };
    match message {
        Message::Request { id, method, params } => {
            let begun = match session.begin(&id) {
                Ok(begun) => begun,
                Err(error) => return error_response(StatusCode::BAD_REQUEST, Some(&id), &error),
            };
            if *method != *method::INITIALIZE
                && !gateway.is_unrestricted(&caller.principal, &session.portal)
            {
                let call = converse::new_call(&gateway, &session, &caller, &method, params.clone());
                if let Err(refused) = super::admit(&gateway, &call) {
                    return *refused;
                }
            }
            let tasks = gateway.shared.tasks.clone();
            tasks.spawn(async move {
                let (sender, mut receiver) = Events::channel(32);
                let sender = sender.counted(gateway.unread.counter(&caller.principal));
                let answering = async {
                    if *method == *method::INITIALIZE {
                        return initialize(&gateway, &session, &id, &params).await;
                    }
                    converse::answer(&gateway, &session, &caller, &id, &method, params, &sender)
                        .await
                };
                tokio::pin!(answering);
                let answer = loop {
                    tokio::select! {
                        biased;
                        Some(event) = receiver.recv() => session.main.push(&event).await,
                        answer = &mut answering => break answer,
                        () = begun.cancelled.cancelled() => return,
                    }
                };
                while let Ok(event) = receiver.try_recv() {
                    session.main.push(&event).await;
                }
                session.main.push(&answer).await;
            });
        }
        other => handshake::take(&session, other),
    }
    let mut response = Response::new(Body::full(Bytes::from_static(b"Accepted")));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

async fn initialize(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    id: &doorward_mcp::Id,
    params: &doorward_mcp::Object,
) -> Bytes {
    let (revision, client) = match handshake::read_initialize(params) {
        Ok(read) => read,
        Err(error) => return message::error_response(Some(id), &error),
    };
    session.introduce_client(revision, client);
    match converse::introduce(gateway, session).await {
        Ok(result) => message::response(id, &result),
        Err(refusal) => message::error_response(Some(id), &refusal.error),
    }
}
