//! Policies: which are active, every version that was applied, and what other policies would change.

use std::collections::BTreeMap;

use doorward_policy::Action;
use doorward_policy::{Finding, PolicySet};
use doorward_store::{Activation, PolicyVersion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::desk::Desk;
use crate::openapi::Nothing;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

pub const SHOW: Operation<Nothing, Active> = Operation::new(
    "policies.show",
    (Verb::Get, "/admin/v1/policies"),
    "Show the active policies",
    (Action::View, On::Gateway),
    |desk, _| Box::pin(async move { show(&desk).await }),
);

pub const CHECK: Operation<Files, Checked> = Operation::new(
    "policies.check",
    (Verb::Post, "/admin/v1/policies/check"),
    "Check policies without applying them",
    (Action::View, On::Gateway),
    |_, input| Box::pin(async move { Ok(check(&input.files)) }),
);

pub const DIFF: Operation<Files, Difference> = Operation::new(
    "policies.diff",
    (Verb::Post, "/admin/v1/policies/diff"),
    "Compare policies with the active ones, policy by policy",
    (Action::View, On::Gateway),
    |desk, input| Box::pin(async move { diff(&desk, &input.files).await }),
);

pub const APPLY: Operation<Apply, Applied> = Operation::new(
    "policies.apply",
    (Verb::Put, "/admin/v1/policies"),
    "Apply policies",
    (Action::ChangePolicy, On::Gateway),
    |desk, input| Box::pin(async move { apply(&desk, input).await }),
);

pub const ROLL_BACK: Operation<RollBack, Applied> = Operation::new(
    "policies.rollback",
    (Verb::Post, "/admin/v1/policies/rollback"),
    "Make an earlier version active again",
    (Action::ChangePolicy, On::Gateway),
    |desk, input| Box::pin(async move { roll_back(&desk, input.to).await }),
);

pub const VERSIONS: Operation<Paging, Page<Version>> = Operation::new(
    "policies.versions",
    (Verb::Get, "/admin/v1/policies/versions"),
    "List the versions of the policies",
    (Action::View, On::Gateway),
    |desk, paging| Box::pin(async move { versions(&desk, &paging).await }),
);

pub const VERSION: Operation<Number, PolicyVersion> = Operation::new(
    "policies.version",
    (Verb::Get, "/admin/v1/policies/versions/{version}"),
    "Show a version of the policies",
    (Action::View, On::Gateway),
    |desk, input| Box::pin(async move { Ok(desk.store()?.policy_version(input.version).await?) }),
);

/// Names and texts of policy files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    pub files: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Names and texts of all policy files: they replace the active ones.
    pub files: BTreeMap<String, String>,
    /// Why, for the list of versions.
    #[serde(default)]
    pub note: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RollBack {
    /// Default: the version before the active one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Number {
    pub version: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// The version that is active now.
    pub version: i64,
}

/// The active policies.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Active {
    /// Number and digest, or the digest of the configuration's files. Empty: there are no policies.
    pub version: String,
    /// The number, to be shown and rolled back to. Absent for files of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// The time zone of times in policies.
    pub zone: String,
    pub policies: Vec<Policy>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    pub id: String,
    pub file: String,
    pub line: usize,
    /// The `@reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    pub valid: bool,
    /// Errors if the policies are invalid, else warnings: `file`, `line`, `problem`.
    pub findings: Vec<Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Policies that would be added, changed or removed, by id.
    pub policies: Vec<Changed>,
    /// The active policies no longer match the schema: they are compared as if there were none.
    pub outdated: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    pub version: i64,
    /// SHA-256 of names and texts, in hexadecimal.
    pub digest: String,
    pub note: String,
    /// Seconds since 1970.
    pub created: i64,
    /// Since when it is active, in seconds since 1970; absent if another version is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_since: Option<i64>,
    /// When it was made active, the latest first, in seconds since 1970.
    #[serde(default)]
    pub activations: Vec<i64>,
}

fn policies_of(set: &PolicySet) -> Vec<Policy> {
    set.policies().map(|(id, _)| policy_of(set, id)).collect()
}

/// A policy of a set. What is not in it has no text.
pub(super) fn policy_of(set: &PolicySet, id: &str) -> Policy {
    let about = set.policy(id);
    Policy {
        id: id.to_owned(),
        file: about.map(|it| it.file.clone()).unwrap_or_default(),
        line: about.map(|it| it.line).unwrap_or_default(),
        reason: about.and_then(|it| it.reason.clone()),
        text: about.map(|it| it.text.clone()).unwrap_or_default(),
    }
}

/// The active policy files: as they were applied, or, of files of the configuration, their policies without what is between
/// them. `None` if there are no policies.
pub(super) async fn active_files(desk: &Desk) -> Result<Option<BTreeMap<String, String>>, Problem> {
    let of_configuration = desk.settings().is_some_and(|it| !it.policy.files.is_empty());
    if !of_configuration
        && let Some(store) = desk.maybe_store()
        && let Some(active) = store.active_policies().await?
    {
        return Ok(Some(active.files));
    }
    let Some(set) = desk.maybe_gateway().and_then(|gateway| gateway.policies().set.clone()) else {
        return Ok(None);
    };
    let mut policies = policies_of(&set);
    policies.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for policy in policies {
        let text = files.entry(policy.file).or_default();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(policy.text.trim());
        text.push('\n');
    }
    Ok(Some(files))
}

async fn show(desk: &Desk) -> Result<Active, Problem> {
    if let Some(gateway) = desk.maybe_gateway() {
        let policies = gateway.policies();
        let number = policies.version.split_once(' ').and_then(|(number, _)| number.parse().ok());
        return Ok(Active {
            number,
            version: policies.version.clone(),
            zone: policies.zone_name.clone(),
            policies: policies.set.as_ref().map(|set| policies_of(set)).unwrap_or_default(),
        });
    }
    let zone = desk.settings().map_or_else(|| "UTC".into(), |it| it.policy.zone.clone());
    let Some(active) = desk.store()?.active_policies().await? else {
        let (version, policies) = (String::new(), Vec::new());
        return Ok(Active { version, number: None, zone, policies });
    };
    let set = PolicySet::compile(&active.files).map_err(|findings| invalid(&findings))?;
    let version = format!("{} {}", active.version, active.digest);
    Ok(Active { version, number: Some(active.version), zone, policies: policies_of(&set) })
}

fn values(findings: &[Finding]) -> Vec<Value> {
    findings.iter().map(|finding| serde_json::to_value(finding).unwrap_or_default()).collect()
}

/// What is wrong with policies.
pub fn invalid(findings: &[Finding]) -> Problem {
    let first = findings.first().map(ToString::to_string).unwrap_or_default();
    Problem::new(Code::InvalidPolicies, first).with("findings", values(findings))
}

fn check(files: &BTreeMap<String, String>) -> Checked {
    match PolicySet::compile(files) {
        Ok(set) => Checked { valid: true, findings: values(set.warnings()) },
        Err(findings) => Checked { valid: false, findings: values(&findings) },
    }
}

async fn diff(desk: &Desk, files: &BTreeMap<String, String>) -> Result<Difference, Problem> {
    let new = PolicySet::compile(files).map_err(|findings| invalid(&findings))?;
    let (old, outdated) = match show(desk).await {
        Ok(active) => (active.policies, false),
        Err(problem) if problem.code == Code::InvalidPolicies => (Vec::new(), true),
        Err(problem) => return Err(problem),
    };
    let before: BTreeMap<&str, &str> =
        old.iter().map(|policy| (policy.id.as_str(), policy.text.as_str())).collect();
    let after: BTreeMap<&str, &str> =
        new.policies().map(|(id, about)| (id, about.text.as_str())).collect();
    let mut ids: Vec<&str> = before.keys().chain(after.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let changed = ids.into_iter().filter(|id| before.get(id) != after.get(id));
    let text = |texts: &BTreeMap<&str, &str>, id: &str| texts.get(id).map(|it| (*it).to_owned());
    let policies = changed.map(|id| Changed {
        id: id.to_owned(),
        before: text(&before, id),
        after: text(&after, id),
    });
    Ok(Difference { policies: policies.collect(), outdated })
}

pub fn refuse_declared(desk: &Desk) -> Result<(), Problem> {
    if desk.settings().is_none_or(|settings| settings.policy.files.is_empty()) {
        return Ok(());
    }
    let why = "policies are loaded from files of the configuration: change them there";
    Err(Problem::new(Code::DefinedInConfiguration, why))
}

async fn apply(desk: &Desk, input: Apply) -> Result<Applied, Problem> {
    refuse_declared(desk)?;
    PolicySet::compile(&input.files).map_err(|findings| invalid(&findings))?;
    let version = desk.store()?.apply_policies(&input.files, &input.note).await?;
    desk.settle().await?;
    Ok(Applied { version })
}

async fn roll_back(desk: &Desk, to: Option<i64>) -> Result<Applied, Problem> {
    refuse_declared(desk)?;
    let version = desk.store()?.roll_back_policies(to).await?;
    desk.settle().await?;
    Ok(Applied { version })
}

async fn versions(desk: &Desk, paging: &Paging) -> Result<Page<Version>, Problem> {
    let store = desk.store()?;
    let activations: Vec<Activation> = store.policy_activations().await?;
    let active = activations.first();
    let versions = store.policy_versions().await?.into_iter().map(|version| Version {
        active_since: active
            .filter(|active| active.version == version.version)
            .map(|active| active.since),
        activations: activations
            .iter()
            .filter(|one| one.version == version.version)
            .map(|one| one.since)
            .collect(),
        version: version.version,
        digest: version.digest,
        note: version.note,
        created: version.created,
    });
    paging.of(versions.collect(), |version| {
        format!("{:012}", i64::MAX / 10_000_000 - version.version)
    })
}
