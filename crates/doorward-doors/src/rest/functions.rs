//! `POST /tools/execute`: what a model produced, in any dialect, and the results for it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use doorward_functions::{Adapted, Call, Outcome, calls, results};
use doorward_gateway::call::{CallId, Events, Protocol, Reply};
use doorward_mcp::interaction::{is_tool_error, result_type};
use doorward_mcp::{Object, Value, method};
use futures_util::StreamExt;
use http::StatusCode;

use super::answer::{self, Answer, raw};
use super::execute::{digest, form, unknown};
use super::making::{Abilities, Ready, params, run};
use super::problem::Problem;
use super::types::{Ran, Results, Usage};
use super::{Answered, Visit, idempotency, stream, tools};
use crate::mcp::accept::Form;

pub async fn post(visit: Visit, text: Bytes) -> Answered {
    let form = form(&visit)?;
    let limits = &visit.gateway.shared.limits;
    let calls = calls::read(&text, limits.json(), limits.batch)
        .map_err(|problem| Box::new(Problem::invalid(problem.message).at(&problem.at)))?;
    let key = idempotency::key(&visit.headers, None)?;
    let digest = key.as_ref().map(|_| digest(&visit, "functions", &text));
    drop(text);
    // Whether the caller may come here at all is told once, and not as a result of each call.
    let (of, params) = (method::TOOLS_LIST, Object::new());
    let probe = visit.call(Protocol::Functions, Abilities::None, false, of, params, None)?;
    visit.admit(&probe.call)?;
    drop(probe);
    let visit = Arc::new(visit);
    let (gateway, caller, making) = (visit.gateway.clone(), visit.caller.clone(), visit.clone());
    let run = async move { all(&making, calls).await };
    Ok(match (key.zip(digest), form) {
        (Some((key, digest)), Form::Stream) => {
            stream::last(&visit, idempotency::once(gateway, caller, key, digest, run))
        }
        (Some((key, digest)), _) => {
            idempotency::once(gateway, caller, key, digest, run).await.response()
        }
        (None, Form::Stream) => stream::last(&visit, run),
        (None, _) => Box::pin(run).await.response(),
    })
}

/// What came of one call.
struct Done {
    result: Value,
    ran: Ran,
    is_sent: bool,
}

/// Makes all calls, several at a time, and puts the results in their order.
async fn all(visit: &Visit, calls: Vec<Call>) -> Answer {
    // By the tools' schemas, arguments of strict schemas become those of the tools. Of what is not listed, the call says so.
    let wanted =
        |name: &str, id: &str| calls.iter().any(|call| call.name == name || call.name == id);
    let found = tools::all(visit, Protocol::Functions, wanted).await.unwrap_or_default();
    let mut listed = HashMap::new();
    for tool in found {
        listed.insert(tool.id, tool.definition.clone());
        listed.insert(tool.name, tool.definition);
    }
    let parallel = visit.gateway.settings().rest.parallel;
    let running = calls.into_iter().map(|call| Box::pin(one(visit, &listed, call)));
    let done: Vec<Done> = futures_util::stream::iter(running).buffered(parallel).collect().await;
    let is_sent = done.iter().any(|one| one.is_sent);
    let results: Vec<&Value> = done.iter().map(|one| &one.result).collect();
    let results = raw(&Value::array(results).to_bytes()).unwrap_or_default();
    let calls = done.into_iter().map(|one| one.ran).collect();
    Answer::of(StatusCode::OK, &Results { results, calls }).sent(is_sent)
}

async fn one(visit: &Visit, listed: &HashMap<String, Object>, call: Call) -> Done {
    let definition = listed.get(&call.name);
    let read = call.arguments.clone().and_then(|sent| match definition {
        Some(tool) => Adapted::of(tool.get("inputSchema")).arguments(&sent),
        None => Ok(sent),
    });
    let arguments = match read {
        Ok(arguments) => arguments,
        Err(why) => {
            let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_arguments", why);
            return failed(&call, problem, visit.request);
        }
    };
    let named = visit.named(&call.name, None).await;
    let of = method::TOOLS_CALL;
    let params = params(&named.shown, arguments);
    let ready = visit.call(Protocol::Functions, Abilities::None, false, of, params, None);
    let Ready { call: made, receipt, began, id, .. } = match ready {
        Ok(ready) => ready,
        Err(problem) => return failed(&call, *problem, visit.request),
    };
    if let Err(problem) = visit.admit(&made) {
        return failed(&call, *problem, id);
    }
    let reply = Box::pin(run(visit, made, Events::ignored(), Abilities::None)).await;
    let mut done = match reply {
        Ok(Reply::Result(result)) if &*result_type(&result) == "complete" => {
            let usage = answer::usage(visit.gateway.kept.store(), &receipt, began).await;
            let is_error = is_tool_error(&result);
            let name = call.name.clone();
            let ran = Ran { id: id.to_string(), name, is_error, error: None, usage };
            Done { result: results::write(&call, Outcome::Result(&result)), ran, is_sent: true }
        }
        Ok(Reply::Result(result)) => failed(&call, unknown(&result_type(&result)), id),
        Ok(_) => failed(&call, unknown("stream"), id),
        Err(refusal) => failed(&call, Problem::of_refusal(&refusal, &named.shown, &named.told), id),
    };
    done.is_sent = receipt.is_sent();
    done
}

/// A result that says why there is none, in words for the model.
fn failed(call: &Call, problem: Problem, id: CallId) -> Done {
    let mut why = problem.message.clone();
    for detail in &problem.details {
        why.push_str(&format!("\n{}: {}", detail.pointer, detail.message));
    }
    let result = results::write(call, Outcome::Failed(&why));
    let request = id.to_string();
    let error = Some(problem.fault(&request));
    let (name, usage) = (call.name.clone(), Usage::default());
    let ran = Ran { id: request, name, is_error: true, error, usage };
    Done { result, ran, is_sent: false }
}
