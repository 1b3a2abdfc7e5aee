//! Everybody there is: the principals of the configuration and those of the store, and what somebody may administer.

use doorward_identity::identity::directory::{declared_entries, principal_kind};
use doorward_policy::{Action, Principal, Target};
use doorward_store::{Entry, Kind};

use crate::desk::{self, Desk, Who};
use crate::problem::{Code, Problem};

/// All entries of a moment.
#[derive(Debug, Clone, Default)]
pub struct People {
    pub declared: Vec<Entry>,
    pub stored: Vec<Entry>,
}

impl People {
    pub async fn read(desk: &Desk) -> Result<Self, Problem> {
        let declared = desk.settings().map(|it| declared_entries(&it.directory));
        let stored = match desk.maybe_store() {
            Some(store) => store.principals().await?,
            None => Vec::new(),
        };
        Ok(Self { declared: declared.unwrap_or_default(), stored })
    }

    pub fn is_declared(&self, kind: Kind, name: &str) -> bool {
        self.declared.iter().any(|entry| entry.kind == kind && entry.name == name)
    }

    /// An entry: the configuration's before the store's.
    pub fn find(&self, kind: Kind, name: &str) -> Option<&Entry> {
        self.all().find(|entry| entry.kind == kind && entry.name == name)
    }

    /// Everybody once.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        let stored = self.stored.iter().filter(|entry| !self.is_declared(entry.kind, &entry.name));
        self.declared.iter().chain(stored)
    }

    /// The tenant that somebody belongs to, or is.
    pub fn tenant_of(&self, kind: Kind, name: &str) -> Option<String> {
        if kind == Kind::Tenant {
            return Some(name.to_owned());
        }
        self.find(kind, name)?.tenant.clone()
    }

    /// What a change to somebody concerns: their tenant, or the gateway.
    pub fn about(&self, kind: Kind, name: &str) -> Target {
        desk::of_tenant(self.tenant_of(kind, name).as_deref())
    }
}

/// An entry as policies see it; `None` for groups, which do nothing themselves.
pub fn principal(entry: &Entry) -> Option<Principal> {
    Some(Principal {
        kind: principal_kind(entry.kind)?,
        id: entry.name.clone(),
        tenant: entry.tenant.clone(),
        teams: entry.teams.clone(),
        roles: entry.roles.clone(),
    })
}

/// Nobody gives what they may not do themselves: refuses an entry, or a key of its, that could administer more than the
/// administrator.
pub fn refuse_escalation(desk: &Desk, entry: &Entry) -> Result<(), Problem> {
    let (Who::Caller(_), Some(gateway)) = (desk.who(), desk.maybe_gateway()) else {
        return Ok(());
    };
    let Some(who) = principal(entry) else { return Ok(()) };
    let own = entry.tenant.as_deref().map(desk::tenant);
    for target in own.into_iter().chain([desk::gateway()]) {
        for action in Action::ADMINISTER {
            if gateway.would_administer(&who, action, &target) && !desk.may(action, &target) {
                let why = format!(
                    "{} '{}' could then '{}' {}, which you may not do yourself",
                    entry.kind,
                    entry.name.escape_debug(),
                    action.as_str(),
                    target.id()
                );
                return Err(Problem::new(Code::Forbidden, why));
            }
        }
    }
    Ok(())
}

/// Whether the administrator may do everything.
pub fn is_owner(desk: &Desk) -> bool {
    Action::ADMINISTER.into_iter().all(|action| desk.may(action, &desk::gateway()))
}
