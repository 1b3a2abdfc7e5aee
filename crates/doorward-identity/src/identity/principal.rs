//! The caller, distinct from all others, and what their credential can be used for.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, OnceLock};

use doorward_governance::stops::{CallerFacts, StopKind};
use doorward_policy::{Principal as Who, PrincipalKind};
use doorward_store::{KeyId, Scopes};

use super::directory::kind_of;

/// The caller. There is no default: a principal is created by [`super::Identity`] or not at all (attack T28).
#[derive(Debug)]
pub struct Principal {
    /// Stable and unique; sessions, parked calls and streams belong to it.
    pub id: Arc<str>,
    /// The attributes for policies.
    pub who: Who,
    /// The name used by limits and metrics: the user's own name, and for others the kind and the name
    /// (`service_account ci`), so that no two principals share one.
    pub counted: Box<str>,
    /// The agent acting on behalf of it, if the credential names one.
    pub agent: Option<String>,
    /// All actors, the current one first.
    pub chain: Vec<String>,
    pub grant: Grant,
    /// Its serialized form in audit records, created once.
    pub recorded: Recorded,
}

/// Members of an audit record: the identity, and further attributes.
#[derive(Debug, Default)]
pub struct Recorded {
    pub whose: OnceLock<String>,
    pub more: OnceLock<String>,
}

/// What a credential permits, before policies apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// No authentication is required: everything.
    Open,
    /// An API key: what its scopes permit.
    Key { id: KeyId, scopes: Scopes },
    /// Nothing by itself. Tools that require OAuth scopes require them of the token.
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
    /// The same caller, possibly with another credential.
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
        // Quoted, so that no name can imitate another.
        let mut id = format!("{} {:?}", kind_of(who.kind), who.id);
        if let Some(tenant) = &who.tenant {
            id.push_str(&format!(" of {tenant:?}"));
        }
        if let Some(agent) = &agent {
            id.push_str(&format!(" by {agent:?}"));
        }
        let counted = counted(&who).into();
        Arc::new(Self {
            id: id.into(),
            who,
            counted,
            agent,
            chain,
            grant,
            recorded: Recorded::default(),
        })
    }

    /// What emergency stops look at.
    pub fn facts(&self) -> CallerFacts<'_> {
        let (key, issuer) = match &self.grant {
            Grant::Key { id, .. } => (Some(id.0.as_str()), None),
            Grant::Token { issuer, .. } => (None, Some(issuer.as_str())),
            Grant::Open | Grant::Certificate => (None, None),
        };
        CallerFacts {
            kind: Some(match self.who.kind {
                PrincipalKind::User => StopKind::User,
                PrincipalKind::Agent => StopKind::Agent,
                PrincipalKind::ServiceAccount => StopKind::ServiceAccount,
            }),
            id: &self.who.id,
            tenant: self.who.tenant.as_deref(),
            agent: self.agent.as_deref(),
            chain: &self.chain,
            key,
            issuer,
        }
    }

    /// The only principal of a gateway without authentication. Such a gateway listens on loopback only.
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
                recorded: Recorded::default(),
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
    fn no_two_principals_are_counted_as_one() {
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
