//! Policies tried before they are applied: tests, single requests, and the calls of the last days.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_policy::{Action, Case, PolicySet};
use doorward_store::{Span, now_ms};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::policies::{Policy, invalid, policy_of};
use super::simulate::{Group, Turn, simulate};
use crate::desk::{Desk, Who};
use crate::operation::{On, Operation, Verb};
use crate::problem::Problem;

pub const TEST: Operation<Tests, Tested> = Operation::new(
    "policies.test",
    (Verb::Post, "/admin/v1/policies/test"),
    "Run tests of policies",
    (Action::View, On::Gateway),
    |desk, input| Box::pin(async move { test(&desk, &input).await }),
);

pub const EXPLAIN: Operation<Question, Explained> = Operation::new(
    "policies.explain",
    (Verb::Post, "/admin/v1/policies/explain"),
    "Decide one request, and say which policies decide it",
    (Action::View, On::Gateway),
    |desk, input| Box::pin(async move { explain(&desk, &input).await }),
);

pub const SIMULATE: Operation<Simulation, Simulated> = Operation::new(
    "policies.simulate",
    (Verb::Post, "/admin/v1/policies/simulate"),
    "Evaluate policies on recorded calls, and report which decisions would change",
    (Action::ReadAudit, On::Gateway),
    |desk, input| Box::pin(async move { run(&desk, input).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tests {
    /// Names and texts of policy files. Default: the active policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, String>>,
    /// Tests as in `*.test.yaml` files; at most 10,000.
    pub cases: Vec<Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tested {
    pub ran: usize,
    pub failed: Vec<FailedTest>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FailedTest {
    pub name: String,
    pub why: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Names and texts of policy files. Default: the active policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, String>>,
    /// The request, in the form of a test: `user`, `tool`, `arguments` and so on.
    pub case: Value,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    pub allowed: bool,
    /// The reason that the caller would see.
    pub reason: String,
    /// The request as policies see it.
    pub request: Value,
    /// `verdict`, `code`, and the policies that decided.
    pub decision: Value,
    /// The policies that decided, with their texts.
    pub policies: Vec<Policy>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Simulation {
    /// Names and texts of policy files.
    pub files: BTreeMap<String, String>,
    /// From this time on, in milliseconds since 1970. Default: a day ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Before this time, in milliseconds since 1970. Default: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// Time zone of the hour and day that policies see. Default: the configuration's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Simulated {
    /// Recorded calls that were evaluated.
    pub decided: u64,
    /// Calls that would be refused, would be permitted, and of which it is unknown.
    pub calls: BTreeMap<Turn, u64>,
    /// At most 10,000.
    pub groups: Vec<Turned>,
    /// Groups that are left out.
    pub more: usize,
}

/// Calls of one principal to one tool that would be decided differently.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Turned {
    pub turn: Turn,
    pub principal: String,
    pub tool: String,
    pub group: Group,
}

/// Tests of a request, and groups of a response.
const MOST: usize = 10_000;
const A_DAY: i64 = 24 * 60 * 60 * 1_000;

async fn compiled(
    desk: &Desk,
    files: Option<&BTreeMap<String, String>>,
) -> Result<Arc<PolicySet>, Problem> {
    let compile = |files: &BTreeMap<String, String>| {
        PolicySet::compile(files).map(Arc::new).map_err(|findings| invalid(&findings))
    };
    if let Some(files) = files {
        return compile(files);
    }
    if let Some(set) = desk.maybe_gateway().and_then(|gateway| gateway.policies().set.clone()) {
        return Ok(set);
    }
    let active = desk.store()?.active_policies().await?;
    let active = active.ok_or_else(|| Problem::invalid("no policies are active: pass 'files'"))?;
    compile(&active.files)
}

fn case_of(value: &Value, at: &str) -> Result<Case, Problem> {
    serde_json::from_value(value.clone())
        .map_err(|error| Problem::invalid(format!("{at}: {error}")))
}

async fn test(desk: &Desk, input: &Tests) -> Result<Tested, Problem> {
    if input.cases.len() > MOST {
        return Err(Problem::invalid(format!("there are more than {MOST} tests")));
    }
    let set = compiled(desk, input.files.as_ref()).await?;
    let mut failed = Vec::new();
    for (at, value) in input.cases.iter().enumerate() {
        let case = case_of(value, &format!("cases[{at}]"))?;
        if let Err(wrong) = case.run(&set) {
            failed.push(FailedTest { name: case.name, why: wrong.why });
        }
    }
    Ok(Tested { ran: input.cases.len(), failed })
}

async fn explain(desk: &Desk, input: &Question) -> Result<Explained, Problem> {
    let set = compiled(desk, input.files.as_ref()).await?;
    let request = case_of(&input.case, "case")?.request();
    let request = request.map_err(|why| Problem::invalid(format!("case: {why}")))?;
    let decision = set.decide(&request);
    Ok(Explained {
        allowed: decision.is_allowed(),
        reason: decision.reason(),
        request: serde_json::to_value(&request).unwrap_or_default(),
        decision: serde_json::to_value(&decision).unwrap_or_default(),
        policies: decision.policies.iter().map(|one| policy_of(&set, &one.id)).collect(),
    })
}

async fn run(desk: &Desk, input: Simulation) -> Result<Simulated, Problem> {
    let set = compiled(desk, Some(&input.files)).await?;
    let configured = || desk.settings().map_or_else(|| "UTC".into(), |it| it.policy.zone.clone());
    let zone = input.zone.unwrap_or_else(configured);
    let zone = TimeZone::get(&zone).map_err(|_| {
        Problem::invalid(format!("there is no time zone '{}'", zone.escape_debug()))
    })?;
    let to = input.to.unwrap_or_else(now_ms);
    let from = input.from.unwrap_or(to.saturating_sub(A_DAY));
    if from >= to {
        return Err(Problem::invalid("'from' must be before 'to'"));
    }
    let found = simulate(desk.store()?, set, &zone, Span { from, to }).await?;
    let mut calls = BTreeMap::new();
    for ((turn, ..), group) in &found.groups {
        *calls.entry(*turn).or_default() += group.count;
    }
    let most = if matches!(desk.who(), Who::Machine) { usize::MAX } else { MOST };
    let more = found.groups.len().saturating_sub(most);
    let groups = found.groups.into_iter().take(most);
    let groups = groups
        .map(|((turn, principal, tool), group)| Turned { turn, principal, tool, group })
        .collect();
    Ok(Simulated { decided: found.decided, calls, groups, more })
}
