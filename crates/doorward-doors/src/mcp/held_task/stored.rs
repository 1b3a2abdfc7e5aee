//! What is kept of a held call that is a task, and what clients see of it.

use doorward_identity::identity::Grant;
use doorward_identity::seal::fingerprint;
use doorward_mcp::interaction::{self, InputRequired, Retry};
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, RpcError, Value};
use doorward_store::{ApprovalTask, TaskState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Sent;

/// How often clients look, in milliseconds.
const POLL: i64 = 2_000;

/// A held call, as its client has sent it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stored {
    /// Who has made it, and where: see [`who`].
    pub who: String,
    params: String,
    capabilities: String,
    pub conversation: Option<Box<str>>,
    retry: Option<(String, Option<String>)>,
}

/// What has come of a call.
#[derive(Debug, Serialize, Deserialize)]
pub enum Outcome {
    Result(String),
    Error(String),
    /// The server asks for input, for the nth time; with the answers that have come.
    Input {
        result: String,
        answered: String,
        round: u32,
    },
    /// The ID of the task that the server has made of it.
    Passed(String),
}

/// Who makes a request, and where, as approvals are bound to it.
pub fn who(sent: &Sent) -> String {
    let principal = &sent.caller.principal;
    let key = match &principal.grant {
        Grant::Key { id, .. } => id.to_string(),
        Grant::Open | Grant::Token { .. } | Grant::Certificate => String::new(),
    };
    let merged = if sent.portal.is_merged() { "merged" } else { "server" };
    let agent = principal.agent.as_ref().map(|agent| format!("agent {agent}")).unwrap_or_default();
    let mut parts: Vec<&[u8]> = vec![
        principal.id.as_bytes(),
        key.as_bytes(),
        merged.as_bytes(),
        sent.portal.name().as_bytes(),
        agent.as_bytes(),
    ];
    parts.extend(principal.chain.iter().map(String::as_bytes));
    fingerprint(&parts)
}

fn text(object: &Object) -> String {
    String::from_utf8_lossy(&object.to_bytes()).into_owned()
}

fn parsed(text: &str) -> Option<Object> {
    Object::parse(&text.to_owned().into())
}

impl Stored {
    pub fn of(sent: &Sent) -> Self {
        let retry = sent.retry.as_ref();
        Self {
            who: who(sent),
            params: text(&sent.params),
            capabilities: text(&sent.client.capabilities),
            conversation: sent.conversation.clone(),
            retry: retry.map(|retry| (text(&retry.responses), retry.state.clone())),
        }
    }

    pub fn params(&self) -> Option<Object> {
        parsed(&self.params)
    }

    /// The client with the capabilities that it had when it made the call.
    pub fn client(&self, now: &Client) -> Option<Client> {
        Some(Client { capabilities: parsed(&self.capabilities)?, ..now.clone() })
    }

    /// With what the call continues, if it does.
    pub fn retry(&self) -> Option<Retry> {
        let (responses, state) = self.retry.as_ref()?;
        Some(Retry { responses: parsed(responses).unwrap_or_default(), state: state.clone() })
    }
}

/// The key of a request for input: a server may use the same again, but in a task each is used once.
pub fn shown(key: &str, round: u32) -> String {
    if round == 0 { key.to_owned() } else { format!("{key}#{round}") }
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// A task, as clients see it.
pub fn object(
    task: &ApprovalTask,
    name: &str,
    message: Option<&str>,
    outcome: Option<&Outcome>,
) -> Result<Object, &'static str> {
    let status = match task.state {
        TaskState::Waiting | TaskState::Running | TaskState::Passed => "working",
        TaskState::Input => "input_required",
        TaskState::Completed => "completed",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
    };
    let mut object = Object::new();
    object.set("resultType", "complete");
    object.set("taskId", name);
    object.set("status", status);
    if let Some(message) = message {
        object.set("statusMessage", message);
    }
    object.set("createdAt", time(task.created).as_str());
    object.set("lastUpdatedAt", time(task.updated).as_str());
    object.set("ttlMs", Value::number((task.expires - task.created) * 1_000));
    object.set("pollIntervalMs", Value::number(POLL));
    let unreadable = "What has come of the task cannot be read";
    match (task.state, outcome) {
        (TaskState::Completed, Some(Outcome::Result(result))) => {
            object.set("result", parsed(result).ok_or(unreadable)?);
        }
        (TaskState::Failed, Some(Outcome::Error(error))) => {
            object.set("error", Value::Raw(error.clone().into()));
        }
        (TaskState::Input, Some(Outcome::Input { result, answered, round })) => {
            let required = InputRequired::read(&parsed(result).ok_or(unreadable)?)?;
            let answered = parsed(answered).unwrap_or_default();
            let open = required.requests.into_iter().filter(|it| !answered.contains(&it.key));
            let open = open.map(|mut request| {
                request.key = shown(&request.key, *round);
                request
            });
            object.set(interaction::INPUT_REQUESTS, interaction::requests(open));
        }
        (TaskState::Completed | TaskState::Failed | TaskState::Input, _) => return Err(unreadable),
        _ => {}
    }
    Ok(object)
}

/// The longest outcome that is kept, in bytes.
const MOST_OUTCOME: usize = 1 << 20;

impl Outcome {
    /// What has come of a run: the result or the error.
    pub fn of(reply: Result<Object, RpcError>, round: u32) -> (TaskState, Self) {
        let long = "The tool was executed, but its result is too long to be kept for a task";
        let result = match reply {
            Err(error) => {
                let error = String::from_utf8_lossy(&error.to_bytes()).into_owned();
                return (TaskState::Failed, Self::Error(error));
            }
            Ok(result) => result,
        };
        let whole = text(&result);
        if whole.len() > MOST_OUTCOME {
            let error = RpcError::new(doorward_mcp::error::code::INTERNAL, long);
            let error = String::from_utf8_lossy(&error.to_bytes()).into_owned();
            return (TaskState::Failed, Self::Error(error));
        }
        match &*interaction::result_type(&result) {
            "task" => {
                let inner = result.string("taskId").unwrap_or_default().into_owned();
                (TaskState::Passed, Self::Passed(inner))
            }
            "input_required" => {
                let answered = "{}".to_owned();
                (TaskState::Input, Self::Input { result: whole, answered, round })
            }
            _ => (TaskState::Completed, Self::Result(whole)),
        }
    }
}
