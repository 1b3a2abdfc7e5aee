//! Approvals of calls. Whoever may see the server or the caller's tenant sees them; those whom the policies name decide.

use std::collections::BTreeMap;
use std::str::FromStr;

use doorward_gateway::approvals::answer::url;
use doorward_gateway::approvals::decide::{Undecided, changed, decide};
use doorward_governance::approvals::{
    Approval, Ballot, Edits, Refused, Similar, State, Vote, Voter,
};
use doorward_policy::{Action, PrincipalKind};
use doorward_store::now;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ById;
use crate::desk::{self, Desk, Who};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

/// Approvals that are listed.
const MOST: i64 = 20_000;

pub const LIST: Operation<List, Page<ApprovalItem>> = Operation::new(
    "approvals.list",
    (Verb::Get, "/admin/v1/approvals"),
    "List approvals of calls",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { list(&desk, input).await }),
);

pub const SHOW: Operation<ById, ApprovalItem> = Operation::new(
    "approvals.show",
    (Verb::Get, "/admin/v1/approvals/{id}"),
    "Show an approval",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { show(&desk, &input.id).await }),
);

pub const APPROVE: Operation<Decide, ApprovalItem> = Operation::new(
    "approvals.approve",
    (Verb::Post, "/admin/v1/approvals/{id}/approve"),
    "Approve a call",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { vote(&desk, input, true).await }),
);

pub const REFUSE: Operation<Decide, ApprovalItem> = Operation::new(
    "approvals.refuse",
    (Verb::Post, "/admin/v1/approvals/{id}/refuse"),
    "Refuse a call",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { vote(&desk, input, false).await }),
);

/// Which approvals to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// `waiting` (the default), `approved`, `refused`, `expired`, `taken`, `used`, `ended` or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(flatten)]
    pub paging: Paging,
}

/// A decision.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    pub id: String,
    /// For the caller and the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Arguments that the call is to run with instead of its own, by name: those that are `editable`.
    #[serde(default, skip_serializing_if = "Edits::is_empty")]
    pub edits: Edits,
}

/// An approval of a call. Times are seconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalItem {
    pub id: String,
    pub state: State,
    /// Who made the call: `user`, `agent` or `service_account`, and the name.
    pub caller_kind: String,
    pub caller: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The agent that acts for the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    pub server: String,
    /// The portal; empty at the merged endpoint.
    pub portal: String,
    /// The MCP method.
    pub method: String,
    /// The server's own name of the tool or prompt, or the URI.
    pub name: String,
    /// JSON, masked as in audit records; for whoever may decide, or read payloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// What the client answers to the server, where the call continues with that. Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
    /// Why it waits: what the policies say.
    pub reason: String,
    /// IDs of the policies.
    pub policies: Vec<String>,
    /// Arguments that whoever approves may edit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub editable: Vec<String>,
    /// Findings, classes of data and labels of the caller's flow that were known when the call was made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Vec<String>>,
    /// Who can approve.
    pub approvers: String,
    /// How many people must still approve.
    pub missing: usize,
    /// What has changed since, so that it cannot be approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<String>,
    /// Whether you can decide.
    pub can_decide: bool,
    pub votes: Vec<Vote>,
    /// The last five decisions about other calls of the same tool by the same caller, the newest first; for whoever sees the
    /// arguments, and where one approval is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub similar: Vec<Similar>,
    pub created: i64,
    /// Until when it waits; once approved, until when the call can be made.
    pub expires: i64,
    /// The page on which it is decided, where a gateway runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Somebody who might decide.
fn with_voter<T>(desk: &Desk, run: impl FnOnce(Voter<'_>) -> T) -> T {
    match desk.who() {
        Who::Machine => run(Voter::Machine(&desk.name())),
        Who::Caller(caller) => {
            let principal = &caller.principal;
            let is_acted_for = principal.agent.is_some() || !principal.chain.is_empty();
            run(Voter::Person { who: &principal.who, is_acted_for })
        }
    }
}

pub fn can_decide(desk: &Desk, approval: &Approval) -> bool {
    with_voter(desk, |voter| !approval.policies_of(voter).is_empty())
}

/// Whether the administrator may do this to the server or to the caller's tenant.
fn may(desk: &Desk, action: Action, approval: &Approval) -> bool {
    desk.may(action, &desk::gateway())
        || desk.may(action, &desk::of_tenant(approval.asker.tenant.as_deref()))
        || (action == Action::View && desk.may(action, &desk.server(&approval.subject.server)))
}

/// Whether the administrator may see the arguments of a call.
fn reads(desk: &Desk, approval: &Approval) -> bool {
    can_decide(desk, approval) || may(desk, Action::ReadPayloads, approval)
}

/// An approval; `shows` says whether with the arguments of the call.
pub fn item(desk: &Desk, mut approval: Approval, shows: bool) -> ApprovalItem {
    let gateway = desk.maybe_gateway();
    let state = approval.state_at(now());
    let can_decide = can_decide(desk, &approval);
    if !shows {
        approval.votes.iter_mut().for_each(|vote| vote.edits.clear());
    }
    let is_open = matches!(state, State::Waiting | State::Approved);
    let changed = gateway.filter(|_| is_open).and_then(|gateway| changed(gateway, &approval));
    let kind = match approval.asker.kind {
        PrincipalKind::User => "user",
        PrincipalKind::Agent => "agent",
        PrincipalKind::ServiceAccount => "service_account",
    };
    ApprovalItem {
        state,
        caller_kind: kind.into(),
        reason: approval.reason(),
        policies: approval.holds.iter().map(|hold| hold.policy.clone()).collect(),
        editable: approval.editable().into_iter().map(str::to_owned).collect(),
        facts: approval.subject.facts.clone(),
        approvers: approval.approvers(),
        missing: approval.missing().iter().map(|(_, lacks)| lacks).max().copied().unwrap_or(0),
        changed: changed.map(str::to_owned),
        can_decide: can_decide && state == State::Waiting,
        url: gateway.map(|gateway| url(gateway, &approval.id)),
        id: approval.id,
        caller: approval.asker.id,
        tenant: approval.asker.tenant,
        agent: approval.asker.agent,
        server: approval.subject.server,
        portal: approval.subject.portal,
        method: approval.subject.method,
        name: approval.subject.name,
        arguments: Some(approval.subject.arguments).filter(|_| shows),
        answers: approval.subject.answers.filter(|_| shows),
        votes: approval.votes,
        similar: Vec::new(),
        created: approval.created,
        expires: approval.expires,
    }
}

async fn list(desk: &Desk, input: List) -> Result<Page<ApprovalItem>, Problem> {
    let sees = |one: &Approval| may(desk, Action::View, one) || can_decide(desk, one);
    let Page { items, next_cursor } = page(desk, &input, sees).await?;
    let items = items.into_iter().map(|one| item(desk, one, false)).collect();
    Ok(Page { items, next_cursor })
}

/// A page of the approvals that somebody sees, the newest first.
pub async fn page(
    desk: &Desk,
    input: &List,
    sees: impl Fn(&Approval) -> bool,
) -> Result<Page<Approval>, Problem> {
    let state = match input.state.as_deref() {
        None => Some(State::Waiting),
        Some("all") => None,
        Some(word) => Some(State::from_str(word).map_err(|()| {
            let all: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
            Problem::invalid(format!("'state' must be 'all' or one of {}", all.join(", ")))
        })?),
    };
    let mut all = match desk.maybe_store() {
        Some(store) => store.approvals(state, now(), MOST).await?,
        None => Vec::new(),
    };
    all.retain(sees);
    let key = |one: &Approval| format!("{:020}\0{}", i64::MAX - one.created, one.id);
    input.paging.of(all, key)
}

async fn find(desk: &Desk, id: &str) -> Result<Approval, Problem> {
    let found = desk.store()?.approval(id).await?;
    let found = found.filter(|one| may(desk, Action::View, one) || can_decide(desk, one));
    found.ok_or_else(|| Problem::absent("approval", id))
}

async fn show(desk: &Desk, id: &str) -> Result<ApprovalItem, Problem> {
    let found = find(desk, id).await?;
    let shows = reads(desk, &found);
    let similar = match shows {
        true => desk.store()?.similar_approvals(&found).await?,
        false => Vec::new(),
    };
    Ok(ApprovalItem { similar, ..item(desk, found, shows) })
}

async fn vote(desk: &Desk, input: Decide, approves: bool) -> Result<ApprovalItem, Problem> {
    let found = find(desk, &input.id).await?;
    decide_about(desk, found, input, approves).await
}

/// Decides about an approval that was found, if the person may.
pub async fn decide_about(
    desk: &Desk,
    found: Approval,
    input: Decide,
    approves: bool,
) -> Result<ApprovalItem, Problem> {
    let Decide { id, reason, edits } = input;
    if !can_decide(desk, &found) {
        let why =
            format!("it can be decided by {}, and not by whoever made the call", found.approvers());
        return Err(Problem::new(Code::Forbidden, why));
    }
    let name = desk.name();
    let voter = match desk.who() {
        Who::Machine => Voter::Machine(&name),
        Who::Caller(caller) => Voter::Person {
            who: &caller.principal.who,
            is_acted_for: caller.principal.agent.is_some() || !caller.principal.chain.is_empty(),
        },
    };
    let gateway = desk.maybe_gateway().map(AsRef::as_ref);
    let ballot = Ballot { approves, reason: reason.as_deref(), edits };
    let decided = decide(gateway, desk.store()?, voter, &id, &ballot).await;
    match decided {
        Ok(approval) => {
            let shows = reads(desk, &approval);
            Ok(item(desk, approval, shows))
        }
        Err(Undecided::Refused(Refused::NotAllowed)) => Err(Problem::absent("approval", &id)),
        Err(Undecided::Invalid(why)) => Err(Problem::invalid(why)),
        Err(Undecided::Refused(why)) => Err(Problem::new(Code::Conflict, why.to_string())),
        Err(Undecided::Store(error)) => Err(error.into()),
    }
}
