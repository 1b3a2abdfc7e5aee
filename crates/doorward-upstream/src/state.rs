//! The content that the gateway encrypts in `requestState`: bound to the principal, the server and the request, valid for a
//! limited time (attack T23).

use std::sync::Arc;

use doorward_mcp::interaction::Retry;
use doorward_mcp::{Object, RpcError, Value};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

pub use super::asked::names_a_task;
use super::{Asked, Server};
use doorward_identity::seal::{fingerprint, meaning};

#[derive(Debug, Serialize, Deserialize)]
pub enum State {
    /// The slot of a parked exchange with a handshake-era server.
    #[serde(rename = "p")]
    Parked(u64),
    /// A modern server's state, unchanged.
    #[serde(rename = "w")]
    Wrapped(String),
    /// A modern server's task that is awaited, and its requests that were answered.
    #[serde(rename = "t")]
    Task { id: String, answered: Vec<String> },
    /// No state, only a retry (error -32042 of 2025-11-25).
    #[serde(rename = "a")]
    Again,
}

/// The scope of sealed state: this server, method and parameters only.
fn purpose(server: &str, asked: &Asked<'_>) -> String {
    fingerprint(&[server.as_bytes(), asked.method.as_bytes(), &meaning(&asked.params)])
}

impl Server {
    pub(super) fn seal_state(&self, asked: &Asked<'_>, state: &State) -> String {
        let lifetime = self.shared.parking.patience();
        let purpose = purpose(&self.name, asked);
        self.shared.sealer.seal(&(self.tag(), state), asked.principal, &purpose, Some(lifetime))
    }

    pub(super) fn open_state(
        &self,
        asked: &Asked<'_>,
        retry: &Retry,
    ) -> Result<Option<State>, RpcError> {
        let Some(sealed) = &retry.state else { return Ok(None) };
        let purpose = purpose(&self.name, asked);
        let opened = self.shared.sealer.open(sealed, asked.principal, &purpose);
        opened.map(|(_, state): (String, State)| Some(state)).map_err(|_| refused())
    }

    /// The replica that holds the state which a request continues, if any.
    pub(super) fn home_of(&self, asked: &Asked<'_>) -> Option<String> {
        if names_a_task(asked.method) {
            return Some(self.opened_task(asked.principal, &asked.params.string("taskId")?)?.home);
        }
        let sealed = asked.retry?.state.as_ref()?;
        let purpose = purpose(&self.name, asked);
        let opened = self.shared.sealer.open(sealed, asked.principal, &purpose);
        opened.map(|(home, _): (String, IgnoredAny)| home).ok()
    }
}

/// The error for any invalid `requestState`: it does not reveal which check failed.
pub fn refused() -> RpcError {
    RpcError::invalid_params("'requestState' is not valid for this request, or has expired")
}

/// Longest arguments of a call, in bytes, that the ID of its task has: clients send it in a header.
const MOST_ARGUMENTS: usize = 2_048;

/// The call that has created a task, as far as its ID says.
#[derive(Debug, Clone)]
pub struct TaskOf {
    /// The server's own name of the tool.
    pub tool: Box<str>,
    /// `None` if they are too long to be part of the ID.
    pub arguments: Option<Object>,
}

/// What the ID of a task contains: the replica that has it, its ID there, and the call that has created it.
#[derive(Debug, Serialize, Deserialize)]
struct SealedTask {
    #[serde(rename = "r")]
    home: String,
    #[serde(rename = "t")]
    task: String,
    #[serde(rename = "n")]
    tool: String,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    arguments: Option<String>,
}

/// Task ids contain their server and owner, which identifies both on later requests, and the call that has created them.
impl Server {
    /// `task` is the server's id, or for a handshake-era server the slot where the task is stored.
    pub(super) fn seal_task(&self, asked: &Asked<'_>, task: &str) -> String {
        let arguments = asked.params.get("arguments").map(Value::to_bytes).unwrap_or_default();
        let arguments = String::from_utf8(arguments.to_vec()).ok();
        let sealed = SealedTask {
            home: self.tag().to_owned(),
            task: task.to_owned(),
            tool: asked.params.string("name").unwrap_or_default().into_owned(),
            arguments: arguments.filter(|text| text.len() <= MOST_ARGUMENTS),
        };
        self.shared.sealer.seal(&sealed, asked.principal, &task_purpose(&self.name), None)
    }

    fn opened_task(&self, principal: &str, sealed: &str) -> Option<SealedTask> {
        self.shared.sealer.open(sealed, principal, &task_purpose(&self.name)).ok()
    }

    pub fn open_task(&self, principal: &str, sealed: &str) -> Option<String> {
        self.opened_task(principal, sealed).map(|opened| opened.task)
    }

    /// The call that has created a task.
    pub fn call_of_task(&self, principal: &str, sealed: &str) -> Option<TaskOf> {
        let SealedTask { tool, arguments, .. } = self.opened_task(principal, sealed)?;
        let arguments = match arguments.as_deref() {
            Some("") => Some(Object::new()),
            Some(text) => Object::parse(&text.as_bytes().to_vec().into()),
            None => None,
        };
        Some(TaskOf { tool: tool.into(), arguments })
    }

    /// The replica that has a task; the server itself if there is none or it is gone.
    pub fn home_of_task(self: &Arc<Self>, principal: &str, sealed: &str) -> Arc<Self> {
        let home =
            self.opened_task(principal, sealed).map(|opened| opened.home).unwrap_or_default();
        let mut members = self.members().into_iter();
        members.find(|member| *member.tag() == *home).unwrap_or_else(|| self.clone())
    }

    /// Replaces the server's task id in a result by the sealed one.
    pub(super) fn cover_task(&self, asked: &Asked<'_>, result: &mut Object) {
        if let Some(task) = result.string("taskId").map(std::borrow::Cow::into_owned) {
            result.set("taskId", self.seal_task(asked, &task).as_str());
        }
    }

    /// Whether a retry has a state that this server, or the gateway on its behalf, has given to this call, or needs none.
    pub fn knows_state(&self, asked: &Asked<'_>) -> bool {
        asked.retry.is_none_or(|retry| self.open_state(asked, retry).is_ok())
    }
}

fn task_purpose(server: &str) -> String {
    format!("task:{server}")
}
