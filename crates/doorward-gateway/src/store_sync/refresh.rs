//! Reads the store when it has changed, and applies its contents.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorward_mcp::error::Kind::Unauthorized;
use doorward_policy::{Finding, PolicySet};
use doorward_store::{Credential, Error, Kind, MasterKey};
use http::{HeaderName, HeaderValue};

use crate::access::Policies;
use crate::call::Failure;
use crate::gateway::Gateway;
use doorward_config::Settings;
use doorward_identity::identity::directory::kind_of;
use doorward_identity::identity::{LOCAL, Principal};
use doorward_transport::http::Own;
use doorward_upstream::Server;
use doorward_upstream::portals::{Selection, Selections};

use super::{EVERY, Given};

impl Gateway {
    /// Activates the configuration's policies; `None` for those of the store. Invalid policies are
    /// refused, and the active ones remain.
    pub async fn declare_policies(
        &self,
        declared: Option<BTreeMap<String, String>>,
    ) -> Result<(), Vec<Finding>> {
        let changed = *self.kept.declared.lock() != declared;
        if let Some(files) = &declared {
            let settings = self.settings();
            if changed || !self.policies().are_asked_as(&settings) {
                let set = PolicySet::compile(files)?;
                let version = format!("files {}", doorward_store::PolicyVersion::digest_of(files));
                self.activate(set, version, &settings);
            }
        }
        let none = declared.is_none();
        *self.kept.declared.lock() = declared;
        if changed {
            self.settings_changed();
            if none && let Err(error) = self.look_at_store(true).await {
                tracing::error!(%error, "the store cannot be read: the active policies stay \
                    unchanged");
            }
        }
        Ok(())
    }

    /// Reads the store if it has changed. The first read must succeed.
    pub async fn look_at_store(&self, anew: bool) -> Result<(), Error> {
        let Some(store) = &self.kept.store else {
            if anew {
                self.take_policies(None);
                self.take_identity();
            }
            return Ok(());
        };
        let revision = store.revision().await?;
        let seen = revision == self.kept.revision.load(Ordering::Acquire);
        if !anew && seen && !self.signing.lacks_keys() && !self.life.has_undeclared() {
            return Ok(());
        }
        self.take_servers(store, anew).await?;
        let people = store.principals().await?;
        let keys = store.keys().await?;
        let policies = store.active_policies().await?;
        self.take_given(&store.credentials().await?);
        self.shared.delegations.forget();
        self.ledger.take(&store.credit_accounts().await?);
        *self.kept.portals.lock() = store.portals().await?;
        self.take_portals();
        *self.kept.people.lock() = people;
        self.take_policies(policies);
        *self.kept.keys.lock() = keys;
        self.take_identity();
        self.take_pins(store).await?;
        self.signing.take_keys(store).await?;
        self.authorization.take_keys(&self.signing);
        self.identity.revoke(self.authorization.revoked(store).await?);
        self.kept.revision.store(revision, Ordering::Release);
        Ok(())
    }

    fn take_policies(&self, kept: Option<doorward_store::PolicyVersion>) {
        if self.kept.declared.lock().is_some() {
            return;
        }
        let settings = self.settings();
        let Some(kept) = kept else {
            if self.policies().set.is_some() {
                self.set_policies(Policies::new(None, String::new(), &settings));
            }
            return;
        };
        let version = format!("{} {}", kept.version, kept.digest);
        let current = self.policies();
        if current.version == version && current.are_asked_as(&settings) {
            return;
        }
        match PolicySet::compile(&kept.files) {
            Ok(set) => self.activate(set, version, &settings),
            // They were validated when they were stored, by a version with another schema.
            Err(findings) => {
                for finding in &findings {
                    tracing::error!(version, "the policies are invalid: {finding}");
                }
                if current.set.is_none() {
                    let none = PolicySet::compile(&BTreeMap::new())
                        .unwrap_or_else(|_| unreachable!("no policies are wrong"));
                    tracing::error!("nothing is permitted until the policies are valid");
                    self.set_policies(Policies::new(Some(Arc::new(none)), version, &settings));
                }
            }
        }
    }

    fn activate(&self, set: PolicySet, version: String, settings: &Settings) {
        tracing::info!(policies = set.len(), version, "policies are active");
        for finding in set.warnings() {
            tracing::warn!(version, "{finding}");
        }
        self.shared.audit.event("policies.loaded", |members| {
            let count = i64::try_from(set.len()).unwrap_or(i64::MAX);
            members.text("version", &version).number("policies", count);
        });
        self.set_policies(Policies::new(Some(Arc::new(set)), version, settings));
    }

    fn take_identity(&self) {
        let (settings, closed) = (self.settings(), self.policies().set.is_some());
        self.signing.take(&settings);
        self.authorization.take(&settings, self.identity.resources.origin());
        self.authorization.take_keys(&self.signing);
        let own = self.authorization.issuer();
        let (people, keys) = (self.kept.people.lock(), self.kept.keys.lock());
        if self.identity.take(&settings, own, &people, &keys, closed) {
            // Sessions opened without authentication are closed.
            self.sessions.end_all_of(LOCAL);
            self.shared.switchboard.close_callers(|caller| *caller.id == *LOCAL);
        }
    }

    /// Decrypts the provided credentials. A failing one is logged, and treated as absent.
    fn take_given(&self, kept: &[Credential]) {
        let settings = self.settings();
        let key = settings.store_key.as_ref().map(|key| MasterKey::new(key.expose()));
        let mut given = Given::new();
        for one in kept {
            let opened = match &key {
                Some(Ok(key)) => one.open(key).map_err(|error| error.to_string()),
                Some(Err(error)) => Err(error.to_string()),
                None => Err("there is no 'store_key'".into()),
            };
            let opened = opened.and_then(|secret| {
                let mut value = HeaderValue::try_from(secret.as_str())
                    .map_err(|_| "it is not a valid header value".to_owned())?;
                value.set_sensitive(true);
                Ok(value)
            });
            match opened {
                Ok(value) => {
                    let server = one.server.to_ascii_lowercase();
                    given.insert((server, one.owner_kind, one.owner.clone()), value);
                }
                Err(why) => tracing::error!(
                    server = one.server,
                    owner = %format_args!("{} {}", one.owner_kind, one.owner),
                    "a credential cannot be used: {why}"
                ),
            }
        }
        self.kept.given.store(Arc::new(given));
    }

    /// The credential for a server that the caller, or their agent, team or tenant, has provided:
    /// the most specific one.
    pub fn given_for(
        &self,
        server: &Server,
        principal: &Principal,
    ) -> Result<Option<Own>, Failure> {
        let Some(personal) = &server.settings.personal else { return Ok(None) };
        let given = self.kept.given.load();
        let name = server.name.to_ascii_lowercase();
        let find = |kind: Kind, owner: &str| {
            let found = given.get(&(name.clone(), kind, owner.to_owned()))?;
            Some((kind, owner.to_owned(), found))
        };
        let who = &principal.who;
        let found = find(kind_of(who.kind), &who.id)
            .or_else(|| who.teams.iter().find_map(|team| find(Kind::Team, team)))
            .or_else(|| find(Kind::Tenant, who.tenant.as_ref()?));
        let Some((kind, owner, found)) = found else {
            if personal.required {
                let why = format!("You have not provided a credential for '{}'", server.name);
                return Err(Failure { retryable: false, ..Failure::new(Unauthorized, why) });
            }
            return Ok(None);
        };
        self.check_provided(server, kind.as_str(), &owner)?;
        let value = match &personal.scheme {
            Some(scheme) => {
                let joined = [scheme.as_bytes(), b" ", found.as_bytes()].concat();
                HeaderValue::from_bytes(&joined).ok()
            }
            None => Some(found.clone()),
        };
        // Both parts were validated; an invalid name was refused with the settings.
        let (Some(mut value), Ok(name)) = (value, HeaderName::try_from(&personal.header)) else {
            return Err(Failure::new(Unauthorized, "The credential cannot be used"));
        };
        value.set_sensitive(true);
        Ok(Some(Own { name, value }))
    }

    /// The portals of the configuration, and those of the store.
    fn take_portals(&self) {
        let settings = self.settings();
        let mut all = Selections::new();
        for kept in self.kept.portals.lock().iter() {
            match serde_json::from_str(&kept.definition) {
                Ok(portal) => {
                    let portal = Selection::new(portal, false);
                    all.insert(kept.name.to_ascii_lowercase(), (kept.name.as_str().into(), portal));
                }
                Err(error) => tracing::error!(portal = kept.name, %error, "cannot be read"),
            }
        }
        for (name, portal) in &settings.portals {
            let portal = Selection::new(portal.clone(), true);
            all.insert(name.to_ascii_lowercase(), (name.as_str().into(), portal));
        }
        // A server takes precedence over a portal of the same name.
        all.retain(|name, _| self.server(name).is_none());
        self.set_portals(all);
    }

    /// Applies the identity part of new settings.
    pub(crate) fn settings_changed(&self) {
        self.take_portals();
        self.take_identity();
    }

    /// Polls the store until the gateway closes.
    pub(crate) async fn follow_store(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.closing.run_until_cancelled(ticks.tick()).await.is_some() {
            let failed = self.look_at_store(false).await.err();
            let before = self.kept.unreadable.swap(failed.is_some(), Ordering::AcqRel);
            match (failed, before) {
                (Some(error), false) => {
                    tracing::error!(%error, "the store cannot be read: using the data that was \
                        read last");
                }
                (None, true) => tracing::info!("the store can be read again"),
                _ => {}
            }
        }
    }
}
