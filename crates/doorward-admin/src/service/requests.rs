//! Users' requests for access. Who may manage the identities of the requester's tenant decides about them, or grants them by a
//! policy if they may change policies; nobody decides about their own.

use std::sync::Arc;

use doorward_gateway::Gateway;
use doorward_identity::identity::directory::kind_of;
use doorward_policy::{Action, PolicySet};
use doorward_store::{
    AccessRequest, Entry, Granted, Kind, Outcome, RequestKind, RequestState, Store, now,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ById;
use super::directory::{People, refuse_escalation};
use super::owners::{self, Holders};
use super::policies;
use crate::desk::{self, Desk, Who};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

pub const LIST: Operation<List, Page<Request>> = Operation::new(
    "requests.list",
    (Verb::Get, "/admin/v1/requests"),
    "List users' requests for access",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { list(&desk, &input).await }),
);

pub const SHOW: Operation<ById, Request> = Operation::new(
    "requests.show",
    (Verb::Get, "/admin/v1/requests/{id}"),
    "Show a request",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { show(&desk, &input.id).await }),
);

pub const GRANT: Operation<Grant, Request> = Operation::new(
    "requests.grant",
    (Verb::Post, "/admin/v1/requests/{id}/grant"),
    "Grant a request: by a role, a team, a further policy file, or by other means",
    // A policy needs another action than the rest.
    (Action::ManageIdentities, On::Proposed),
    |desk, input| Box::pin(async move { grant(&desk, input).await }),
);

pub const REFUSE: Operation<Refuse, Request> = Operation::new(
    "requests.refuse",
    (Verb::Post, "/admin/v1/requests/{id}/refuse"),
    "Refuse a request",
    (Action::ManageIdentities, On::Decides),
    |desk, input| Box::pin(async move { refuse(&desk, input).await }),
);

/// Requests that are listed.
const MOST: i64 = 20_000;

/// Which requests to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// `open` (the default), `granted`, `refused`, `withdrawn`, `expired` or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(flatten)]
    pub paging: Paging,
}

/// How to grant a request: exactly one of `role`, `team`, `policy` and `note`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub id: String,
    /// Give the requester this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Add the requester to this team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Add this policy file to the active ones. Requires the action `change_policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<File>,
    /// Access was given by other means, as this says. The requester reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A further policy file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Such as `dana-reads-tickets.cedar`; none of the active files may have it.
    pub name: String,
    /// Cedar.
    pub text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    pub id: String,
    /// The requester reads it.
    #[serde(default)]
    pub reason: String,
}

/// A request as administrators see it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    #[serde(flatten)]
    pub request: AccessRequest,
    /// What is known of the requester; absent if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_as: Option<Entry>,
    /// Whether what is asked for is there; known while a gateway runs. Requesters are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// Whether you can grant and refuse it.
    pub can_decide: bool,
}

/// The state that a list is about.
pub fn state_of(word: Option<&str>) -> Result<Option<RequestState>, Problem> {
    match word {
        None => Ok(Some(RequestState::Open)),
        Some("all") => Ok(None),
        Some(word) => {
            let found = RequestState::ALL.into_iter().find(|it| it.as_str() == word);
            let all = || RequestState::ALL.map(RequestState::as_str).join(", ");
            let wrong = || Problem::invalid(format!("'state' must be 'all' or one of {}", all()));
            found.map(Some).ok_or_else(wrong)
        }
    }
}

fn exists(gateway: &Arc<Gateway>, request: &AccessRequest) -> bool {
    let name = request.name.as_str();
    match request.kind {
        RequestKind::Server | RequestKind::NewServer => gateway.server(name).is_some(),
        RequestKind::Portal => gateway.portal_named(name).is_some(),
        RequestKind::Tool => name.split_once('/').is_some_and(|(server, tool)| {
            let known = gateway.server(server).and_then(|server| server.catalog.latest());
            known.is_some_and(|view| view.tool(tool).is_some())
        }),
    }
}

/// Whose request it is decides who may see it and decide about it.
fn about(request: &AccessRequest) -> doorward_policy::Target {
    desk::of_tenant(request.tenant.as_deref())
}

fn is_own(desk: &Desk, request: &AccessRequest) -> bool {
    match desk.who() {
        Who::Machine => false,
        Who::Caller(caller) => {
            let who = &caller.principal.who;
            kind_of(who.kind) == request.requester_kind && who.id == request.requester
        }
    }
}

fn shown(desk: &Desk, people: &People, request: AccessRequest) -> Request {
    let exists = desk.maybe_gateway().map(|gateway| exists(gateway, &request));
    let can_decide = request.state == RequestState::Open
        && !is_own(desk, &request)
        && (desk.may(Action::ManageIdentities, &about(&request))
            || desk.may(Action::ChangePolicy, &desk::gateway()));
    let known_as = people.find(request.requester_kind, &request.requester).cloned();
    Request { request, known_as, exists, can_decide }
}

async fn list(desk: &Desk, input: &List) -> Result<Page<Request>, Problem> {
    let state = state_of(input.state.as_deref())?;
    let all = match desk.maybe_store() {
        Some(store) => store.requests(None, state, now(), MOST).await?,
        None => Vec::new(),
    };
    let all = desk.visible(Action::View, all, about)?;
    let key = |one: &AccessRequest| format!("{:020}\0{}", i64::MAX - one.created, one.id);
    let Page { items, next_cursor } = input.paging.of(all, key)?;
    let people = People::read(desk).await?;
    let items = items.into_iter().map(|one| shown(desk, &people, one)).collect();
    Ok(Page { items, next_cursor })
}

/// A request that the administrator may do something with. Nobody learns whether there are others.
async fn find(desk: &Desk, id: &str, action: Action) -> Result<AccessRequest, Problem> {
    let found = desk.store()?.request(id, now()).await?;
    let target = found.as_ref().map_or_else(desk::gateway, about);
    desk.require(action, &target).map_err(|problem| match problem.code {
        Code::NotFound => Problem::absent("request", id),
        _ => problem,
    })?;
    found.ok_or_else(|| Problem::absent("request", id))
}

async fn show(desk: &Desk, id: &str) -> Result<Request, Problem> {
    let found = find(desk, id, Action::View).await?;
    Ok(shown(desk, &People::read(desk).await?, found))
}

/// A request that the administrator may decide about.
async fn to_decide(desk: &Desk, id: &str, action: Action) -> Result<AccessRequest, Problem> {
    let found = find(desk, id, action).await?;
    if is_own(desk, &found) {
        let why = "nobody decides about their own request";
        return Err(Problem::new(Code::Forbidden, why));
    }
    Ok(found)
}

async fn ended(desk: &Desk, request: AccessRequest) -> Result<Request, Problem> {
    desk.settle().await?;
    Ok(shown(desk, &People::read(desk).await?, request))
}

async fn refuse(desk: &Desk, input: Refuse) -> Result<Request, Problem> {
    let found = to_decide(desk, &input.id, Action::ManageIdentities).await?;
    let outcome = Outcome::Refused(input.reason);
    let request = desk.store()?.end_request(&found.id, &outcome, now()).await?;
    ended(desk, request).await
}

async fn grant(desk: &Desk, input: Grant) -> Result<Request, Problem> {
    let Grant { id, role, team, policy, note } = input;
    let action = match &policy {
        Some(_) => {
            desk.require(Action::ChangePolicy, &desk::gateway())?;
            Action::View
        }
        None => Action::ManageIdentities,
    };
    let found = to_decide(desk, &id, action).await?;
    let request = match (role, team, policy, note) {
        (Some(role), None, None, None) => by_entry(desk, &found, Granted::Role(role)).await?,
        (None, Some(team), None, None) => by_entry(desk, &found, Granted::Team(team)).await?,
        (None, None, Some(file), None) => by_policy(desk, &found, file).await?,
        (None, None, None, Some(note)) => {
            let outcome = Outcome::Granted(Granted::Note(note));
            desk.store()?.end_request(&found.id, &outcome, now()).await?
        }
        _ => {
            let why = "say exactly one of 'role', 'team', 'policy' and 'note'";
            return Err(Problem::invalid(why));
        }
    };
    ended(desk, request).await
}

/// Grants a request by what the directory says of the requester.
async fn by_entry(
    desk: &Desk,
    request: &AccessRequest,
    how: Granted,
) -> Result<AccessRequest, Problem> {
    let AccessRequest { requester_kind: kind, requester: name, .. } = request;
    let people = People::read(desk).await?;
    if people.is_declared(*kind, name) {
        let why = format!(
            "{kind} '{}' is defined in the configuration: change it there, and grant with a note",
            name.escape_debug()
        );
        return Err(Problem::new(Code::DefinedInConfiguration, why));
    }
    let known = people.find(*kind, name).cloned();
    let mut entry = known.unwrap_or_else(|| {
        let tenant = request.tenant.clone();
        Entry { tenant, ..Entry::new(*kind, name) }
    });
    // They may have moved since they asked.
    desk.require(Action::ManageIdentities, &desk::of_tenant(entry.tenant.as_deref()))?;
    match &how {
        Granted::Role(role) => _ = entry.roles.insert(role.clone()),
        Granted::Team(team) => {
            let other = people.find(Kind::Team, team).and_then(|team| team.tenant.clone());
            if other.is_some() && other != entry.tenant {
                desk.require(Action::ManageIdentities, &desk::of_tenant(other.as_deref()))?;
            }
            entry.teams.insert(team.clone());
        }
        Granted::Policy(_) | Granted::Note(_) => {}
    }
    refuse_escalation(desk, &entry)?;
    let effect = |holders: &mut Holders| {
        let stored = &mut holders.people.stored;
        stored.retain(|other| other.kind != entry.kind || other.name != entry.name);
        stored.push(entry.clone());
    };
    let granting = |store: Store| -> owners::Changing<AccessRequest> {
        let (entry, id, how) = (entry.clone(), request.id.clone(), how.clone());
        Box::pin(async move {
            let batch = store.batch();
            batch.put_principal(&entry).await?;
            let request = batch.end_request(&id, &Outcome::Granted(how), now()).await?;
            batch.commit_batch().await?;
            Ok(request)
        })
    };
    owners::keeping(desk, effect, granting).await
}

/// Grants a request by a further policy file.
async fn by_policy(
    desk: &Desk,
    request: &AccessRequest,
    file: File,
) -> Result<AccessRequest, Problem> {
    policies::refuse_declared(desk)?;
    let store = desk.store()?;
    // The other files are those that were read, or nothing is changed.
    let revision = match store.pinned() {
        Some(revision) => revision,
        None => store.revision().await?,
    };
    let active = store.active_policies().await?;
    let mut files = active.map(|active| active.files).unwrap_or_default();
    let name = file.name.escape_debug().to_string();
    if file.name.is_empty() || file.name.len() > 200 {
        return Err(Problem::invalid("'policy.name' must have 1 to 200 bytes"));
    }
    if files.insert(file.name.clone(), file.text).is_some() {
        let why = format!("the active policies have a file '{name}': choose another name");
        return Err(Problem::new(Code::Conflict, why));
    }
    PolicySet::compile(&files).map_err(|findings| policies::invalid(&findings))?;
    let batch = store.at_revision(revision).batch();
    batch.apply_policies(&files, &format!("request {}", request.id)).await?;
    let outcome = Outcome::Granted(Granted::Policy(file.name));
    let request = batch.end_request(&request.id, &outcome, now()).await?;
    batch.commit_batch().await?;
    Ok(request)
}
