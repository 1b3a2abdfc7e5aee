//! Evaluates other policies on recorded calls, and finds which decisions would change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorward_policy::{
    Action, Arguments, Client, Context, Facts, PolicySet, Principal, PrincipalKind, Request,
    Target, TargetKind, Time, Verdict,
};
use doorward_store::{Block, Span, Store};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc::{Receiver, channel};

use crate::problem::{Code, Problem};

/// Calls of a group that are named.
const MOST_NAMED: usize = 1_000;
/// Blocks that wait to be decided.
const AHEAD: usize = 8;

/// As much of a record as a decision depends on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    kind: String,
    id: String,
    at: String,
    tenant: Option<String>,
    user: Option<String>,
    service_account: Option<String>,
    agent: Option<String>,
    teams: Vec<String>,
    roles: Vec<String>,
    chain: Vec<String>,
    address: Option<String>,
    authentication: String,
    protocol: String,
    portal: String,
    client: Client,
    revision: String,
    method: String,
    server: Option<String>,
    target: Option<String>,
    environment: Option<String>,
    region: Option<String>,
    data_classes: Option<BTreeSet<String>>,
    owner: Option<String>,
    risk: Option<String>,
    tags: Vec<String>,
    brings: Vec<String>,
    sink: bool,
    open_world: Option<bool>,
    write: Option<bool>,
    credential: String,
    #[serde(flatten)]
    facts: Facts,
    decision: Option<String>,
    code: String,
    arguments: Option<Recorded>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Recorded {
    policy: Option<Map<String, Value>>,
    payload: Option<Value>,
}

/// How a call would turn.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// It was permitted, and would be refused.
    Refused,
    /// It was refused, or waited for approval, and would be permitted.
    Permitted,
    /// It was permitted or refused, and would wait for approval.
    Held,
    /// It depends on arguments that were not recorded.
    Unknown,
}

/// Calls of one principal to one tool that would turn alike.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    pub count: u64,
    pub first: String,
    pub last: String,
    /// Why, in the words of the policies.
    pub reason: String,
    pub policies: Vec<String>,
    pub calls: Vec<String>,
}

/// By turn, principal and tool.
pub type Groups = BTreeMap<(Turn, String, String), Group>;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Recorded calls that were evaluated.
    pub decided: u64,
    pub groups: Groups,
}

/// What was asked in a recorded call; `None` where no policy is asked.
pub(super) fn request_of(record: Map<String, Value>, zone: &TimeZone) -> Option<Request> {
    serde_json::from_value::<Record>(Value::Object(record)).ok()?.request(zone)
}

impl Record {
    /// What was asked; `None` where no policy is asked.
    fn request(&self, zone: &TimeZone) -> Option<Request> {
        let (action, kind) = match self.method.as_str() {
            "tools/call" => (Action::Call, TargetKind::Tool),
            "prompts/get" => (Action::Get, TargetKind::Prompt),
            "resources/read" => (Action::Read, TargetKind::Resource),
            _ => return None,
        };
        let mut target = Target::new(kind, self.server.as_deref()?, self.target.as_deref()?);
        target.environment = self.environment.clone();
        target.region = self.region.clone();
        target.data_classes = self.data_classes.clone();
        target.owner = self.owner.clone();
        target.risk = self.risk.clone();
        target.tags = self.tags.iter().cloned().collect();
        target.write = self.write.unwrap_or(false);
        target.brings = self.brings.iter().cloned().collect();
        target.sink = self.sink;
        target.open_world = self.open_world.unwrap_or(true);
        let named = [
            (PrincipalKind::User, &self.user),
            (PrincipalKind::ServiceAccount, &self.service_account),
            (PrincipalKind::Agent, &self.agent),
        ];
        let (kind, id) = named.into_iter().find_map(|(kind, id)| Some((kind, id.clone()?)))?;
        let agent = if kind == PrincipalKind::Agent { None } else { self.agent.clone() };
        let arguments = match &self.arguments {
            Some(Recorded { policy: Some(known), .. }) => Arguments::Known(known.clone()),
            Some(Recorded { payload: Some(Value::Object(all)), .. }) => {
                Arguments::Known(all.clone())
            }
            _ if action == Action::Read => Arguments::default(),
            _ => Arguments::Any,
        };
        Some(Request {
            principal: Principal {
                kind,
                id,
                tenant: self.tenant.clone(),
                teams: self.teams.iter().cloned().collect(),
                roles: self.roles.iter().cloned().collect(),
            },
            action,
            target,
            context: Context {
                arguments,
                time: time(&self.at, zone),
                agent,
                chain: self.chain.clone(),
                address: self.address.as_ref().and_then(|address| address.parse().ok()),
                client: self.client.clone(),
                revision: self.revision.clone(),
                protocol: self.protocol.clone(),
                portal: self.portal.clone(),
                authentication: self.authentication.clone(),
                credential: self.credential.clone(),
                facts: self.facts.clone(),
            },
        })
    }

    fn who(&self) -> String {
        let principal =
            self.user.as_ref().or(self.service_account.as_ref()).or(self.agent.as_ref());
        let name = principal.map(String::as_str).unwrap_or_default();
        match &self.agent {
            Some(agent) if agent != name => format!("{name} by {agent}"),
            _ => name.to_owned(),
        }
    }

    fn tool(&self) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        format!("{}/{}", part(&self.server), part(&self.target))
    }
}

fn time(at: &str, zone: &TimeZone) -> Time {
    let Ok(at) = at.parse::<Timestamp>() else { return Time::default() };
    let local = at.to_zoned(zone.clone());
    Time {
        weekday: local.strftime("%a").to_string().to_lowercase(),
        hour: local.hour().unsigned_abs(),
        minute: local.minute().unsigned_abs(),
        date: local.date().to_string(),
        unix: at.as_second(),
    }
}

/// Evaluates policies on the calls that were recorded in a time. One task reads, threads decide.
pub async fn simulate(
    store: &Store,
    set: Arc<PolicySet>,
    zone: &TimeZone,
    span: Span,
) -> Result<Found, Problem> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (sender, receiver) = channel::<Vec<Block>>(AHEAD);
    let receiver = Arc::new(Mutex::new(receiver));
    let threads: Vec<_> = (0..workers)
        .map(|_| {
            let (set, zone, receiver) = (set.clone(), zone.clone(), receiver.clone());
            let span = (span.from, span.to);
            tokio::task::spawn_blocking(move || decide_all(&set, &zone, span, &receiver))
        })
        .collect();
    let mut scan = store.audit_between(span);
    loop {
        let blocks = scan.next().await?;
        if blocks.is_empty() || sender.send(blocks).await.is_err() {
            break;
        }
    }
    drop(sender);
    let mut found = Found::default();
    for thread in threads {
        let gone = |_| Problem::new(Code::Internal, "a thread stopped unexpectedly");
        let part = thread.await.map_err(gone)?;
        found.decided += part.decided;
        for (key, group) in part.groups {
            found.groups.entry(key).or_default().join(group);
        }
    }
    Ok(found)
}

impl Group {
    fn join(&mut self, other: Self) {
        if self.count == 0 {
            *self = other;
            return;
        }
        self.count += other.count;
        self.first = self.first.clone().min(other.first);
        self.last = self.last.clone().max(other.last);
        self.calls.extend(other.calls);
        self.calls.truncate(MOST_NAMED);
    }
}

fn decide_all(
    set: &PolicySet,
    zone: &TimeZone,
    (from, to): (i64, i64),
    blocks: &Mutex<Receiver<Vec<Block>>>,
) -> Found {
    let mut found = Found::default();
    loop {
        let next = blocks.lock().blocking_recv();
        let Some(blocks) = next else { return found };
        for line in blocks.iter().flat_map(Block::lines) {
            // What was opened says all that a decision depends on; what closes it, nothing more.
            if !line.contains("\"kind\":\"call\"") && !line.contains("\"kind\":\"opened\"") {
                continue;
            }
            let Ok(record) = serde_json::from_str::<Record>(line) else { continue };
            let at = record.at.parse::<Timestamp>().map_or(0, Timestamp::as_millisecond);
            if at < from || at >= to || !matches!(record.kind.as_str(), "call" | "opened") {
                continue;
            }
            decide(set, zone, &record, &mut found);
        }
    }
}

fn decide(set: &PolicySet, zone: &TimeZone, record: &Record, found: &mut Found) {
    // What a key is good for, policies do not say.
    if record.code == "key_scope" {
        return;
    }
    let Some(request) = record.request(zone) else { return };
    found.decided += 1;
    let decision = set.decide(&request);
    let turn = match (decision.verdict, record.decision.as_deref()) {
        (Verdict::Deny, Some("deny")) | (Verdict::Hold, Some("hold")) => return,
        (Verdict::Deny, _) => Turn::Refused,
        (Verdict::Allow, Some("deny" | "hold")) => Turn::Permitted,
        (Verdict::Hold, _) => Turn::Held,
        (Verdict::Depends, _) => Turn::Unknown,
        _ => return,
    };
    let group = found.groups.entry((turn, record.who(), record.tool())).or_default();
    if group.count == 0 {
        group.first = record.at.clone();
        group.reason = decision.reason();
        group.policies = decision.policies.iter().map(|policy| policy.id.clone()).collect();
    }
    group.count += 1;
    group.last = record.at.clone();
    if group.calls.len() < MOST_NAMED {
        group.calls.push(record.id.clone());
    }
}
