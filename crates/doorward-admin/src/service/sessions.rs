//! Sessions of clients and the calls that are in flight.

use doorward_policy::Action;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ById, Removed};
use crate::desk::{self, Desk};
use crate::openapi::Nothing;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::Problem;

pub const LIST: Operation<Paging, Page<Session>> = Operation::new(
    "sessions.list",
    (Verb::Get, "/admin/v1/sessions"),
    "List the sessions of clients at this replica",
    (Action::View, On::Decides),
    |desk, paging| Box::pin(async move { list(&desk, &paging) }),
);

pub const END: Operation<ById, Removed> = Operation::new(
    "sessions.end",
    (Verb::Delete, "/admin/v1/sessions/{id}"),
    "End a session: its calls, its streams, what it waits for",
    (Action::Operate, On::Decides),
    |desk, input| Box::pin(async move { end(&desk, &input.id) }),
);

pub const TELEMETRY: Operation<Nothing, Telemetry> = Operation::new(
    "telemetry.show",
    (Verb::Get, "/admin/v1/telemetry"),
    "Show metrics and the calls in flight",
    (Action::View, On::Gateway),
    |desk, _| Box::pin(async move { telemetry(&desk) }),
);

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// As audit records name it; not the id that the client has.
    pub id: String,
    /// Who opened it.
    pub principal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub portal: String,
    /// `mcp` or `sse`.
    pub protocol: String,
    /// The revision that was negotiated.
    pub revision: String,
    /// What the client says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Value>,
    /// Seconds since it was last used.
    pub idle_s: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Telemetry {
    /// Metrics by name.
    pub metrics: Value,
    /// Calls in flight; at most 1000.
    pub calls: Vec<Value>,
}

/// Calls in flight that are listed.
const MOST_LIVE: usize = 1_000;

fn list(desk: &Desk, paging: &Paging) -> Result<Page<Session>, Problem> {
    let sessions = desk.gateway()?.sessions.all().into_iter().map(|session| Session {
        id: session.name(),
        principal: session.opener.principal.id.to_string(),
        tenant: session.opener.principal.who.tenant.clone(),
        portal: session.portal.name().to_owned(),
        protocol: session.protocol.as_str().to_owned(),
        revision: session.revision().as_str().to_owned(),
        client: session
            .client()
            .info
            .as_ref()
            .and_then(|info| serde_json::from_slice(&info.to_bytes()).ok()),
        idle_s: session.used_at().elapsed().as_secs(),
    });
    let about = |session: &Session| desk::of_tenant(session.tenant.as_deref());
    let sessions = desk.visible(Action::View, sessions.collect(), about)?;
    paging.of(sessions, |session| session.id.clone())
}

fn end(desk: &Desk, id: &str) -> Result<Removed, Problem> {
    let sessions = &desk.gateway()?.sessions;
    let found = sessions.all().into_iter().find(|session| session.name() == id);
    let tenant = found.as_ref().and_then(|it| it.opener.principal.who.tenant.clone());
    desk.require(Action::Operate, &desk::of_tenant(tenant.as_deref())).map_err(|problem| {
        match found {
            Some(_) if problem.code == crate::Code::NotFound => Problem::absent("session", id),
            _ => problem,
        }
    })?;
    let session = found.ok_or_else(|| Problem::absent("session", id))?;
    if !desk.is_rehearsal() {
        sessions.end(&session);
        desk.record("session.end_by_administrator", id);
    }
    Ok(Removed { removed: id.to_owned() })
}

fn telemetry(desk: &Desk) -> Result<Telemetry, Problem> {
    let gateway = desk.gateway()?;
    let metrics = doorward_observability::telemetry::metrics::as_json(&gateway.metrics());
    let calls = serde_json::to_value(gateway.live.list(MOST_LIVE)).unwrap_or_default();
    let calls = calls.as_array().cloned().unwrap_or_default();
    Ok(Telemetry { metrics, calls })
}
