//! Client certificates. A stream opened with one stays valid until the certificate expires or its owner is
//! disabled.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use doorward_policy::{Principal as Who, PrincipalKind};
use doorward_store::now;
use parking_lot::Mutex;

use doorward_net::peer::Certificate;

use super::Refused;
use super::directory::{People, Said};
use super::lease::{Lease, Leases};
use super::principal::{Grant, Principal};

/// Maximum number of certificates in the map. Beyond it, unused ones are removed.
const MOST: usize = 10_000;

/// Callers with certificates, and their leases.
#[derive(Debug, Default)]
pub struct Certificates(Mutex<HashMap<(String, i64), Held>>);

#[derive(Debug)]
struct Held {
    principal: Arc<Principal>,
    lease: Arc<Lease>,
}

impl Certificates {
    /// The principal of a certificate, by its first name, which the certificate authority vouches for.
    pub fn find(
        &self,
        certificate: &Certificate,
        people: &ArcSwap<People>,
        leases: &Leases,
    ) -> Result<(Arc<Principal>, Arc<Lease>), Refused> {
        let name = certificate
            .names
            .first()
            .ok_or(Refused::Token("the certificate does not identify anyone"))?;
        // A connection may outlive the certificate it was opened with.
        if certificate.expires <= now() {
            return Err(Refused::Token("the certificate has expired"));
        }
        let mut all = self.0.lock();
        let place = (name.clone(), certificate.expires);
        if let Some(held) = all.get(&place).filter(|held| !held.lease.is_over()) {
            return Ok((held.principal.clone(), held.lease.clone()));
        }
        // Under the lock, so that a directory change either comes before or finds the entry.
        let who = owner(name, &people.load());
        let who = who.ok_or(Refused::Token("the certificate's owner is disabled"))?;
        let principal = Principal::new(who, None, Vec::new(), Grant::Certificate);
        let lease = Lease::until(Some(certificate.expires));
        leases.watch(&lease);
        if all.len() >= MOST {
            all.retain(|_, held| held.is_used());
        }
        all.insert(place, Held { principal: principal.clone(), lease: lease.clone() });
        Ok((principal, lease))
    }

    /// Checks all entries after a change of the directory. Streams of principals that are now disabled, or have other
    /// memberships, end.
    pub fn recheck(&self, people: &People) {
        self.0.lock().retain(|(name, _), held| {
            let same = owner(name, people).is_some_and(|now| now == held.principal.who);
            if !same {
                held.lease.end();
            }
            same
        });
    }

    /// Removes entries that have expired or are unused.
    pub fn sweep(&self) {
        self.0.lock().retain(|_, held| held.is_used() && !held.lease.is_over());
    }
}

impl Held {
    fn is_used(&self) -> bool {
        Arc::strong_count(&self.lease) > 1
    }
}

fn owner(name: &str, people: &People) -> Option<Who> {
    people.find(PrincipalKind::ServiceAccount, &format!("certificate:{name}"), Said::default())
}
