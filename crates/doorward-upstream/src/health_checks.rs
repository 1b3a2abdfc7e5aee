//! Health checks: periodically, and at once when a server seems to be down.

use std::time::Duration;

use doorward_mcp::error::Kind;
use doorward_mcp::{Object, method};

use super::probe::Verdict;
use super::session::SendError;
use super::{Contact, Link, Server, jittered};
use doorward_config::HealthSettings;
use doorward_core::Failure;

/// How soon somebody looks again whose question was not answered: this part of the usual pause.
const SOONER: u32 = 10;

impl Server {
    /// Lets somebody look whether the server is still there.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// How it is asked, if it is.
    pub(super) fn health_settings(&self) -> Option<HealthSettings> {
        let said = self.settings.reliability.health.clone();
        let settings = said.or_else(|| self.replica.as_ref().map(|_| HealthSettings::default()))?;
        (!settings.off).then_some(settings)
    }

    /// Ends when the server did not answer too often; says how.
    pub(super) async fn watch_health(&self, contact: &Contact) -> Failure {
        let Some(settings) = self.health_settings() else { return std::future::pending().await };
        let mut failures = 0;
        let mut pause = settings.interval.0;
        loop {
            tokio::select! {
                () = tokio::time::sleep(jittered(pause)) => {}
                () = self.doubted.notified() => {}
            }
            let asking = tokio::time::timeout(settings.timeout.0, self.ask_health(contact));
            let answer = asking.await.unwrap_or_else(|_| {
                let seconds = settings.timeout.0.as_secs_f32();
                let why =
                    format!("The server did not respond to a health check within {seconds} s");
                Err(Failure::new(Kind::Timeout, why))
            });
            match answer {
                Ok(()) => (failures, pause) = (0, settings.interval.0),
                Err(failure) => {
                    failures += 1;
                    tracing::debug!(server = &*self.name, replica = self.place(), "{failure}");
                    if failures >= settings.failures {
                        return failure;
                    }
                    pause = settings.interval.0 / SOONER;
                    // Those who doubted meanwhile have their answer.
                    tokio::time::sleep(pause.min(Duration::from_millis(100))).await;
                }
            }
        }
    }

    /// Asks once. Whatever the server says, it is there; what fails is that it cannot.
    async fn ask_health(&self, contact: &Contact) -> Result<(), Failure> {
        let answer = match &contact.link {
            Link::Modern(way) => match self.discover(way).await {
                Ok(Verdict::Unclear(failure)) | Err(failure) => Err(failure),
                Ok(_) => Ok(()),
            },
            Link::Http(_) | Link::EventStream(_) | Link::Process => {
                let Some(session) = self.base_session() else { return Ok(()) };
                match session
                    .ask(method::PING, Object::new(), self.shared.timeouts.own_request())
                    .await
                {
                    Ok(_) | Err(SendError::Rpc(_)) => Ok(()),
                    Err(SendError::Failed(failure)) => Err(failure),
                    Err(SendError::Lost) => Err(Failure::new(
                        Kind::SessionLost,
                        "The server lost the session that is used for health checks",
                    )),
                }
            }
            // Of an API nothing is known that could be asked.
            Link::Sample | Link::Api(_) => Ok(()),
        };
        match answer {
            Err(failure) if failure.kind == Kind::HttpStatus => match failure.status {
                Some(status) if status < 500 => Ok(()),
                _ => Err(failure),
            },
            Err(failure) if failure.kind == Kind::Unauthorized => Ok(()),
            answer => answer,
        }
    }
}
