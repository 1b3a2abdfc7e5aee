//! Client certificates, and how long what was opened with one stays valid: until it expires, or its owner is disabled.

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

/// Certificates that are known at a time. Beyond, those that nobody uses at the moment are forgotten.
const MOST: usize = 10_000;

/// Those who have come with a certificate, and what they have opened.
#[derive(Debug, Default)]
pub struct Certificates(Mutex<HashMap<(String, i64), Held>>);

#[derive(Debug)]
struct Held {
    principal: Arc<Principal>,
    lease: Arc<Lease>,
}

impl Certificates {
    /// Who a certificate speaks of: its first name, which the authority vouches for.
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
        // A connection may well live longer than what was shown when it began.
        if certificate.expires <= now() {
            return Err(Refused::Token("the certificate has expired"));
        }
        let mut all = self.0.lock();
        let place = (name.clone(), certificate.expires);
        if let Some(held) = all.get(&place).filter(|held| !held.lease.is_over()) {
            return Ok((held.principal.clone(), held.lease.clone()));
        }
        // Under the lock, so that a change of the directory comes before it or finds it.
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

    /// Looks at everybody again after the directory has changed. Streams of those who are let in no more, or belong to
    /// something else now, end.
    pub fn look_again(&self, people: &People) {
        self.0.lock().retain(|(name, _), held| {
            let same = owner(name, people).is_some_and(|now| now == held.principal.who);
            if !same {
                held.lease.end();
            }
            same
        });
    }

    /// Forgets those that are over, or that nobody uses.
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
