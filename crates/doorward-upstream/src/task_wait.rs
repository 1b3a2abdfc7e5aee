//! Waits for tasks of modern servers on behalf of handshake-era clients, which do not support the tasks extension: if a
//! server requires it, the call is sent again with the extension, and continues until the task is complete.

use std::sync::Arc;
use std::time::Duration;

use doorward_mcp::error::Kind;
use doorward_mcp::interaction::{self, InputRequired, Retry};
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, RpcError, Value, capabilities, meta, method, tasks};

use super::modern::{cannot_answer, check_questions, invalid};
use super::state::State;
use super::way::Way;
use super::{Asked, Server};
use crate::call_error::{CallError, client_gone};
use doorward_core::deadline::Deadline;
use doorward_core::{Events, Failure};

/// Polling interval if the server states none, and the bounds for the interval it states.
const UNASKED: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);

/// A task whose result is awaited. Dropping it cancels the task.
struct Waiting {
    server: Arc<Server>,
    way: Way,
    client: Arc<Client>,
    principal: Arc<str>,
    /// The sealed id, as a client would name it.
    task: String,
    open: bool,
}

impl Waiting {
    fn asked<'a>(&'a self, about: &'a str, params: Object, deadline: Deadline) -> Asked<'a> {
        let base = self.server.own_request(about, &self.client);
        Asked { params, principal: &self.principal, deadline, ..base }
    }

    async fn ask(&self, about: &str, mut params: Object) -> Result<Object, CallError> {
        params.set("taskId", self.task.as_str());
        let timeout = self.server.shared.timeouts.own_request();
        let asked = self.asked(about, params, Deadline::new(timeout, timeout));
        Box::pin(self.server.ask_modern(&self.way, &asked, &Events::ignored())).await
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let again = Self {
            server: self.server.clone(),
            way: self.way.clone(),
            client: self.client.clone(),
            principal: self.principal.clone(),
            task: self.task.clone(),
            open: false,
        };
        // One short request, bounded by the call's timeout.
        runtime.spawn(async move {
            let _ = again.ask(method::TASKS_CANCEL, Object::new()).await;
        });
    }
}

impl Server {
    /// Sends a call again with the tasks extension, and waits until its task is complete.
    pub(super) async fn ask_as_task(
        &self,
        way: &Way,
        asked: &Asked<'_>,
        events: &Events,
    ) -> Result<Object, CallError> {
        let client = knowing(asked.client);
        let again = Asked { client: &client, handshake_client: false, ..asked.clone() };
        let result = Box::pin(self.ask_modern(way, &again, events)).await?;
        if interaction::result_type(&result) != "task" {
            return Ok(result);
        }
        let task = result.string("taskId").unwrap_or_default().into_owned();
        self.follow(self.waiting(way, asked, task)?, asked, Vec::new(), events).await
    }

    /// Continues a task whose requests the client has answered.
    pub(super) async fn answer_task(
        &self,
        way: &Way,
        asked: &Asked<'_>,
        task: String,
        mut answered: Vec<String>,
        events: &Events,
    ) -> Result<Object, CallError> {
        let waiting = self.waiting(way, asked, task)?;
        if let Some((_, error)) = asked.refused.first() {
            return Err(cannot_answer(error));
        }
        let responses =
            asked.retry.map(|retry: &Retry| retry.responses.clone()).unwrap_or_default();
        answered
            .extend(responses.members().iter().map(|m| String::from_utf8_lossy(&m.name).into()));
        let mut params = Object::new();
        params.set(interaction::INPUT_RESPONSES, responses);
        waiting.ask(method::TASKS_UPDATE, params).await?;
        self.follow(waiting, asked, answered, events).await
    }

    fn waiting(&self, way: &Way, asked: &Asked<'_>, task: String) -> Result<Waiting, Failure> {
        let gone = || Failure::new(Kind::Closing, "The server is being taken out of service");
        Ok(Waiting {
            server: self.this.upgrade().ok_or_else(gone)?,
            way: way.clone(),
            client: Arc::new(knowing(asked.client)),
            principal: asked.principal.into(),
            task,
            open: true,
        })
    }

    /// Polls the task until it is complete, or has an unanswered request for input.
    async fn follow(
        &self,
        mut waiting: Waiting,
        asked: &Asked<'_>,
        answered: Vec<String>,
        events: &Events,
    ) -> Result<Object, CallError> {
        let mut deadline = asked.deadline;
        let mut progress = Progress::default();
        loop {
            let state = waiting.ask(method::TASKS_GET, Object::new()).await?;
            let status = state.string("status").unwrap_or_default().into_owned();
            if tasks::is_over(&status) {
                waiting.open = false;
                return ended(&status, &state);
            }
            deadline.extend();
            progress.report(&state, asked, events).await?;
            if status == "input_required"
                && let Some(mut required) = open_questions(&state, &answered)?
            {
                check_questions(asked, &required)?;
                waiting.open = false;
                let state = State::Task { id: waiting.task.clone(), answered };
                required.state = Some(self.seal_state(asked, &state));
                return Ok(required.to_result());
            }
            let pause = state.get("pollIntervalMs").and_then(Value::as_u64);
            let pause = pause.map_or(UNASKED, Duration::from_millis).clamp(SHORTEST, LONGEST);
            let sleeping = tokio::time::timeout_at(deadline.at(), tokio::time::sleep(pause));
            sleeping.await.map_err(|_| deadline.passed())?;
        }
    }
}

/// The client, with the tasks extension declared.
fn knowing(client: &Client) -> Client {
    let mut client = client.clone();
    capabilities::put_tasks(&mut client.capabilities);
    client
}

/// The result of a task that has ended.
fn ended(status: &str, state: &Object) -> Result<Object, CallError> {
    match status {
        "completed" => {
            let result = state.object("result").map(std::borrow::Cow::into_owned);
            result.ok_or_else(|| invalid("a completed task has no result"))
        }
        "failed" => {
            let error = state.object("error").as_deref().and_then(RpcError::read);
            Err(error.map_or_else(|| invalid("a failed task has no error"), CallError::from))
        }
        _ => Err(Failure::new(Kind::Closing, "The server has cancelled the task").into()),
    }
}

/// The requests of a task that were not answered yet; `None` if there are none.
fn open_questions(state: &Object, answered: &[String]) -> Result<Option<InputRequired>, CallError> {
    let mut required = InputRequired::read(state).map_err(invalid)?;
    required.requests.retain(|request| !answered.contains(&request.key));
    Ok((!required.requests.is_empty()).then_some(required))
}

/// Reports a task's status message as progress if the client wants progress.
#[derive(Default)]
struct Progress {
    last: Option<String>,
    count: i64,
}

impl Progress {
    async fn report(
        &mut self,
        state: &Object,
        asked: &Asked<'_>,
        events: &Events,
    ) -> Result<(), CallError> {
        let message = state.string("statusMessage").map(std::borrow::Cow::into_owned);
        let Some(token) = meta::progress_token(&asked.params) else { return Ok(()) };
        let Some(text) = message.filter(|message| self.last.as_ref() != Some(message)) else {
            return Ok(());
        };
        self.count += 1;
        let mut params = Object::new();
        params.set("progressToken", token);
        params.set("progress", Value::number(self.count));
        params.set("message", text.as_str());
        self.last = Some(text);
        events.notify(method::PROGRESS, &params).await.map_err(|_| client_gone())
    }
}
