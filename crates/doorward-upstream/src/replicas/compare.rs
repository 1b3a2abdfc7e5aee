//! Compares each replica of a server with the pinned definitions. A replica that differs is out of
//! rotation while another one matches, and its changed definitions are never called.

use std::time::{Duration, Instant};

use doorward_governance::pins::Kind as Pinned;
use doorward_mcp::error::Kind;
use doorward_mcp::meta::Client;
use doorward_mcp::method;

use super::Replicas;
use super::comparison::{Comparison, Found};
use crate::call_error::CallError;
use crate::catalog::{KINDS, PROMPTS, TEMPLATES, TOOLS, fetch};
use crate::{Asked, Contact, Server};
use doorward_core::Failure;

/// The pinned lists: all but resources, which are data.
const PINNED: [(usize, Pinned); 3] =
    [(TOOLS, Pinned::Tool), (PROMPTS, Pinned::Prompt), (TEMPLATES, Pinned::Template)];
/// Minimum time between comparisons of a replica, unless it announces a change.
const SOONEST: Duration = Duration::from_secs(60);

impl Server {
    fn comparison(&self) -> Option<&Comparison> {
        self.replica.as_ref().filter(|_| self.is_pinned()).map(|replica| &replica.comparison)
    }

    /// Whether this replica was compared. For servers without replicas, the catalogue has the
    /// result.
    pub(super) fn is_compared(&self) -> bool {
        self.comparison().is_none_or(|comparison| comparison.found.load().is_some())
    }

    /// Whether this replica differs from the approved definitions.
    pub(crate) fn differs(&self) -> bool {
        let found = self.comparison().map(|comparison| comparison.found.load());
        found.is_some_and(|found| found.as_ref().is_some_and(|found| !found.changed.is_empty()))
    }

    /// The names of this replica's changed definitions.
    pub(super) fn changed_definitions(&self) -> Vec<String> {
        let found = self.comparison().and_then(|comparison| comparison.found.load_full());
        let changed = found.iter().flat_map(|found| found.changed.iter());
        changed.map(|(kind, name)| format!("{kind} '{name}'")).collect()
    }

    /// Whether the request is for a changed definition of this replica.
    fn differs_in(&self, asked: &Asked<'_>) -> bool {
        let found = self.comparison().map(|comparison| comparison.found.load());
        found.is_some_and(|found| found.as_ref().is_some_and(|found| found.concerns(asked)))
    }

    /// Waits until this replica was compared, successfully or not.
    pub(super) async fn compared(&self) -> Result<(), Failure> {
        let Some(comparison) = self.comparison() else { return Ok(()) };
        let waiting = async {
            loop {
                let mut done = std::pin::pin!(comparison.done.notified());
                done.as_mut().enable();
                if comparison.found.load().is_some() {
                    return;
                }
                done.await;
            }
        };
        let patience = self.shared.timeouts.own_request();
        tokio::time::timeout(patience, waiting).await.map_err(|_| {
            let why = "The replica's definitions could not be compared with their pins in time";
            Failure::new(Kind::Timeout, why)
        })
    }

    /// Compares this replica with the pins. It is not called before that.
    pub(crate) async fn compare(&self, contact: &Contact) -> Result<(), Failure> {
        let Some(comparison) = self.comparison() else { return Ok(()) };
        while comparison.found.load().is_none() {
            // The running comparison notices the new doubt.
            let Ok(_comparing) = comparison.comparing.try_lock() else { return Ok(()) };
            let doubts = *comparison.doubts.lock();
            let found = self.find_changed(contact).await?;
            let now = comparison.doubts.lock();
            if *now == doubts {
                comparison.found.store(Some(found.into()));
            }
        }
        comparison.done.notify_waiters();
        let changed = self.changed_definitions();
        if std::mem::replace(&mut *comparison.last.lock(), changed.clone()) == changed {
            // Lists may have been fetched from a replica that differs while this one was not
            // compared.
            self.catalog.invalidate(None);
            self.bump();
            return Ok(());
        }
        self.announce();
        if !changed.is_empty() {
            let changed = changed.join(", ");
            tracing::warn!(
                server = &*self.name,
                replica = self.place(),
                changed,
                "the replica's definitions differ from the approved ones"
            );
        }
        Ok(())
    }

    async fn find_changed(&self, contact: &Contact) -> Result<Found, Failure> {
        let client = Client::default();
        let asked = self.own_request(method::TOOLS_LIST, &client);
        let soonest = Instant::now() + SOONEST;
        let (mut changed, mut fresh_until) = (Vec::new(), None::<Instant>);
        for (list, kind) in PINNED {
            let fetched = fetch::list(self, contact, &KINDS[list], &asked).await;
            let fetched = fetched.map_err(|error| match error {
                CallError::Gateway(failure) | CallError::Refused { failure, .. } => failure,
                error => {
                    let why = "The replica's definitions cannot be compared with their pins";
                    Failure::new(Kind::InvalidMessage, why).because(format!("{error:?}"))
                }
            })?;
            changed.extend(fetched.changed.iter().map(|name| (kind, name.clone())));
            let until = fetched.fresh_until;
            fresh_until = Some(fresh_until.map_or(until, |it| it.min(until)));
        }
        Ok(Found { changed, fresh_until: fresh_until.map_or(soonest, |it| it.max(soonest)) })
    }

    /// Suspends calls to this replica until it was compared again, because its definitions may have
    /// changed.
    pub(crate) fn doubt_definitions(&self) {
        if let Some(comparison) = self.comparison() {
            let mut doubts = comparison.doubts.lock();
            *doubts += 1;
            comparison.found.store(None);
        }
    }

    /// Compares this replica again. If that fails, the replica is detected anew.
    pub(crate) async fn compare_again(&self) {
        let Some(contact) = self.contact.load_full() else { return };
        self.judge_about(contact.era, &contact.about).await;
        if let Err(failure) = Box::pin(self.compare(&contact)).await {
            tracing::warn!(server = &*self.name, replica = self.place(), "{failure}");
            self.doubt_definitions();
            self.forget(&contact);
            self.wake();
        }
    }

    /// Compares this replica again if the last comparison is old: not all servers announce changes.
    pub(crate) fn compare_in_time(&self) {
        let Some(comparison) = self.comparison() else { return };
        let is_over = |found: &Found| Instant::now() >= found.fresh_until;
        if comparison.found.load().as_ref().is_some_and(|found| is_over(found)) {
            self.doubt_definitions();
            self.compare_soon();
        }
    }
}

impl Replicas {
    /// The replicas that a request may go to, of those that may receive its data: those that match
    /// the pins, or if there are none, those in which the requested definition is unchanged.
    pub(super) fn allowed<'a>(&self, asked: &'a Asked<'a>) -> impl Fn(&Server) -> bool + use<'a> {
        let groups = self.groups.load();
        let any_differs = groups.all().any(|member| member.differs());
        let any_fits =
            any_differs && groups.all().any(|member| member.is_reachable() && !member.differs());
        move |member: &Server| {
            member.is_reachable()
                && member.may_receive(asked)
                && (!any_differs
                    || if any_fits { !member.differs() } else { !member.differs_in(asked) })
        }
    }
}
