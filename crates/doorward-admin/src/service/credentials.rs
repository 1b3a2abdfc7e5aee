//! Credentials that users, agents, teams and tenants have provided for servers. Their secrets are never returned.

use doorward_identity::delegation::{self, GATEWAY};
use doorward_policy::Action;
use doorward_store::{Error, Kind, MasterKey};
use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::directory::{People, is_owner};
use super::{Named, Removed};
use crate::desk::{self, Desk};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

pub const LIST: Operation<Paging, Page<Credential>> = Operation::new(
    "credentials.list",
    (Verb::Get, "/admin/v1/credentials"),
    "List credentials for servers, without their secrets",
    (Action::View, On::Decides),
    |desk, paging| Box::pin(async move { list(&desk, &paging).await }),
);

pub const PUT: Operation<Put, Credential> = Operation::new(
    "credentials.put",
    (Verb::Put, "/admin/v1/credentials/{server}/{kind}/{owner}"),
    "Store a credential for a server",
    (Action::ManageIdentities, On::Decides),
    |desk, input| Box::pin(async move { put(&desk, input).await }),
);

pub const REMOVE: Operation<Whose, Removed> = Operation::new(
    "credentials.remove",
    (Verb::Delete, "/admin/v1/credentials/{server}/{kind}/{owner}"),
    "Delete a credential, or a user's grant, for a server",
    (Action::ManageIdentities, On::Decides),
    |desk, input| Box::pin(async move { remove(&desk, &input).await }),
);

pub const CONNECT: Operation<Named, Link> = Operation::new(
    "servers.connect",
    (Verb::Post, "/admin/v1/servers/{name}/connect"),
    "Make a link with which somebody lets the gateway itself use a server",
    (Action::ManageIdentities, On::Gateway),
    |desk, input| Box::pin(async move { connect(&desk, &input.name) }),
);

pub const DISCONNECT: Operation<Named, Removed> = Operation::new(
    "servers.disconnect",
    (Verb::Delete, "/admin/v1/servers/{name}/connect"),
    "Delete the gateway's own grant at a server",
    (Action::ManageIdentities, On::Gateway),
    |desk, input| Box::pin(async move { disconnect(&desk, &input.name).await }),
);

pub const REKEY: Operation<Rekey, Rekeyed> = Operation::new(
    "credentials.rekey",
    (Verb::Post, "/admin/v1/credentials/rekey"),
    "Encrypt all secrets of the store with another master key; gateways must be started with it",
    (Action::ManageIdentities, On::Gateway),
    |desk, input| Box::pin(async move { rekey(&desk, &input.new_key).await }),
);

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rekey {
    /// The new master key, of at least 32 characters. Until gateways are started with it as `store_key`, they cannot
    /// use what is encrypted.
    pub new_key: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Rekeyed {
    /// Secrets that were encrypted with the new key.
    pub secrets: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Whose {
    pub server: String,
    pub kind: Kind,
    pub owner: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Put {
    pub server: String,
    pub kind: Kind,
    pub owner: String,
    /// As it is sent to the server; at most 16 KiB.
    pub secret: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Credential {
    pub server: String,
    /// Kind and name of the owner.
    pub owner: String,
    pub kind: CredentialKind,
    /// Seconds since 1970.
    pub changed: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A secret that was provided.
    Credential,
    /// Tokens that the owner has granted the gateway at the server.
    Grant,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// Good for 15 minutes, once.
    pub url: String,
}

/// Shortest master key, in characters.
const SHORTEST_KEY: usize = 32;
/// Longest secret, in bytes.
const MOST: usize = 16 << 10;

async fn list(desk: &Desk, paging: &Paging) -> Result<Page<Credential>, Problem> {
    let Some(store) = desk.maybe_store() else {
        return paging.of(Vec::new(), |one: &Credential| one.server.clone());
    };
    let people = People::read(desk).await?;
    let mut all = Vec::new();
    for one in store.credentials().await? {
        let target = people.about(one.owner_kind, &one.owner);
        let owner = format!("{} {:?}", one.owner_kind, one.owner);
        let kind = CredentialKind::Credential;
        all.push((target, Credential { server: one.server, owner, kind, changed: one.changed }));
    }
    for one in store.all_delegated().await? {
        let kind = CredentialKind::Grant;
        let (owner, changed) = (one.owner, one.changed);
        all.push((desk::gateway(), Credential { server: one.server, owner, kind, changed }));
    }
    let all = desk.visible(Action::View, all, |(target, _)| target.clone())?;
    let all = all.into_iter().map(|(_, one)| one).collect();
    paging.of(all, |one: &Credential| format!("{}\n{}\n{:?}", one.server, one.owner, one.kind))
}

/// The key that encrypts secrets in the store.
pub fn master_key(desk: &Desk) -> Result<MasterKey, Problem> {
    let settings = desk.settings();
    let key = settings.as_ref().and_then(|settings| settings.store_key.as_ref());
    let none = || {
        let why = "there is no master key: set 'store_key' in the configuration";
        Problem::new(Code::Conflict, why)
    };
    MasterKey::new(key.ok_or_else(none)?.expose())
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

/// Whoever changes the key can shut everybody out of the secrets: only owners do.
async fn rekey(desk: &Desk, new: &str) -> Result<Rekeyed, Problem> {
    if !is_owner(desk) {
        let why = "only owners change the master key";
        return Err(Problem::new(Code::Forbidden, why));
    }
    if new.chars().count() < SHORTEST_KEY {
        let why = format!("'new_key' must have at least {SHORTEST_KEY} characters");
        return Err(Problem::invalid(why));
    }
    let old = master_key(desk)?;
    let new =
        MasterKey::new(new).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let secrets = desk.store()?.rekey(&old, &new).await?;
    desk.settle().await?;
    Ok(Rekeyed { secrets })
}

/// Refuses what cannot be sent to a server as a credential.
pub fn check_secret(member: &str, secret: &str) -> Result<(), Problem> {
    if secret.is_empty() || secret.len() > MOST || HeaderValue::try_from(secret).is_err() {
        let why = format!("'{member}' must be 1 byte to 16 KiB of what a header may contain");
        return Err(Problem::invalid(why));
    }
    Ok(())
}

async fn put(desk: &Desk, input: Put) -> Result<Credential, Problem> {
    let Put { server, kind, owner, secret } = input;
    let people = People::read(desk).await?;
    desk.require(Action::ManageIdentities, &people.about(kind, &owner))?;
    check_secret("secret", &secret)?;
    let key = master_key(desk)?;
    desk.store()?.put_credential(&key, &server, (kind, &owner), &secret).await?;
    desk.settle().await?;
    let (owner, changed) = (format!("{kind} {owner:?}"), doorward_store::now());
    Ok(Credential { server, owner, kind: CredentialKind::Credential, changed })
}

async fn remove(desk: &Desk, whose: &Whose) -> Result<Removed, Problem> {
    let Whose { server, kind, owner } = whose;
    let people = People::read(desk).await?;
    desk.require(Action::ManageIdentities, &people.about(*kind, owner))?;
    let store = desk.store()?;
    let named = format!("{kind} {owner:?}");
    match store.remove_credential(server, *kind, owner).await {
        Err(Error::Absent { .. }) => store.remove_delegated(server, &named).await?,
        removed => removed?,
    }
    desk.settle().await?;
    Ok(Removed { removed: format!("{server}: {named}") })
}

fn connect(desk: &Desk, name: &str) -> Result<Link, Problem> {
    let gateway = desk.gateway()?;
    let server = gateway.server(name).ok_or_else(|| Problem::absent("server", name))?;
    if server.settings.delegated.is_none() {
        let why = format!("'{}' does not use grants: it is not 'delegated'", server.name);
        return Err(Problem::new(Code::Conflict, why));
    }
    let wanted = delegation::link::Wanted {
        server: server.name.to_string(),
        owner: GATEWAY.to_owned(),
        tenant: None,
        more: Default::default(),
        told: None,
    };
    let link = gateway.shared.delegations.link(gateway.identity.resources.origin(), &wanted);
    let url = link.map_err(|error| Problem::new(Code::Conflict, error.to_string()))?;
    Ok(Link { url })
}

async fn disconnect(desk: &Desk, name: &str) -> Result<Removed, Problem> {
    desk.store()?.remove_delegated(name, GATEWAY).await?;
    desk.settle().await?;
    Ok(Removed { removed: name.to_owned() })
}
