//! Who asks, what is theirs, and where they may use what.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_admin::{Code, Desk, Problem};
use doorward_gateway::Gateway;
use doorward_gateway::access::decide::Asking;
use doorward_gateway::call::{Asks, Portal, Protocol};
use doorward_gateway::endpoint::Endpoint;
use doorward_identity::identity::Caller;
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, Revision, method};
use doorward_policy::{Principal, PrincipalKind};
use doorward_upstream::Server;
use doorward_upstream::catalog::Snapshot;

/// Portals that are searched for tools and servers at once.
const MOST_PORTALS: usize = 32;

/// A caller at the portal.
pub struct Visit<'a> {
    pub desk: &'a Desk,
    pub caller: &'a Caller,
    pub gateway: &'a Arc<Gateway>,
    client: Client,
}

/// An endpoint at which a caller sees something, and the servers that they see there.
pub struct Place {
    pub portal: Portal,
    pub servers: Vec<Arc<Server>>,
}

impl<'a> Visit<'a> {
    pub fn of(desk: &'a Desk) -> Result<Self, Problem> {
        let none = || Problem::new(Code::Unauthenticated, "there is no caller");
        let (caller, gateway) = (desk.caller().ok_or_else(none)?, desk.gateway()?);
        Ok(Self { desk, caller, gateway, client: Client::default() })
    }

    pub fn who(&self) -> &Principal {
        &self.caller.principal.who
    }

    /// The kind of the caller, as the API names it.
    pub fn kind(&self) -> &'static str {
        match self.who().kind {
            PrincipalKind::User => "user",
            PrincipalKind::Agent => "agent",
            PrincipalKind::ServiceAccount => "service_account",
        }
    }

    /// Whether something belongs to the caller, whichever agent acts for them.
    pub fn is(&self, who: &Principal) -> bool {
        self.has(who.kind, &who.id, who.tenant.as_deref())
    }

    pub fn has(&self, kind: PrincipalKind, id: &str, tenant: Option<&str>) -> bool {
        let own = self.who();
        own.kind == kind && own.id == id && own.tenant.as_deref() == tenant
    }

    /// Refuses an agent or client that acts for somebody: it does not change what their next one can do.
    pub fn require_person(&self) -> Result<(), Problem> {
        let principal = &self.caller.principal;
        if principal.agent.is_none() && principal.chain.is_empty() && self.caller.grant.is_none() {
            return Ok(());
        }
        let why = "a client or agent that acts for you cannot do this: sign in to the portal";
        Err(Problem::new(Code::Forbidden, why))
    }

    /// As the caller asks for calls and lists at an endpoint.
    pub fn asking<'b>(&'b self, portal: &'b Portal) -> Asking<'b> {
        Asking {
            caller: self.caller,
            client: &self.client,
            revision: Revision::NEWEST,
            protocol: Protocol::Mcp,
            portal,
            facts: None,
        }
    }

    /// The URL of an endpoint.
    pub fn url(&self, portal: &Portal) -> String {
        let path = Endpoint::Mcp(portal.clone()).path();
        format!("{}{path}", self.gateway.identity.resources.origin())
    }

    fn place(&self, portal: Portal) -> Option<Place> {
        let asking = self.asking(&portal);
        if !self.gateway.is_listed(&asking) {
            return None;
        }
        let mut servers = self.gateway.serving(&portal);
        servers.retain(|server| self.gateway.is_seen_by(&asking, server));
        Some(Place { portal, servers })
    }

    /// The endpoints at which the caller sees something: that of all servers, portals, and those of single servers.
    pub fn places(&self) -> Vec<Place> {
        let portals = self.gateway.portals();
        let named = portals.values().map(|(name, _)| Portal::Named(name.clone()));
        let merged = self.place(Portal::Merged);
        let named = named.filter_map(|portal| self.place(portal));
        let servers = self.gateway.servers();
        let single = servers.iter().map(|server| Portal::Server(server.name.clone()));
        let single = single.filter_map(|portal| self.place(portal));
        merged.into_iter().chain(named).chain(single).collect()
    }

    /// The endpoints in which tools are looked for: all of one name, or those that have all there is. A server's own endpoint
    /// has nothing that others lack, unless the caller may use it there alone.
    pub fn searched(&self, named: Option<&str>) -> Vec<Place> {
        let mut places = self.places();
        if let Some(name) = named {
            places.retain(|place| place.portal.name().eq_ignore_ascii_case(name));
            return places;
        }
        let (single, mut several): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|it| matches!(it.portal, Portal::Server(_)));
        several.truncate(MOST_PORTALS);
        let mut alone = single;
        alone.retain(|one| {
            let has = |place: &Place| {
                place.servers.iter().any(|it| one.servers.iter().any(|own| own.name == it.name))
            };
            !several.iter().any(has)
        });
        several.extend(alone);
        several
    }

    /// The servers that the caller sees anywhere, by name in lower case.
    pub fn servers(&self) -> BTreeMap<String, Arc<Server>> {
        let all = self.places().into_iter().flat_map(|place| place.servers);
        all.map(|server| (server.name.to_ascii_lowercase(), server)).collect()
    }

    /// A server that the caller sees. The same answer for one that is hidden and for one that is not there.
    pub fn server(&self, name: &str) -> Result<Arc<Server>, Problem> {
        let found = self.servers().remove(&name.to_ascii_lowercase());
        found.ok_or_else(|| Problem::absent("server", name))
    }

    /// The lists of an endpoint, as a client of the caller's gets them; `None` if they cannot be fetched.
    pub async fn lists(&self, portal: &Portal) -> Option<Arc<Snapshot>> {
        let asks = Asks {
            caller: self.caller.clone(),
            protocol: Protocol::Mcp,
            portal: portal.clone(),
            revision: Revision::NEWEST,
            client: Arc::new(Client::default()),
            session: None,
            conversation: None,
            retry: None,
            param_headers: None,
            discovery: None,
        };
        let call = self.gateway.call(asks, method::TOOLS_LIST, Object::new());
        if let Some(fresh) = self.gateway.fresh_snapshot(&call) {
            return Some(fresh);
        }
        match self.gateway.snapshot(&call).await {
            Ok(lists) => Some(lists),
            Err(error) => {
                tracing::debug!(portal = portal.name(), error = error.logged(), "no lists");
                None
            }
        }
    }
}
