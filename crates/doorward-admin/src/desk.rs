//! Who administers what: the administrator, the store in their name, and the running gateway if there is one.
//!
//! Service functions take a [`Desk`]. At the admin listener it belongs to an authenticated caller, and policies decide;
//! on the machine itself it belongs to whoever can open the store, who may do everything and is recorded as such.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use doorward_config::Settings;
use doorward_gateway::Gateway;
use doorward_gateway::access::targets::{target, target_of};
use doorward_gateway::gateway::Changes;
use doorward_gateway::life::Withheld;
use doorward_gateway::record;
use doorward_identity::identity::{Caller, Grant};
use doorward_policy::{Action, Target, TargetKind};
use doorward_store::{Actor, Store};

use crate::problem::{Code, Problem};

/// Who administers.
#[derive(Debug, Clone)]
pub enum Who {
    /// An authenticated caller of the admin API.
    Caller(Arc<Caller>),
    /// Whoever can open the store on the machine itself (break-glass).
    Machine,
}

/// Reads the configuration file of a running gateway again.
pub trait Reload: std::fmt::Debug + Send + Sync {
    /// Takes the file's settings, or says why they are not valid: then the previous ones stay.
    fn reload(&self) -> Reloading<Changes>;

    /// Says whether the file is valid, and takes nothing.
    fn check(&self) -> Reloading<()>;
}

pub type Reloading<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// An administrator at work.
#[derive(Debug, Clone)]
pub struct Desk {
    /// As audit records name the way.
    via: &'static str,
    who: Who,
    store: Option<Store>,
    gateway: Option<Arc<Gateway>>,
    settings: Option<Arc<Settings>>,
    reloader: Option<Arc<dyn Reload>>,
    dry_run: bool,
    signed_in: bool,
}

impl Desk {
    /// For a caller of the admin API.
    pub fn of_caller(
        gateway: Arc<Gateway>,
        caller: Caller,
        reloader: Option<Arc<dyn Reload>>,
    ) -> Self {
        Self::of_caller_via("admin", gateway, caller, reloader)
    }

    /// For somebody who asks about themselves; `signed_in` with a browser.
    pub fn of_visitor(gateway: Arc<Gateway>, caller: Caller, signed_in: bool) -> Self {
        Self { signed_in, ..Self::of_caller_via("portal", gateway, caller, None) }
    }

    fn of_caller_via(
        via: &'static str,
        gateway: Arc<Gateway>,
        caller: Caller,
        reloader: Option<Arc<dyn Reload>>,
    ) -> Self {
        let actor = Actor {
            via,
            name: caller.principal.id.to_string(),
            address: caller.address.map(|address| address.to_string()),
        };
        let store = gateway.kept.store().map(|store| store.acting(actor));
        let who = Who::Caller(Arc::new(caller));
        let gateway = Some(gateway);
        let (settings, dry_run, signed_in) = (None, false, false);
        Self { via, who, store, gateway, settings, reloader, dry_run, signed_in }
    }

    /// For a command on the machine, where no gateway is asked. `store` must act for the user of the operating system.
    pub fn of_machine(store: Store, settings: Option<Settings>) -> Self {
        let settings = settings.map(Arc::new);
        let (who, store) = (Who::Machine, Some(store));
        Self {
            via: "command",
            who,
            store,
            gateway: None,
            settings,
            reloader: None,
            dry_run: false,
            signed_in: false,
        }
    }

    /// The same, changing nothing: every check is made, and what would be stored is rolled back.
    pub fn rehearsing(self) -> Self {
        let store = self.store.map(|store| store.rehearsing());
        Self { store, dry_run: true, ..self }
    }

    /// The same, on a store with other conditions of its changes.
    pub fn with_store(self, change: impl FnOnce(Store) -> Store) -> Self {
        Self { store: self.store.map(change), ..self }
    }

    pub fn is_rehearsal(&self) -> bool {
        self.dry_run
    }

    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Whether the caller has signed in with a browser.
    pub fn is_signed_in(&self) -> bool {
        self.signed_in
    }

    /// The caller; there is none on the machine.
    pub fn caller(&self) -> Option<&Arc<Caller>> {
        match &self.who {
            Who::Caller(caller) => Some(caller),
            Who::Machine => None,
        }
    }

    /// The name of the administrator, as audit records have it.
    pub fn name(&self) -> String {
        match (&self.who, &self.store) {
            (Who::Caller(caller), _) => caller.principal.id.to_string(),
            (Who::Machine, Some(store)) => store.actor().name.clone(),
            (Who::Machine, None) => "machine".into(),
        }
    }

    /// Who acts, as audit records have it.
    pub fn actor(&self) -> Actor {
        match (&self.who, &self.store) {
            (_, Some(store)) => store.actor().clone(),
            (Who::Caller(caller), None) => Actor {
                via: self.via,
                name: caller.principal.id.to_string(),
                address: caller.address.map(|address| address.to_string()),
            },
            (Who::Machine, None) => Actor { via: "command", name: self.name(), address: None },
        }
    }

    pub fn store(&self) -> Result<&Store, Problem> {
        self.store.as_ref().ok_or_else(|| {
            let why = "the gateway runs with 'store: none': nothing can be created at run time";
            Problem::new(Code::NoStore, why)
        })
    }

    /// The store where there is one: what lists read.
    pub fn maybe_store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    pub fn gateway(&self) -> Result<&Arc<Gateway>, Problem> {
        self.gateway.as_ref().ok_or_else(|| {
            let why = "this is known to a running gateway alone: pass --admin-url";
            Problem::new(Code::NotRunning, why)
        })
    }

    pub fn maybe_gateway(&self) -> Option<&Arc<Gateway>> {
        self.gateway.as_ref()
    }

    pub fn reloader(&self) -> Option<&Arc<dyn Reload>> {
        self.reloader.as_ref()
    }

    /// Records what was done to the running gateway; what changes the store is recorded with the change.
    pub fn record(&self, event: &str, subject: &str) {
        if let (Who::Caller(caller), Some(gateway)) = (&self.who, &self.gateway) {
            gateway.shared.audit.event(event, |members| {
                record::caller(members, caller);
                members.text("protocol", self.via).text("subject", subject);
            });
        }
    }

    /// The settings in effect; on the machine, those of the configuration file, where one was given.
    pub fn settings(&self) -> Option<Arc<Settings>> {
        match &self.gateway {
            Some(gateway) => Some(gateway.settings().clone()),
            None => self.settings.clone(),
        }
    }

    /// After a change: the gateway follows it before the response says that it is done.
    pub async fn settle(&self) -> Result<(), Problem> {
        match &self.gateway {
            Some(gateway) if !self.dry_run => Ok(gateway.look_at_store(false).await?),
            _ => Ok(()),
        }
    }

    pub fn may(&self, action: Action, target: &Target) -> bool {
        match (&self.who, &self.gateway) {
            (Who::Machine, _) => true,
            (Who::Caller(caller), Some(gateway)) => gateway.may_administer(caller, action, target),
            (Who::Caller(_), None) => false,
        }
    }

    /// Whether there is anything that the administrator may do this to: what they may not do to anything is refused before
    /// their request is read.
    pub fn administers(&self, action: Action) -> bool {
        use TargetKind::{Gateway, Portal, Server, Tenant};
        // Each request asks this: what there is much of comes last.
        [Gateway, Tenant, Server, Portal].into_iter().any(|kind| self.administers_any(action, kind))
    }

    /// The same among what there is of one kind.
    fn administers_any(&self, action: Action, kind: TargetKind) -> bool {
        if kind == TargetKind::Gateway {
            return self.may(action, &gateway());
        }
        let (Who::Caller(caller), Some(running)) = (&self.who, &self.gateway) else {
            return false;
        };
        let who = &caller.principal.who;
        let may = |target: Target| self.may(action, &target);
        match kind {
            TargetKind::Tenant => who.tenant.as_deref().map(tenant).is_some_and(may),
            TargetKind::Server => {
                // What they may own, and what there is.
                let owners = std::iter::once(&who.id)
                    .chain(&who.teams)
                    .map(|owner| Target { owner: Some(owner.clone()), ..server_named("") });
                let (servers, life) = (running.servers(), running.life.served());
                let withheld = life.withheld.iter().map(|one| self.server(&one.name));
                let served = servers.iter().map(|server| self.server(&server.name));
                owners.chain(served).chain(withheld).any(may)
            }
            TargetKind::Portal => running.portals().values().map(|(name, _)| portal(name)).any(may),
            _ => false,
        }
    }

    /// What the administrator may do, each action with the kinds of things of which it may be done to one, or to one that
    /// is not there yet.
    pub fn actions_on(&self) -> BTreeMap<&'static str, Vec<&'static str>> {
        if let Who::Caller(caller) = &self.who
            && let Grant::Key { scopes, .. } = &caller.principal.grant
            && !scopes.admin
            && !scopes.administer
        {
            return BTreeMap::new();
        }
        let any = |action, kind| self.administers_any(action, kind);
        let kinds = |action| {
            let whole = any(action, TargetKind::Gateway);
            [
                ("gateway", whole),
                ("server", any(action, TargetKind::Server)),
                ("portal", any(action, TargetKind::Portal) || self.may(action, &portal(""))),
                (
                    "tenant",
                    any(action, TargetKind::Tenant) || whole && self.may(action, &tenant("")),
                ),
            ]
            .into_iter()
            .filter_map(|(kind, may)| may.then_some(kind))
            .collect()
        };
        let all = Action::ADMINISTER.into_iter().filter(|action| self.administers(*action));
        all.map(|action| (action.as_str(), kinds(action))).collect()
    }

    /// Refuses, with one audit record, what the administrator may not do. What they may not even see does not exist for
    /// them.
    pub fn require(&self, action: Action, target: &Target) -> Result<(), Problem> {
        if self.may(action, target) {
            return Ok(());
        }
        self.record_refusal(action, target);
        if target.kind != TargetKind::Gateway && !self.may(Action::View, target) {
            let kind = match target.kind {
                TargetKind::Server => "server",
                TargetKind::Portal => "portal",
                TargetKind::Tenant => "tenant",
                _ => "such resource",
            };
            return Err(Problem::absent(kind, &target.id()));
        }
        let why = format!("'{}' requires the action '{}'", target.id(), action.as_str());
        Err(Problem::new(Code::Forbidden, why))
    }

    fn record_refusal(&self, action: Action, target: &Target) {
        if let (Who::Caller(caller), Some(gateway)) = (&self.who, &self.gateway) {
            record::administration_refused(gateway, caller, action.as_str(), &target.id());
        }
    }

    /// Those of a list that the administrator may see. Refused is who may do this neither to the gateway nor to their own
    /// tenant, and sees nothing of the list.
    pub fn visible<T>(
        &self,
        action: Action,
        items: Vec<T>,
        about: impl Fn(&T) -> Target,
    ) -> Result<Vec<T>, Problem> {
        if self.may(action, &gateway()) {
            return Ok(items);
        }
        let items: Vec<T> =
            items.into_iter().filter(|item| self.may(action, &about(item))).collect();
        let own = match &self.who {
            Who::Caller(caller) => caller.principal.who.tenant.as_deref().map(tenant),
            Who::Machine => None,
        };
        if items.is_empty() && !own.is_some_and(|own| self.may(action, &own)) {
            self.require(action, &gateway())?;
        }
        Ok(items)
    }

    /// A server as policies see it: with the attributes it has here.
    pub fn server(&self, name: &str) -> Target {
        let Some(gateway) = &self.gateway else { return server_named(name) };
        let target = match gateway.server(name) {
            Some(server) => target(&server, TargetKind::Server, "", None),
            // One that is proposed, or was taken out of use.
            None => {
                let life = gateway.life.served();
                let same = |one: &&Withheld| one.name.eq_ignore_ascii_case(name);
                let found = life.withheld.iter().find(same);
                match found.and_then(|one| Some((&one.name, one.settings.as_ref()?))) {
                    Some((name, known)) => target_of(name, known, TargetKind::Server, "", false),
                    None => server_named(name),
                }
            }
        };
        Target { write: true, ..target }
    }
}

/// The gateway as a whole.
pub fn gateway() -> Target {
    Target::new(TargetKind::Gateway, "", "")
}

pub fn tenant(name: &str) -> Target {
    Target::new(TargetKind::Tenant, "", name)
}

/// What belongs to a tenant concerns it; what belongs to none concerns the gateway.
pub fn of_tenant(tenant_name: Option<&str>) -> Target {
    tenant_name.map_or_else(gateway, tenant)
}

pub fn portal(name: &str) -> Target {
    Target::new(TargetKind::Portal, "", name)
}

/// A server of which nothing but the name is known.
pub fn server_named(name: &str) -> Target {
    Target::new(TargetKind::Server, name, "")
}
