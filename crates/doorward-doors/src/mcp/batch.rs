//! Batches of clients, with or without a session.

use std::sync::Arc;

use bytes::Bytes;
use doorward_mcp::{Message, RpcError, headers, message, method};
use http::{HeaderMap, Response, StatusCode};

use super::handshake::{Request, admit, run, session, take};
use super::{Body, Visit, alone, empty, error_response};
use doorward_gateway::gateway::Gateway;

/// A batch: in revision 2025-03-26 alone (spec 2025-03-26 basic/index; attack T16).
pub async fn post(
    gateway: Arc<Gateway>,
    visit: Visit,
    sent: &HeaderMap,
    text: &Bytes,
) -> Response<Body> {
    let bad = |error: RpcError| error_response(StatusCode::BAD_REQUEST, None, &error);
    let no_batches =
        || RpcError::invalid_request("Batches are only supported in revision 2025-03-26");
    if !sent.contains_key(headers::SESSION_ID) {
        return match alone::revision(sent).filter(|revision| revision.has_batches()) {
            None => bad(no_batches()),
            Some(revision) => match messages(&gateway, text) {
                Ok(messages) => alone::post_batch(gateway, visit, sent, revision, messages).await,
                Err(error) => bad(error),
            },
        };
    }
    let Visit { caller, portal, form, .. } = visit;
    let session = match session(&gateway, &caller, &portal, sent) {
        Ok(session) => session,
        Err((status, error)) => return error_response(status, None, &error),
    };
    if !session.revision().has_batches() {
        return bad(no_batches());
    }
    let messages = match messages(&gateway, text) {
        Ok(messages) => messages,
        Err(error) => return bad(error),
    };
    let mut requests = Vec::new();
    let mut others = Vec::new();
    for message in messages {
        match message {
            Message::Request { id, method, params } => {
                let begun = match session.begin(&id) {
                    Ok(begun) => begun,
                    Err(error) => return bad(error),
                };
                requests.push(Request { id, method, params, begun });
            }
            other => others.push(other),
        }
    }
    others.into_iter().for_each(|other| take(&session, other));
    if requests.is_empty() {
        return empty(StatusCode::ACCEPTED);
    }
    if let Err(refused) = admit(&gateway, &session, &caller, &requests) {
        return *refused;
    }
    run(gateway, session, caller, requests, true, form).await
}

/// The messages of a batch.
fn messages(gateway: &Gateway, text: &Bytes) -> Result<Vec<Message>, RpcError> {
    let limits = gateway.shared.limits.json();
    let items = message::split_batch(text, limits).map_err(|invalid| invalid.error())?;
    if items.is_empty() {
        return Err(RpcError::invalid_request("The batch is empty"));
    }
    if items.len() > gateway.shared.limits.batch {
        let limit = gateway.shared.limits.batch;
        return Err(RpcError::invalid_request(format!("The batch has more than {limit} messages")));
    }
    let read = |item: &Bytes| match Message::parse(item, limits) {
        Ok(Message::Request { method, .. }) if *method == *method::INITIALIZE => {
            Err(RpcError::invalid_request("'initialize' must not be in a batch"))
        }
        Ok(message) => Ok(message),
        Err(invalid) => Err(invalid.error()),
    };
    items.iter().map(read).collect()
}
