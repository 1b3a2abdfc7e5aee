//! One request to a server, as it passes through the layers of this crate.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_config::TenantSettings;
use doorward_mcp::interaction::Retry;
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, RpcError, meta, method};

use super::catalog::ToolEntry;
use doorward_core::deadline::Deadline;
use doorward_identity::identity::Principal;
use doorward_transport::calls::Takes;
use doorward_transport::http::Own;

/// One request to a server, in the modern form and with the server's names.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    pub method: &'a str,
    pub params: Object,
    pub client: &'a Client,
    pub principal: &'a str,
    /// The calling principal; `None` for the gateway itself.
    pub caller: Option<&'a Arc<Principal>>,
    /// The credential that the caller provided for this server.
    pub own: Option<Own>,
    /// The client's session, if any.
    pub session: Option<Arc<str>>,
    /// The client is of the handshake era, which has no tasks extension.
    pub handshake_client: bool,
    pub retry: Option<&'a Retry>,
    /// Classes of data in the request, if not every server or replica may receive all of them; they
    /// restrict the choice.
    pub classes: Option<Arc<BTreeSet<String>>>,
    /// What holds for the data of the caller's tenant.
    pub tenant: Option<&'a TenantSettings>,
    /// Elicitation and sampling requests that a handshake-era client answered with an error.
    pub refused: &'a [(String, RpcError)],
    pub deadline: Deadline,
    /// The trace of the call, for servers over HTTP (W3C Trace Context).
    pub traceparent: Option<String>,
    /// For `tools/call`: the tool that routing found in the catalogue.
    pub tool: Option<Arc<ToolEntry>>,
    /// `Mcp-Param-*` headers that the client sent, for a tool that is not in the catalogue.
    pub param_headers: Option<&'a ::http::HeaderMap>,
}

/// Whether a request names a task.
pub fn names_a_task(of: &str) -> bool {
    matches!(of, method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL)
}

/// The messages that a call can receive besides its response.
pub(crate) fn takes(asked: &Asked<'_>) -> Takes {
    Takes {
        // Also if the client cannot answer: in a shared session, the server's request must not
        // reach another client.
        interactive: method::may_ask_for_input(asked.method),
        logs: asked.client.log_level.is_some(),
        // Always for requests that may take long: progress shows that the server is alive
        // (`Run::notified`).
        progress: method::may_ask_for_input(asked.method)
            || meta::progress_token(&asked.params).is_some(),
        owner: asked.principal.into(),
        task: None,
    }
}
