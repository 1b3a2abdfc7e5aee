//! What acts for the caller: sessions of MCP clients, clients that may log in for them, and browsers that are signed in.

use doorward_admin::service::{ById, Removed};
use doorward_admin::{Desk, Operation, Page, Paging, Problem, Verb};
use doorward_policy::PrincipalKind;
use doorward_store::{BrowserSession, EndOf, OAuthGrant, now};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::visit::Visit;

pub const LIST: Operation<Paging, Page<Session>> = Operation::own(
    "sessions.list",
    (Verb::Get, "/portal/v1/sessions"),
    "List sessions of your clients at this replica, clients that act for you, and browsers that are signed in",
    |desk, paging| Box::pin(async move { list(&desk, &paging).await }),
);

pub const END: Operation<ById, Removed> = Operation::own(
    "sessions.end",
    (Verb::Delete, "/portal/v1/sessions/{id}"),
    "End a session, or revoke what you have granted to a client",
    |desk, input| Box::pin(async move { end(&desk, &input.id).await }),
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An MCP client's, at this replica.
    Session,
    /// A client that may act for you, until it is revoked or expires.
    Grant,
    /// A browser that is signed in to the console or the portal.
    Browser,
}

/// Times are seconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    pub id: String,
    pub kind: Kind,
    /// What the client or browser is, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Where: the portal or server of a session (empty for all servers), the resource of a grant, `console` or `portal`.
    pub at: String,
    /// The agent that acts for you.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The address from which it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// OAuth scopes of a grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

/// How each of them ends.
enum Ends {
    Session,
    Grant,
    Browser,
}

fn is_own_browser(visit: &Visit<'_>, session: &BrowserSession) -> bool {
    let who = visit.who();
    session.kind == visit.kind()
        && session.name == who.id
        && session.tenant == who.tenant
        && session.parent.is_none()
}

/// Whether a grant of the gateway's own authorization server is the caller's.
fn is_own_grant(visit: &Visit<'_>, grant: &OAuthGrant) -> bool {
    let settings = visit.gateway.settings();
    let own = settings.identity.authorization_server.as_ref();
    let who = visit.who();
    who.kind == PrincipalKind::User
        && own.is_some_and(|own| who.id == format!("{}:{}", own.name, grant.subject))
}

async fn all(visit: &Visit<'_>) -> Result<Vec<(Ends, Session)>, Problem> {
    let mut all = Vec::new();
    for session in visit.gateway.sessions.all() {
        let principal = &session.opener.principal;
        if !visit.is(&principal.who) {
            continue;
        }
        let info = session.client().info.clone();
        let info = info.and_then(|info| serde_json::from_slice::<Value>(&info.to_bytes()).ok());
        let name = info.as_ref().and_then(|info| {
            let text = |member: &str| info[member].as_str();
            Some(format!("{} {}", text("name")?, text("version").unwrap_or_default()))
        });
        let idle = i64::try_from(session.used_at().elapsed().as_secs()).unwrap_or(i64::MAX);
        all.push((
            Ends::Session,
            Session {
                id: session.name(),
                kind: Kind::Session,
                client: name.map(|name| name.trim().to_owned()),
                at: session.portal.name().to_owned(),
                agent: principal.agent.clone(),
                address: session.opener.address.map(|address| address.to_string()),
                scopes: Vec::new(),
                created: None,
                used: Some(now().saturating_sub(idle)),
                expires: None,
            },
        ));
    }
    if let Some(store) = visit.desk.maybe_store() {
        for grant in store.grants(false).await? {
            if !is_own_grant(visit, &grant) {
                continue;
            }
            all.push((
                Ends::Grant,
                Session {
                    id: grant.id,
                    kind: Kind::Grant,
                    client: Some(if grant.client_name.is_empty() {
                        grant.client
                    } else {
                        grant.client_name
                    }),
                    at: grant.resource,
                    agent: None,
                    address: None,
                    scopes: grant.scopes.into_iter().collect(),
                    created: Some(grant.created),
                    used: None,
                    expires: Some(grant.expires),
                },
            ));
        }
    }
    for session in visit.gateway.identity.browsers.all().await? {
        if !is_own_browser(visit, &session) || !session.is_valid_at(now()) {
            continue;
        }
        all.push((
            Ends::Browser,
            Session {
                expires: Some(session.ends()),
                id: session.id,
                kind: Kind::Browser,
                client: None,
                at: session.face,
                agent: None,
                address: session.address,
                scopes: Vec::new(),
                created: Some(session.created),
                used: Some(session.used),
            },
        ));
    }
    Ok(all)
}

async fn list(desk: &Desk, paging: &Paging) -> Result<Page<Session>, Problem> {
    let visit = Visit::of(desk)?;
    let all = all(&visit).await?.into_iter().map(|(_, session)| session).collect();
    paging.of(all, |session: &Session| format!("{:?}{}", session.kind, session.id))
}

async fn end(desk: &Desk, id: &str) -> Result<Removed, Problem> {
    let visit = Visit::of(desk)?;
    visit.require_person()?;
    let found = all(&visit).await?.into_iter().find(|(_, session)| session.id == id);
    let (ends, _) = found.ok_or_else(|| Problem::absent("session", id))?;
    let gateway = visit.gateway;
    match ends {
        Ends::Session if desk.is_rehearsal() => {}
        Ends::Session => {
            let mut sessions = gateway.sessions.all().into_iter();
            if let Some(session) = sessions.find(|session| session.name() == id) {
                gateway.sessions.end(&session);
                desk.record("session.end_by_user", id);
            }
        }
        Ends::Grant => {
            desk.store()?.revoke_grant(id).await?;
            desk.settle().await?;
        }
        Ends::Browser if !gateway.identity.browsers.are_in_memory() => {
            desk.store()?.end_browser_session(id).await?;
        }
        Ends::Browser if desk.is_rehearsal() => {}
        Ends::Browser => {
            gateway.identity.browsers.end_in_memory(EndOf::Session(id));
            desk.record("login.end_by_user", id);
        }
    }
    if !desk.is_rehearsal() {
        gateway.identity.check_sessions().await;
    }
    Ok(Removed { removed: id.to_owned() })
}
