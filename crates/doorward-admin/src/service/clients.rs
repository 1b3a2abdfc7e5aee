//! OAuth clients that registered themselves.

use doorward_policy::Action;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ById, Removed};
use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::Problem;

pub const LIST: Operation<Paging, Page<Client>> = Operation::new(
    "clients.list",
    (Verb::Get, "/admin/v1/clients"),
    "List OAuth clients that registered themselves",
    (Action::View, On::Gateway),
    |desk, paging| Box::pin(async move { list(&desk, &paging).await }),
);

pub const REMOVE: Operation<ById, Removed> = Operation::new(
    "clients.remove",
    (Verb::Delete, "/admin/v1/clients/{id}"),
    "Remove a client and revoke its grants",
    (Action::ManageIdentities, On::Gateway),
    |desk, input| Box::pin(async move { remove(&desk, &input.id).await }),
);

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    pub id: String,
    /// Its metadata (RFC 7591).
    pub registration: Value,
    /// Seconds since 1970.
    pub created: i64,
    /// When a user last consented to it, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<i64>,
}

async fn list(desk: &Desk, paging: &Paging) -> Result<Page<Client>, Problem> {
    let clients = match desk.maybe_store() {
        Some(store) => store.clients().await?,
        None => Vec::new(),
    };
    let clients = clients.into_iter().map(|client| Client {
        id: client.id,
        registration: serde_json::from_str(&client.registration).unwrap_or_default(),
        created: client.created,
        used: client.used,
    });
    paging.of(clients.collect(), |client| format!("{:012}{}", client.created, client.id))
}

async fn remove(desk: &Desk, id: &str) -> Result<Removed, Problem> {
    desk.store()?.remove_client(id).await?;
    desk.settle().await?;
    Ok(Removed { removed: id.to_owned() })
}
