//! OAuth grants: which clients act on behalf of which users.

use doorward_policy::Action;
use doorward_store::OAuthGrant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ById;
use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::Problem;

pub const LIST: Operation<List, Page<OAuthGrant>> = Operation::new(
    "grants.list",
    (Verb::Get, "/admin/v1/grants"),
    "List OAuth grants of users",
    (Action::View, On::Gateway),
    |desk, input| Box::pin(async move { list(&desk, input).await }),
);

pub const REVOKE: Operation<ById, OAuthGrant> = Operation::new(
    "grants.revoke",
    (Verb::Delete, "/admin/v1/grants/{id}"),
    "Revoke an OAuth grant",
    (Action::ManageIdentities, On::Gateway),
    |desk, input| Box::pin(async move { revoke(&desk, &input.id).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// Include revoked and expired grants.
    pub all: bool,
    #[serde(flatten)]
    pub paging: Paging,
}

async fn list(desk: &Desk, input: List) -> Result<Page<OAuthGrant>, Problem> {
    let grants = match desk.maybe_store() {
        Some(store) => store.grants(input.all).await?,
        None => Vec::new(),
    };
    input.paging.of(grants, |grant| format!("{:012}{}", grant.created, grant.id))
}

async fn revoke(desk: &Desk, id: &str) -> Result<OAuthGrant, Problem> {
    let grant = desk.store()?.revoke_grant(id).await?;
    desk.settle().await?;
    Ok(grant)
}
