//! State that all servers of a gateway share.

use std::sync::Arc;

use doorward_mcp::Value;
use tokio_util::task::TaskTracker;

use super::catalog::ViewBytes;
use super::parking::ParkingLot;
use super::programs::Programs;
use super::switchboard::Switchboard;
use doorward_cache::Cache;
use doorward_config::{Limits, ServerSettings, Timeouts};
use doorward_core::memory::Memory;
use doorward_core::share::Shares;
use doorward_identity::delegation::Delegations;
use doorward_identity::seal::Sealer;
use doorward_net::tls::tls_config;
use doorward_observability::audit::Audit;
use doorward_transport::credential::Credential;
use doorward_transport::http::{Bounds, Endpoint};
use doorward_transport::process::ProcessCount;

/// State that all servers of a gateway share.
pub struct Shared {
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub sealer: Sealer,
    pub parking: ParkingLot,
    pub processes: Arc<ProcessCount>,
    /// Programs that were started for callers' sessions.
    pub programs: Arc<Programs>,
    pub memory: Memory,
    /// Memory used for clients, in bytes: their subscriptions, and requests that await their response.
    pub held: Arc<Shares>,
    /// Bytes of the lists of all servers.
    pub view_bytes: Arc<ViewBytes>,
    pub switchboard: Arc<Switchboard>,
    pub audit: Arc<Audit>,
    pub approval: Arc<dyn super::approval::Approval>,
    pub cache: Cache,
    pub http: Arc<doorward_net::clients::Clients>,
    /// Delegations that users have granted to the gateway.
    pub delegations: Arc<Delegations>,
    pub metrics: doorward_observability::metrics::Metrics,
    /// The gateway as a client: `{name, version}`.
    pub info: Value,
    /// Background tasks that outlive a call; shutdown waits for them.
    pub tasks: TaskTracker,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// The endpoint of a server behind the gateway; `None` when its settings name no URL.
    pub(crate) fn endpoint(&self, name: &str, settings: &ServerSettings) -> Option<Endpoint> {
        let given = settings.delegated.is_some()
            && settings.credential.is_none()
            && !settings.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
        // The gateway's own credential.
        let given = given.then(|| Credential::delegated(name, settings, &self.delegations));
        let clients = match &settings.tls {
            None => self.http.clone(),
            Some(tls) => Arc::new(self.http.with_tls(tls_config(tls).ok()?)),
        };
        let clients = match settings.public_only {
            true => Arc::new(clients.public_only()),
            false => clients,
        };
        let bounds = Bounds::new(&self.limits).counting(self.metrics.deviations(name));
        Endpoint::build(clients, settings, bounds, given)
    }
}
