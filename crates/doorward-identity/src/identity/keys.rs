//! API keys: a copy of those in the store, looked up without waiting.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use doorward_policy::PrincipalKind;
use doorward_store::{Key, KeyId, Kind, Presented, now};

use super::directory::People;
use super::lease::{Lease, Leases};
use super::principal::{Grant, Principal};

/// All keys, valid or not: a gateway with keys requires authentication even if all of them are revoked.
#[derive(Debug, Default)]
pub struct KeyRing(ArcSwap<HashMap<String, Held>>);

#[derive(Debug, Clone)]
struct Held {
    key: Arc<Key>,
    /// `None` if the owner is disabled.
    principal: Option<Arc<Principal>>,
    lease: Arc<Lease>,
}

impl KeyRing {
    pub fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// Applies the keys of the store. Streams opened with keys that are no longer valid end.
    pub fn take(&self, keys: &[Key], people: &People, leases: &Leases) {
        let old = self.0.load_full();
        let mut held = HashMap::with_capacity(keys.len());
        for key in keys {
            let principal = principal(key, people);
            let good = principal.is_some() && key.is_valid_at(now());
            let before = old.get(&key.id.0);
            let same = before.filter(|before| {
                // A lease is retained only if owner, scopes and expiry are unchanged.
                before.key.expires == key.expires
                    && before.key.scopes == key.scopes
                    && before.principal.as_ref().map(|it| &it.who)
                        == principal.as_ref().map(|it| &it.who)
            });
            let lease = match same {
                Some(before) => before.lease.clone(),
                None => {
                    let lease = Lease::until(key.expires);
                    leases.watch(&lease);
                    if let Some(before) = before {
                        // Streams opened with the earlier key end and have to be reopened.
                        before.lease.end();
                    }
                    lease
                }
            };
            if !good {
                lease.end();
            }
            held.insert(key.id.0.clone(), Held { key: Arc::new(key.clone()), principal, lease });
        }
        for (id, before) in old.iter() {
            if !held.contains_key(id) {
                before.lease.end();
            }
        }
        self.0.store(Arc::new(held));
    }

    /// The owner of a valid key.
    pub fn find(&self, presented: &Presented<'_>) -> Option<(Arc<Principal>, Arc<Lease>)> {
        let ring = self.0.load();
        let held = ring.get(presented.id)?;
        let good = held.key.is(presented) && held.key.is_valid_at(now()) && !held.lease.is_over();
        good.then(|| Some((held.principal.clone()?, held.lease.clone())))?
    }

    /// The owner of a key that was verified before, if it is still valid.
    pub fn find_by_id(&self, id: &KeyId) -> Option<Arc<Principal>> {
        let ring = self.0.load();
        let held = ring.get(&id.0)?;
        let good = held.key.is_valid_at(now()) && !held.lease.is_over();
        good.then(|| held.principal.clone())?
    }
}

fn principal(key: &Key, people: &People) -> Option<Arc<Principal>> {
    let kind = match key.owner_kind {
        Kind::User => PrincipalKind::User,
        Kind::Agent => PrincipalKind::Agent,
        // The key of a team or tenant is a service account.
        Kind::ServiceAccount | Kind::Team | Kind::Tenant => PrincipalKind::ServiceAccount,
    };
    let grant = Grant::Key { id: key.id.clone(), scopes: key.scopes.clone() };
    let who = match key.owner_kind {
        Kind::Team => people.of_group(&key.owner, None, Some(&key.owner))?,
        Kind::Tenant => people.of_group(&key.owner, Some(&key.owner), None)?,
        _ => people.find(kind, &key.owner, Default::default())?,
    };
    Some(Principal::new(who, None, Vec::new(), grant))
}
