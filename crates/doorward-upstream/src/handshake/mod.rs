//! The adapter for handshake-era servers. It takes a modern call, sends it in a session, and
//! returns the server's requests during the call as `input_required`. For tasks see
//! [`super::tasks`].

mod run;

use std::sync::Arc;
use std::time::Duration;

use doorward_mcp::error::Kind;
use doorward_mcp::interaction::Retry;
use doorward_mcp::meta::LogLevel;
use doorward_mcp::translate::{self, ModernError};
use doorward_mcp::{Object, RpcError, capabilities, meta, method};

use crate::asked::{names_a_task, takes};
use crate::call_error::CallError;
use crate::exchange::Exchange;
use crate::parking::Parked;
use crate::replicas::choice::lost_session;
use crate::session::{SendError, Session};
use crate::state::{State, refused};
use crate::task_store::AsTask;
use crate::{Asked, Contact, Server};
use doorward_config::LostSession;
use doorward_core::deadline::Deadline;
use doorward_core::{Events, Failure};

use self::run::{Ended, Run};

impl Server {
    pub(crate) async fn ask_handshake(
        &self,
        contact: &Contact,
        asked: &Asked<'_>,
        events: &Events,
    ) -> Result<Object, CallError> {
        if names_a_task(asked.method) {
            return self.ask_about_task(contact, asked).await;
        }
        if let Some(retry) = asked.retry {
            match self.open_state(asked, retry)? {
                Some(State::Parked(place)) => {
                    return Box::pin(self.unpark(place, asked, retry, events)).await;
                }
                // Responses without a state belong to no waiting call: the request is sent again,
                // and the server asks again for what it needs (spec 2026-07-28
                // basic/patterns/mrtr).
                Some(State::Again) | None => {}
                Some(State::Wrapped(_) | State::Task { .. }) => return Err(refused().into()),
            }
        }
        let as_task = AsTask::of(&contact.about.capabilities, asked);
        for attempt in 0..2 {
            let (session, lease) = self.pool.session(self, contact, asked).await?;
            let lost = match self.begin(session.clone(), asked, as_task).await {
                Ok((exchange, deadline)) => {
                    let token = meta::progress_token(&asked.params);
                    let run = Run {
                        server: self,
                        asked,
                        events,
                        session: session.clone(),
                        lease,
                        exchange,
                        deadline,
                        token,
                        as_task,
                        errand: None,
                    };
                    match run.follow().await {
                        Ok(result) => return Ok(result),
                        Err(Ended::Call(error)) => return Err(error),
                        Err(Ended::Lost(error)) => Some(error),
                    }
                }
                Err(SendError::Rpc(error)) => return self.error_to_modern(asked, error),
                Err(SendError::Failed(failure)) => return Err(failure.into()),
                Err(SendError::Lost) => None,
            };
            // The server did not know the session, so the request had no effect: retry it once in a
            // new session.
            self.pool.forget(&session);
            if self.settings.lost_session == LostSession::Error {
                return Err(lost_session().into());
            }
            if attempt == 1 {
                match lost {
                    // The same error in a new session has another cause.
                    Some(error) => return self.error_to_modern(asked, error),
                    None => break,
                }
            }
            tracing::info!(server = &*self.name, "the server lost the session; opening another");
        }
        Err(Failure::new(
            Kind::SessionLost,
            "The server loses its sessions as soon as they are open",
        )
        .into())
    }

    async fn begin(
        &self,
        session: Arc<Session>,
        asked: &Asked<'_>,
        as_task: AsTask,
    ) -> Result<(Exchange, Deadline), SendError> {
        let deadline = asked.deadline;
        let level = asked.client.log_level;
        if level.is_some() && session.about.has("logging") {
            self.set_level(&session, level).await?;
        }
        let mut params = asked.params.clone();
        // Reserved for the gateway in the handshake era; a modern client's member has no meaning.
        params.remove("task");
        if as_task != AsTask::Never {
            params.set("task", Object::new());
        }
        let exchange = session.send(asked.method, params, takes(asked), &deadline).await?;
        Ok((exchange, deadline))
    }

    /// Sets the session's log level if it differs (spec 2025-11-25 server/utilities/logging).
    async fn set_level(
        &self,
        session: &Arc<Session>,
        level: Option<LogLevel>,
    ) -> Result<(), SendError> {
        let Some(level) = level.filter(|_| *session.level.lock() != level) else { return Ok(()) };
        let mut params = Object::new();
        params.set("level", level.as_str());
        match session.ask(method::SET_LEVEL, params, Duration::from_secs(5)).await {
            Ok(_) => *session.level.lock() = Some(level),
            Err(SendError::Lost) => return Err(SendError::Lost),
            Err(error) => {
                tracing::debug!(
                    server = &*self.name,
                    error = error.logged(),
                    "the log level was not set"
                );
            }
        }
        Ok(())
    }

    /// Resumes a parked call: sends the client's responses to the server and reads on.
    async fn unpark(
        &self,
        place: u64,
        asked: &Asked<'_>,
        retry: &Retry,
        events: &Events,
    ) -> Result<Object, CallError> {
        let mut parked = self.shared.parking.take(place).ok_or_else(refused)?;
        let mut open = Vec::new();
        for question in parked.questions.drain(..) {
            let key = &question.request.key;
            let refusal = asked.refused.iter().find(|(refused, _)| refused == key);
            let answer = match (refusal, retry.responses.object(key)) {
                (Some((_, error)), _) => Err(error.clone()),
                (None, Some(result)) => Ok(result.into_owned()),
                // Not answered yet: requested again (spec 2026-07-28 basic/patterns/mrtr).
                (None, None) => {
                    open.push(question);
                    continue;
                }
            };
            parked.exchange.respond(&question.id, answer).await?;
        }
        if !open.is_empty() {
            parked.questions = open;
            return self.park(asked, parked).await;
        }
        parked.deadline.restart();
        let run = Run {
            server: self,
            asked,
            events,
            session: parked.session,
            lease: parked.lease,
            exchange: parked.exchange,
            deadline: parked.deadline,
            token: meta::progress_token(&asked.params),
            as_task: parked.as_task,
            errand: parked.errand,
        };
        match run.follow().await {
            Ok(result) => Ok(result),
            Err(Ended::Call(error)) => Err(error),
            // The rest of the call cannot continue in another session.
            Err(Ended::Lost(error)) => self.error_to_modern(asked, error),
        }
    }

    async fn park(&self, asked: &Asked<'_>, parked: Parked) -> Result<Object, CallError> {
        let mut required = parked.input_required(String::new());
        let place = Box::pin(self.shared.parking.park(parked, asked.principal)).await?;
        required.state = Some(self.seal_state(asked, &State::Parked(place)));
        Ok(required.to_result())
    }

    fn error_to_modern(&self, asked: &Asked<'_>, error: RpcError) -> Result<Object, CallError> {
        let uri = (asked.method == method::RESOURCES_READ)
            .then(|| asked.params.string("uri").map(std::borrow::Cow::into_owned))
            .flatten();
        match translate::error_to_modern(error, uri.as_deref()) {
            ModernError::Error(error) => Err(error.into()),
            ModernError::Input(mut required) => {
                let can = capabilities::elicits(&asked.client.capabilities, "url");
                if !can || !method::may_ask_for_input(asked.method) {
                    return Err(RpcError::missing_capability("elicitation").into());
                }
                required.state = Some(self.seal_state(asked, &State::Again));
                Ok(required.to_result())
            }
        }
    }
}
