//! A call to a server that its caller has not authorized yet: the caller receives the URL for consent in the form that
//! their client supports, and the call continues after consent (spec 2026-07-28 client/elicitation, URL mode).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_mcp::error::{Kind, code};
use doorward_mcp::interaction::{InputRequest, InputRequired};
use doorward_mcp::{Object, Revision, RpcError, capabilities, method};
use http::header::AUTHORIZATION;
use serde_json::json;

use crate::attempts;
use crate::call::{Call, CallError, Challenge, Events, Failure, Reply};
use crate::gateway::Gateway;
use doorward_identity::delegation::link::{LINK, Wanted};
use doorward_identity::delegation::owner;
use doorward_identity::seal::{self, fingerprint, meaning};
use doorward_transport::http::Own;
use doorward_upstream::{Server, state};

/// How long a call waits for a user who has opened the link; shorter than clients' timeouts.
const WAIT: Duration = Duration::from_secs(45);
/// The key of the elicitation request.
const KEY: &str = "consent";
/// Calls a server on behalf of a user who has authorized the gateway there.
pub async fn ask(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    server: &Arc<Server>,
    events: &Events,
) -> Result<Option<Reply>, CallError> {
    let delegations = &gateway.shared.delegations;
    let owner = owner(&call.caller.principal);
    let awaited = take_consent(gateway, call, server)?;
    let end = tokio::time::Instant::now() + WAIT;
    let mut tried = false;
    loop {
        let token = delegations.token(&server.name, &server.settings, &owner).await;
        let token = token.map_err(|error| {
            let why = "Your authorization for the server cannot be used at the moment";
            Failure { retryable: true, ..Failure::new(Kind::Unauthorized, why) }.because(error)
        })?;
        let Some(shown) = token else {
            if awaited.is_some() && tokio::time::Instant::now() < end {
                delegations.news().await;
                continue;
            }
            return wants_consent(gateway, call, server, owner, BTreeSet::new());
        };
        let known = delegations.scopes(&server.name, &owner).unwrap_or_default();
        // The user is granting further scopes.
        let waits = awaited.as_ref().is_some_and(|awaited| !awaited.is_subset(&known));
        if waits && tokio::time::Instant::now() < end {
            delegations.news().await;
            delegations.reread(&server.name, &owner);
            continue;
        }
        let own = Some(Own { name: AUTHORIZATION, value: shown.clone() });
        call.notes.retries += u32::from(tried);
        match attempts::ask(call, server, own, events).await {
            Ok(result) => return Ok(Some(Reply::Result(result))),
            Err(CallError::Gateway(failure)) if !tried => {
                tried = true;
                match &failure.challenge {
                    // The server rejected the call, so it had no effect: retried after a new token
                    // or consent.
                    Some(Challenge::Token) => delegations.refused(&server.name, &owner, &shown),
                    // If all required scopes were already granted, asking again does not help.
                    Some(Challenge::Scopes(scopes)) if scopes.is_subset(&known) => {
                        return Err(failure.into());
                    }
                    Some(Challenge::Scopes(scopes)) => {
                        // Consent may have been given on another replica.
                        delegations.reread(&server.name, &owner);
                        let _ = delegations.token(&server.name, &server.settings, &owner).await;
                        let now = delegations.scopes(&server.name, &owner).unwrap_or_default();
                        if scopes.is_subset(&now) {
                            continue;
                        }
                        // Includes the scopes granted before, which would otherwise be lost.
                        let more = scopes.union(&now).cloned().collect();
                        return wants_consent(gateway, call, server, owner, more);
                    }
                    None => return Err(failure.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Binds the response of the elicitation to this call.
fn purpose(server: &Server, call: &Call) -> String {
    let params = meaning(&call.params);
    fingerprint(&[b"consent", server.name.as_bytes(), call.method.as_bytes(), &params])
}

/// Whether a retry answers the gateway's request for consent.
pub fn is_consent(gateway: &Gateway, call: &Call, server: &Server) -> bool {
    let state = call.retry.as_ref().and_then(|retry| retry.state.as_ref());
    state.is_some_and(|state| {
        let (sealer, principal) = (&gateway.shared.sealer, &call.caller.principal.id);
        sealer.open::<BTreeSet<String>>(state, principal, &purpose(server, call)).is_ok()
    })
}

/// Removes the response to the gateway's elicitation from a call. If the caller has opened the
/// link, returns the scopes that were requested.
fn take_consent(
    gateway: &Gateway,
    call: &mut Call,
    server: &Server,
) -> Result<Option<BTreeSet<String>>, CallError> {
    let Some(retry) = &call.retry else { return Ok(None) };
    let Some(state) = &retry.state else { return Ok(None) };
    let principal = &call.caller.principal.id;
    let opened = gateway.shared.sealer.open(state, principal, &purpose(server, call));
    // Any other state is the server's.
    let Ok(asked) = opened else { return Ok(None) };
    let action = retry
        .responses
        .object(KEY)
        .and_then(|answer| answer.string("action").map(std::borrow::Cow::into_owned));
    call.retry = None;
    if action.as_deref() == Some("accept") {
        return Ok(Some(asked));
    }
    let why =
        format!("You have not authorized the gateway to act on your behalf at '{}'", server.name);
    Err(Failure { retryable: false, ..Failure::new(Kind::Unauthorized, why) }.into())
}

fn wants_consent(
    gateway: &Gateway,
    call: &Call,
    server: &Server,
    owner: String,
    more: BTreeSet<String>,
) -> Result<Option<Reply>, CallError> {
    // A response to another caller's request, or a call that was authorized before.
    if call.retry.as_ref().is_some_and(|retry| retry.state.is_some()) {
        return Err(state::refused().into());
    }
    let id = seal::random_id().map_err(|error| {
        let why = "The server requires your consent, and the gateway cannot request it from you";
        Failure::new(Kind::Unauthorized, why).because(error)
    })?;
    let modern = call.revision.is_modern();
    let can_be_asked = capabilities::elicits(&call.client.capabilities, "url")
        && call.revision >= Revision::V2025_11_25
        && (!modern || method::may_ask_for_input(&call.method));
    let session = call.session.clone().filter(|_| can_be_asked);
    let told = session.map(|session| (session, id.clone()));
    let tenant = call.caller.principal.who.tenant.clone();
    let wanted = Wanted { server: server.name.to_string(), owner, tenant, more, told };
    let origin = gateway.identity.resources.origin();
    let link = gateway.shared.delegations.link(origin, &wanted).map_err(|error| {
        let why = "The server requires your consent, and the gateway cannot request it from you";
        Failure::new(Kind::Unauthorized, why).because(error)
    })?;
    tracing::info!(server = &*server.name, owner = wanted.owner, "requested a caller's consent");
    let message = format!("Authorize the gateway to act on your behalf at '{}'", server.name);
    if !can_be_asked {
        let why = format!("{message}: open {link} in your browser, and try again");
        return Err(Failure { retryable: true, ..Failure::new(Kind::Unauthorized, why) }.into());
    }
    if modern {
        let mut params = Object::new();
        for (name, value) in [("mode", "url"), ("message", &*message), ("url", &*link)] {
            params.set(name, value);
        }
        let request = InputRequest { key: KEY.into(), method: method::ELICIT.into(), params };
        let principal = &call.caller.principal.id;
        let purpose = purpose(server, call);
        let state = gateway.shared.sealer.seal(&wanted.more, principal, &purpose, Some(LINK));
        let required = InputRequired { requests: vec![request], state: Some(state) };
        return Ok(Some(Reply::Result(required.to_result())));
    }
    let elicitation =
        json!({ "mode": "url", "elicitationId": id, "url": link, "message": message });
    let error = RpcError::new(code::URL_ELICITATION_REQUIRED, &message);
    Err(error.with_data(&json!({ "elicitations": [elicitation] })).into())
}
