//! Calls a server in the era and over the transport that it supports.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use doorward_mcp::error::Kind;
use doorward_mcp::{Object, method};

use super::call_error::CallError;
use super::{Asked, Link, Server, sample};
use doorward_core::deadline::Deadline;
use doorward_core::{Events, Failure};

/// Counts a call while it lasts.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Server {
    /// Timeout of a request; a tool's timeout takes precedence over the server's.
    pub fn deadline(&self, method: &str, params: &Object) -> Deadline {
        let tool = (method == method::TOOLS_CALL && !self.settings.tool_timeouts.is_empty())
            .then(|| self.settings.tool_timeouts.get(params.string("name")?.as_ref()))
            .flatten();
        let (idle, idle_setting) = match (tool, &self.settings.timeout) {
            (Some(tool), _) => (tool, "the server's 'tool_timeouts'"),
            (None, Some(server)) => (server, "the server's 'timeout'"),
            (None, None) => (&self.shared.timeouts.call, "'timeouts.call'"),
        };
        let reliability = &self.settings.reliability;
        let total = reliability.total.map(|total| total.0);
        let (longest, longest_setting) = match total {
            Some(total) => (total, "'reliability.total'"),
            None => (self.shared.timeouts.call_with_progress.0, "'timeouts.call_with_progress'"),
        };
        let idle_setting =
            if total.is_some_and(|total| total <= idle.0) { longest_setting } else { idle_setting };
        Deadline::new(total.map_or(idle.0, |total| idle.0.min(total)), longest)
            .beginning_within(reliability.first_byte.map(|first| first.0))
            .set_by(idle_setting, longest_setting)
    }

    /// Sends the request to the server. Events of the run go to `events`, with the client's back-pressure;
    /// dropping the future cancels the request at the server.
    pub async fn ask(&self, asked: &Asked<'_>, events: &Events) -> Result<Object, CallError> {
        if self.replicas.is_some() {
            let member = self.asker(asked).await?;
            return Box::pin(member.ask(asked, events)).await;
        }
        let _in_flight = InFlight::enter(&self.in_flight);
        for attempt in 0..2 {
            let contact = self.contact().await?;
            let outcome = match &contact.link {
                Link::Sample => sample::ask(asked, events).await,
                Link::Api(api) => self.ask_api(api, asked).await,
                Link::Modern(way) => {
                    pin!(self.ask_modern(&way.shown(asked.own.as_ref()), asked, events)).await
                }
                Link::Http(_) | Link::EventStream(_) | Link::Process => {
                    pin!(self.ask_handshake(&contact, asked, events)).await
                }
            };
            match outcome {
                // The stored era of the server was wrong, and the call had no effect.
                Err(CallError::Gateway(failure)) if failure.era_in_doubt && attempt == 0 => {
                    tracing::info!(
                        server = &*self.name,
                        "the server changed its era; detecting it again"
                    );
                    self.forget(&contact);
                }
                other => return other,
            }
        }
        Err(Failure::new(
            Kind::InvalidMessage,
            "The server does not speak the protocol it announces",
        )
        .into())
    }
}
