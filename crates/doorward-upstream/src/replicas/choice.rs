//! Chooses a replica: the one that already has a session of the caller, or the less busy of two.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_mcp::error::Kind;

use super::{End, Groups, Replicas};
use crate::pool::owner_of;
use crate::{Asked, Contact, Server};
use doorward_config::{Affinity, LostSession};
use doorward_core::Failure;
use doorward_limits::balance::{Candidate, chance, choose};
use doorward_limits::breaker::Pass;

/// How long callers wait for the first resolution of replicas.
const PATIENCE: Duration = Duration::from_secs(5);

/// The target of one attempt.
pub enum Chosen<'a> {
    Itself(&'a Server),
    Replica(Arc<Server>),
}

impl std::ops::Deref for Chosen<'_> {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Self::Itself(server) => server,
            Self::Replica(server) => server,
        }
    }
}

impl Server {
    /// Identifies the replica among those of the server; empty for a server without replicas.
    pub fn tag(&self) -> &str {
        self.replica.as_ref().map_or("", |replica| &replica.tag)
    }

    /// The replica's address.
    pub fn place(&self) -> Option<String> {
        self.replica.as_ref().map(|replica| replica.place.label())
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.contact.load().as_ref().is_some_and(|contact| contact.is_usable())
            && self.is_compared()
    }

    pub(super) fn is_ejected(&self, now: Duration) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.ejection.is_out(now))
    }

    /// Handles the end of a call at one of the replicas.
    pub(crate) fn ended(&self, member: &Self, asked: &Asked<'_>, end: &End) {
        if let Some(replicas) = &self.replicas {
            if self.sticks() && !end.unreachable {
                replicas.hold(&owner_of(self.settings.affinity, asked));
            }
            replicas.ended(self, member, end);
        }
    }

    /// The replica is back: resets what was observed before.
    pub(crate) fn is_back(&self) {
        if let Some(replica) = &self.replica {
            replica.speed.forget();
            replica.ejection.forget();
        }
    }

    /// Completes when the server is found to be down.
    pub(crate) async fn is_lost(&self) {
        self.lost.notified().await;
    }

    /// Whether this replica may receive the data of a request.
    pub(super) fn may_receive(&self, asked: &Asked<'_>) -> bool {
        let region = self.settings.region.as_deref();
        let classes = asked.classes.as_ref();
        asked.tenant.is_none_or(|tenant| tenant.may_use(region))
            && classes.is_none_or(|it| it.iter().all(|class| self.settings.may_receive(class)))
    }

    /// Whether a call that one replica could not take may go to another.
    pub(crate) fn has_others(&self, asked: &Asked<'_>, tried: &[Arc<Self>]) -> bool {
        let Some(replicas) = &self.replicas else { return false };
        let groups = replicas.groups.load_full();
        groups.all().any(|member| {
            member.is_reachable()
                && !member.differs()
                && member.may_receive(asked)
                && !is_among(member, tried)
        })
    }

    /// Chooses a replica, and takes a slot of its limits. Replicas in `tried` are chosen only if
    /// there is no other.
    pub(crate) async fn choose(
        &self,
        asked: &Asked<'_>,
        tried: &[Arc<Self>],
    ) -> Result<(Chosen<'_>, Pass), Failure> {
        let Some(replicas) = &self.replicas else {
            if !self.may_receive(asked) {
                return Err(not_permitted(asked, "The server"));
            }
            return Ok((Chosen::Itself(self), self.guard.enter()?));
        };
        if replicas.reachable().is_none() {
            self.contact().await?;
        }
        let groups = replicas.groups.load_full();
        permitted(&groups, asked)?;
        let may = replicas.allowed(asked);
        let free = |tag: &str| {
            let member = groups.tagged(tag).filter(|member| may(member));
            member.filter(|member| !is_among(member, tried)).cloned()
        };
        let owner = self.sticks().then(|| owner_of(self.settings.affinity, asked));
        if let Some(home) = self.home_of(asked).and_then(|tag| free(&tag)) {
            if let Ok(pass) = home.guard.enter() {
                return Ok((Chosen::Replica(home), pass));
            }
        } else if let Some(owner) = &owner
            && let Some((tag, held)) = replicas.bound_to(owner)
        {
            if let Some(member) = free(&tag)
                && let Ok(pass) = member.guard.enter()
            {
                return Ok((Chosen::Replica(member), pass));
            }
            replicas.bound.lock().remove(owner);
            if held && self.settings.lost_session == LostSession::Error {
                return Err(lost_session());
            }
        }
        let (member, pass) = pick(&groups, replicas.now(), tried, &may)?;
        if let Some(owner) = owner {
            let most = self.shared.limits.server_sessions.saturating_mul(groups.len());
            replicas.bind(owner, member.tag(), most);
        }
        Ok((Chosen::Replica(member), pass))
    }

    /// Whether a caller's calls must go to the replica with their sessions.
    fn sticks(&self) -> bool {
        self.settings.affinity != Affinity::Shared && self.stateful.load(Ordering::Acquire)
    }

    /// The server itself, or one replica for several consecutive requests.
    pub(crate) async fn asker(&self, asked: &Asked<'_>) -> Result<Chosen<'_>, Failure> {
        match &self.replicas {
            None => Ok(Chosen::Itself(self)),
            Some(_) => Ok(self.choose(asked, &[]).await?.0),
        }
    }

    /// The contact of one of the replicas; waits if there is none yet.
    pub(crate) async fn contact_of_any(
        &self,
        replicas: &Replicas,
    ) -> Result<Arc<Contact>, Failure> {
        let mut looked = replicas.looked.subscribe();
        let looking = looked.wait_for(|looked| *looked);
        let _ = tokio::time::timeout(PATIENCE, looking).await;
        let members = replicas.members();
        if members.is_empty() {
            let failure = Failure::new(Kind::Unreachable, "The server has no replicas");
            return Err(match replicas.trouble.lock().clone() {
                Some(why) => failure.because(why),
                None => failure,
            });
        }
        let waiting = members.iter().map(|member| {
            Box::pin(async {
                let contact = member.contact().await?;
                member.compared().await.map(|()| contact)
            })
        });
        futures_util::future::select_ok(waiting).await.map(|(contact, _)| contact).map_err(
            |failure| Failure {
                message: format!(
                    "None of the server's {} replicas is available: {}",
                    members.len(),
                    failure.message
                ),
                ..failure
            },
        )
    }
}

fn is_among(member: &Arc<Server>, tried: &[Arc<Server>]) -> bool {
    tried.iter().any(|tried| Arc::ptr_eq(tried, member))
}

/// Whether some replica may receive the data of a request, and one of those can be reached. No
/// other is called instead.
fn permitted(groups: &Groups, asked: &Asked<'_>) -> Result<(), Failure> {
    if asked.classes.is_none() && asked.tenant.is_none() {
        return Ok(());
    }
    let mut permitted = groups.all().filter(|member| member.may_receive(asked)).peekable();
    if permitted.peek().is_none() {
        return Err(not_permitted(asked, "None of the server's replicas"));
    }
    match permitted.any(|member| member.is_reachable()) {
        true => Ok(()),
        false => {
            let why = "None of the server's replicas that may receive this data is available";
            let retryable = true;
            Err(Failure { retryable, ..Failure::new(Kind::DataNotPermitted, why) })
        }
    }
}

fn not_permitted(asked: &Asked<'_>, who: &str) -> Failure {
    let listed = |all: &mut dyn Iterator<Item = &str>| all.collect::<Vec<_>>().join(", ");
    let mut needs = Vec::new();
    if let Some(regions) = asked.tenant.and_then(|tenant| tenant.regions.as_ref()) {
        let regions = listed(&mut regions.iter().map(|region| &*region.0));
        needs.push(format!("is in the regions of the caller's tenant ({regions})"));
    }
    if let Some(classes) = &asked.classes {
        let classes = listed(&mut classes.iter().map(String::as_str));
        needs.push(format!("may receive data of all these classes: {classes}"));
    }
    let needs = needs.join(" and ");
    let message = match who {
        "The server" => format!("The call needs a server that {needs}"),
        who => format!("{who} {needs}"),
    };
    Failure::new(Kind::DataNotPermitted, message)
}

pub fn lost_session() -> Failure {
    Failure::new(
        Kind::SessionLost,
        "The server lost the session and its data; the next call opens another",
    )
}

/// One of the available replicas: a primary if there is any, and preferably one that is healthy.
fn pick(
    groups: &Groups,
    now: Duration,
    tried: &[Arc<Server>],
    may: &dyn Fn(&Server) -> bool,
) -> Result<(Arc<Server>, Pass), Failure> {
    let mut refused: Option<Failure> = None;
    for strict in [true, false] {
        for group in [&groups.primary, &groups.secondary] {
            let mut closed: Vec<usize> = Vec::new();
            let chosen = loop {
                let usable = |at: usize| {
                    let member = &group[at];
                    let bad = strict && (member.is_ejected(now) || is_among(member, tried));
                    let replica = member.replica.as_ref()?;
                    let may = !bad && may(member) && !closed.contains(&at);
                    may.then(|| Candidate { speed: &replica.speed, in_flight: member.in_flight() })
                };
                let Some(at) = choose(group.len(), chance(), now, usable) else { break None };
                match group[at].guard.enter() {
                    Ok(pass) => break Some((group[at].clone(), pass)),
                    Err(failure) => {
                        closed.push(at);
                        let sooner = refused
                            .as_ref()
                            .is_none_or(|other| failure.retry_after < other.retry_after);
                        if sooner {
                            refused = Some(failure);
                        }
                    }
                }
            };
            if let Some(chosen) = chosen {
                return Ok(chosen);
            }
        }
    }
    let none = || Failure::new(Kind::Unreachable, "None of the server's replicas is available");
    Err(refused.unwrap_or_else(none))
}
