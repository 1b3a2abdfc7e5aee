//! Resources: what is created at run time, in the configuration file's own form, so that one schema serves both.

use std::collections::{BTreeMap, BTreeSet};

use doorward_config::{Directory, Group, Member, PortalSettings, Settings};
use doorward_store::{Amount, BudgetPeriod, Entry, Kind, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::servers;
use crate::problem::{Code, Problem};

/// Resources by kind and name. A kind that is absent is not touched, and neither are resources that are not named, unless
/// they are pruned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Resources {
    /// Portals, as in the configuration file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub portals: BTreeMap<String, PortalSettings>,
    /// Users, agents, service accounts, teams and tenants, as in the configuration file.
    #[serde(skip_serializing_if = "is_empty")]
    pub directory: Directory,
    /// Budgets of teams, users, agents and service accounts: `team/support`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub budgets: BTreeMap<String, Budget>,
    /// Servers, as in the configuration file, restricted to what may be proposed: each becomes a proposal. Whoever may
    /// review, approve and operate the server, where the rule of four eyes is turned off, puts it in use with that.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, Value>,
    /// Names and texts of all policy files: they replace the active policies as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<BTreeMap<String, String>>,
    /// What is no resource. It is refused by name.
    #[schemars(skip)]
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// How much may be spent in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub amount: Amount,
    pub period: BudgetPeriod,
}

fn is_empty(directory: &Directory) -> bool {
    *directory == Directory::default()
}

/// The kinds of resources.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    // In the order in which they are changed: who is there before what they may do.
    Tenant,
    Team,
    User,
    Agent,
    ServiceAccount,
    Budget,
    Server,
    Portal,
    Policies,
}

impl ResourceKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Team => "team",
            Self::User => "user",
            Self::Agent => "agent",
            Self::ServiceAccount => "service_account",
            Self::Budget => "budget",
            Self::Server => "server",
            Self::Portal => "portal",
            Self::Policies => "policies",
        }
    }

    /// The kind of principal that it is.
    pub fn principal(self) -> Option<Kind> {
        match self {
            Self::Tenant => Some(Kind::Tenant),
            Self::Team => Some(Kind::Team),
            Self::User => Some(Kind::User),
            Self::Agent => Some(Kind::Agent),
            Self::ServiceAccount => Some(Kind::ServiceAccount),
            Self::Budget | Self::Server | Self::Portal | Self::Policies => None,
        }
    }

    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Tenant => Self::Tenant,
            Kind::Team => Self::Team,
            Kind::User => Self::User,
            Kind::Agent => Self::Agent,
            Kind::ServiceAccount => Self::ServiceAccount,
        }
    }
}

/// A resource's kind and name.
pub type Key = (ResourceKind, String);

/// One resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    Principal(Entry),
    Budget(Budget),
    /// Its settings.
    Server(Value),
    Portal(Box<PortalSettings>),
    Policies(BTreeMap<String, String>),
}

impl Resource {
    /// As it is written, for comparing and showing.
    pub fn value(&self) -> Value {
        let value = match self {
            Self::Principal(entry) => serde_json::to_value(entry),
            Self::Budget(budget) => serde_json::to_value(budget),
            Self::Server(spec) => return spec.clone(),
            Self::Portal(portal) => serde_json::to_value(portal),
            Self::Policies(files) => serde_json::to_value(files),
        };
        value.unwrap_or_default()
    }
}

/// The one name of the policies, which are one resource.
pub const POLICIES: &str = "policies";

impl Resources {
    /// All of them by kind and name. The portals' names have no case.
    pub fn by_key(&self) -> BTreeMap<Key, Resource> {
        let mut all = BTreeMap::new();
        for entry in doorward_identity::identity::directory::declared_entries(&self.directory) {
            let key = (ResourceKind::of(entry.kind), entry.name.clone());
            all.insert(key, Resource::Principal(entry));
        }
        for (account, budget) in &self.budgets {
            all.insert((ResourceKind::Budget, account.clone()), Resource::Budget(budget.clone()));
        }
        for (name, spec) in &self.servers {
            all.insert((ResourceKind::Server, name.clone()), Resource::Server(spec.clone()));
        }
        for (name, portal) in &self.portals {
            let portal = Resource::Portal(Box::new(portal.clone()));
            all.insert((ResourceKind::Portal, name.clone()), portal);
        }
        if let Some(files) = &self.policies {
            let key = (ResourceKind::Policies, POLICIES.to_owned());
            all.insert(key, Resource::Policies(files.clone()));
        }
        all
    }

    /// What the store has, in the same form.
    pub async fn read(store: &Store) -> Result<Self, Problem> {
        let mut resources = Self::default();
        for entry in store.principals().await? {
            put(&mut resources.directory, entry);
        }
        for portal in store.portals().await? {
            let definition = serde_json::from_str(&portal.definition).map_err(|error| {
                let name = portal.name.escape_debug();
                Problem::new(Code::Internal, format!("portal '{name}' cannot be read: {error}"))
            })?;
            resources.portals.insert(portal.name, definition);
        }
        for account in store.credit_accounts().await? {
            if let Some((amount, period)) = account.allowance.zip(account.period) {
                resources.budgets.insert(account.id, Budget { amount, period });
            }
        }
        resources.servers = servers::read(store).await?;
        resources.policies = store.active_policies().await?.map(|active| active.files);
        Ok(resources)
    }

    /// Refuses what is no resource, and says where it belongs.
    pub fn check_kinds(&self) -> Result<(), Problem> {
        let Some(name) = self.others.keys().next() else { return Ok(()) };
        let known = Settings::default().shown();
        let name = name.escape_debug();
        let why = match known.get(name.to_string()) {
            Some(_) => format!(
                "'{name}' is part of the configuration file alone: write it there, and reload the gateway"
            ),
            None => format!(
                "there is no kind of resources '{name}'; known: portals, directory, budgets, servers, policies"
            ),
        };
        Err(Problem::invalid(why))
    }

    /// The names of everything, for errors.
    pub fn names(&self) -> BTreeSet<Key> {
        self.by_key().into_keys().collect()
    }
}

fn put(directory: &mut Directory, entry: Entry) {
    let member = Member {
        tenant: entry.tenant,
        teams: entry.teams,
        roles: entry.roles,
        disabled: entry.disabled,
    };
    let group = Group { disabled: entry.disabled };
    match entry.kind {
        Kind::User => drop(directory.users.insert(entry.name, member)),
        Kind::Agent => drop(directory.agents.insert(entry.name, member)),
        Kind::ServiceAccount => drop(directory.service_accounts.insert(entry.name, member)),
        Kind::Team => drop(directory.teams.insert(entry.name, group)),
        Kind::Tenant => drop(directory.tenants.insert(entry.name, group)),
    }
}
