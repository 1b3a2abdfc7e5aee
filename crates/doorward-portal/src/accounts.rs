//! The caller's accounts at servers: credentials that they have provided, and grants for the gateway to act for them.

use std::collections::BTreeSet;

use doorward_admin::service::Removed;
use doorward_admin::service::credentials::{Link, check_secret, master_key};
use doorward_admin::{Code, Desk, Operation, Page, Paging, Problem, Verb};
use doorward_identity::delegation::{link::Wanted, owner};
use doorward_identity::identity::directory::kind_of;
use doorward_store::{Error, Kind};
use doorward_upstream::Server;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::visit::Visit;

pub const LIST: Operation<Paging, Page<Account>> = Operation::own(
    "accounts.list",
    (Verb::Get, "/portal/v1/accounts"),
    "List servers that use an account of yours, and whether it is connected",
    |desk, paging| Box::pin(async move { list(&desk, &paging).await }),
);

pub const CONNECT: Operation<Of, Link> = Operation::own(
    "accounts.connect",
    (Verb::Post, "/portal/v1/accounts/{server}/connect"),
    "Make a link with which you let the gateway act for you at a server",
    |desk, input| Box::pin(async move { connect(&desk, &input.server) }),
);

pub const PUT: Operation<Put, Account> = Operation::own(
    "accounts.put",
    (Verb::Put, "/portal/v1/accounts/{server}"),
    "Store your credential for a server",
    |desk, input| Box::pin(async move { put(&desk, &input).await }),
);

pub const REMOVE: Operation<Of, Removed> = Operation::own(
    "accounts.remove",
    (Verb::Delete, "/portal/v1/accounts/{server}"),
    "Delete your credential or grant for a server",
    |desk, input| Box::pin(async move { remove(&desk, &input.server).await }),
);

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Of {
    pub server: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Put {
    pub server: String,
    /// As the server expects it, without a prefix such as `Bearer`; at most 16 KiB. It is never returned.
    pub value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// You provide a credential, such as a token: `PUT`.
    Credential,
    /// You log in at the server once: `POST …/connect`.
    Consent,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    pub server: String,
    pub way: Way,
    /// Whether there is one of your own.
    pub connected: bool,
    /// Whether calls are refused as long as there is none.
    pub required: bool,
    /// Whose credential is used as long as there is none of yours: `team` or `tenant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_by: Option<Kind>,
    /// When it was stored or granted, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<i64>,
}

fn way(server: &Server) -> Option<(Way, bool)> {
    if let Some(personal) = &server.settings.personal {
        return Some((Way::Credential, personal.required));
    }
    server.settings.delegated.as_ref().map(|_| (Way::Consent, true))
}

async fn list(desk: &Desk, paging: &Paging) -> Result<Page<Account>, Problem> {
    let visit = Visit::of(desk)?;
    let (who, own) = (visit.who(), owner(&visit.caller.principal));
    let (provided, granted) = match desk.maybe_store() {
        Some(store) => (store.credentials().await?, store.delegated_of(&own).await?),
        None => Default::default(),
    };
    let mut all = Vec::new();
    for server in visit.servers().values() {
        let Some((way, required)) = way(server) else { continue };
        let name = server.name.to_string();
        let here = |other: &str| other.eq_ignore_ascii_case(&server.name);
        let of = |kind: Kind, owns: &dyn Fn(&str) -> bool| {
            provided.iter().find(|it| here(&it.server) && it.owner_kind == kind && owns(&it.owner))
        };
        let (changed, shared_by) = match way {
            Way::Consent => (granted.iter().find(|it| here(&it.server)).map(|it| it.changed), None),
            Way::Credential => {
                let mine = of(kind_of(who.kind), &|name| name == who.id);
                let team = of(Kind::Team, &|name| who.teams.contains(name)).map(|_| Kind::Team);
                let tenant = of(Kind::Tenant, &|name| who.tenant.as_deref() == Some(name));
                let shared = team.or(tenant.map(|_| Kind::Tenant));
                (mine.map(|it| it.changed), shared)
            }
        };
        let connected = changed.is_some();
        let shared_by = shared_by.filter(|_| !connected);
        all.push(Account { server: name, way, connected, required, shared_by, changed });
    }
    paging.of(all, |account| account.server.to_lowercase())
}

fn wrong_way(server: &Server, wanted: Way) -> Problem {
    let name = &server.name;
    let why = match (wanted, way(server)) {
        (_, None) => format!("'{name}' uses no account of yours"),
        (Way::Consent, _) => format!("'{name}' takes a credential: store it with PUT"),
        (Way::Credential, _) => format!("'{name}' takes no credential: connect it"),
    };
    Problem::new(Code::Conflict, why)
}

fn connect(desk: &Desk, name: &str) -> Result<Link, Problem> {
    let visit = Visit::of(desk)?;
    visit.require_person()?;
    let server = visit.server(name)?;
    if way(&server).is_none_or(|(way, _)| way != Way::Consent) {
        return Err(wrong_way(&server, Way::Consent));
    }
    let wanted = Wanted {
        server: server.name.to_string(),
        owner: owner(&visit.caller.principal),
        tenant: visit.who().tenant.clone(),
        more: BTreeSet::new(),
        told: None,
    };
    let origin = visit.gateway.identity.resources.origin();
    let url = visit.gateway.shared.delegations.link(origin, &wanted);
    let url = url.map_err(|error| Problem::new(Code::Conflict, error.to_string()))?;
    Ok(Link { url })
}

async fn put(desk: &Desk, input: &Put) -> Result<Account, Problem> {
    let visit = Visit::of(desk)?;
    visit.require_person()?;
    let server = visit.server(&input.server)?;
    let Some((Way::Credential, required)) = way(&server) else {
        return Err(wrong_way(&server, Way::Credential));
    };
    check_secret("value", &input.value)?;
    let key = master_key(desk)?;
    let who = visit.who();
    let owner = (kind_of(who.kind), who.id.as_str());
    desk.store()?.put_credential(&key, &server.name, owner, &input.value).await?;
    desk.settle().await?;
    Ok(Account {
        server: server.name.to_string(),
        way: Way::Credential,
        connected: true,
        required,
        shared_by: None,
        changed: Some(doorward_store::now()),
    })
}

/// What is stored is removed, also where the caller no longer sees the server.
async fn remove(desk: &Desk, name: &str) -> Result<Removed, Problem> {
    let visit = Visit::of(desk)?;
    visit.require_person()?;
    let (store, who) = (desk.store()?, visit.who());
    let gone = |_| Problem::absent("account", name);
    match store.remove_credential(name, kind_of(who.kind), &who.id).await {
        Err(Error::Absent { .. }) => {
            let own = owner(&visit.caller.principal);
            match store.remove_delegated(name, &own).await {
                Err(error @ Error::Absent { .. }) => return Err(gone(error)),
                removed => removed?,
            }
        }
        removed => removed?,
    }
    desk.settle().await?;
    Ok(Removed { removed: name.to_owned() })
}
