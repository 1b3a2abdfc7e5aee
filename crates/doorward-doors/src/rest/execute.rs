//! `POST /execute`: one call, with its result as JSON or as the last of a stream of events.

use std::sync::Arc;

use bytes::Bytes;
use doorward_gateway::call::{Events, Protocol, Reply};
use doorward_gateway::pipeline::{INVALID_ARGUMENTS, Refusal};
use doorward_identity::seal::sha256;
use doorward_mcp::interaction::{self, InputRequired, Retry, result_type};
use doorward_mcp::json::{canonical, scan_object};
use doorward_mcp::{Object, Value, method};
use doorward_store::hex;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::answer::{self, Answer, REQUEST_ID};
use super::idempotency;
use super::making::{Abilities, Named, Ready, params, run};
use super::problem::Problem;
use super::types::Execute;
use super::{Answered, Visit, pending, stream};
use crate::mcp::accept::Form;
use crate::mcp::modern::tell_nearest;

/// Reads a body strictly, then as its type.
pub fn read<T: DeserializeOwned>(visit: &Visit, text: &Bytes) -> Result<T, Box<Problem>> {
    let invalid = |why: String| Box::new(Problem::invalid(why).at(""));
    scan_object(text, visit.gateway.shared.limits.json())
        .map_err(|fault| invalid(format!("The body is not a valid JSON object: {}", fault.why)))?;
    serde_json::from_slice(text).map_err(|error| invalid(format!("The body is invalid: {error}")))
}

/// An object of a body; an absent one is empty.
pub fn object(raw: Option<&RawValue>, name: &str) -> Result<Object, Box<Problem>> {
    let Some(raw) = raw else { return Ok(Object::new()) };
    let text = Value::Raw(Bytes::copy_from_slice(raw.get().trim().as_bytes()));
    let object = text.as_object().map(std::borrow::Cow::into_owned);
    let wrong = || {
        Box::new(Problem::invalid(format!("'{name}' must be an object")).at(&format!("/{name}")))
    };
    object.ok_or_else(wrong)
}

/// How the client takes the response.
pub fn form(visit: &Visit) -> Result<Form, Box<Problem>> {
    Form::of(&visit.headers)
        .map_err(|(status, error)| Box::new(Problem::new(status, "not_acceptable", error.message)))
}

/// The hash of a request that has an idempotency key.
pub fn digest(visit: &Visit, of: &str, text: &Bytes) -> String {
    let meaning = canonical(text).unwrap_or_else(|_| text.to_vec());
    hex(&sha256(&[of.as_bytes(), b"\n", visit.base.as_bytes(), b"\n", &meaning].concat()))
}

pub async fn post(visit: Visit, text: Bytes) -> Answered {
    let form = form(&visit)?;
    let body: Execute = read(&visit, &text)?;
    let arguments = object(body.input.as_deref(), "input")?;
    let key = idempotency::key(&visit.headers, body.idempotency_key.as_deref())?;
    let named = visit.named(&body.tool, body.operation.as_deref()).await;
    let digest = key.as_ref().map(|_| digest(&visit, "execute", &text));
    drop(text);
    let streams = form == Form::Stream && key.is_none();
    let params = params(&named.shown, arguments);
    let resumed = Resumed { params: params.clone(), named, retry: None };
    let ready = resumed.ready(&visit, streams)?;
    answered(visit, resumed, ready, form, key.zip(digest)).await
}

/// A call, and what it goes on with.
pub struct Resumed {
    pub params: Object,
    pub named: Named,
    pub retry: Option<Retry>,
}

impl Resumed {
    pub fn ready(&self, visit: &Visit, streams: bool) -> Result<Ready, Box<Problem>> {
        let retry = self
            .retry
            .as_ref()
            .map(|it| Retry { responses: it.responses.clone(), state: it.state.clone() });
        let (params, of) = (self.params.clone(), method::TOOLS_CALL);
        let ready = visit.call(Protocol::Rest, Abilities::Input, streams, of, params, retry)?;
        visit.admit(&ready.call)?;
        Ok(ready)
    }
}

/// Makes a call, and answers in the client's form.
pub async fn answered(
    visit: Visit,
    resumed: Resumed,
    ready: Ready,
    form: Form,
    key: Option<(String, String)>,
) -> Answered {
    let Resumed { params, named, .. } = resumed;
    let id = ready.id.to_string();
    let nearest = ready.nearest.clone();
    let visit = Arc::new(visit);
    let mut response = match key {
        Some((key, digest)) => {
            let (making, gateway) = (visit.clone(), visit.gateway.clone());
            let made = async move { made(&making, params, named, ready, Events::ignored()).await };
            let once = idempotency::once(gateway, visit.caller.clone(), key, digest, made);
            match form {
                Form::Stream => stream::last(&visit, once),
                Form::Json | Form::Either => once.await.response(),
            }
        }
        None if form == Form::Stream => {
            let (events, receiver) = visit.events();
            let making = visit.clone();
            let made = async move { made(&making, params, named, ready, events).await };
            stream::begin(&visit, Box::pin(made), receiver).await
        }
        None => made(&visit, params, named, ready, Events::ignored()).await.response(),
    };
    let headers = response.headers_mut();
    tell_nearest(&nearest, headers);
    if let Ok(id) = http::HeaderValue::try_from(id) {
        headers.entry(REQUEST_ID).or_insert(id);
    }
    Ok(response)
}

/// Makes a call, and puts what came of it into words.
async fn made(visit: &Visit, params: Object, named: Named, ready: Ready, events: Events) -> Answer {
    let Ready { call, receipt, began, id, .. } = ready;
    let reply = Box::pin(run(visit, call, events, Abilities::Input)).await;
    let request = id.to_string();
    let answer = match reply {
        Ok(Reply::Result(result)) => match &*result_type(&result) {
            "complete" => match refused_arguments(&result, receipt.is_sent()) {
                Some(problem) => problem.answer(&request),
                None => {
                    let store = visit.gateway.kept.store();
                    let usage = answer::usage(store, &receipt, began).await;
                    answer::executed(&visit.made(id, &named), &result, usage)
                }
            },
            "input_required" => input_required(visit, &request, &result, &params, &named),
            "task" => pending::begun(visit, &result, &visit.made(id, &named)),
            other => unknown(other).answer(&request),
        },
        Ok(Reply::Listening(_) | Reply::Held(_)) => unknown("stream").answer(&request),
        Err(refusal) => of_refusal(&refusal, &named).answer(&request),
    };
    answer.header(REQUEST_ID, &request).sent(receipt.is_sent())
}

fn of_refusal(refusal: &Refusal, named: &Named) -> Problem {
    Problem::of_refusal(refusal, &named.shown, &named.told)
}

pub fn unknown(what: &str) -> Problem {
    let why = format!("The result has a type that this API cannot return: '{what}'");
    Problem::new(StatusCode::BAD_GATEWAY, "invalid_message", why)
}

/// Arguments that did not match the tool's schema: the gateway tells models so in a result, as if of the tool.
pub fn refused_arguments(result: &Object, is_sent: bool) -> Option<Problem> {
    if is_sent {
        return None;
    }
    let meta = result.object("_meta")?;
    let error = meta.object("doorward/error")?;
    (error.string("kind").as_deref() == Some(INVALID_ARGUMENTS)).then(|| {
        let why = "The arguments do not match the tool's input schema; the tool was not called";
        Problem::invalid_arguments(why, error.get("failures"))
    })
}

/// The response to a call for which a server requires input. It is continued from its token alone: nothing is stored.
fn input_required(
    visit: &Visit,
    request: &str,
    result: &Object,
    params: &Object,
    named: &Named,
) -> Answer {
    let required = match InputRequired::read(result) {
        Ok(required) => required,
        Err(why) => return unknown(why).answer(request),
    };
    let resume = pending::resume_token(visit, params, named, required.state);
    answer::input_required(request, &interaction::requests(required.requests), Some(resume))
        .header(http::header::LOCATION, &format!("{}/execute/{request}", visit.base))
}
