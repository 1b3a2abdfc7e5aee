//! A server with replicas: which one is called, which are out of rotation, and how replicas are
//! added and removed.
//!
//! Callers see the front server; each replica is a server behind it, with the same name and
//! catalogue, and with its own connection, sessions and circuit breaker. If definitions are pinned,
//! each replica is compared with them.

pub(crate) mod choice;
mod compare;
mod comparison;
mod follow;
mod report;
mod sources;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use self::comparison::Comparison;
pub use self::sources::Place;
use super::server::Server;
use doorward_config::ServerSettings;
use doorward_limits::balance::Speed;
use doorward_limits::breaker::Ended;
use doorward_limits::ejection::Ejection;

/// What a replica knows of its place among the others.
#[derive(Debug)]
pub struct Replica {
    pub tag: Box<str>,
    pub place: Place,
    speed: Speed,
    ejection: Ejection,
    comparison: Comparison,
}

/// The front server's state.
#[derive(Debug)]
pub struct Replicas {
    groups: ArcSwap<Groups>,
    /// Which replica has whose sessions.
    bound: Mutex<HashMap<Box<str>, Bound>>,
    /// Whether all sources were resolved, and the errors of the last attempt.
    looked: watch::Sender<bool>,
    trouble: Mutex<Option<String>>,
    began: Instant,
}

/// The replica with a caller's sessions.
#[derive(Debug)]
struct Bound {
    tag: Box<str>,
    used: Instant,
    /// A call has reached it, so it may hold state.
    held: bool,
}

/// All current replicas.
#[derive(Debug, Default)]
struct Groups {
    primary: Vec<Arc<Server>>,
    secondary: Vec<Arc<Server>>,
}

impl Groups {
    fn all(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.primary.iter().chain(&self.secondary)
    }

    fn tagged(&self, tag: &str) -> Option<&Arc<Server>> {
        self.all().find(|member| *member.tag() == *tag)
    }

    fn len(&self) -> usize {
        self.primary.len() + self.secondary.len()
    }
}

impl Replica {
    pub fn new(place: Place) -> Self {
        Self {
            tag: place.tag(),
            place,
            speed: Speed::default(),
            ejection: Ejection::default(),
            comparison: Comparison::default(),
        }
    }
}

impl Replicas {
    /// `None` for a server without replicas.
    pub fn of(settings: &ServerSettings) -> Option<Self> {
        (!settings.replicas.is_empty()).then(|| Self {
            groups: ArcSwap::default(),
            bound: Mutex::default(),
            looked: watch::Sender::new(false),
            trouble: Mutex::default(),
            began: Instant::now(),
        })
    }

    pub fn members(&self) -> Vec<Arc<Server>> {
        self.groups.load().all().cloned().collect()
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// A reachable replica, primaries first.
    pub fn reachable(&self) -> Option<Arc<Server>> {
        self.groups.load().all().find(|member| member.is_reachable()).cloned()
    }

    /// Whether a first attempt was made to reach each replica.
    pub fn were_tried(&self) -> bool {
        *self.looked.borrow() && self.groups.load().all().all(|member| member.was_tried())
    }

    /// Drops bindings whose sessions have ended.
    pub fn maintain(&self, idle: Duration) {
        self.bound.lock().retain(|_, bound| bound.used.elapsed() <= idle);
        for member in self.groups.load().all() {
            member.maintain();
        }
    }

    /// Handles the end of a call at a replica.
    fn ended(&self, front: &Server, member: &Server, end: &End) {
        let Some(replica) = &member.replica else { return };
        let (failed, now) = (end.ended == Ended::Failed, self.now());
        if end.ended == Ended::Unsaid {
            return;
        }
        replica.speed.learn(end.took, failed, now);
        if failed {
            member.doubt();
        }
        // For an outage, the health checks are the better indicator.
        if end.unreachable && member.health_settings().is_some() {
            return;
        }
        let settings = front.settings.reliability.ejection.clone().unwrap_or_default();
        let may = || {
            let groups = self.groups.load();
            let out = groups.all().filter(|member| member.is_ejected(now)).count();
            (out + 1) * 100 <= usize::from(settings.max_percent) * groups.len()
        };
        let Some(period) = replica.ejection.ended(&settings, failed, now, may) else { return };
        // Measurements from before the outage no longer apply.
        replica.speed.forget();
        tracing::warn!(
            server = &*member.name,
            replica = member.place(),
            ?period,
            "consecutive calls failed: the replica is out of rotation"
        );
        member.event("server.replica_ejected", |_| ());
    }

    /// The replica with an owner's sessions, and whether there are any.
    fn bound_to(&self, owner: &str) -> Option<(Box<str>, bool)> {
        let mut bound = self.bound.lock();
        let bound = bound.get_mut(owner)?;
        bound.used = Instant::now();
        Some((bound.tag.clone(), bound.held))
    }

    fn bind(&self, owner: Box<str>, tag: &str, most: usize) {
        let mut bound = self.bound.lock();
        if bound.len() < most {
            bound.insert(owner, Bound { tag: tag.into(), used: Instant::now(), held: false });
        }
    }

    /// Marks that the replica may hold state for an owner.
    fn hold(&self, owner: &str) {
        if let Some(bound) = self.bound.lock().get_mut(owner) {
            bound.held = true;
        }
    }
}

/// How a call at a replica has ended.
#[derive(Debug, Clone, Copy)]
pub struct End {
    pub ended: Ended,
    pub took: Duration,
    /// Nothing was sent, because the replica could not be reached.
    pub unreachable: bool,
}
