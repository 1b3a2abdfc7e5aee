//! Memberships of users, agents and service accounts: from the configuration, the store, and their credentials.

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{Principal as Who, PrincipalKind};
use doorward_store::{Entry, Kind};

use doorward_config::{Directory, Group, Member};

/// All known principals, teams and tenants. Entries of the configuration take precedence over those of the store.
#[derive(Debug, Default)]
pub struct People(BTreeMap<(Kind, String), Entry>);

/// Memberships in a credential.
#[derive(Debug, Default, Clone)]
pub struct Said {
    pub tenant: Option<String>,
    pub teams: BTreeSet<String>,
    pub roles: BTreeSet<String>,
}

impl People {
    pub fn new(declared: &Directory, stored: &[Entry]) -> Self {
        let mut all: BTreeMap<_, _> =
            stored.iter().map(|entry| ((entry.kind, entry.name.clone()), entry.clone())).collect();
        for entry in declared_entries(declared) {
            all.insert((entry.kind, entry.name.clone()), entry);
        }
        Self(all)
    }

    fn is_disabled(&self, kind: Kind, name: &str) -> bool {
        self.0.get(&(kind, name.to_owned())).is_some_and(|entry| entry.disabled)
    }

    /// Whether an agent is disabled.
    pub fn is_agent_disabled(&self, name: &str) -> bool {
        self.is_disabled(Kind::Agent, name)
    }

    /// A principal with its memberships; `None` if it, its tenant or one of its teams is disabled.
    pub fn find(&self, kind: PrincipalKind, name: &str, said: Said) -> Option<Who> {
        let mut who = Who {
            kind,
            id: name.to_owned(),
            tenant: said.tenant,
            teams: said.teams,
            roles: said.roles,
        };
        if let Some(entry) = self.0.get(&(kind_of(kind), name.to_owned())) {
            if entry.disabled {
                return None;
            }
            // A tenant in the credential takes precedence.
            who.tenant = who.tenant.or_else(|| entry.tenant.clone());
            who.teams.extend(entry.teams.iter().cloned());
            who.roles.extend(entry.roles.iter().cloned());
        }
        self.unless_disabled(who)
    }

    /// The principal of a key that belongs to a team or tenant.
    pub fn of_group(&self, name: &str, tenant: Option<&str>, team: Option<&str>) -> Option<Who> {
        let team_tenant = team.and_then(|team| {
            self.0.get(&(Kind::Team, team.to_owned())).and_then(|entry| entry.tenant.clone())
        });
        let what = if tenant.is_some() { "tenant" } else { "team" };
        self.unless_disabled(Who {
            kind: PrincipalKind::ServiceAccount,
            id: format!("{what}:{name}"),
            tenant: tenant.map(str::to_owned).or(team_tenant),
            teams: team.map(str::to_owned).into_iter().collect(),
            roles: BTreeSet::new(),
        })
    }

    fn unless_disabled(&self, who: Who) -> Option<Who> {
        let out = who.tenant.iter().any(|tenant| self.is_disabled(Kind::Tenant, tenant))
            || who.teams.iter().any(|team| self.is_disabled(Kind::Team, team));
        (!out).then_some(who)
    }
}

/// The kind of a principal's entry.
pub fn kind_of(kind: PrincipalKind) -> Kind {
    match kind {
        PrincipalKind::User => Kind::User,
        PrincipalKind::Agent => Kind::Agent,
        PrincipalKind::ServiceAccount => Kind::ServiceAccount,
    }
}

/// The kind of principal of an entry; `None` for teams and tenants.
pub fn principal_kind(kind: Kind) -> Option<PrincipalKind> {
    match kind {
        Kind::User => Some(PrincipalKind::User),
        Kind::Agent => Some(PrincipalKind::Agent),
        Kind::ServiceAccount => Some(PrincipalKind::ServiceAccount),
        Kind::Team | Kind::Tenant => None,
    }
}

/// The entries in the configuration.
pub fn declared_entries(declared: &Directory) -> Vec<Entry> {
    let member = |kind: Kind, (name, member): (&String, &Member)| Entry {
        kind,
        name: name.clone(),
        tenant: member.tenant.clone(),
        teams: member.teams.clone(),
        roles: member.roles.clone(),
        disabled: member.disabled,
    };
    let group = |kind: Kind, (name, group): (&String, &Group)| Entry {
        disabled: group.disabled,
        ..Entry::new(kind, name)
    };
    let mut all = Vec::new();
    all.extend(declared.users.iter().map(|one| member(Kind::User, one)));
    all.extend(declared.agents.iter().map(|one| member(Kind::Agent, one)));
    all.extend(declared.service_accounts.iter().map(|one| member(Kind::ServiceAccount, one)));
    all.extend(declared.teams.iter().map(|one| group(Kind::Team, one)));
    all.extend(declared.tenants.iter().map(|one| group(Kind::Tenant, one)));
    all
}
