//! Requests for access, and for servers that are not there yet. Whether what is asked for exists changes no response.

use doorward_admin::service::life;
use doorward_admin::service::requests::state_of;
use doorward_admin::service::{ById, Removed};
use doorward_admin::{Desk, Operation, Page, Paging, Problem, Verb};
use doorward_identity::identity::directory::kind_of;
use doorward_mcp::names::is_server_name;
use doorward_store::{
    AccessRequest, Granted, Kind, NewRequest, Outcome, RequestKind, RequestState, now,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::visit::Visit;

pub const LIST: Operation<List, Page<Request>> = Operation::own(
    "requests.list",
    (Verb::Get, "/portal/v1/requests"),
    "List your requests for access",
    |desk, input| Box::pin(async move { list(&desk, &input).await }),
);

pub const OPEN: Operation<Open, Request> = Operation::own(
    "requests.open",
    (Verb::Post, "/portal/v1/requests"),
    "Ask for access to a tool, server or portal, or for a new server",
    |desk, input| Box::pin(async move { open(&desk, &input).await }),
)
.making();

pub const WITHDRAW: Operation<ById, Removed> = Operation::own(
    "requests.withdraw",
    (Verb::Delete, "/portal/v1/requests/{id}"),
    "Withdraw a request that waits",
    |desk, input| Box::pin(async move { withdraw(&desk, &input.id).await }),
);

/// Requests that are listed.
const MOST: i64 = 2_000;

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// `open` (the default), `granted`, `refused`, `withdrawn`, `expired` or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Open {
    pub kind: RequestKind,
    /// `server/tool`, or the name of a server or portal; for a new server, the name that it should have.
    pub name: String,
    /// For a new server: where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What you need it for.
    pub why: String,
}

/// A request of the caller's. Times are seconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    pub id: String,
    pub kind: RequestKind,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub why: String,
    pub state: RequestState,
    pub created: i64,
    /// Until when it waits.
    pub expires: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<i64>,
    /// What whoever has decided says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
}

impl From<AccessRequest> for Request {
    fn from(request: AccessRequest) -> Self {
        let note = match request.granted {
            Some(Granted::Note(note)) => Some(note),
            Some(Granted::Role(_) | Granted::Team(_) | Granted::Policy(_)) | None => None,
        };
        Self {
            id: request.id,
            kind: request.kind,
            name: request.name,
            url: request.url,
            why: request.why,
            state: request.state,
            created: request.created,
            expires: request.expires,
            decided: request.decided,
            decision: note.or(request.reason),
        }
    }
}

fn requester<'a>(visit: &'a Visit<'_>) -> (Kind, &'a str) {
    let who = visit.who();
    (kind_of(who.kind), &who.id)
}

async fn list(desk: &Desk, input: &List) -> Result<Page<Request>, Problem> {
    let visit = Visit::of(desk)?;
    let state = state_of(input.state.as_deref())?;
    let all = match desk.maybe_store() {
        Some(store) => store.requests(Some(requester(&visit)), state, now(), MOST).await?,
        None => Vec::new(),
    };
    let key = |one: &AccessRequest| format!("{:020}\0{}", i64::MAX - one.created, one.id);
    let Page { items, next_cursor } = input.paging.of(all, key)?;
    let items = items.into_iter().map(Request::from).collect();
    Ok(Page { items, next_cursor })
}

/// Refuses what can be no name, whatever there is.
fn check(input: &Open) -> Result<(), Problem> {
    let is_plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    let is_name = match input.kind {
        RequestKind::Tool => input
            .name
            .split_once('/')
            .is_some_and(|(server, tool)| is_server_name(server) && is_plain(tool)),
        RequestKind::Server | RequestKind::NewServer => is_server_name(&input.name),
        RequestKind::Portal => is_plain(&input.name),
    };
    if !is_name {
        return Err(Problem::invalid(match input.kind {
            RequestKind::Tool => "'name' must be a server's name, '/' and the tool's name",
            RequestKind::Server | RequestKind::NewServer => {
                "'name' must be 1 to 64 letters, digits, '-' and '.', a letter first"
            }
            RequestKind::Portal => "'name' must be a portal's name",
        }));
    }
    if input.why.trim().is_empty() {
        return Err(Problem::invalid("'why' must say what you need it for"));
    }
    match (input.kind == RequestKind::NewServer, &input.url) {
        (true, None) => Err(Problem::invalid("'url' must say where the new server is")),
        (false, Some(_)) => Err(Problem::invalid("'url' is for a new server only")),
        _ => Ok(()),
    }
}

async fn open(desk: &Desk, input: &Open) -> Result<Request, Problem> {
    let visit = Visit::of(desk)?;
    visit.require_person()?;
    check(input)?;
    if let Some(url) = &input.url {
        life::check_url(url)?;
    }
    let new = NewRequest {
        kind: input.kind,
        name: &input.name,
        url: input.url.as_deref(),
        why: input.why.trim(),
        requester: requester(&visit),
        tenant: visit.who().tenant.as_deref(),
    };
    let store = desk.store()?;
    let request = store.open_request(&new, now()).await?;
    if request.url.is_some() && !desk.is_rehearsal() {
        // Afterwards, so that the time that the response takes says nothing of what there is.
        let later = Desk::of_visitor(visit.gateway.clone(), visit.caller.clone(), false);
        let request = request.clone();
        visit.gateway.shared.tasks.spawn(async move {
            if let Err(problem) = propose(&later, &request).await {
                tracing::warn!(request = request.id, "not proposed: {}", problem.detail);
            }
        });
    }
    Ok(request.into())
}

/// Proposes a new server. Where it cannot be, because there is one of this name or too many wait, administrators see that.
async fn propose(desk: &Desk, request: &AccessRequest) -> Result<(), Problem> {
    let Some(url) = &request.url else { return Ok(()) };
    let wanted = life::Wanted { name: &request.name, url, why: &request.why };
    if life::propose_for(desk, &wanted).await? {
        desk.store()?.note_proposed(&request.id, now()).await?;
    }
    Ok(())
}

async fn withdraw(desk: &Desk, id: &str) -> Result<Removed, Problem> {
    let visit = Visit::of(desk)?;
    visit.require_person()?;
    let found = desk.store()?.request(id, now()).await?;
    let own = requester(&visit);
    let found = found.filter(|it| (it.requester_kind, it.requester.as_str()) == own);
    let found = found.ok_or_else(|| Problem::absent("request", id))?;
    desk.store()?.end_request(&found.id, &Outcome::Withdrawn, now()).await?;
    Ok(Removed { removed: found.id })
}
