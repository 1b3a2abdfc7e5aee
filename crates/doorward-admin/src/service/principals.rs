//! Users, agents, service accounts, teams and tenants.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_policy::Action;
use doorward_store::{Entry, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Removed;
use super::credentials::master_key;
use super::directory::{People, refuse_escalation};
use super::owners::{self, Holders};
use crate::desk::{self, Desk};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

pub const LIST: Operation<List, Page<Listed>> = Operation::new(
    "principals.list",
    (Verb::Get, "/admin/v1/principals"),
    "List users, agents, service accounts, teams and tenants",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { list(&desk, input).await }),
);

pub const SHOW: Operation<Whom, Listed> = Operation::new(
    "principals.show",
    (Verb::Get, "/admin/v1/principals/{kind}/{name}"),
    "Show a principal",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { show(&desk, &input).await }),
);

pub const PUT: Operation<Put, Listed> = Operation::new(
    "principals.put",
    (Verb::Put, "/admin/v1/principals/{kind}/{name}"),
    "Create or replace a principal",
    (Action::ManageIdentities, On::Decides),
    |desk, input| Box::pin(async move { put(&desk, input).await }),
);

pub const REMOVE: Operation<Whom, Removed> = Operation::new(
    "principals.remove",
    (Verb::Delete, "/admin/v1/principals/{kind}/{name}"),
    "Delete a principal",
    (Action::ManageIdentities, On::Decides),
    |desk, input| Box::pin(async move { remove(&desk, &input).await }),
);

pub const RENAME: Operation<Rename, Renamed> = Operation::new(
    "principals.rename",
    (Verb::Post, "/admin/v1/principals/{kind}/{name}/rename"),
    "Rename a team or tenant: its members, keys, credentials and credit follow",
    (Action::ManageIdentities, On::Gateway),
    |desk, input| Box::pin(async move { rename(&desk, input).await }),
);

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// `team` or `tenant`.
    pub kind: Kind,
    pub name: String,
    pub to: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Renamed {
    /// Entries, keys, credentials and accounts that were changed. Policies, limits and the configuration are not.
    pub places: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// Only of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Whom {
    pub kind: Kind,
    pub name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Put {
    pub kind: Kind,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(default)]
    pub teams: BTreeSet<String>,
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// Refuse its credentials, and those of its members.
    #[serde(default)]
    pub disabled: bool,
}

/// A principal, and where it is defined.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    #[serde(flatten)]
    pub entry: Entry,
    pub source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// In the configuration file: it is changed there.
    Configuration,
    /// In the store, created at run time.
    Store,
}

fn listed(people: &People, entry: &Entry) -> Listed {
    let declared = people.is_declared(entry.kind, &entry.name);
    let source = if declared { Source::Configuration } else { Source::Store };
    Listed { entry: entry.clone(), source }
}

async fn list(desk: &Desk, input: List) -> Result<Page<Listed>, Problem> {
    let people = People::read(desk).await?;
    let all = people.all().filter(|entry| input.kind.is_none_or(|kind| entry.kind == kind));
    let all = all.map(|entry| listed(&people, entry)).collect();
    let all =
        desk.visible(Action::View, all, |it: &Listed| people.about(it.entry.kind, &it.entry.name))?;
    input.paging.of(all, |it| format!("{} {}", it.entry.kind, it.entry.name))
}

/// Requires an action on somebody who may be there. Nobody learns from the refusal whether they are.
fn permitted(desk: &Desk, people: &People, whom: &Whom, action: Action) -> Result<(), Problem> {
    let target = people.about(whom.kind, &whom.name);
    desk.require(action, &target).map_err(|problem| match problem.code {
        Code::NotFound => Problem::absent(whom.kind.as_str(), &whom.name),
        _ => problem,
    })
}

async fn show(desk: &Desk, whom: &Whom) -> Result<Listed, Problem> {
    let people = People::read(desk).await?;
    permitted(desk, &people, whom, Action::View)?;
    let found = people.find(whom.kind, &whom.name).map(|entry| listed(&people, entry));
    found.ok_or_else(|| Problem::absent(whom.kind.as_str(), &whom.name))
}

fn refuse_declared(people: &People, kind: Kind, name: &str) -> Result<(), Problem> {
    if !people.is_declared(kind, name) {
        return Ok(());
    }
    let name = name.escape_debug();
    let why = format!("{kind} '{name}' is defined in the configuration: change it there");
    Err(Problem::new(Code::DefinedInConfiguration, why))
}

async fn put(desk: &Desk, input: Put) -> Result<Listed, Problem> {
    let Put { kind, name, tenant, teams, roles, disabled } = input;
    let entry = Entry { tenant, teams, roles, disabled, ..Entry::new(kind, &name) };
    let people = People::read(desk).await?;
    let whom = Whom { kind, name };
    let known = people.find(kind, &whom.name).is_some();
    if known {
        permitted(desk, &people, &whom, Action::ManageIdentities)?;
    }
    // Where it is to be: nobody moves anybody into another's tenant.
    let tenant = if kind == Kind::Tenant { Some(&whom.name) } else { entry.tenant.as_ref() };
    desk.require(Action::ManageIdentities, &desk::of_tenant(tenant.map(String::as_str)))?;
    refuse_declared(&people, kind, &whom.name)?;
    refuse_escalation(desk, &entry)?;
    let effect = |holders: &mut Holders| {
        let stored = &mut holders.people.stored;
        stored.retain(|other| other.kind != kind || other.name != whom.name);
        stored.push(entry.clone());
    };
    let putting = |store: doorward_store::Store| -> owners::Changing<()> {
        let entry = entry.clone();
        Box::pin(async move { store.put_principal(&entry).await })
    };
    owners::keeping(desk, effect, putting).await?;
    desk.settle().await?;
    Ok(Listed { entry, source: Source::Store })
}

async fn remove(desk: &Desk, whom: &Whom) -> Result<Removed, Problem> {
    let people = People::read(desk).await?;
    permitted(desk, &people, whom, Action::ManageIdentities)?;
    refuse_declared(&people, whom.kind, &whom.name)?;
    let effect = |holders: &mut Holders| {
        let stored = &mut holders.people.stored;
        stored.retain(|other| other.kind != whom.kind || other.name != whom.name);
    };
    let removing = |store: doorward_store::Store| -> owners::Changing<()> {
        let whom = whom.clone();
        Box::pin(async move { store.remove_principal(whom.kind, &whom.name).await })
    };
    owners::keeping(desk, effect, removing).await?;
    desk.settle().await?;
    Ok(Removed { removed: format!("{} {}", whom.kind, whom.name) })
}

/// What its members may do may change with the name: policies and the configuration name it. So what the new name gives
/// must be the administrator's to give.
async fn rename(desk: &Desk, input: Rename) -> Result<Renamed, Problem> {
    let Rename { kind, name, to } = input;
    let people = People::read(desk).await?;
    for entry in people.all() {
        let mut renamed = entry.clone();
        match kind {
            Kind::Tenant if entry.tenant.as_ref() == Some(&name) => {
                renamed.tenant = Some(to.clone());
            }
            Kind::Team if renamed.teams.remove(&name) => _ = renamed.teams.insert(to.clone()),
            _ => continue,
        }
        refuse_escalation(desk, &renamed)?;
    }
    let effect = |holders: &mut Holders| {
        for entry in &mut holders.people.stored {
            match kind {
                Kind::Tenant if entry.tenant.as_ref() == Some(&name) => {
                    entry.tenant = Some(to.clone());
                }
                Kind::Team if entry.teams.remove(&name) => _ = entry.teams.insert(to.clone()),
                _ => {}
            }
        }
    };
    // Needed only where the group has credentials; the store says so.
    let key = Arc::new(master_key(desk).ok());
    let renaming = |store: doorward_store::Store| -> owners::Changing<u64> {
        let (name, to, key) = (name.clone(), to.clone(), key.clone());
        Box::pin(async move { store.rename_group(kind, &name, &to, Option::as_ref(&key)).await })
    };
    let places = owners::keeping(desk, effect, renaming).await?;
    desk.settle().await?;
    Ok(Renamed { places })
}
