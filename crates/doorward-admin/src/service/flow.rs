//! What callers carry of what they were returned: labels of flow rules. The running gateway, or the store that gateways
//! share, knows it.

use std::sync::Arc;

use doorward_gateway::record;
use doorward_guards::flow::{About, Kind as Separated, Report, Unavailable, Unknown};
use doorward_identity::identity::LOCAL;
use doorward_policy::Action;
use doorward_store::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::directory::People;
use crate::desk::{self, Desk, Who};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

/// Longest reason, in bytes.
const LONGEST_REASON: usize = 500;

pub const LIST: Operation<List, Page<FlowItem>> = Operation::new(
    "flow.list",
    (Verb::Get, "/admin/v1/flow"),
    "List the labels that callers carry, each with the call that first returned it",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { list(&desk, input).await }),
);

pub const CLEAR: Operation<Clear, Cleared> = Operation::new(
    "flow.clear",
    (Verb::Post, "/admin/v1/flow/clear"),
    "Clear the labels of a caller or of a session",
    (Action::Operate, On::Decides),
    |desk, input| Box::pin(async move { clear(&desk, input).await }),
);

/// Whose labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Whose {
    /// A user: also what agents carry that act for the user, unless `agent` names one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// An agent; with `user`, as it acts for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// A session or conversation, as this list and audit records name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// Which labels to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    #[serde(flatten)]
    pub whose: Whose,
    #[serde(flatten)]
    pub paging: Paging,
}

/// Whose labels to clear.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Clear {
    #[serde(flatten)]
    pub whose: Whose,
    /// The reason, for the audit log.
    pub why: String,
}

/// What a conversation carries.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FlowItem {
    /// `session`, `conversation` (an ID that the client has chosen) or `caller` (without a session).
    pub kind: String,
    /// The user, agent or service account, with the agent that acts for it.
    pub principal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The session or conversation; not the ID that the client has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    pub labels: Vec<FlowLabel>,
    /// It counts as carrying every label, because not all are known.
    #[serde(default)]
    pub unknown: bool,
    /// Why: `start` (labels from before the start are not known), `bounds` (more was returned than is stored).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_because: Option<String>,
    /// How many seconds that still counts, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_left_s: Option<u64>,
    /// An administrator has cleared it.
    #[serde(default)]
    pub cleared: bool,
}

/// A label, and the call that first returned it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FlowLabel {
    pub label: String,
    /// ID of the call in the audit log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub call: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// The tool, prompt or resource.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// When, in milliseconds since 1970.
    #[serde(default)]
    pub at: i64,
    /// How many seconds it still holds; absent: as long as the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_s: Option<u64>,
}

/// What was cleared.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Cleared {
    pub cleared: Vec<ClearedItem>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ClearedItem {
    pub principal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The labels that it had.
    pub labels: Vec<String>,
}

impl Whose {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A principal and its kind, where one is named.
    fn principal(&self) -> Result<Option<(Kind, &str)>, Problem> {
        match (&self.user, &self.agent, &self.service_account) {
            (Some(user), _, None) => Ok(Some((Kind::User, user))),
            (None, Some(agent), None) => Ok(Some((Kind::Agent, agent))),
            (None, None, Some(account)) => Ok(Some((Kind::ServiceAccount, account))),
            (None, None, None) => Ok(None),
            _ => Err(Problem::invalid("'service_account' cannot be combined with others")),
        }
    }

    fn is_meant(&self, about: &About) -> bool {
        let is_session = self.session.is_none() || self.session.as_deref() == about.name.as_deref();
        let is_principal = match self.principal() {
            Ok(None) => true,
            Ok(Some((kind, name))) => {
                let acting = self.agent.as_deref().filter(|_| kind == Kind::User);
                is_named(&about.principal, kind, name, acting)
            }
            Err(_) => false,
        };
        is_session && is_principal
    }
}

/// Whether a principal's identifier is that of somebody, with the agent that acts for it if one is named.
fn is_named(principal: &str, kind: Kind, name: &str, agent: Option<&str>) -> bool {
    if principal == LOCAL {
        return kind == Kind::User && name == LOCAL && agent.is_none();
    }
    // Names in it are quoted, so that none can imitate another.
    let Some(rest) = principal.strip_prefix(&format!("{kind} {name:?}")) else {
        return false;
    };
    match agent {
        Some(agent) => rest.ends_with(&format!(" by {agent:?}")),
        None => rest.is_empty() || rest.starts_with(" of ") || rest.starts_with(" by "),
    }
}

/// The identifier of a principal.
fn identifier(kind: Kind, name: &str, tenant: Option<&str>, agent: Option<&str>) -> Arc<str> {
    if kind == Kind::User && name == LOCAL && tenant.is_none() && agent.is_none() {
        return LOCAL.into();
    }
    let mut id = format!("{kind} {name:?}");
    if let Some(tenant) = tenant {
        id.push_str(&format!(" of {tenant:?}"));
    }
    if let Some(agent) = agent {
        id.push_str(&format!(" by {agent:?}"));
    }
    id.into()
}

fn item(report: Report) -> FlowItem {
    let Report { about, marks, unknown, cleared } = report;
    let labels = marks.into_iter().map(|mark| {
        let left_s = mark.left.map(|left| left.as_secs());
        let label = FlowLabel { label: mark.label, left_s, ..FlowLabel::default() };
        match mark.origin {
            None => label,
            Some(origin) => FlowLabel {
                call: origin.call,
                server: origin.server,
                target: origin.target,
                at: origin.at,
                ..label
            },
        }
    });
    let kind = match about.kind {
        Separated::Session => "session",
        Separated::Conversation => "conversation",
        Separated::Caller => "caller",
    };
    FlowItem {
        kind: kind.into(),
        principal: about.principal,
        tenant: about.tenant,
        session: about.name,
        labels: labels.collect(),
        unknown: unknown.is_some(),
        unknown_because: unknown.map(|why| why.as_str().to_owned()),
        unknown_left_s: match unknown {
            Some(Unknown::Start(left)) => Some(left.as_secs()),
            _ => None,
        },
        cleared,
    }
}

impl Default for FlowLabel {
    fn default() -> Self {
        let (label, call, server, target) = Default::default();
        Self { label, call, server, target, at: 0, left_s: None }
    }
}

fn away(Unavailable(why): Unavailable) -> Problem {
    Problem::new(Code::Conflict, format!("the shared store of flow labels is unavailable: {why}"))
}

async fn list(desk: &Desk, input: List) -> Result<Page<FlowItem>, Problem> {
    let List { whose, paging } = input;
    whose.principal()?;
    let reports = desk.gateway()?.flow.report().await.map_err(away)?;
    let meant = reports.into_iter().filter(|report| whose.is_meant(&report.about));
    let about = |item: &FlowItem| desk::of_tenant(item.tenant.as_deref());
    let items = desk.visible(Action::View, meant.map(item).collect(), about)?;
    paging.of(items, |item| {
        format!(
            "{}\0{}\0{}",
            item.principal,
            item.kind,
            item.session.as_deref().unwrap_or_default()
        )
    })
}

async fn clear(desk: &Desk, input: Clear) -> Result<Cleared, Problem> {
    let Clear { whose, why } = input;
    let gateway = desk.gateway()?;
    if why.trim().is_empty() || why.len() > LONGEST_REASON {
        let problem = format!("'why' must have 1 to {LONGEST_REASON} bytes");
        return Err(Problem::invalid(problem));
    }
    if whose.is_empty() {
        let problem = "name a 'user', an 'agent', a 'service_account' or a 'session'";
        return Err(Problem::invalid(problem));
    }
    // Whoever is named without a session may carry what nobody knows of.
    let mut callers = Vec::new();
    if let (Some((kind, name)), None) = (whose.principal()?, &whose.session) {
        let tenant = People::read(desk).await?.tenant_of(kind, name);
        desk.require(Action::Operate, &desk::of_tenant(tenant.as_deref()))?;
        let agent = whose.agent.as_deref().filter(|_| kind == Kind::User);
        callers.push((identifier(kind, name, tenant.as_deref(), agent), tenant));
    }
    let reports = gateway.flow.report().await.map_err(away)?;
    let meant: Vec<About> =
        reports.into_iter().map(|report| report.about).filter(|one| whose.is_meant(one)).collect();
    if meant.is_empty() && callers.is_empty() {
        desk.require(Action::Operate, &desk::gateway())?;
        let session = whose.session.as_deref().unwrap_or_default();
        return Err(Problem::absent("session with labels", session));
    }
    for about in meant {
        desk.require(Action::Operate, &desk::of_tenant(about.tenant.as_deref()))?;
    }
    if desk.is_rehearsal() {
        return Ok(Cleared { cleared: Vec::new() });
    }
    let done = gateway.flow.clear(|about| whose.is_meant(about), &callers).await.map_err(away)?;
    let mut cleared = Vec::new();
    for (about, labels) in done {
        gateway.shared.audit.event("flow.clear", |members| {
            match desk.who() {
                Who::Caller(caller) => record::caller(members, caller),
                Who::Machine => _ = members.text("user", &desk.name()),
            }
            members.text("protocol", "admin").text("subject", &about.principal);
            members.maybe("session", about.name.as_deref()).text("why", &why);
            members.texts("labels", labels.iter().map(String::as_str));
        });
        let About { principal, tenant, name, .. } = about;
        cleared.push(ClearedItem { principal, tenant, session: name, labels });
    }
    Ok(Cleared { cleared })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_named_with_and_without_an_agent() {
        for (principal, user, agent, fits) in [
            ("user \"al\"", "al", None, true),
            ("user \"al\" of \"t\" by \"bot\"", "al", None, true),
            ("user \"al\" by \"bot\"", "al", Some("bot"), true),
            ("user \"al\"", "al", Some("bot"), false),
            ("user \"al\" by \"other\"", "al", Some("bot"), false),
            ("user \"alice\"", "al", None, false),
            ("agent \"al\"", "al", None, false),
            ("local", "local", None, true),
        ] {
            assert_eq!(is_named(principal, Kind::User, user, agent), fits, "{principal} {user}");
        }
        let id = identifier(Kind::User, "al", Some("t"), Some("bot"));
        assert!(is_named(&id, Kind::User, "al", Some("bot")));
    }
}
