//! The adapter for modern servers, with almost nothing to translate: `_meta`, the mirrored headers
//! and the ids are replaced, and `requestState` and task ids are encrypted.

use std::pin::pin;

use doorward_mcp::error::{Kind, code};
use doorward_mcp::interaction::{self, InputRequired};
use doorward_mcp::meta::LogLevel;
use doorward_mcp::{
    Id, Message, Object, Revision, RpcError, Value, capabilities, message, meta, method,
};
use http::{HeaderName, HeaderValue};

use super::asked::names_a_task;
use super::exchange::Exchange;
use super::state::{State, refused};
use super::way::{Refused, Way};
use super::{Asked, Server};
use crate::call_error::{CallError, client_gone};
use crate::catalog::TOOLS;
use doorward_core::deadline::Deadline;
use doorward_core::{Events, Failure};
use doorward_observability::telemetry::context::TRACEPARENT;
use doorward_transport::answer::Answer;
use doorward_transport::calls::{Takes, of_progress};
use doorward_transport::http::mirrored_headers;

impl Server {
    pub(super) async fn ask_modern(
        &self,
        way: &Way,
        asked: &Asked<'_>,
        events: &Events,
    ) -> Result<Object, CallError> {
        let mut params = asked.params.clone();
        let task = self.uncover_task(asked, &mut params)?;
        if let Some(retry) = asked.retry {
            let state = match self.open_state(asked, retry)? {
                Some(State::Wrapped(state)) => Some(state),
                Some(State::Task { id, answered }) => {
                    return Box::pin(self.answer_task(way, asked, id, answered, events)).await;
                }
                None => None,
                Some(State::Parked(_) | State::Again) => return Err(refused().into()),
            };
            if let Some((_, error)) = asked.refused.first() {
                return Err(cannot_answer(error));
            }
            interaction::Retry { responses: retry.responses.clone(), state }.put(&mut params);
        }
        let mut param_headers = self.param_headers(asked);
        for attempt in 0..2 {
            let outcome = pin!(self.once(way, asked, params.clone(), param_headers, events)).await;
            match outcome {
                // The headers did not match because the tool has changed. The call had no effect:
                // retry it once with the current definition (spec 2026-07-28
                // basic/transports/streamable-http).
                Err(CallError::Rpc(error))
                    if error.code == code::HEADER_MISMATCH
                        && attempt == 0
                        && asked.method == method::TOOLS_CALL =>
                {
                    self.catalog.invalidate(Some(method::TOOLS_CHANGED));
                    let view = Box::pin(self.catalog.view_of(self, asked, TOOLS)).await?;
                    let name = asked.params.string("name").unwrap_or_default();
                    let tool = view.tool(&name).cloned();
                    if tool.is_none() && self.is_pinned() {
                        return Err(RpcError::invalid_params("Unknown tool").into());
                    }
                    param_headers = self.param_headers(&Asked { tool, ..asked.clone() });
                }
                Err(CallError::Rpc(error))
                    if asked.handshake_client
                        && error.wants_extension(capabilities::TASKS_EXTENSION) =>
                {
                    return Box::pin(self.ask_as_task(way, asked, events)).await;
                }
                Ok(result) => return self.finish(asked, result, task),
                Err(error) => return Err(error),
            }
        }
        Err(Failure::new(
            Kind::InvalidMessage,
            "The server refuses the headers that its own schema requires",
        )
        .into())
    }

    async fn once(
        &self,
        way: &Way,
        asked: &Asked<'_>,
        params: Object,
        param_headers: Vec<(HeaderName, HeaderValue)>,
        events: &Events,
    ) -> Result<Object, CallError> {
        let mut deadline = asked.deadline;
        let mut exchange =
            pin!(self.open_modern(way, asked, params, param_headers, &deadline)).await?;
        let token = match way {
            Way::Http(_) => None,
            Way::Pipe(_) => meta::progress_token(&asked.params),
        };
        loop {
            match exchange.next(&deadline).await? {
                Message::Response { result, .. } => return Ok(result),
                Message::Error { error, .. } => return Err(error.into()),
                Message::Notification { method, mut params } => {
                    match &*method {
                        method::PROGRESS => {
                            deadline.extend();
                            if let Some(token) = &token {
                                if of_progress(&params).is_none() {
                                    continue;
                                }
                                params.set("progressToken", token.clone());
                            }
                        }
                        method::LOG => {
                            let level =
                                params.string("level").and_then(|text| LogLevel::parse(&text));
                            let wanted = asked.client.log_level;
                            if wanted.is_none() || level.is_some_and(|level| Some(level) < wanted) {
                                continue;
                            }
                        }
                        _ if self.unsolicited(&method, &params) => continue,
                        _ => {}
                    }
                    if events.notify(&method, &params).await.is_err() {
                        return Err(client_gone());
                    }
                }
                Message::Request { id, .. } => {
                    let failure = exchange.respond(&id, Ok(Object::new())).await.err();
                    return Err(failure
                        .unwrap_or_else(|| {
                            Failure::new(Kind::InvalidMessage, "A modern server sent a request")
                        })
                        .into());
                }
            }
        }
    }

    /// Sends one modern request, over HTTP with its headers.
    pub(super) async fn open_modern(
        &self,
        way: &Way,
        asked: &Asked<'_>,
        mut params: Object,
        param_headers: Vec<(HeaderName, HeaderValue)>,
        deadline: &Deadline,
    ) -> Result<Exchange, Refused> {
        let id = self.next_id();
        meta::put_client(&mut params, asked.client, Revision::NEWEST);
        match way {
            Way::Pipe(pipe) => {
                if let Some(meta) = params.object_mut("_meta")
                    && meta.contains("progressToken")
                {
                    meta.set("progressToken", Value::number(id));
                }
                let text = message::request(&Id::Number(id), asked.method, &params);
                let takes = Takes {
                    logs: asked.client.log_level.is_some(),
                    owner: asked.principal.into(),
                    ..Takes::default()
                };
                let place = pipe.inbound.calls.join(id, takes, self.shared.limits.queue);
                tokio::time::timeout_at(deadline.at(), pipe.send(text))
                    .await
                    .map_err(|_| deadline.passed())??;
                Ok(Exchange::shared(pipe.clone(), place))
            }
            Way::Http(endpoint) => {
                let mut headers = mirrored_headers(asked.method, &params);
                headers.extend(param_headers);
                // A listening stream has no end.
                if asked.method != method::LISTEN {
                    endpoint.tell(&mut headers, deadline);
                }
                let trace =
                    asked.traceparent.as_ref().and_then(|it| HeaderValue::try_from(it).ok());
                headers.extend(trace.map(|trace| (HeaderName::from_static(TRACEPARENT), trace)));
                let text = message::request(&Id::Number(id), asked.method, &params);
                let response =
                    tokio::time::timeout_at(deadline.begins_by(), endpoint.post(headers, text))
                        .await
                        .map_err(|_| deadline.passed())??;
                match Answer::open(response, endpoint.bounds()).await {
                    Ok(answer) => Ok(Exchange::own(id, answer)),
                    Err(Err(failure)) => Err(failure.into()),
                    Err(Ok(refusal)) => match &refusal.error {
                        Some(Message::Error { error, .. })
                            if !matches!(refusal.status.as_u16(), 401 | 403) =>
                        {
                            Err(Refused::Rpc(error.clone()))
                        }
                        _ if matches!(refusal.status.as_u16(), 400 | 404 | 405) => {
                            Err(Refused::NotModern(refusal.failure()))
                        }
                        _ => Err(Refused::Failed(refusal.failure())),
                    },
                }
            }
        }
    }

    fn param_headers(&self, asked: &Asked<'_>) -> Vec<(HeaderName, HeaderValue)> {
        if asked.method != method::TOOLS_CALL {
            return Vec::new();
        }
        let name = asked.params.string("name").unwrap_or_default();
        let known = || {
            self.catalog
                .known(self, &asked.client.capabilities, TOOLS)
                .and_then(|view| view.tool(&name).cloned())
        };
        let tool = asked.tool.clone().or_else(known);
        let annotated = tool.as_deref().map_or(&[][..], |tool| &tool.param_headers);
        let arguments = if annotated.is_empty() { None } else { asked.params.object("arguments") };
        let computed = annotated.iter().filter_map(|header| {
            let value = header.value(arguments.as_deref()).ok().flatten()?;
            Some((HeaderName::try_from(&header.header).ok()?, HeaderValue::try_from(value).ok()?))
        });
        // For a known tool, headers that mirror no argument are dropped, since nobody has validated
        // them. For an unknown tool, the server may know more than the gateway.
        let is_known = tool.is_some();
        let unknown = asked.param_headers.into_iter().flatten().filter(|_| !is_known);
        computed.chain(unknown.map(|(name, value)| (name.clone(), value.clone()))).collect()
    }

    /// Replaces the sealed task id by the server's. Returns the sealed one.
    fn uncover_task(
        &self,
        asked: &Asked<'_>,
        params: &mut Object,
    ) -> Result<Option<String>, CallError> {
        if !names_a_task(asked.method) {
            return Ok(None);
        }
        let sealed = params.string("taskId").map(std::borrow::Cow::into_owned).unwrap_or_default();
        let task = self
            .open_task(asked.principal, &sealed)
            .ok_or_else(|| RpcError::invalid_params("Unknown task"))?;
        params.set("taskId", task.as_str());
        Ok(Some(sealed))
    }

    fn finish(
        &self,
        asked: &Asked<'_>,
        mut result: Object,
        task: Option<String>,
    ) -> Result<Object, CallError> {
        if let Some(sealed) = task {
            if result.contains("taskId") {
                result.set("taskId", sealed.as_str());
            }
            return Ok(result);
        }
        match interaction::result_type(&result).as_ref() {
            "complete" => {}
            "input_required" => {
                if !method::may_ask_for_input(asked.method) {
                    return Err(invalid("this request does not allow elicitation or sampling"));
                }
                let required = InputRequired::read(&result).map_err(invalid)?;
                check_questions(asked, &required)?;
                if let Some(state) = required.state {
                    let sealed = self.seal_state(asked, &State::Wrapped(state));
                    result.set(interaction::REQUEST_STATE, sealed.as_str());
                }
            }
            "task" => {
                if !capabilities::has_tasks(&asked.client.capabilities) {
                    return Err(invalid("a task was not requested"));
                }
                self.cover_task(asked, &mut result);
            }
            // Defined by an extension, which the client has declared.
            _ if asked.client.capabilities.contains("extensions") => {}
            unknown => return Err(invalid(&format!("its type '{unknown}' is not known"))),
        }
        Ok(result)
    }
}

/// Rejects requests for input that the client has not declared.
pub(super) fn check_questions(asked: &Asked<'_>, required: &InputRequired) -> Result<(), RpcError> {
    let declared = &asked.client.capabilities;
    let mut requests = required.requests.iter();
    let missing =
        requests.find_map(|asks| capabilities::missing_for(declared, &asks.method, &asks.params));
    missing.map_or(Ok(()), |name| Err(RpcError::missing_capability(name)))
}

pub(super) fn invalid(why: &str) -> CallError {
    Failure::new(Kind::InvalidMessage, "The server's result is not valid").because(why).into()
}

/// A handshake-era client answered a request with an error, which the modern era cannot express.
pub(super) fn cannot_answer(error: &RpcError) -> CallError {
    Failure::new(
        Kind::Interaction,
        format!("The client could not answer the server: {}", error.message),
    )
    .into()
}
