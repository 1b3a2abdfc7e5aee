//! Opens sessions with a handshake-era server, and starts the programs behind some of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorward_mcp::error::Kind;
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, Revision, capabilities};
use tokio_util::sync::DropGuard;

use super::http::{Bounds, Own};
use super::pipe::Pipe;
use super::session::{self, OpenError, Opening, Session};
use super::{Contact, Server, probe, process};
use doorward_core::Failure;

impl Server {
    pub(super) fn start_process(&self) -> Result<Arc<Pipe>, Failure> {
        let deviations = self.shared.metrics.deviations(&self.name);
        let bounds = Bounds::new(&self.shared.limits).counting(deviations);
        let count = &self.shared.processes;
        let audit = self.shared.audit.clone();
        process::start(&self.name, &self.settings, bounds, count, self.inbound(), audit)
    }

    /// Opens a session that declares what the client declared.
    pub(super) async fn open_session(
        &self,
        contact: &Contact,
        client_capabilities: &Object,
        client: &Client,
        own: Option<&Own>,
    ) -> Result<Arc<Session>, Failure> {
        self.health.lock().check()?;
        let opened = async {
            let over = self.connect(&contact.link, own).await?;
            self.open_over(over, client_capabilities, client).await
        };
        match opened.await {
            Ok(session) => {
                self.stateful.fetch_or(session.is_stateful(), Ordering::AcqRel);
                // Servers may ask outside any request's stream; then somebody must listen.
                if capabilities::is_interactive(client_capabilities)
                    || self.answers_elsewhere.load(Ordering::Relaxed)
                {
                    self.shared.tasks.spawn(session.clone().listen());
                }
                Ok(session)
            }
            Err(error) => {
                let doubt = matches!(error, OpenError::NotSpoken(_) | OpenError::Rpc(_));
                let failure = Failure { era_in_doubt: doubt, ..probe::open_failure(error) };
                // A caller's own credential that is refused says nothing of the server.
                if own.is_none() || failure.kind != Kind::Unauthorized {
                    self.health.lock().failed(&failure, self.longest_pause());
                }
                Err(failure)
            }
        }
    }

    pub(super) async fn open_over(
        &self,
        link: session::Link,
        client_capabilities: &Object,
        client: &Client,
    ) -> Result<Arc<Session>, OpenError> {
        // Of a session that does not come to be, no program or stream is left.
        let unused = match &link {
            session::Link::Pipe(pipe) => Some(pipe.stop.clone().drop_guard()),
            session::Link::Http { .. } => None,
        };
        let declared =
            capabilities::client_to_handshake(client_capabilities, Revision::NEWEST_HANDSHAKE);
        let info = client.info.clone().unwrap_or_else(|| self.shared.info.clone());
        let session = Session::open(Opening {
            link,
            capabilities: &declared,
            client_info: info,
            ids: self.ids.clone(),
            queue: self.shared.limits.queue,
            within: self.shared.timeouts.connect.0 + self.shared.timeouts.probe.0 * 4,
            deviations: self.shared.metrics.deviations(&self.name),
            answers_elsewhere: self.answers_elsewhere.clone(),
        })
        .await?;
        let _ = unused.map(DropGuard::disarm);
        Ok(session)
    }
}
