//! The content that the gateway encrypts in `requestState`: bound to the principal, the server and the request, valid for a
//! limited time (attack T23).

use std::sync::Arc;

use doorward_mcp::interaction::Retry;
use doorward_mcp::{Object, RpcError};
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
            let (home, _) = self.opened_task(asked.principal, &asked.params.string("taskId")?)?;
            return Some(home);
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

/// Task ids contain their server and owner, which identifies both on later requests.
impl Server {
    /// `task` is the server's id, or for a handshake-era server the slot where the task is stored.
    pub fn seal_task(&self, principal: &str, task: &str) -> String {
        let purpose = task_purpose(&self.name);
        self.shared.sealer.seal(&(self.tag(), task), principal, &purpose, None)
    }

    /// The replica that has a task, and its id there.
    fn opened_task(&self, principal: &str, sealed: &str) -> Option<(String, String)> {
        self.shared.sealer.open(sealed, principal, &task_purpose(&self.name)).ok()
    }

    pub fn open_task(&self, principal: &str, sealed: &str) -> Option<String> {
        self.opened_task(principal, sealed).map(|(_, task)| task)
    }

    /// The replica that has a task; the server itself if there is none or it is gone.
    pub fn home_of_task(self: &Arc<Self>, principal: &str, sealed: &str) -> Arc<Self> {
        let home = self.opened_task(principal, sealed).map(|(home, _)| home).unwrap_or_default();
        let mut members = self.members().into_iter();
        members.find(|member| *member.tag() == *home).unwrap_or_else(|| self.clone())
    }

    /// Replaces the server's task id in a result or notification by the sealed one.
    pub(super) fn cover_task(&self, principal: &str, result: &mut Object) {
        if let Some(task) = result.string("taskId").map(std::borrow::Cow::into_owned) {
            result.set("taskId", self.seal_task(principal, &task).as_str());
        }
    }
}

fn task_purpose(server: &str) -> String {
    format!("task:{server}")
}
