//! `doorward apply` and `doorward export`: resources as they should be, all or nothing, with a plan first.

mod plan;
mod resources;
mod servers;

use std::collections::{BTreeMap, BTreeSet};

use doorward_governance::lifecycle::State;
use doorward_identity::identity::directory::declared_entries;
use doorward_policy::{Action, PolicySet};
use doorward_store::{Entry, Error, Kind, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::plan::{Change, Difference, Planned};
pub use self::resources::{Budget, Key, Resource, ResourceKind, Resources};
pub use self::servers::AppliedServer;
use crate::desk::{self, Desk};
use crate::openapi::Nothing;
use crate::operation::{On, Operation, Verb};
use crate::problem::{Code, Problem};
use crate::service::directory::{People, refuse_escalation};
use crate::service::{life, owners};

pub const APPLY: Operation<Wanted, Applied> = Operation::new(
    "resources.apply",
    (Verb::Post, "/admin/v1/apply"),
    "Create, update and, with 'prune', delete resources, all or nothing; plan with 'dry_run'",
    (Action::View, On::Gateway),
    |desk, wanted| Box::pin(async move { apply(&desk, &wanted).await }),
);

pub const EXPORT: Operation<Nothing, Resources> = Operation::new(
    "resources.export",
    (Verb::Get, "/admin/v1/resources"),
    "Export all resources that were created at run time, in the form that is applied",
    (Action::View, On::Gateway),
    |desk, _| Box::pin(async move { Resources::read(desk.store()?).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    pub resources: Resources,
    /// Delete what was applied before and is not among the resources.
    pub prune: bool,
    /// Why, for the versions of policies and the lives of servers.
    pub note: String,
    /// Let servers that are put in use be at addresses that are not public.
    pub allow_private: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// What was changed, or would be with `dry_run`.
    pub changes: Vec<Planned>,
    /// Where the servers that were created or updated are in their lives now. Empty with `dry_run`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<AppliedServer>,
}

/// How often it is tried again when something else was changed meanwhile.
const ATTEMPTS: usize = 8;

async fn apply(desk: &Desk, wanted: &Wanted) -> Result<Applied, Problem> {
    wanted.resources.check_kinds()?;
    let resources = wanted.resources.by_key();
    for (key, resource) in &resources {
        match resource {
            Resource::Server(spec) => _ = servers::check(desk, &key.1, spec).await?,
            resource => check(desk, key, resource)?,
        }
    }
    let store = desk.store()?;
    for _ in 0..ATTEMPTS {
        let pinned = store.pinned();
        let revision = match pinned {
            Some(revision) => revision,
            None => store.revision().await?,
        };
        let current = Resources::read(store).await?.by_key();
        let applied = store.applied().await?;
        let prunable = if wanted.prune { applied.clone() } else { BTreeSet::new() };
        check_case(&resources, &current)?;
        let mut changes = plan::plan(&resources, &current, &prunable);
        let people = People::read(desk).await?;
        for planned in &mut changes {
            let key = (planned.kind, planned.name.clone());
            if planned.kind == ResourceKind::Server {
                let spec = match resources.get(&key) {
                    Some(Resource::Server(spec)) => Some(spec),
                    _ => None,
                };
                servers::permit(desk, &planned.name, spec).await?;
                let approves = |spec| servers::approves(desk, &planned.name, spec);
                planned.needs_review = spec.is_some_and(|spec| !approves(spec));
                continue;
            }
            permit(desk, &people, planned, resources.get(&key))?;
        }
        owners::check(desk, |holders| {
            for planned in &changes {
                let Some(kind) = planned.kind.principal() else { continue };
                let stored = &mut holders.people.stored;
                stored.retain(|other| other.kind != kind || other.name != planned.name);
                let key = (planned.kind, planned.name.clone());
                if let Some(Resource::Principal(entry)) = resources.get(&key) {
                    stored.push(entry.clone());
                }
            }
        })
        .await?;
        let states = servers::states(store).await?;
        let batch = store.at_revision(revision).batch();
        let done = async {
            for planned in &changes {
                let key = (planned.kind, planned.name.clone());
                carry_out(&batch, &states, planned, resources.get(&key), &wanted.note).await?;
            }
            for (kind, name) in resources.keys() {
                if !applied.contains(&(kind.as_str().to_owned(), name.clone())) {
                    batch.note_applied(kind.as_str(), name, true).await?;
                }
            }
            Ok::<_, Error>(())
        }
        .await;
        let done = match done {
            Ok(()) => batch.commit_batch().await,
            Err(error) => Err(error),
        };
        match done {
            Err(Error::Moved) if pinned.is_none() => {}
            done => {
                done?;
                desk.settle().await?;
                let servers = match desk.is_rehearsal() {
                    true => Vec::new(),
                    false => continue_life(desk, &changes, &resources, wanted).await?,
                };
                return Ok(Applied { changes, servers });
            }
        }
    }
    Err(Error::Moved.into())
}

/// Refuses what is not valid or is defined in the configuration, before anything is compared.
fn check(desk: &Desk, (kind, name): &Key, resource: &Resource) -> Result<(), Problem> {
    let settings = desk.settings();
    let named = || format!("{} '{}'", kind.as_str(), name.escape_debug());
    let is_declared = settings.as_ref().is_some_and(|settings| match resource {
        Resource::Principal(entry) => declared_entries(&settings.directory)
            .iter()
            .any(|other| other.kind == entry.kind && other.name == entry.name),
        Resource::Portal(_) => {
            let mut names = settings.portals.keys().chain(settings.servers.keys());
            names.any(|other| other.eq_ignore_ascii_case(name))
        }
        Resource::Policies(_) => !settings.policy.files.is_empty(),
        Resource::Budget(_) | Resource::Server(_) => false,
    });
    if is_declared {
        let why = format!("{} is defined in the configuration: change it there", named());
        return Err(Problem::new(Code::DefinedInConfiguration, why));
    }
    match resource {
        Resource::Portal(portal) => match portal.problems(name).first() {
            Some((key, problem)) => Err(Problem::invalid(format!("{}: {key}: {problem}", named()))),
            None => Ok(()),
        },
        Resource::Policies(files) => PolicySet::compile(files).map(drop).map_err(|findings| {
            let first = findings.first().map(ToString::to_string).unwrap_or_default();
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            Problem::new(Code::InvalidPolicies, first).with("findings", findings)
        }),
        Resource::Budget(budget) => match account(name) {
            Some((owner, _)) if owner != Kind::Tenant && budget.amount.0 >= 0 => Ok(()),
            _ => {
                let why = "expected a team, user, agent or service account, such as \
                    'team/support', and an amount that is not negative";
                Err(Problem::invalid(format!("{}: {why}", named())))
            }
        },
        Resource::Principal(_) | Resource::Server(_) => Ok(()),
    }
}

/// Whose budget it is.
fn account(name: &str) -> Option<(Kind, &str)> {
    let (kind, name) = name.split_once('/')?;
    Some((kind.parse().ok()?, name))
}

/// Requires what a change alone would require.
fn permit(
    desk: &Desk,
    people: &People,
    planned: &Planned,
    resource: Option<&Resource>,
) -> Result<(), Problem> {
    let name = planned.name.as_str();
    if let Some(kind) = planned.kind.principal() {
        if people.find(kind, name).is_some() {
            desk.require(Action::ManageIdentities, &people.about(kind, name))?;
        }
        if let Some(Resource::Principal(entry)) = resource {
            let tenant = if kind == Kind::Tenant { Some(name) } else { entry.tenant.as_deref() };
            desk.require(Action::ManageIdentities, &desk::of_tenant(tenant))?;
            refuse_escalation(desk, entry)?;
        }
        return Ok(());
    }
    match planned.kind {
        ResourceKind::Portal => desk.require(Action::Operate, &desk::portal(name)),
        ResourceKind::Policies => desk.require(Action::ChangePolicy, &desk::gateway()),
        _ => {
            let about = account(name).map(|(kind, name)| people.about(kind, name));
            desk.require(Action::Bill, &about.unwrap_or_else(desk::gateway))
        }
    }
}

async fn carry_out(
    store: &Store,
    states: &BTreeMap<String, State>,
    planned: &Planned,
    resource: Option<&Resource>,
    note: &str,
) -> Result<(), Error> {
    let name = planned.name.as_str();
    match resource.filter(|_| planned.change != Change::Delete) {
        Some(Resource::Principal(entry)) => store.put_principal(&Entry::clone(entry)).await,
        Some(Resource::Budget(budget)) => {
            store.set_budget(name, Some((budget.amount, budget.period))).await
        }
        Some(Resource::Portal(portal)) => {
            store.put_portal(name, &serde_json::to_string(portal)?).await
        }
        Some(Resource::Server(spec)) => {
            servers::carry_out(store, states, name, Some(spec), note).await
        }
        Some(Resource::Policies(files)) => store.apply_policies(files, note).await.map(drop),
        None => {
            match (planned.kind, planned.kind.principal()) {
                (_, Some(kind)) => store.remove_principal(kind, name).await?,
                (ResourceKind::Portal, _) => store.remove_portal(name).await?,
                (ResourceKind::Budget, _) => store.set_budget(name, None).await?,
                (ResourceKind::Server, _) => {
                    servers::carry_out(store, states, name, None, note).await?;
                }
                _ => {}
            }
            store.note_applied(planned.kind.as_str(), name, false).await
        }
    }
}

/// Refuses names that differ from one that is there by case alone: they are the same.
fn check_case(
    wanted: &BTreeMap<Key, Resource>,
    current: &BTreeMap<Key, Resource>,
) -> Result<(), Problem> {
    let servers = |all: &BTreeMap<Key, Resource>| -> Vec<String> {
        let all = all.keys().filter(|(kind, _)| *kind == ResourceKind::Server);
        all.map(|(_, name)| name.clone()).collect()
    };
    let (wanted, mut known) = (servers(wanted), servers(current));
    for name in wanted {
        let same = |other: &&String| other.eq_ignore_ascii_case(&name) && **other != name;
        if let Some(other) = known.iter().find(same) {
            let why = format!("servers.{name}: its name is written '{other}'");
            return Err(Problem::invalid(why));
        }
        known.push(name);
    }
    Ok(())
}

/// Reviews, approves and activates what was proposed, if the administrator may do so alone. What a look at a server finds
/// depends on the server, so this is no part of the transaction: a server of which something fails waits for its review.
async fn continue_life(
    desk: &Desk,
    changes: &[Planned],
    resources: &BTreeMap<Key, Resource>,
    wanted: &Wanted,
) -> Result<Vec<AppliedServer>, Problem> {
    let allow_private = wanted.allow_private.then_some(true);
    let mut applied = Vec::new();
    for planned in changes.iter().filter(|it| it.kind == ResourceKind::Server) {
        let key = (planned.kind, planned.name.clone());
        let Some(Resource::Server(spec)) = resources.get(&key) else { continue };
        let name = &planned.name;
        let why = match servers::approves(desk, name, spec) {
            true => life::put_in_use(desk, name, &wanted.note, allow_private)
                .await
                .err()
                .map(|problem| problem.detail),
            false => Some("it waits for its review".to_owned()),
        };
        let state = desk.store()?.server(name).await?.state;
        applied.push(AppliedServer { name: name.clone(), state, why });
    }
    Ok(applied)
}
