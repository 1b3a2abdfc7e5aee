//! Emergency stops. A running gateway obeys before it writes anything, so that they work while the database is away; on
//! the machine they are written to the store, from where every gateway learns them.

use std::time::Duration;

use doorward_governance::stops::{
    KnownBy, Lifted, Stop, StopError, StopKind, StopMode, StopOutcome, Target as Stopped,
};
use doorward_policy::{Action, Target};
use doorward_store::{Kind, now_ms, random_id};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ById;
use super::directory::People;
use crate::desk::{self, Desk};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

/// Stops that are listed, those that are undone among them.
const MOST: i64 = 20_000;
/// How long is waited to learn somebody's tenant: without the database, a stop concerns the gateway.
const PATIENCE: Duration = Duration::from_secs(1);

pub const LIST: Operation<List, Page<StopItem>> = Operation::new(
    "stops.list",
    (Verb::Get, "/admin/v1/stops"),
    "List emergency stops",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { list(&desk, input).await }),
);

pub const SHOW: Operation<ById, StopItem> = Operation::new(
    "stops.show",
    (Verb::Get, "/admin/v1/stops/{id}"),
    "Show an emergency stop",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { find(&desk, &input.id, Action::View).await }),
);

pub const SET: Operation<Set, StopItem> = Operation::new(
    "stops.set",
    (Verb::Post, "/admin/v1/stops"),
    "Stop something, at once on every replica",
    (Action::Stop, On::Decides),
    |desk, input| Box::pin(async move { set(&desk, input).await }),
);

pub const LIFT: Operation<Lift, StopItem> = Operation::new(
    "stops.lift",
    (Verb::Post, "/admin/v1/stops/{id}/lift"),
    "Undo a stop",
    (Action::Stop, On::Decides),
    |desk, input| Box::pin(async move { lift(&desk, input).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// Include stops that were undone.
    pub all: bool,
    #[serde(flatten)]
    pub paging: Paging,
}

/// What to stop.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// `server`, `tool`, `agent`, `user`, `service_account`, `key`, `credential`, `client`, `tenant` or `all`.
    pub kind: String,
    /// The name; `server/tool` of a tool, `server` or `server/user:name` of a credential, an id of a key or client. None
    /// for `all`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The reason, for the audit log and other operators.
    pub why: String,
    /// Let calls in flight end instead of cancelling them.
    #[serde(default)]
    pub let_end: bool,
}

/// Which stop to undo.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lift {
    pub id: String,
    /// The reason, for the audit log and other operators.
    pub why: String,
}

/// An emergency stop. Times are milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StopItem {
    /// Empty with `dry_run`.
    pub id: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub why: String,
    /// Who stopped it.
    pub by: String,
    pub at: i64,
    /// What happens to calls in flight: `cancel` or `let_end`.
    pub mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted: Option<LiftedItem>,
    /// After a change: `all_replicas` obey within a second; or `this_gateway` alone as long as the store cannot be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_by: Option<String>,
    /// After a change: whether it holds after a restart of the gateway that was asked, with or without the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survives_restart: Option<bool>,
}

/// How a stop was undone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LiftedItem {
    pub by: String,
    pub why: String,
    pub at: i64,
}

impl From<Stop> for StopItem {
    fn from(stop: Stop) -> Self {
        let Stop { id, target, why, by, at, mode, lifted } = stop;
        let lifted = lifted.map(|Lifted { by, why, at }| LiftedItem { by, why, at });
        Self {
            id,
            kind: target.kind.as_str().into(),
            name: target.name,
            why,
            by,
            at,
            mode: mode.as_str().into(),
            lifted,
            known_by: None,
            survives_restart: None,
        }
    }
}

impl From<StopOutcome> for StopItem {
    fn from(outcome: StopOutcome) -> Self {
        let known_by = match outcome.known_by {
            KnownBy::AllReplicas => "all_replicas",
            KnownBy::ThisGateway => "this_gateway",
        };
        let survives_restart = Some(outcome.survives_restart);
        Self { known_by: Some(known_by.into()), survives_restart, ..outcome.stop.into() }
    }
}

impl From<StopError> for Problem {
    fn from(error: StopError) -> Self {
        let code = match &error {
            StopError::Reason => Code::InvalidRequest,
            StopError::Absent(_) => Code::NotFound,
            StopError::TooMany => Code::Conflict,
            StopError::Randomness => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

/// What a stop concerns: the server, or the tenant of whoever is stopped, or the gateway.
async fn about(desk: &Desk, target: &Stopped) -> Target {
    if let Some(server) = target.server() {
        return desk.server(server);
    }
    let kind = match target.kind {
        StopKind::Tenant => return desk::tenant(&target.name),
        StopKind::User => Kind::User,
        StopKind::Agent => Kind::Agent,
        StopKind::ServiceAccount => Kind::ServiceAccount,
        StopKind::Key => {
            let Some(store) = desk.maybe_store() else { return desk::gateway() };
            let finding = async {
                let key = store.key(&doorward_store::KeyId(target.name.clone())).await.ok()?;
                Some(People::read(desk).await.ok()?.about(key.owner_kind, &key.owner))
            };
            let found = tokio::time::timeout(PATIENCE, finding).await;
            return found.ok().flatten().unwrap_or_else(desk::gateway);
        }
        _ => return desk::gateway(),
    };
    let people = tokio::time::timeout(PATIENCE, People::read(desk)).await;
    match people {
        Ok(Ok(people)) => people.about(kind, &target.name),
        _ => desk::gateway(),
    }
}

/// Whether the administrator may do this to what a stop concerns.
async fn require(desk: &Desk, action: Action, target: &Stopped) -> Result<(), Problem> {
    // Who may do it to the gateway may do it to all of it: nothing has to be looked up, which may take long.
    if desk.may(action, &desk::gateway()) {
        return Ok(());
    }
    desk.require(action, &about(desk, target).await)
}

async fn list(desk: &Desk, input: List) -> Result<Page<StopItem>, Problem> {
    let stops = match (desk.maybe_gateway(), desk.maybe_store()) {
        // What is in force, the gateway knows without the database.
        (Some(gateway), _) if !input.all => gateway.emergency.in_force(),
        (_, Some(store)) => store.stops(input.all, MOST).await?,
        (Some(gateway), None) => gateway.emergency.in_force(),
        (None, None) => Vec::new(),
    };
    let mut visible = Vec::new();
    let sees_all = desk.may(Action::View, &desk::gateway());
    for stop in stops {
        if sees_all || desk.may(Action::View, &about(desk, &stop.target).await) {
            visible.push(StopItem::from(stop));
        }
    }
    // As of any list: refused is who sees nothing of it, nor anything else of the gateway or their tenant.
    let visible = match visible.is_empty() {
        true => desk.visible(Action::View, Vec::new(), |_: &StopItem| desk::gateway())?,
        false => visible,
    };
    input.paging.of(visible, |stop| format!("{:014}{}", stop.at, stop.id))
}

async fn find(desk: &Desk, id: &str, action: Action) -> Result<StopItem, Problem> {
    let in_force = desk.maybe_gateway().map(|gateway| gateway.emergency.in_force());
    let known = in_force.and_then(|stops| stops.into_iter().find(|stop| stop.id == id));
    let found = match (known, desk.maybe_store()) {
        (Some(stop), _) => Some(stop),
        (None, Some(store)) => store.stop(id).await?,
        (None, None) => None,
    };
    let absent = || Problem::absent("stop", id);
    let Some(stop) = found else {
        desk.require(action, &desk::gateway())?;
        return Err(absent());
    };
    match require(desk, action, &stop.target).await {
        // What the administrator may not see is not there.
        Err(problem) if problem.code == Code::NotFound => Err(absent()),
        decided => decided.map(|()| stop.into()),
    }
}

async fn set(desk: &Desk, input: Set) -> Result<StopItem, Problem> {
    let invalid = |why: String| Problem::invalid(why);
    let kind: StopKind = input.kind.parse().map_err(|why| invalid(format!("kind: {why}")))?;
    let target = Stopped::new(kind, &input.name).map_err(|why| invalid(format!("name: {why}")))?;
    require(desk, Action::Stop, &target).await?;
    check_reason(&input.why)?;
    let mode = if input.let_end { StopMode::LetEnd } else { StopMode::Cancel };
    if let (Some(gateway), false) = (desk.maybe_gateway(), desk.is_rehearsal()) {
        return Ok(gateway.set_stop(target, mode, &input.why, &desk.actor()).await?.into());
    }
    let rehearsal = desk.is_rehearsal();
    let id = random_id::<8>().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let stop =
        Stop { id, target, why: input.why, by: desk.name(), at: now_ms(), mode, lifted: None };
    if rehearsal {
        return Ok(StopItem { id: String::new(), ..stop.into() });
    }
    let (stop, _) = desk.store()?.put_stop(&stop).await?;
    Ok(written(stop))
}

async fn lift(desk: &Desk, input: Lift) -> Result<StopItem, Problem> {
    let stop = find(desk, &input.id, Action::Stop).await?;
    check_reason(&input.why)?;
    if stop.lifted.is_some() {
        return Err(Problem::new(Code::Conflict, "the stop is undone already"));
    }
    if desk.is_rehearsal() {
        return Ok(stop);
    }
    if let Some(gateway) = desk.maybe_gateway() {
        return Ok(gateway.lift_stop(&input.id, &input.why, &desk.actor()).await?.into());
    }
    let lifted = Lifted { by: desk.name(), why: input.why, at: now_ms() };
    let (stop, _) = desk.store()?.lift_stop(&input.id, &lifted).await?;
    Ok(written(stop))
}

/// A stop in the store: every gateway there is learns it.
fn written(stop: Stop) -> StopItem {
    let (known_by, survives_restart) = (Some("all_replicas".into()), Some(true));
    StopItem { known_by, survives_restart, ..stop.into() }
}

fn check_reason(why: &str) -> Result<(), Problem> {
    match doorward_governance::stops::is_reason(why) {
        true => Ok(()),
        false => Err(StopError::Reason.into()),
    }
}
