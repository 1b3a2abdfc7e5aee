//! The life of servers: proposals, reviews, and every step from approval to retirement.
//!
//! What may be done to a server is decided on its attributes: those of the configuration file, or those that were proposed.
//! So "owners edit their own servers" is a policy.

use doorward_config::{ServerSettings, proposal};
use doorward_gateway::gateway::looking::{Look, NoLook};
use doorward_governance::lifecycle::{State, Step};
use doorward_governance::names;
use doorward_mcp::names::is_server_name;
use doorward_policy::{Action, Target};
use doorward_store::{Deprecation, ServerOrigin, ServerProposal, ServerStep, Stepping, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod asked;
mod drift;
mod found;
mod review;

pub use self::asked::{Wanted, check_url, propose_for};
pub use self::drift::{ACCEPT, Compare, DIFF, Decided, Decision, REFUSE, Withheld};
pub use self::found::Server;
pub use self::review::{Access, Names, PrincipalAccess, Review, ToolRisk};

pub(crate) use self::found::about;
use self::found::{Found, find, gathered, shown, stored};
use super::Named;
use crate::desk::Desk;
use crate::operation::{On, Operation, Running, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

pub const LIST: Operation<List, Page<Server>> = Operation::new(
    "servers.list",
    (Verb::Get, "/admin/v1/servers"),
    "List servers and proposals, with the state of their lives",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { list(&desk, input).await }),
);

pub const SHOW: Operation<Named, Server> = Operation::new(
    "servers.show",
    (Verb::Get, "/admin/v1/servers/{name}"),
    "Show a server or proposal",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { found::show(&desk, &input.name).await }),
);

pub const PROPOSE: Operation<Propose, Server> = Operation::new(
    "servers.propose",
    (Verb::Post, "/admin/v1/servers"),
    "Propose a server",
    (Action::Propose, On::Proposed),
    |desk, input| Box::pin(async move { propose(&desk, input).await }),
)
.making();

pub const LOOK: Operation<Named, Look> = Operation::new(
    "servers.look",
    (Verb::Post, "/admin/v1/servers/{name}/look"),
    "Connect to a server under review, list what it offers, and disconnect",
    (Action::Review, On::Decides),
    |desk, input| Box::pin(async move { look(&desk, &input.name).await }),
);

pub const REVIEW_OF: Operation<Named, Review> = Operation::new(
    "servers.review_of",
    (Verb::Get, "/admin/v1/servers/{name}/review"),
    "Show what a reviewer has to know: addresses, definitions, risk, and whom it would let do what",
    (Action::Review, On::Decides),
    |desk, input| Box::pin(async move { review_of(&desk, &input.name).await }),
);

pub const HISTORY: Operation<Named, History> = Operation::new(
    "servers.history",
    (Verb::Get, "/admin/v1/servers/{name}/history"),
    "Show the steps of a server's life",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { history(&desk, &input.name).await }),
);

pub const REVIEW: Operation<Decide, Server> = Operation::new(
    "servers.review",
    (Verb::Post, "/admin/v1/servers/{name}/review"),
    "Begin the review of a proposed server",
    (Action::Review, On::Decides),
    |desk, input| {
        let Decide { name, reason, revision, allow_private } = input;
        run(desk, name, Step::Review, Stepping { why: reason, revision, allow_private, ..none() })
    },
);

pub const APPROVE: Operation<Decide, Server> = Operation::new(
    "servers.approve",
    (Verb::Post, "/admin/v1/servers/{name}/approve"),
    "Approve a server, as the last look has seen it",
    (Action::Approve, On::Decides),
    |desk, input| {
        let Decide { name, reason, revision, allow_private } = input;
        run(desk, name, Step::Approve, Stepping { why: reason, revision, allow_private, ..none() })
    },
);

pub const REJECT: Operation<Take, Server> = Operation::new(
    "servers.reject",
    (Verb::Post, "/admin/v1/servers/{name}/reject"),
    "Reject a proposed server",
    (Action::Review, On::Decides),
    |desk, input| plain(desk, input, Step::Reject),
);

pub const ACTIVATE: Operation<Take, Server> = Operation::new(
    "servers.activate",
    (Verb::Post, "/admin/v1/servers/{name}/activate"),
    "Put an approved or deprecated server in use",
    (Action::Operate, On::Decides),
    |desk, input| plain(desk, input, Step::Activate),
);

pub const DEPRECATE: Operation<Deprecate, Server> = Operation::new(
    "servers.deprecate",
    (Verb::Post, "/admin/v1/servers/{name}/deprecate"),
    "Deprecate a server: clients are told to stop using it",
    (Action::Operate, On::Decides),
    |desk, input| Box::pin(async move { deprecate(&desk, input).await }),
);

pub const RETIRE: Operation<Take, Server> = Operation::new(
    "servers.retire",
    (Verb::Post, "/admin/v1/servers/{name}/retire"),
    "Retire a server",
    (Action::Operate, On::Decides),
    |desk, input| plain(desk, input, Step::Retire),
);

pub const QUARANTINE: Operation<Take, Server> = Operation::new(
    "servers.quarantine",
    (Verb::Post, "/admin/v1/servers/{name}/quarantine"),
    "Take a server out of use until it is released",
    (Action::Operate, On::Decides),
    |desk, input| plain(desk, input, Step::Quarantine),
);

pub const RELEASE: Operation<Take, Server> = Operation::new(
    "servers.release",
    (Verb::Post, "/admin/v1/servers/{name}/release"),
    "Release a server from quarantine: it is again where it was",
    (Action::Approve, On::Decides),
    |desk, input| plain(desk, input, Step::Release),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// Only servers in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Propose {
    pub name: String,
    /// Settings as in the configuration file, restricted to what may be proposed: no commands, files, credentials, or
    /// references such as `${env:NAME}`.
    pub settings: Value,
    /// Why the server is needed.
    #[serde(default)]
    pub reason: String,
}

/// A step without more than its reason.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Take {
    pub name: String,
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    pub name: String,
    #[serde(default)]
    pub reason: String,
    /// The `revision` of the server that was reviewed: if the server has changed since, or another look has found
    /// something else, nothing is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Let the server be at addresses that are not public (true), or not any more (false). Requires the action `operate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_private: Option<bool>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deprecate {
    pub name: String,
    #[serde(default)]
    pub reason: String,
    /// What clients are told, beside that the server is deprecated.
    #[serde(default)]
    pub note: String,
    /// The server to use instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// The last day on which it is served, such as `2027-01-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires: Option<String>,
}

/// The steps of a server's life, the first one first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct History {
    pub name: String,
    pub steps: Vec<ServerStep>,
}

/// Longest note for clients.
const MOST_NOTE: usize = 1_000;

fn none() -> Stepping {
    Stepping::default()
}

async fn list(desk: &Desk, input: List) -> Result<Page<Server>, Problem> {
    let mut rows = match desk.maybe_store() {
        Some(store) => store.servers().await?,
        None => Vec::new(),
    };
    let settings = desk.settings();
    let declared = settings.iter().flat_map(|settings| settings.servers.keys());
    let mut all: Vec<Found> = declared
        .filter_map(|name| {
            let at = rows.iter().position(|row| row.name.eq_ignore_ascii_case(name));
            gathered(desk, name, at.map(|at| rows.swap_remove(at)))
        })
        .collect();
    // What is left is not in the file: of servers that were, only what became of them is known.
    all.extend(rows.into_iter().filter_map(|row| {
        let name = row.name.clone();
        gathered(desk, &name, Some(row))
    }));
    all.retain(|found| input.state.is_none_or(|state| found.server.life.state == state));
    let all = desk.visible(Action::View, all, |found| found.target.clone())?;
    let all = all.into_iter().map(|found| found.server).collect();
    input.paging.of(all, |server: &Server| server.life.name.to_lowercase())
}

async fn propose(desk: &Desk, input: Propose) -> Result<Server, Problem> {
    let Propose { name, settings, reason } = input;
    // What is known of the name is nobody's business who may not propose.
    let wanted = proposal::proposal(&settings);
    let fallback = ServerSettings::default();
    desk.require(Action::Propose, &about(&name, wanted.as_ref().unwrap_or(&fallback)))?;
    check_form(&name)?;
    let wanted = wanted.map_err(|problems| {
        let told: Vec<String> =
            problems.iter().map(|problem| format!("settings.{problem}")).collect();
        Problem::invalid(told.join("; ")).with("problems", told)
    })?;
    // Whoever replaces a proposal must be permitted to on what is there, too.
    if let Some(old) = gathered(desk, &name, stored(desk, &name).await?) {
        desk.require(Action::Propose, &old.target)?;
    }
    check_name(desk, &name).await?;
    let store = desk.store()?;
    let (spec, digest) = (settings.to_string(), wanted.approval_digest());
    let proposal = ServerProposal { name: &name, spec: &spec, digest: &digest, why: &reason };
    let life = store.propose_server(&proposal).await?;
    desk.settle().await?;
    shown(desk, life)
}

fn check_form(name: &str) -> Result<(), Problem> {
    // The path of that name is that of the health of all servers.
    if !is_server_name(name) || name == "status" {
        let why = "a server's name is 1 to 64 letters, digits, '-' and '.', a letter first";
        return Err(Problem::invalid(format!("name: {why}")));
    }
    Ok(())
}

/// Refuses names that no proposal can have, and those that are taken.
pub(crate) async fn check_name(desk: &Desk, name: &str) -> Result<(), Problem> {
    check_form(name)?;
    if let Some(own) = desk.settings() {
        let same = |other: &&String| other.eq_ignore_ascii_case(name);
        let taken = own.servers.keys().find(same).map(|it| ("server", it));
        let taken = taken.or_else(|| own.portals.keys().find(same).map(|it| ("portal", it)));
        if let Some((kind, taken)) = taken {
            let why = format!("the configuration file has a {kind} '{taken}': choose another name");
            return Err(Problem::new(Code::DefinedInConfiguration, why));
        }
    }
    let portals = desk.store()?.portals().await?;
    if portals.iter().any(|portal| portal.name.eq_ignore_ascii_case(name)) {
        let why = format!("'{name}' is the name of a portal: choose another");
        return Err(Problem::new(Code::Conflict, why));
    }
    look_alike(desk, desk.store()?, name).await
}

/// A server that there is: as policies see it, and where it is in its life.
pub(crate) async fn found_server(
    desk: &Desk,
    name: &str,
) -> Result<Option<(Target, State)>, Problem> {
    let found = gathered(desk, name, stored(desk, name).await?);
    Ok(found.map(|found| (found.target, found.server.life.state)))
}

/// Takes a proposal into use: reviews it, looks at it, approves what the look has found, and activates it.
pub(crate) async fn put_in_use(
    desk: &Desk,
    name: &str,
    why: &str,
    allow_private: Option<bool>,
) -> Result<(), Problem> {
    let stepping = || Stepping { why: why.to_owned(), ..none() };
    take(desk, name, Step::Review, Stepping { allow_private, ..stepping() }).await?;
    let look = look(desk, name).await?;
    if let Some(problem) = look.problem {
        return Err(Problem::new(Code::Conflict, problem));
    }
    take(desk, name, Step::Approve, stepping()).await?;
    take(desk, name, Step::Activate, stepping()).await.map(drop)
}

/// Refuses a name that could be taken for another server's.
async fn look_alike(desk: &Desk, store: &Store, name: &str) -> Result<(), Problem> {
    let stored = store.servers().await?;
    let stored = stored.iter().filter(|it| it.state != State::Retired).map(|it| it.name.as_str());
    let settings = desk.settings();
    let declared = settings.iter().flat_map(|settings| settings.servers.keys());
    let others = stored.chain(declared.map(String::as_str));
    let others = others.filter(|other| !other.eq_ignore_ascii_case(name));
    match names::conflict(name, others) {
        None => Ok(()),
        Some(pair) => {
            let why = format!("the name {pair}: choose one that nobody confuses");
            Err(Problem::new(Code::Conflict, why))
        }
    }
}

fn plain(desk: Desk, input: Take, step: Step) -> Running<Server> {
    run(desk, input.name, step, Stepping { why: input.reason, ..none() })
}

fn run(desk: Desk, name: String, step: Step, stepping: Stepping) -> Running<Server> {
    Box::pin(async move { take(&desk, &name, step, stepping).await })
}

fn action_of(step: Step) -> Action {
    match step {
        Step::Propose => Action::Propose,
        Step::Review | Step::Reject => Action::Review,
        Step::Approve | Step::Release => Action::Approve,
        Step::Activate | Step::Deprecate | Step::Retire | Step::Quarantine => Action::Operate,
    }
}

async fn take(desk: &Desk, name: &str, step: Step, stepping: Stepping) -> Result<Server, Problem> {
    let found = find(desk, name, action_of(step)).await?;
    if stepping.allow_private.is_some() {
        if found.server.life.origin == ServerOrigin::File {
            let why = "'allow_private' is for proposed servers; the file has 'public_only'";
            return Err(Problem::invalid(why));
        }
        desk.require(Action::Operate, &found.target)?;
    }
    let four_eyes = desk.settings().is_none_or(|settings| settings.review.four_eyes);
    // The store decides once more, on what is there then.
    let revision = stepping.revision.or(Some(found.server.life.revision));
    let name = &found.server.life.name;
    let store = desk.store()?;
    let pins = match step {
        Step::Approve => drift::pins_of(store, name).await?,
        _ => Vec::new(),
    };
    let stepping = Stepping { four_eyes, revision, pins, ..stepping };
    let life = store.step_server(name, step, &stepping, found.trusted.as_deref()).await?;
    desk.settle().await?;
    shown(desk, life)
}

async fn deprecate(desk: &Desk, input: Deprecate) -> Result<Server, Problem> {
    let Deprecate { name, reason, note, successor, retires } = input;
    if note.len() > MOST_NOTE || note.chars().any(char::is_control) {
        return Err(Problem::invalid(format!(
            "'note' must be a line of at most {MOST_NOTE} bytes"
        )));
    }
    if successor.as_ref().is_some_and(|name| !is_server_name(name)) {
        return Err(Problem::invalid("'successor' must be the name of a server"));
    }
    if retires.as_ref().is_some_and(|day| day.parse::<jiff::civil::Date>().is_err()) {
        return Err(Problem::invalid("'retires' must be a day, such as 2027-01-31"));
    }
    let deprecation = Deprecation { note, successor, retires };
    take(desk, &name, Step::Deprecate, Stepping { why: reason, deprecation, ..none() }).await
}

fn refused(why: NoLook) -> Problem {
    match why {
        NoLook::Store(error) => error.into(),
        NoLook::NotReviewed(_) | NoLook::Settings(_) => {
            Problem::new(Code::Conflict, why.to_string())
        }
    }
}

async fn look(desk: &Desk, name: &str) -> Result<Look, Problem> {
    let found = find(desk, name, Action::Review).await?;
    if desk.is_rehearsal() {
        return Err(Problem::invalid("a look connects to the server: it cannot be rehearsed"));
    }
    let (gateway, store) = (desk.gateway()?, desk.store()?);
    gateway.look(store, &found.server.life.name).await.map_err(refused)
}

async fn review_of(desk: &Desk, name: &str) -> Result<Review, Problem> {
    let found = find(desk, name, Action::Review).await?;
    let (gateway, store) = (desk.gateway()?, desk.store()?);
    let life = stored(desk, name).await?.unwrap_or(found.server.life);
    review::of(gateway, store, life).await.map_err(refused)
}

async fn history(desk: &Desk, name: &str) -> Result<History, Problem> {
    let name = find(desk, name, Action::View).await?.server.life.name;
    let steps = desk.store()?.server_steps(&name).await?;
    Ok(History { name, steps })
}
