//! `/execute/{id}`: calls that go on. A held call is a task of the gateway, which is asked for until its approval lets it run;
//! a call for which a server requires input goes on from its token.

use std::time::Duration;

use bytes::Bytes;
use doorward_gateway::call::{CallId, Events, Protocol, Reply};
use doorward_mcp::interaction::{INPUT_REQUESTS, Retry};
use doorward_mcp::{Object, RpcError, method};
use doorward_web::Body;
use doorward_web::response::empty;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::answer::{self, Answer, Made};
use super::execute::{Resumed, answered, digest, form, object, read, unknown};
use super::making::{Abilities, Named, run};
use super::problem::Problem;
use super::types::{Continue, Usage};
use super::{Answered, Visit, idempotency};
use crate::mcp::accept::Form;

/// How long answers to a server's request are accepted.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
const TASK: &str = "rest-task";

/// A call that waits, as its ID has it, sealed.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    #[serde(rename = "i")]
    task: String,
    #[serde(rename = "t")]
    tool: String,
    #[serde(rename = "p")]
    provider: String,
}

/// A call that goes on once there is input, as its token has it, sealed.
#[derive(Debug, Serialize, Deserialize)]
struct Interrupted {
    #[serde(rename = "p")]
    params: String,
    #[serde(rename = "t")]
    told: String,
    #[serde(rename = "n")]
    shown: String,
    #[serde(rename = "s")]
    state: Option<String>,
}

fn purpose(visit: &Visit) -> String {
    format!("rest-input:{}", visit.portal.name())
}

pub fn resume_token(
    visit: &Visit,
    params: &Object,
    named: &Named,
    state: Option<String>,
) -> String {
    let params = String::from_utf8_lossy(&params.to_bytes()).into_owned();
    let (told, shown) = (named.told.clone(), named.shown.clone());
    let content = Interrupted { params, told, shown, state };
    let principal = &visit.caller.principal.id;
    visit.gateway.shared.sealer.seal(&content, principal, &purpose(visit), Some(LIFETIME))
}

/// The response to a call that has become a task.
pub fn begun(visit: &Visit, result: &Object, made: &Made) -> Answer {
    let waiting = Waiting {
        task: result.string("taskId").unwrap_or_default().into_owned(),
        tool: made.tool.clone(),
        provider: made.provider.clone(),
    };
    let principal = &visit.caller.principal.id;
    let id = visit.gateway.shared.sealer.seal(&waiting, principal, TASK, None);
    waits(visit, &id, result)
}

fn waits(visit: &Visit, id: &str, task: &Object) -> Answer {
    let message = task.string("statusMessage").map(std::borrow::Cow::into_owned);
    answer::pending(&format!("{}/execute/{id}", visit.base), id, message)
}

fn opened(visit: &Visit, id: &str) -> Result<Waiting, Box<Problem>> {
    let principal = &visit.caller.principal.id;
    let opened = visit.gateway.shared.sealer.open(id, principal, TASK);
    opened.map_err(|_| Box::new(Problem::unknown_call()))
}

/// Asks the gateway about a task; the answer, and the ID of the request.
async fn ask(
    visit: &Visit,
    of: &str,
    waiting: &Waiting,
    responses: Option<Object>,
) -> Result<(Object, CallId), Box<Problem>> {
    let mut params = Object::new();
    params.set("taskId", &*waiting.task);
    if let Some(responses) = responses {
        params.set("inputResponses", responses);
    }
    let ready = visit.call(Protocol::Rest, Abilities::Tasks, false, of, params, None)?;
    visit.admit(&ready.call)?;
    let id = ready.id;
    match Box::pin(run(visit, ready.call, Events::ignored(), Abilities::Tasks)).await {
        Ok(Reply::Result(result)) => Ok((result, id)),
        Ok(_) => Err(Box::new(unknown("stream"))),
        Err(refusal) if refusal.error.message == "Unknown task" => {
            Err(Box::new(Problem::unknown_call()))
        }
        Err(refusal) => Err(Box::new(Problem::of_refusal(&refusal, "", ""))),
    }
}

/// How a call stands that waits.
pub async fn get(visit: Visit, id: &str) -> Answered {
    form(&visit)?;
    let waiting = opened(&visit, id)?;
    state(&visit, id, waiting).await.into()
}

async fn state(visit: &Visit, id: &str, waiting: Waiting) -> Answer {
    let (task, request) = match ask(visit, method::TASKS_GET, &waiting, None).await {
        Ok(found) => found,
        Err(problem) => return problem.answer(&visit.request.to_string()),
    };
    let call = request.to_string();
    match &*task.string("status").unwrap_or_default() {
        "completed" => {
            let made = Made { id: request, tool: waiting.tool, provider: waiting.provider };
            let result = task.object("result").unwrap_or_default();
            answer::executed(&made, &result, Usage::default())
        }
        "failed" => {
            let error = task.object("error").and_then(|error| RpcError::read(&error));
            let error = error.unwrap_or_else(|| RpcError::new(-32603, "The call has failed"));
            Problem::of_error(&error, None).answer(&call)
        }
        "cancelled" => {
            let why = "The call was cancelled, and not made";
            Problem::new(StatusCode::CONFLICT, "cancelled", why).answer(&call)
        }
        "input_required" => {
            let requests = task.object(INPUT_REQUESTS).unwrap_or_default();
            answer::input_required(&call, &requests, None)
        }
        _ => waits(visit, id, &task),
    }
}

/// Takes the answers to a server's requests, and goes on.
pub async fn post(visit: Visit, id: &str, text: Bytes) -> Answered {
    let form = form(&visit)?;
    let body: Continue = read(&visit, &text)?;
    let responses = object(body.responses.as_deref(), "responses")?;
    let Some(token) = body.resume else {
        let waiting = opened(&visit, id)?;
        ask(&visit, method::TASKS_UPDATE, &waiting, Some(responses)).await?;
        return state(&visit, id, waiting).await.into();
    };
    let principal = &visit.caller.principal.id;
    let opened = visit.gateway.shared.sealer.open(&token, principal, &purpose(&visit));
    let Interrupted { params, told, shown, state } =
        opened.map_err(|_| Box::new(Problem::unknown_call().at("/resume")))?;
    let params = Object::parse(&params.into()).unwrap_or_default();
    let key = idempotency::key(&visit.headers, None)?;
    let digest = key.as_ref().map(|_| digest(&visit, "continue", &text));
    drop(text);
    let retry = Some(Retry { responses, state });
    let resumed = Resumed { params, named: Named { told, shown }, retry };
    let ready = resumed.ready(&visit, form == Form::Stream && key.is_none())?;
    answered(visit, resumed, ready, form, key.zip(digest)).await
}

/// Cancels a call that waits: it is not made any more, unless it was.
pub async fn delete(visit: Visit, id: &str) -> Answered {
    let waiting = opened(&visit, id)?;
    ask(&visit, method::TASKS_CANCEL, &waiting, None).await?;
    let response: Response<Body> = empty(StatusCode::NO_CONTENT);
    Ok(response)
}
