//! The caller, distinct from all others, and what their credential can be used for.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, OnceLock};

use doorward_policy::{Principal as Who, PrincipalKind};
use doorward_store::{KeyId, Scopes};

use super::directory::kind_of;

/// Who is calling. There is no default: one comes from [`super::Identity`] or not at all (attack
/// T28).
#[derive(Debug)]
pub struct Principal {
    /// Stable and unique; sessions, parked calls and streams belong to it.
    pub id: Arc<str>,
    /// As policies see it.
    pub who: Who,
    /// By which limits count it and metrics name it: a user's own name, and the kind before that of all others
    /// (`service_account ci`), so that no two are one.
    pub counted: Box<str>,
    /// Who acts for it, where the credential tells them apart.
    pub agent: Option<String>,
    /// Everybody who acts for somebody, the nearest first.
    pub chain: Vec<String>,
    pub grant: Grant,
    /// What records say of it, written once.
    pub told: Told,
}

/// Members of a record's object: who it is, and what else is known of it.
#[derive(Debug, Default)]
pub struct Told {
    pub whose: OnceLock<String>,
    pub more: OnceLock<String>,
}

/// What a credential may be used for, before policies are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Nobody has to authenticate: everything.
    Open,
    /// The operator made the key for it: what its scopes say.
    Key { id: KeyId, scopes: Scopes },
    /// Nothing by itself; tools that demand OAuth scopes demand them of the token.
    Token { issuer: String, scopes: BTreeSet<String> },
    /// Nothing by itself.
    Certificate,
}

pub use doorward_core::share::LOCAL;

impl Grant {
    pub fn authentication(&self) -> &'static str {
        match self {
            Self::Open => "none",
            Self::Key { .. } => "key",
            Self::Token { .. } => "token",
            Self::Certificate => "certificate",
        }
    }
}

impl PartialEq for Principal {
    /// The same caller, be it with another credential.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Principal {}

impl Hash for Principal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl Principal {
    pub fn new(who: Who, agent: Option<String>, chain: Vec<String>, grant: Grant) -> Arc<Self> {
        // Quoted, so that no name can look like two.
        let mut id = format!("{} {:?}", kind_of(who.kind), who.id);
        if let Some(tenant) = &who.tenant {
            id.push_str(&format!(" of {tenant:?}"));
        }
        if let Some(agent) = &agent {
            id.push_str(&format!(" by {agent:?}"));
        }
        let counted = counted(&who).into();
        Arc::new(Self { id: id.into(), who, counted, agent, chain, grant, told: Told::default() })
    }

    /// The one principal of a gateway that asks for no credentials. It listens on loopback only.
    pub fn local() -> Arc<Self> {
        static PRINCIPAL: LazyLock<Arc<Principal>> = LazyLock::new(|| {
            Arc::new(Principal {
                id: LOCAL.into(),
                who: Who {
                    kind: PrincipalKind::User,
                    id: LOCAL.into(),
                    tenant: None,
                    teams: BTreeSet::new(),
                    roles: BTreeSet::new(),
                },
                counted: LOCAL.into(),
                agent: None,
                chain: Vec::new(),
                grant: Grant::Open,
                told: Told::default(),
            })
        });
        PRINCIPAL.clone()
    }
}

fn counted(who: &Who) -> String {
    let kinds = [PrincipalKind::User, PrincipalKind::Agent, PrincipalKind::ServiceAccount];
    let has_a_kind = kinds.iter().any(|kind| {
        let rest = who.id.strip_prefix(kind_of(*kind).as_str());
        rest.is_some_and(|rest| rest.starts_with(' '))
    });
    match who.kind {
        PrincipalKind::User if !has_a_kind => who.id.clone(),
        kind => format!("{} {}", kind_of(kind), who.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_are_counted_as_one() {
        use PrincipalKind::{Agent, ServiceAccount, User};
        let mut seen = HashSet::new();
        for kind in [User, Agent, ServiceAccount] {
            for name in ["ci", "agent ci", "service_account ci", "user ci", "user agent ci"] {
                let who = Who {
                    kind,
                    id: name.into(),
                    tenant: None,
                    teams: BTreeSet::new(),
                    roles: BTreeSet::new(),
                };
                assert!(seen.insert(counted(&who)), "{kind:?} {name}");
            }
        }
        assert!(seen.contains("ci") && seen.contains("service_account ci"));
    }
}
