//! What clients are told about calls that wait for approval, in the form that they support (spec 2026-07-28
//! client/elicitation, URL mode; spec 2025-11-25 client/elicitation, error -32042).

use std::time::Duration;

use doorward_config::Explain;
use doorward_governance::approvals::Approval;
use doorward_identity::seal::{fingerprint, meaning};
use doorward_mcp::error::{Kind, code};
use doorward_mcp::interaction::{InputRequest, InputRequired, Retry};
use doorward_mcp::{Object, Revision, RpcError, capabilities, method};
use doorward_policy::Code;
use doorward_store::now;
use doorward_upstream::state;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::approved::Answered;
use crate::call::{Call, CallError, HeldTask, Reply};
use crate::gateway::Gateway;
use crate::record;

/// What the question is called.
const KEY: &str = "approval";

/// The page on which people decide.
pub fn url(gateway: &Gateway, id: &str) -> String {
    format!("{}/approvals/{id}", gateway.identity.resources.origin())
}

/// A refusal for another reason than that nobody has decided yet.
pub fn denied(call: &Call, why: &str) -> CallError {
    let data = json!({
        "kind": Kind::Denied.as_str(),
        "code": Code::ApprovalRequired.as_str(),
        "retryable": false,
        "call": call.id.to_string(),
    });
    RpcError::new(Kind::Denied.code(), why).with_data(&data).into()
}

/// The refusal of somebody who was asked.
pub fn refused(gateway: &Gateway, call: &Call, approval: &Approval) -> CallError {
    let vote = approval.votes.iter().find(|vote| !vote.approves);
    let reason = vote.and_then(|vote| vote.reason.as_deref());
    match (gateway.explains(), reason) {
        (Explain::Nothing, _) | (_, None) => denied(call, "An approver has refused this call"),
        (_, Some(reason)) => denied(call, &format!("An approver has refused this call: {reason}")),
    }
}

/// What the state in the question is sealed for.
const STATE: &str = "approval";

/// The state in the question.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// The call that it is about.
    #[serde(rename = "c")]
    call: String,
    /// What the client had answered to the server, as JSON, and the server's state.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    continues: Option<(String, Option<String>)>,
}

/// What the answer to the question is good for: this call, and no other.
fn purpose(call: &Call) -> String {
    let server = call.route.as_ref().map(|route| &*route.server.name).unwrap_or_default();
    let params = meaning(&call.params);
    fingerprint(&[b"approval", server.as_bytes(), call.method.as_bytes(), &params])
}

/// Takes the answer to the gateway's question out of a retry, and puts what the client had answered to its server in its
/// place.
pub fn open(gateway: &Gateway, call: &mut Call) {
    let Some(retry) = &call.retry else { return };
    let principal = &call.caller.principal.id;
    let opened = retry.state.as_ref().map(|sealed| {
        let sealer = &gateway.shared.sealer;
        sealer.open::<State>(sealed, principal, STATE)
    });
    // Any other state is the server's.
    if let Some(Ok(State { call: of, continues })) = opened {
        let answer = retry.responses.object(KEY).unwrap_or_default();
        let accepts = answer.string("action").as_deref() == Some("accept");
        call.notes.answered = Some(Box::new(Answered { call: of, accepts }));
        call.retry = continues.map(|(responses, state)| Retry {
            responses: Object::parse(&responses.into()).unwrap_or_default(),
            state,
        });
    }
    let continues = call.retry.as_ref();
    call.notes.continues = continues.map(|Retry { responses, state }| {
        Box::new(Retry { responses: responses.clone(), state: state.clone() })
    });
}

/// What the ID of a held call's task is sealed for.
pub fn task_purpose(server: &str) -> String {
    format!("approval-task:{server}")
}

/// The task that a call asks about, if it is of a held call.
pub fn held_task(gateway: &Gateway, call: &Call) -> Option<String> {
    let (route, sealed) = (call.route.as_ref()?, call.params.string("taskId")?);
    let purpose = task_purpose(&route.server.name);
    gateway.shared.sealer.open(&sealed, &call.caller.principal.id, &purpose).ok()
}

/// Whether the client has opened the page, and the call waits.
pub fn taken(call: &mut Call) -> Result<bool, CallError> {
    let Some(answered) = call.notes.answered.take() else { return Ok(false) };
    if answered.call != purpose(call) {
        return Err(state::refused().into());
    }
    match answered.accepts {
        true => Ok(true),
        false => {
            Err(denied(call, "The call requires approval, and the request for it was declined"))
        }
    }
}

/// Tells who can approve, where, and until when.
pub fn told(
    gateway: &Gateway,
    call: &Call,
    approval: &Approval,
) -> Result<Option<Reply>, CallError> {
    if call.notes.can_be_task && *call.method == *method::TOOLS_CALL {
        return Ok(Some(Reply::Held(HeldTask::Begins(Box::new(approval.clone())))));
    }
    let link = url(gateway, &approval.id);
    let what = record::target(call).unwrap_or_default();
    let until = Timestamp::from_second(approval.expires).unwrap_or_default();
    let why = match gateway.explains() {
        Explain::Nothing => String::new(),
        Explain::Reason | Explain::Full => {
            let note = call.notes.decision.as_ref().and_then(|decision| decision.note.as_ref());
            let note = note.map(|note| format!("; {note}")).unwrap_or_default();
            let (reason, approvers) = (approval.reason(), approval.approvers());
            format!(" ({reason}{note}). It can be approved by {approvers}")
        }
    };
    let message = format!("The call of '{what}' requires approval{why}");
    let modern = call.revision.is_modern();
    let can_be_asked = capabilities::elicits(&call.client.capabilities, "url")
        && call.revision >= Revision::V2025_11_25
        && (!modern || method::may_ask_for_input(&call.method));
    if can_be_asked && modern {
        let mut params = Object::new();
        let message = format!("{message}, until {until}");
        for (name, value) in [("mode", "url"), ("message", &*message), ("url", &*link)] {
            params.set(name, value);
        }
        let request = InputRequest { key: KEY.into(), method: method::ELICIT.into(), params };
        let left = u64::try_from(approval.expires - now()).unwrap_or_default();
        let principal = &call.caller.principal.id;
        let continues = call.notes.continues.as_ref().map(|retry| {
            let responses = retry.responses.to_bytes();
            (String::from_utf8_lossy(&responses).into_owned(), retry.state.clone())
        });
        let state = State { call: purpose(call), continues };
        let lifetime = Some(Duration::from_secs(left.max(1)));
        let state = gateway.shared.sealer.seal(&state, principal, STATE, lifetime);
        let required = InputRequired { requests: vec![request], state: Some(state) };
        return Ok(Some(Reply::Result(required.to_result())));
    }
    if can_be_asked {
        let elicitation =
            json!({ "mode": "url", "elicitationId": approval.id, "url": link, "message": message });
        let error = RpcError::new(code::URL_ELICITATION_REQUIRED, message);
        return Err(error.with_data(&json!({ "elicitations": [elicitation] })).into());
    }
    let data = json!({
        "kind": Kind::Denied.as_str(),
        "code": Code::ApprovalRequired.as_str(),
        "retryable": true,
        "approval": approval.id,
        "url": link,
        "expires": until.to_string(),
        "call": call.id.to_string(),
    });
    let message = format!(
        "{message}. Ask them to open {link} before {until}, then make the same call again: it runs once it is approved"
    );
    Err(RpcError::new(Kind::Denied.code(), message).with_data(&data).into())
}
