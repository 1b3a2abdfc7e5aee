//! Where the caller's clients can connect.

use doorward_admin::{Desk, Operation, Page, Paging, Problem, Verb};
use doorward_gateway::call::Portal;
use doorward_upstream::Server;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::visit::{Place, Visit};

pub const LIST: Operation<Paging, Page<Endpoint>> = Operation::own(
    "endpoints.list",
    (Verb::Get, "/portal/v1/endpoints"),
    "List the endpoints to which your clients can connect",
    |desk, paging| Box::pin(async move { list(&desk, &paging) }),
);

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// Empty for the endpoint of all servers.
    pub name: String,
    pub kind: Kind,
    pub url: String,
    /// What the portal's description says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub auth: Auth,
    pub state: State,
    /// Names of the servers that you may use there.
    pub servers: Vec<String>,
    /// Why it should not be used any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// All servers.
    All,
    Portal,
    Server,
}

/// What clients must present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Auth {
    /// `false`: nothing.
    pub required: bool,
    /// Clients can log in by OAuth.
    pub oauth: bool,
    /// Clients can send an API key.
    pub key: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All of its servers are available.
    Up,
    /// Some of them.
    Partial,
    /// None of them.
    Down,
}

fn list(desk: &Desk, paging: &Paging) -> Result<Page<Endpoint>, Problem> {
    let visit = Visit::of(desk)?;
    let key = |place: &Place| {
        let order = match place.portal {
            Portal::Merged => 0,
            Portal::Named(_) => 1,
            Portal::Server(_) => 2,
        };
        format!("{order}{}", place.portal.name().to_lowercase())
    };
    let Page { items, next_cursor } = paging.of(visit.places(), key)?;
    let items = items.iter().map(|place| endpoint(&visit, place)).collect();
    Ok(Page { items, next_cursor })
}

fn is_up(server: &Server) -> bool {
    !matches!(server.state().state, "down")
}

fn endpoint(visit: &Visit<'_>, place: &Place) -> Endpoint {
    let identity = &visit.gateway.identity;
    let settings = visit.gateway.settings();
    let oauth =
        !settings.identity.issuers.is_empty() || settings.identity.authorization_server.is_some();
    let up = place.servers.iter().filter(|server| is_up(server)).count();
    let kind = match place.portal {
        Portal::Merged => Kind::All,
        Portal::Named(_) => Kind::Portal,
        Portal::Server(_) => Kind::Server,
    };
    let name = place.portal.name();
    let notices = visit.gateway.life.notices();
    let notice = notices.get(&name.to_ascii_lowercase()).filter(|_| kind == Kind::Server);
    let portal = visit.gateway.portal(name).filter(|_| kind == Kind::Portal);
    Endpoint {
        name: name.to_owned(),
        kind,
        url: visit.url(&place.portal),
        description: portal.and_then(|portal| portal.settings.description.clone()),
        auth: Auth { required: !identity.is_open(), oauth, key: true },
        state: match up {
            0 => State::Down,
            some if some < place.servers.len() => State::Partial,
            _ => State::Up,
        },
        servers: place.servers.iter().map(|server| server.name.to_string()).collect(),
        deprecated: notice.map(|notice| notice.text().to_owned()),
    }
}
