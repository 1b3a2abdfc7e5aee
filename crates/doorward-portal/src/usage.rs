//! What the caller's calls were and cost.

use doorward_admin::service::usage::{self, By, Row};
use doorward_admin::{Desk, Operation, Page, Paging, Problem, Verb};
use doorward_policy::PrincipalKind;
use doorward_store::{Store, Usage, UsageKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::visit::Visit;

pub const REPORT: Operation<Wanted, Page<Row>> = Operation::own(
    "usage.report",
    (Verb::Get, "/portal/v1/usage"),
    "Report your usage and its cost by server, tool, agent, key or time",
    |desk, input| Box::pin(async move { report(&desk, &input).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Wanted {
    /// Dimensions to group by, in this order: `server`, `tool`, `agent`, `key`, `hour`, `day` or `month`. Default: `day`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<By>,
    /// From this time on, in seconds since 1970. Default: 30 days ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Before this time, in seconds since 1970. Default: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    #[serde(flatten)]
    pub paging: Paging,
}

/// The caller's usage in a time.
pub async fn of(
    visit: &Visit<'_>,
    store: &Store,
    from: i64,
    to: i64,
) -> Result<Vec<(UsageKey, Usage)>, Problem> {
    let who = visit.who();
    let tenant = who.tenant.as_deref().unwrap_or_default();
    let mut all = store.usage_of((tenant, &who.id), from, to).await?;
    // An agent that acts for itself has both names; a user of the same name does not.
    all.retain(|(key, _)| (who.kind == PrincipalKind::Agent) == (key.agent == key.principal));
    Ok(all)
}

async fn report(desk: &Desk, wanted: &Wanted) -> Result<Page<Row>, Problem> {
    let visit = Visit::of(desk)?;
    let by = if wanted.by.is_empty() { vec![By::Day] } else { wanted.by.clone() };
    let (from, to) = usage::span(wanted.from, wanted.to)?;
    let all = match desk.maybe_store() {
        Some(store) => of(&visit, store, from, to).await?,
        None => Vec::new(),
    };
    usage::rows(&by, &all, &wanted.paging, wanted.paging.count()?)
}
