//! Sessions of people who have signed in to the console or the portal with a browser.

use doorward_policy::Action;
use doorward_store::{BrowserSession, EndOf};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ById, Removed};
use crate::desk::{self, Desk};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

pub const LIST: Operation<List, Page<BrowserSession>> = Operation::new(
    "logins.list",
    (Verb::Get, "/admin/v1/logins"),
    "List who is signed in to the console or the portal, at all replicas",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { list(&desk, &input).await }),
);

pub const END: Operation<ById, Removed> = Operation::new(
    "logins.end",
    (Verb::Delete, "/admin/v1/logins/{id}"),
    "Sign a browser out of the console or the portal",
    (Action::Operate, On::Decides),
    |desk, input| Box::pin(async move { end(&desk, &input.id).await }),
);

pub const END_ALL: Operation<OfPrincipal, EndedLogins> = Operation::new(
    "logins.end_all",
    (Verb::Post, "/admin/v1/logins/end"),
    "Sign a principal out of the console and the portal in all browsers",
    (Action::Operate, On::Decides),
    |desk, input| Box::pin(async move { end_all(&desk, &input.principal).await }),
);

/// Which sessions to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// As this list and audit records name it, such as `user "alice"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    #[serde(flatten)]
    pub paging: Paging,
}

/// Whose sessions to end.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfPrincipal {
    /// As the list of sessions names it, such as `user "alice"`.
    pub principal: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EndedLogins {
    /// How many sessions were ended.
    pub ended: u64,
}

fn about(session: &BrowserSession) -> doorward_policy::Target {
    desk::of_tenant(session.tenant.as_deref())
}

async fn all(desk: &Desk) -> Result<Vec<BrowserSession>, Problem> {
    Ok(match (desk.maybe_gateway(), desk.maybe_store()) {
        (Some(gateway), _) => gateway.identity.browsers.all().await?,
        (None, Some(store)) => store.browser_sessions().await?,
        (None, None) => Vec::new(),
    })
}

async fn list(desk: &Desk, input: &List) -> Result<Page<BrowserSession>, Problem> {
    let mut sessions = desk.visible(Action::View, all(desk).await?, about)?;
    if let Some(principal) = &input.principal {
        sessions.retain(|session| session.principal == *principal);
    }
    input.paging.of(sessions, |session| format!("{:012}{}", session.created, session.id))
}

async fn end(desk: &Desk, id: &str) -> Result<Removed, Problem> {
    let found = all(desk).await?.into_iter().find(|session| session.id == id);
    let target = found.as_ref().map_or_else(desk::gateway, about);
    desk.require(Action::Operate, &target).map_err(|problem| match found {
        Some(_) if problem.code == Code::NotFound => Problem::absent("login", id),
        _ => problem,
    })?;
    if found.is_none() {
        return Err(Problem::absent("login", id));
    }
    match desk.maybe_gateway().filter(|gateway| gateway.identity.browsers.are_in_memory()) {
        Some(_) if desk.is_rehearsal() => {}
        Some(gateway) => {
            gateway.identity.browsers.end_in_memory(EndOf::Session(id));
            desk.record("login.end_by_administrator", id);
        }
        None => desk.store()?.end_browser_session(id).await?,
    }
    settle(desk).await;
    Ok(Removed { removed: id.to_owned() })
}

async fn end_all(desk: &Desk, principal: &str) -> Result<EndedLogins, Problem> {
    let sessions = all(desk).await?.into_iter().filter(|session| session.principal == principal);
    let sessions: Vec<_> = sessions.collect();
    if sessions.is_empty() {
        desk.require(Action::Operate, &desk::gateway())?;
        return Ok(EndedLogins { ended: 0 });
    }
    for session in &sessions {
        desk.require(Action::Operate, &about(session))?;
    }
    let ended = match desk.maybe_gateway().filter(|it| it.identity.browsers.are_in_memory()) {
        Some(_) if desk.is_rehearsal() => sessions.len() as u64,
        Some(gateway) => {
            desk.record("login.end_by_administrator", principal);
            gateway.identity.browsers.end_in_memory(EndOf::Principal(principal))
        }
        None => desk.store()?.end_browser_sessions_of(principal).await?,
    };
    settle(desk).await;
    Ok(EndedLogins { ended })
}

/// Streams of ended sessions end before the response says that they are ended.
async fn settle(desk: &Desk) {
    if let Some(gateway) = desk.maybe_gateway().filter(|_| !desk.is_rehearsal()) {
        gateway.identity.check_sessions().await;
    }
}
