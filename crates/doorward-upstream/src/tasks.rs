//! Tasks of handshake-era servers (spec 2025-11-25 basic/utilities/tasks), presented in the form of the tasks
//! extension: the state is fetched when the client requests it, with the result once there is one, and with pending
//! requests of the server for input.
//!
//! Such a task belongs to the session that created it, so the session is kept open as long as the task exists.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_mcp::error::{Kind, code};
use doorward_mcp::interaction;
use doorward_mcp::tasks;
use doorward_mcp::{Message, Object, RpcError, Value, capabilities, method, translate};
use tokio::time::Instant;

use super::asked::takes;
use super::questions::{BREATH, MAX_QUESTIONS, question};
use super::session::{SendError, Session};
use super::task_store::{CallOf, Errand, Open, Task};
use super::{Asked, Contact, Server};
use crate::call_error::CallError;
use doorward_core::Failure;
use doorward_core::deadline::Deadline;
use doorward_core::share::sharer;
use doorward_transport::calls::Takes;

/// Lifetime of a task without a time to live, and the bounds for what a server states.
const ENDLESS: Duration = Duration::from_secs(24 * 60 * 60);
const SHORTEST: Duration = Duration::from_secs(60);
/// How long to wait for the requests of a server whose task states that it needs input.
const PATIENCE: Duration = Duration::from_secs(2);

impl Server {
    /// Stores a task that a call has become, and returns it to the client under a new id.
    pub(super) fn hold(
        &self,
        asked: &Asked<'_>,
        session: &Arc<Session>,
        mut task: Object,
    ) -> Result<Object, CallError> {
        // Cancels the task at the server unless it is stored.
        let errand = Errand::new(session, &task)?;
        let told = task.get("ttlMs").and_then(Value::as_u64).map(Duration::from_millis);
        session.tasks.fetch_add(1, Ordering::Relaxed);
        let kept = Task {
            id: errand.task().into(),
            owner: sharer(asked.principal).into(),
            call: CallOf::new(&self.name, asked),
            session: session.clone(),
            until: Instant::now() + told.unwrap_or(ENDLESS).clamp(SHORTEST, ENDLESS),
            result: tokio::sync::Mutex::default(),
        };
        let place = self.held.add(kept, self.shared.limits.shared(self.shared.limits.tasks))?;
        errand.done();
        task.set("taskId", self.seal_task(asked, &format!("{place:x}")).as_str());
        Ok(task)
    }

    /// Ends the tasks of stopped calls.
    pub fn end_tasks(&self, are_stopped: &dyn Fn(&CallOf) -> bool) {
        self.held.end_calls(are_stopped);
        self.members().iter().for_each(|member| member.end_tasks(are_stopped));
        if let Some(twin) = self.known_twin() {
            twin.end_tasks(are_stopped);
        }
    }

    /// Answers `tasks/get`, `tasks/update` and `tasks/cancel`.
    pub(super) async fn ask_about_task(
        &self,
        contact: &Contact,
        asked: &Asked<'_>,
    ) -> Result<Object, CallError> {
        if !capabilities::has_tasks(&contact.about.capabilities) {
            return Err(RpcError::method_not_found(asked.method).into());
        }
        let sealed = asked.params.string("taskId").unwrap_or_default();
        let place = self.open_task(asked.principal, &sealed);
        let place = place.and_then(|place| u64::from_str_radix(&place, 16).ok());
        let task = place.and_then(|place| self.held.0.lock().get(&place).cloned());
        let task = task.ok_or_else(unknown)?;
        match asked.method {
            method::TASKS_GET => {
                let mut state = self.state_of(&task, asked).await?;
                state.set("taskId", &*sealed);
                Ok(state)
            }
            method::TASKS_UPDATE => self.update(&task, asked).await,
            _ => self.cancel(&task, asked).await,
        }
    }

    /// The current state of the task.
    async fn state_of(&self, task: &Task, asked: &Asked<'_>) -> Result<Object, CallError> {
        let mut state = fetch(task, asked.deadline).await?;
        let status = state.string("status").unwrap_or_default().into_owned();
        tasks::to_modern(&mut state);
        tasks::drop_related(&mut state);
        state.set("resultType", "complete");
        let mut open = task.result.lock().await;
        match status.as_str() {
            // The result decides: in the extension, a tool that fails with a result is `completed`.
            "completed" | "failed" => match self.result_of(task, asked, &mut open).await? {
                Ok(mut result) => {
                    tasks::drop_related(&mut result);
                    translate::result_to_modern(method::TOOLS_CALL, &mut result);
                    state.set("status", "completed");
                    state.set("result", result);
                }
                Err(error) => {
                    state.set("status", "failed");
                    state.set("error", Value::Raw(error.to_bytes()));
                }
            },
            "cancelled" => {}
            // A server's state may lag behind its requests: an open request counts. If there is
            // none, the task is working.
            of if of == "input_required" || open.is_some() => {
                let open = self.ask_for_questions(task, asked, &mut open).await?;
                if open.questions.is_empty() {
                    state.set("status", "working");
                } else {
                    let requests = open.questions.iter().map(|question| question.request.clone());
                    state.set("status", "input_required");
                    state.set("inputRequests", interaction::requests(requests));
                }
            }
            _ => {}
        }
        if open.as_ref().is_some_and(|open| open.outcome.is_some()) {
            // A result that arrives before the state says so is not stored either.
            *open = None;
        }
        Ok(state)
    }

    /// The result of a completed task.
    async fn result_of(
        &self,
        task: &Task,
        asked: &Asked<'_>,
        open: &mut Option<Open>,
    ) -> Result<Result<Object, RpcError>, CallError> {
        for attempt in 0..2 {
            match self.read_on(task, asked, open, asked.deadline.at()).await {
                // Not stored: the next request fetches it from the server again.
                Ok(Open { outcome: Some(_), .. }) => {
                    if let Some(outcome) = open.take().and_then(|open| open.outcome) {
                        return Ok(outcome);
                    }
                }
                Ok(_) => return Err(asked.deadline.passed().into()),
                // The stream that delivered the requests may have ended in the meantime.
                Err(error) if attempt == 1 => return Err(error),
                Err(_) => *open = None,
            }
        }
        Err(unknown().into())
    }

    /// Reads up to the requests of a task that needs input.
    async fn ask_for_questions<'a>(
        &self,
        task: &Task,
        asked: &Asked<'_>,
        open: &'a mut Option<Open>,
    ) -> Result<&'a Open, CallError> {
        // If the request has been open for a while, further messages arrive immediately.
        let patience = if open.is_some() { BREATH } else { PATIENCE };
        self.read_on(task, asked, open, Instant::now() + patience).await
    }

    /// Reads the request for the result, opening it if necessary, up to the result or for a limited
    /// time. Once a request for input arrives, only briefly.
    async fn read_on<'a>(
        &self,
        task: &Task,
        asked: &Asked<'_>,
        slot: &'a mut Option<Open>,
        mut until: Instant,
    ) -> Result<&'a Open, CallError> {
        if slot.is_none() {
            let takes = Takes { interactive: false, task: Some((*task.id).into()), ..takes(asked) };
            let params = tasks::named(&task.id);
            let sending = task.session.send(method::TASKS_RESULT, params, takes, &asked.deadline);
            let exchange = sending.await.map_err(of_send)?;
            *slot = Some(Open { exchange, questions: Vec::new(), outcome: None });
        }
        let failed = loop {
            let Some(open) = slot.as_mut().filter(|open| open.outcome.is_none()) else {
                break None;
            };
            let endless = Deadline::new(ENDLESS, ENDLESS);
            match tokio::time::timeout_at(until, open.exchange.next(&endless)).await {
                Err(_) => break None,
                Ok(Err(failure)) => break Some(failure),
                Ok(Ok(Message::Response { result, .. })) => open.outcome = Some(Ok(result)),
                Ok(Ok(Message::Error { error, .. })) => open.outcome = Some(Err(error)),
                Ok(Ok(Message::Notification { method, params })) => {
                    self.unsolicited(&method, &params);
                }
                Ok(Ok(Message::Request { id, .. })) if open.questions.len() >= MAX_QUESTIONS => {
                    let error = RpcError::invalid_params("Too many requests for input at a time");
                    open.exchange.respond(&id, Err(error)).await?;
                }
                Ok(Ok(Message::Request { id, method, params })) => {
                    let asking =
                        question(&self.shared.held, &open.exchange, asked, id, &method, params);
                    if let Some(question) = asking.await? {
                        open.questions.push(question);
                        until = until.min(Instant::now() + BREATH);
                    }
                }
            }
        };
        if let Some(failure) = failed {
            *slot = None;
            return Err(failure.into());
        }
        slot.as_ref().ok_or_else(|| unknown().into())
    }

    /// Sends the client's responses to the server; responses to unknown requests are ignored.
    async fn update(&self, task: &Task, asked: &Asked<'_>) -> Result<Object, CallError> {
        let answers = asked.params.object(interaction::INPUT_RESPONSES);
        let answers = answers
            .ok_or_else(|| RpcError::invalid_params("'inputResponses' must be an object"))?;
        let mut open = task.result.lock().await;
        if let Some(open) = open.as_mut() {
            let mut at = 0;
            while let Some(question) = open.questions.get(at) {
                match answers.object(&question.request.key) {
                    Some(answer) => {
                        let answer = Ok(answer.into_owned());
                        open.exchange.respond(&question.id, answer).await?;
                        open.questions.remove(at);
                    }
                    None => at += 1,
                }
            }
        }
        Ok(acknowledged())
    }

    /// Cancels a task. A completed one does not change.
    async fn cancel(&self, task: &Task, asked: &Asked<'_>) -> Result<Object, CallError> {
        let params = tasks::named(&task.id);
        match task.session.ask(method::TASKS_CANCEL, params, asked.deadline.left()).await {
            Ok(_) => Ok(acknowledged()),
            Err(SendError::Rpc(_)) => fetch(task, asked.deadline).await.map(|_| acknowledged()),
            Err(error) => Err(of_send(error)),
        }
    }
}

/// Fetches the task's state from the server.
async fn fetch(task: &Task, deadline: Deadline) -> Result<Object, CallError> {
    match task.session.ask(method::TASKS_GET, tasks::named(&task.id), deadline.left()).await {
        Ok(state) => Ok(state),
        Err(SendError::Rpc(error)) if error.code == code::INVALID_PARAMS => Err(unknown().into()),
        Err(error) => Err(of_send(error)),
    }
}

fn acknowledged() -> Object {
    let mut result = Object::new();
    result.set("resultType", "complete");
    result
}

fn unknown() -> RpcError {
    RpcError::invalid_params("Unknown task")
}

/// Why a request could not be sent in a session that was open a moment ago.
pub(crate) fn of_send(error: SendError) -> CallError {
    match error {
        SendError::Rpc(error) => error.into(),
        SendError::Failed(failure) => failure.into(),
        SendError::Lost => {
            Failure::new(Kind::SessionLost, "The server lost the session of this task").into()
        }
    }
}
