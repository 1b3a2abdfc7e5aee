//! Health checks: periodically, and at once when a server seems to be down.

use std::time::Duration;

use doorward_mcp::error::Kind;
use doorward_mcp::{Object, method};

use super::probe::Verdict;
use super::session::SendError;
use super::{Contact, Link, Server, jittered};
use doorward_config::HealthSettings;
use doorward_core::Failure;

/// After an unanswered check the next one follows sooner: after this fraction of the interval.
const SOONER: u32 = 10;

impl Server {
    /// Requests a check of whether the server can still be reached.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// How the server is checked, if it is.
    pub(super) fn health_settings(&self) -> Option<HealthSettings> {
        let said = self.settings.reliability.health.clone();
        let settings = said.or_else(|| self.replica.as_ref().map(|_| HealthSettings::default()))?;
        (!settings.off).then_some(settings)
    }

    /// Runs until too many checks have failed; returns the last failure.
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
                    // This also answers checks that were requested in the meantime.
                    tokio::time::sleep(pause.min(Duration::from_millis(100))).await;
                }
            }
        }
    }

    /// Checks once. Any response shows that the server is up; only a missing one is a failure.
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
            // An API has no request that is known to be safe as a check.
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
