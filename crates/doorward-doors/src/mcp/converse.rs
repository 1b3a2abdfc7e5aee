//! A handshake-era client's request, processed in the modern form: when the server requests input, the client receives
//! requests of the handshake era, and the call is sent again with its responses (`wire.md`, legacy client to modern
//! server).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use doorward_mcp::error::{Kind, code};
use doorward_mcp::interaction::{self, InputRequired, Retry};
use doorward_mcp::meta::LogLevel;
use doorward_mcp::translate;
use doorward_mcp::{Id, Object, RpcError, Value, message, method};

use doorward_gateway::access::targets::credential_mode;
use doorward_gateway::call::{Asks, Call, CallId, Events, Failure, Reply};
use doorward_gateway::gateway::Gateway;
use doorward_gateway::pipeline::{self, Refusal};
use doorward_gateway::sessions::Session;
use doorward_identity::identity::Caller;
use doorward_observability::in_flight::Entry;

/// Between two rounds in which the server asks nothing.
const EMPTY_ROUND: Duration = Duration::from_millis(250);

/// Answers one request of a session's. What must reach the client before the answer goes to
/// `events`: notifications and questions.
pub async fn answer(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    caller: &Caller,
    id: &Id,
    method: &str,
    params: Object,
    events: &Events,
) -> Bytes {
    match respond(gateway, session, caller, method, params, events).await {
        Ok(result) => message::response(id, &result),
        Err(error) => message::error_response(Some(id), &error),
    }
}

async fn respond(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    caller: &Caller,
    method: &str,
    params: Object,
    events: &Events,
) -> Result<Object, RpcError> {
    let uri = || {
        params
            .string("uri")
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| RpcError::invalid_params("'uri' must be a string"))
    };
    let plain = |error| pipeline::refusal(error, "", &CallId::next().to_string()).error;
    match method {
        method::PING => Ok(Object::new()),
        method::INITIALIZE => Err(RpcError::invalid_request("The session is already initialized")),
        method::SET_LEVEL => {
            let level = params.string("level").and_then(|text| LogLevel::parse(&text));
            session.set_level(
                level.ok_or_else(|| RpcError::invalid_params("'level' is not a log level"))?,
            );
            Ok(Object::new())
        }
        method::RESOURCES_SUBSCRIBE => {
            session.subscribe(gateway, caller, &uri()?).await.map_err(plain)?;
            Ok(Object::new())
        }
        method::RESOURCES_UNSUBSCRIBE => {
            session.unsubscribe(gateway, &uri()?).await.map_err(plain)?;
            Ok(Object::new())
        }
        // Of the modern era alone; a client that has shaken hands does not know them.
        method::DISCOVER | method::LISTEN => Err(RpcError::method_not_found(method)),
        _ => call(gateway, session, caller, method, params, events).await,
    }
}

/// A call of a session's, on its first round.
pub fn new_call(
    gateway: &Gateway,
    session: &Session,
    caller: &Caller,
    method: &str,
    params: Object,
) -> Box<Call> {
    let asks = Asks {
        caller: caller.clone(),
        protocol: session.protocol,
        portal: session.portal.clone(),
        revision: session.revision(),
        client: session.client(),
        session: Some(session.id.clone()),
        conversation: None,
        retry: None,
        param_headers: None,
        discovery: session.discovery,
    };
    gateway.call(asks, method, params)
}

async fn call(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    caller: &Caller,
    method: &str,
    mut params: Object,
    events: &Events,
) -> Result<Object, RpcError> {
    let revision = session.revision();
    // The gateway does not announce the tasks of 2025-11-25; then they are ignored
    // (spec 2025-11-25 basic/utilities/tasks).
    params.remove("task");
    let asked_uri = (method == method::RESOURCES_READ)
        .then(|| params.string("uri").map(std::borrow::Cow::into_owned))
        .flatten();
    let mut retry = None;
    let mut refused = Vec::new();
    for _ in 0..=gateway.shared.limits.rounds {
        let mut call = new_call(gateway, session, caller, method, params.clone());
        call.retry = retry.take();
        call.refused = std::mem::take(&mut refused);
        let id = call.id;
        let mut result = match pipeline::run(gateway.clone(), call, events.clone()).await {
            Ok(Reply::Result(result)) => result,
            Ok(Reply::Listening(_) | Reply::Held(_)) => {
                return Err(RpcError::method_not_found(method));
            }
            Err(Refusal { error, .. }) => {
                return translated_error(method, error, asked_uri.as_deref());
            }
        };
        if interaction::result_type(&result) != "input_required" {
            translate::result_to_handshake(method, &mut result, revision);
            return Ok(result);
        }
        let required = InputRequired::read(&result).map_err(|why| {
            let message = format!("The server's request for input is invalid: {why}");
            RpcError::gateway(Kind::InvalidMessage, &message, "", false, &id.to_string())
        })?;
        if required.requests.is_empty() {
            tokio::time::sleep(EMPTY_ROUND).await;
        }
        let entry = waiting_entry(gateway, session, caller, method, &params);
        let mut lives = entry.map(|entry| gateway.live.enter(CallId::next().number(), entry));
        let cancelled = async {
            match &mut lives {
                Some(lives) => lives.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let asking = ask(gateway, session, &required, events);
        let answers = tokio::select! {
            answers = asking => answers,
            () = cancelled => Err(Failure::new(Kind::Stopped, "The call was stopped")),
        };
        let answers = answers.map_err(|failure| {
            let retryable = failure.retryable;
            RpcError::gateway(failure.kind, &failure.message, "", retryable, &id.to_string())
        })?;
        refused = answers.refused;
        retry = Some(Retry { responses: answers.responses, state: required.state });
    }
    let message =
        format!("The server requested input more than {} times", gateway.shared.limits.rounds);
    Err(RpcError::gateway(Kind::Interaction, &message, "", false, ""))
}

/// A call that waits for its client, as one in flight.
fn waiting_entry(
    gateway: &Gateway,
    session: &Session,
    caller: &Caller,
    method: &str,
    params: &Object,
) -> Option<Entry> {
    let is_uri = method == method::RESOURCES_READ;
    let name = params.string(if is_uri { "uri" } else { "name" })?;
    let (server, target) = gateway.named(&session.portal, is_uri, &name)?;
    Some(Entry {
        began: Instant::now(),
        principal: caller.principal.clone(),
        server: server.name.clone(),
        method: method.into(),
        target,
        presents: credential_mode(&server.settings) != "none",
    })
}

/// A modern error as this client understands it.
fn translated_error(method: &str, error: RpcError, uri: Option<&str>) -> Result<Object, RpcError> {
    if error.code == code::MISSING_CLIENT_CAPABILITY && method == method::TOOLS_CALL {
        // The model can do something about it; a code unknown to this revision says nothing to it.
        let mut block = Object::new();
        block.set("type", "text");
        block.set("text", error.message.as_str());
        let mut result = Object::new();
        result.set("content", Value::array(&[Value::Object(block)]));
        result.set("isError", Value::bool(true));
        return Ok(result);
    }
    Err(translate::error_to_handshake(method, error, uri))
}

struct Answers {
    responses: Object,
    refused: Vec<(String, RpcError)>,
}

/// Sends all questions of a round on the call's stream and waits for all answers.
async fn ask(
    gateway: &Gateway,
    session: &Session,
    required: &InputRequired,
    events: &Events,
) -> Result<Answers, Failure> {
    if events.is_one_way() && !required.requests.is_empty() {
        let why = "The server requests input from the client, which requires a session and a \
            stream: open a session with 'initialize', and list text/event-stream in 'Accept'";
        return Err(Failure::new(Kind::Interaction, why));
    }
    let mut waiting = Vec::with_capacity(required.requests.len());
    for request in &required.requests {
        let (id, answer) = session.question();
        let params = translate::question_to_handshake(request, &format!("{}-{id}", session.id));
        let text = message::request(&Id::Number(id), &request.method, &params);
        let asked = Asked { session, id };
        events
            .send(text)
            .await
            .map_err(|_| Failure::new(Kind::Closing, "The client is no longer waiting"))?;
        waiting.push((request, asked, answer));
    }
    let end = tokio::time::Instant::now() + gateway.shared.timeouts.interaction.0;
    let mut answers = Answers { responses: Object::new(), refused: Vec::new() };
    for (request, _asked, answer) in waiting {
        let answer = tokio::time::timeout_at(end, answer).await.map_err(|_| {
            Failure::new(
                Kind::Interaction,
                "The client did not respond to the server's request in time",
            )
        })?;
        match answer {
            Ok(Ok(result)) => answers.responses.set(&request.key, result),
            Ok(Err(error)) => answers.refused.push((request.key.clone(), error)),
            Err(_) => return Err(Failure::new(Kind::Closing, "The client's session ended")),
        }
    }
    Ok(answers)
}

/// A question that is open; forgotten when nobody waits for its answer any more.
struct Asked<'a> {
    session: &'a Session,
    id: i64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.session.forget_question(self.id);
    }
}

/// The result of `initialize`: what the portal offers, in the words of the client's revision.
pub async fn introduce(gateway: &Arc<Gateway>, session: &Arc<Session>) -> Result<Object, Refusal> {
    let call = new_call(gateway, session, &session.opener, method::DISCOVER, Object::new());
    let reply = pipeline::run(gateway.clone(), call, Events::ignored()).await?;
    let Reply::Result(about) = reply else { return Ok(Object::new()) };
    Ok(initialize_result(gateway, session, &about))
}

fn initialize_result(gateway: &Gateway, session: &Session, about: &Object) -> Object {
    let declared = about.object("capabilities").unwrap_or_default();
    let info = about
        .object("_meta")
        .and_then(|meta| meta.get(doorward_mcp::meta::SERVER_INFO).cloned())
        .unwrap_or_else(|| gateway.shared.info.clone());
    let mut result = Object::new();
    result.set("protocolVersion", session.revision().as_str());
    result.set("capabilities", doorward_mcp::capabilities::server_to_handshake(&declared));
    result.set("serverInfo", info);
    if let Some(instructions) = about.get("instructions") {
        result.set("instructions", instructions.clone());
    }
    result
}
