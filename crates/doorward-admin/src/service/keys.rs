//! API keys.

use doorward_policy::{Action, Target};
use doorward_store::{Entry, Key, KeyId, NewKey, Scopes, now};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ById;
use super::directory::{People, is_owner, refuse_escalation};
use super::owners;
use crate::desk::{self, Desk};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

pub const LIST: Operation<List, Page<Key>> = Operation::new(
    "keys.list",
    (Verb::Get, "/admin/v1/keys"),
    "List API keys",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { list(&desk, input).await }),
);

pub const SHOW: Operation<ById, Key> = Operation::new(
    "keys.show",
    (Verb::Get, "/admin/v1/keys/{id}"),
    "Show an API key",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { find(&desk, &input.id, Action::View).await }),
);

pub const CREATE: Operation<Create, Created> = Operation::new(
    "keys.create",
    (Verb::Post, "/admin/v1/keys"),
    "Create an API key",
    (Action::MintKeys, On::Decides),
    |desk, input| Box::pin(async move { create(&desk, input).await }),
)
.making();

pub const ROTATE: Operation<Rotate, Created> = Operation::new(
    "keys.rotate",
    (Verb::Post, "/admin/v1/keys/{id}/rotate"),
    "Replace an API key with a new one",
    (Action::MintKeys, On::Decides),
    |desk, input| Box::pin(async move { rotate(&desk, input).await }),
)
.making();

pub const REVOKE: Operation<ById, Key> = Operation::new(
    "keys.revoke",
    (Verb::Delete, "/admin/v1/keys/{id}"),
    "Revoke an API key",
    (Action::MintKeys, On::Decides),
    |desk, input| Box::pin(async move { revoke(&desk, &input.id).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// Include expired and revoked keys.
    pub all: bool,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// Whose key it is. Who is not there yet is created, with the tenant, teams and roles given.
    pub owner: Entry,
    #[serde(default)]
    pub label: String,
    #[serde(default)]
    pub scopes: Scopes,
    /// Lifetime in seconds. Default: it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    pub id: String,
    /// Seconds for which the old key stays valid. Default: a day.
    #[serde(default = "a_day")]
    pub overlap: i64,
}

fn a_day() -> i64 {
    24 * 60 * 60
}

/// A new key. Its secret is returned once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    pub key: Key,
    /// The key itself, as it is sent: `Authorization: Bearer <secret>`. Absent with `dry_run`, and in repeated responses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

fn about(people: &People, key: &Key) -> Target {
    people.about(key.owner_kind, &key.owner)
}

async fn list(desk: &Desk, input: List) -> Result<Page<Key>, Problem> {
    let people = People::read(desk).await?;
    let mut keys = match desk.maybe_store() {
        Some(store) => store.keys().await?,
        None => Vec::new(),
    };
    keys.retain(|key| input.all || key.is_valid_at(now()));
    let keys = desk.visible(Action::View, keys, |key| about(&people, key))?;
    input.paging.of(keys, |key| format!("{:012}{}", key.created, key.id))
}

/// A key that the administrator may see, to do something with.
async fn find(desk: &Desk, id: &str, action: Action) -> Result<Key, Problem> {
    let people = People::read(desk).await?;
    let found = desk.store()?.key(&KeyId(id.to_owned())).await;
    let target = found.as_ref().map_or_else(|_| desk::gateway(), |key| about(&people, key));
    let hidden = !desk.may(Action::View, &target);
    match desk.require(action, &target) {
        Ok(()) => Ok(found?),
        // The same for a key that is there and for one that is not.
        Err(problem) if hidden && problem.code == Code::NotFound => Err(Problem::absent("key", id)),
        Err(problem) => Err(problem),
    }
}

async fn create(desk: &Desk, input: Create) -> Result<Created, Problem> {
    let Create { owner, label, scopes, expires_in } = input;
    if let Some(tool) = scopes.tools.iter().find(|tool| !tool.contains('/')) {
        let tool = tool.escape_debug();
        let why = format!("scopes.tools: '{tool}': expected the server, '/' and the tool");
        return Err(Problem::invalid(why));
    }
    if expires_in.is_some_and(|seconds| seconds <= 0) {
        return Err(Problem::invalid("'expires_in' must be positive"));
    }
    let people = People::read(desk).await?;
    let known = people.find(owner.kind, &owner.name).cloned();
    let whose = known.clone().unwrap_or_else(|| owner.clone());
    let tenant = match whose.kind {
        doorward_store::Kind::Tenant => Some(whose.name.as_str()),
        _ => whose.tenant.as_deref(),
    };
    desk.require(Action::MintKeys, &desk::of_tenant(tenant))?;
    if known.is_none() {
        refuse_escalation(desk, &whose)?;
    }
    if scopes.admin && !is_owner(desk) {
        let why = "a key with the scope 'admin' may do everything: only owners create it";
        return Err(Problem::new(Code::Forbidden, why));
    }
    if scopes.administer {
        refuse_escalation(desk, &whose)?;
    }
    let expires = expires_in.map(|seconds| now().saturating_add(seconds));
    let new = NewKey { label, owner, scopes, expires };
    let (key, text) = desk.store()?.create_key(&new).await?;
    made(desk, key, text).await
}

async fn made(desk: &Desk, key: Key, text: String) -> Result<Created, Problem> {
    desk.settle().await?;
    Ok(Created { key, secret: (!desk.is_rehearsal()).then_some(text) })
}

async fn rotate(desk: &Desk, input: Rotate) -> Result<Created, Problem> {
    if input.overlap < 0 {
        return Err(Problem::invalid("'overlap' must not be negative"));
    }
    let key = find(desk, &input.id, Action::MintKeys).await?;
    refuse_stronger(desk, &key).await?;
    let (key, text) = desk.store()?.rotate_key(&key.id, input.overlap).await?;
    made(desk, key, text).await
}

/// Nobody gets hold of a key that may administer more than they may themselves.
async fn refuse_stronger(desk: &Desk, key: &Key) -> Result<(), Problem> {
    if key.scopes.admin && !is_owner(desk) {
        let why = "only owners rotate keys with the scope 'admin'";
        return Err(Problem::new(Code::Forbidden, why));
    }
    if key.scopes.administer
        && let Some(owner) = People::read(desk).await?.find(key.owner_kind, &key.owner)
    {
        refuse_escalation(desk, owner)?;
    }
    Ok(())
}

async fn revoke(desk: &Desk, id: &str) -> Result<Key, Problem> {
    let key = find(desk, id, Action::MintKeys).await?;
    if key.scopes.admin && !is_owner(desk) {
        let why = "only owners revoke keys with the scope 'admin'";
        return Err(Problem::new(Code::Forbidden, why));
    }
    let without = |holders: &mut owners::Holders| holders.keys.retain(|other| other.id != key.id);
    let revoking = |store: doorward_store::Store| -> owners::Changing<Key> {
        let id = key.id.clone();
        Box::pin(async move { store.revoke_key(&id).await })
    };
    let key = owners::keeping(desk, without, revoking).await?;
    desk.settle().await?;
    Ok(key)
}
