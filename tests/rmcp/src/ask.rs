//! Asking the client for input, in the words of its era: by requests of the server's own in the
//! handshake era, by results that say what is missing since.

use rmcp::model::*;
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Map, Value, json};

use crate::catalogue::filled;

pub enum Asked {
    /// All answers are known, under `answers`.
    Answered,
    Required(InputRequiredResult),
}

/// What the client brought along from an earlier round.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    responses: Option<&'a InputResponses>,
    state: Option<&'a str>,
}

impl<'a> Given<'a> {
    pub fn of(request: &'a CallToolRequestParams) -> Self {
        Self {
            responses: request.input_responses.as_ref(),
            state: request.request_state.as_deref(),
        }
    }

    pub fn of_prompt(request: &'a GetPromptRequestParams) -> Self {
        Self {
            responses: request.input_responses.as_ref(),
            state: request.request_state.as_deref(),
        }
    }

    /// The answers to all of these requests, if they are there and have the shape of answers.
    fn answers(self, asked: &Map<String, Value>) -> Option<Value> {
        let given = self.responses?;
        asked
            .keys()
            .map(|key| {
                Some((key.clone(), given.get(key).filter(|answer| answer.is_object())?.clone()))
            })
            .collect()
    }
}

fn codec() -> RequestStateCodec {
    RequestStateCodec::new(*b"a key for tests, known to everybody")
}

/// Goes through the rounds of questions of an entry of the catalogue.
pub async fn rounds(
    entry: &Value,
    known: &mut Map<String, Value>,
    given: Given<'_>,
    cx: &RequestContext<RoleServer>,
) -> Result<Asked, ErrorData> {
    let rounds = entry["ask"].as_array().expect("a list of rounds");
    if cx.protocol_version() != Some(ProtocolVersion::V_2026_07_28) {
        for round in rounds {
            let answers = request(&questions(entry, round, known, cx), cx).await?;
            known.insert("answers".into(), answers);
        }
        return Ok(Asked::Answered);
    }
    let stateful = entry["state"] == true || rounds.len() > 1;
    let mut at = match given.state {
        None => 0,
        Some(state) => codec().open_json(state).map_err(|_| {
            ErrorData::invalid_params("this requestState is not the server's", None)
        })?,
    };
    let mut asked = questions(entry, &rounds[at], known, cx);
    if let Some(answers) = given.answers(&asked).filter(|_| !stateful || given.state.is_some()) {
        known.insert("answers".into(), answers);
        at += 1;
        if at == rounds.len() {
            return Ok(Asked::Answered);
        }
        asked = questions(entry, &rounds[at], known, cx);
    }
    let state = stateful.then(|| codec().seal_json(&at)).transpose();
    let state = state.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    Ok(Asked::Required(InputRequiredResult::new(Some(super::decoded(asked.into())?), state)))
}

/// The requests of a round; of an optional one those that the client can answer.
fn questions(
    entry: &Value,
    round: &Value,
    known: &Map<String, Value>,
    cx: &RequestContext<RoleServer>,
) -> Map<String, Value> {
    let Value::Object(mut asked) = filled(round, known) else {
        unreachable!("a round is an object")
    };
    if entry["optional"] == true {
        let declared = json!(cx.client_capabilities());
        asked.retain(|_, request| {
            let method = request["method"].as_str().unwrap_or_default();
            method.split('/').next().is_some_and(|capability| declared.get(capability).is_some())
        });
    }
    asked
}

/// Sends the requests to a client of the handshake era, all at once.
async fn request(asked: &Map<String, Value>, cx: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
    let answers = asked.iter().map(async |(key, request)| {
        let request = match super::decoded::<InputRequest>(request.clone())? {
            InputRequest::CreateMessage(request) => ServerRequest::CreateMessageRequest(request),
            InputRequest::Elicitation(request) => ServerRequest::ElicitRequest(request),
            InputRequest::ListRoots(request) => ServerRequest::ListRootsRequest(request),
            other => return Err(ErrorData::internal_error(format!("cannot ask for {other:?}"), None)),
        };
        let answer = cx.peer.send_request(request).await;
        let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok((key.clone(), json!(answer)))
    });
    Ok(futures::future::try_join_all(answers).await?.into_iter().collect::<Map<_, _>>().into())
}
