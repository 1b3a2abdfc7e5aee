//! One run of a call on an open exchange, up to its result or to a request of the server for input.

use std::sync::Arc;

use doorward_mcp::lenient::session_loss::Reported;
use doorward_mcp::meta::LogLevel;
use doorward_mcp::{Message, Object, RpcError, Value, method, tasks, translate};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::Server;
use crate::asked::{Asked, takes};
use crate::call_error::{CallError, client_gone};
use crate::exchange::Exchange;
use crate::parking::Parked;
use crate::questions::{BREATH, MAX_QUESTIONS, Question, question};
use crate::session::Session;
use crate::task_store::{AsTask, CallOf, Errand};
use crate::tasks::of_send;
use doorward_core::deadline::Deadline;
use doorward_core::{Events, Failure};
use doorward_transport::calls::{Takes, of_progress};

/// One run of a call on an open exchange.
pub struct Run<'a> {
    pub server: &'a Server,
    pub asked: &'a Asked<'a>,
    pub events: &'a Events,
    pub session: Arc<Session>,
    pub lease: Option<OwnedSemaphorePermit>,
    pub exchange: Exchange,
    pub deadline: Deadline,
    /// The client's own progress token.
    pub token: Option<Value>,
    pub as_task: AsTask,
    /// The task that the call has become, while its result is awaited.
    pub errand: Option<Errand>,
}

/// How a run ends without a result.
pub enum Ended {
    Call(CallError),
    /// The server did not know this run's session, so the request had no effect.
    Lost(RpcError),
}

impl<E: Into<CallError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Call(error.into())
    }
}

impl Run<'_> {
    /// Reads the exchange up to the response, or to the first requests for input.
    pub async fn follow(mut self) -> Result<Object, Ended> {
        self.exchange.tell_pauses(self.events);
        let mut heard = false;
        let mut questions: Vec<Question> = Vec::new();
        let mut breath = None;
        loop {
            let message = match breath {
                None => self.exchange.next(&self.deadline).await?,
                Some(end) => match self.in_breath(end).await {
                    Some(message) => message?,
                    None => return Ok(self.park(questions).await?),
                },
            };
            let is_first = !std::mem::replace(&mut heard, true);
            match message {
                Message::Response { mut result, .. } => {
                    if self.as_task != AsTask::Never
                        && let Some(task) = tasks::created_to_modern(&result)
                    {
                        if self.as_task == AsTask::PassedOn {
                            return Ok(self.server.hold(self.asked, &self.session, task)?);
                        }
                        self.wait_for(&task).await?;
                        continue;
                    }
                    if let Some(errand) = self.errand.take() {
                        errand.done();
                        tasks::drop_related(&mut result);
                    }
                    translate::result_to_modern(self.asked.method, &mut result);
                    return Ok(result);
                }
                Message::Error { error, .. } => {
                    if let Some(errand) = self.errand.take() {
                        errand.done();
                    } else if self.session.is_lost_by(&error) == Some(Reported::Explicitly)
                        && is_first
                    {
                        return Err(Ended::Lost(error));
                    }
                    return Ok(self.server.error_to_modern(self.asked, error)?);
                }
                Message::Notification { method, params } => self.notified(&method, params).await?,
                Message::Request { id, method, params } => {
                    self.server.capability_use.asked(&method);
                    let question = question(
                        &self.server.shared.held,
                        &self.exchange,
                        self.asked,
                        id,
                        &method,
                        params,
                    )
                    .await?;
                    if let Some(question) = question {
                        questions.push(question);
                        breath.get_or_insert_with(|| Instant::now() + BREATH);
                        if questions.len() >= MAX_QUESTIONS {
                            return Ok(self.park(questions).await?);
                        }
                    }
                }
            }
        }
    }

    /// The call has become a task, which the client cannot know about: awaits the task's result.
    async fn wait_for(&mut self, task: &Object) -> Result<(), CallError> {
        let errand = Errand::new(&self.session, task)?;
        let takes = Takes { task: Some(errand.task().into()), ..takes(self.asked) };
        let asking = self.session.send(
            method::TASKS_RESULT,
            tasks::named(errand.task()),
            takes,
            &self.deadline,
        );
        self.exchange = asking.await.map_err(of_send)?;
        self.errand = Some(errand);
        self.as_task = AsTask::Never;
        Ok(())
    }

    async fn in_breath(&mut self, end: Instant) -> Option<Result<Message, Failure>> {
        tokio::time::timeout_at(end, self.exchange.next(&self.deadline)).await.ok()
    }

    async fn park(self, questions: Vec<Question>) -> Result<Object, CallError> {
        let parked = Parked {
            exchange: self.exchange,
            session: self.session,
            lease: self.lease,
            deadline: self.deadline,
            questions,
            as_task: self.as_task,
            errand: self.errand,
            client_session: self.asked.session.clone(),
            call: CallOf::new(&self.server.name, self.asked),
            held: None,
        };
        self.server.park(self.asked, parked).await
    }

    /// Handles a notification on the call's own stream.
    async fn notified(&mut self, name: &str, mut params: Object) -> Result<(), CallError> {
        match name {
            method::PROGRESS => {
                self.deadline.extend();
                let Some(token) = self.token.clone().filter(|_| of_progress(&params).is_some())
                else {
                    return Ok(());
                };
                params.set("progressToken", token);
            }
            method::LOG => {
                let level = params.string("level").and_then(|text| LogLevel::parse(&text));
                let wanted = self.asked.client.log_level;
                if wanted.is_none() || level.is_some_and(|level| Some(level) < wanted) {
                    return Ok(());
                }
            }
            method::CANCELLED | method::INITIALIZED => return Ok(()),
            _ if self.server.unsolicited(name, &params) => return Ok(()),
            _ => {}
        }
        self.events.notify(name, &params).await.map_err(|_| client_gone())
    }
}
