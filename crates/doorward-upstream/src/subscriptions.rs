//! What the gateway's listeners subscribe to at one server: each entry counts as long as its [`Subscription`] lives.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use doorward_mcp::filter::Filter;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use doorward_core::fair::FairQueue;
use doorward_core::share::{Bounds, Full, Held, Shares, sharer};

/// Timeout for the server's acknowledgement of a subscription.
pub(super) const ACKNOWLEDGE: Duration = Duration::from_secs(5);
/// Maximum bytes of the URIs and tasks subscribed to at one server, shared by callers: they are
/// sent in one request, and servers limit the size of requests.
pub(super) const WANTED_BYTES: usize = 2 << 20;

/// What can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum What {
    Resource,
    /// Tasks extension.
    Task,
}

pub(super) type Name = (What, Box<str>);

/// The server's response to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    Agreed,
    Refused,
}

#[derive(Debug)]
struct Want {
    said: Said,
    /// Refused after it was accepted before: worth a retry.
    was_agreed: bool,
    /// Subscribers, their counts, and the bytes charged to their shares.
    by: HashMap<Box<str>, (usize, Held)>,
}

/// All subscriptions at one server.
#[derive(Debug)]
pub struct Interest {
    wanted: Mutex<HashMap<Name, Want>>,
    bytes: Arc<Shares>,
    /// Notified when the subscriptions change.
    pub(super) changed: Notify,
    /// Changed when the server has responded to a subscription.
    told: watch::Sender<()>,
}

impl Interest {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            wanted: Mutex::default(),
            bytes: Shares::new(bounds),
            changed: Notify::new(),
            told: watch::Sender::new(()),
        }
    }

    /// Adds all subscriptions to a new replica, which has no listening stream yet.
    pub fn pass_on(&self, to: &Self) {
        let names: Vec<Name> = self.wanted.lock().keys().cloned().collect();
        for (what, name) in names.iter().filter(|(what, _)| *what == What::Resource) {
            // These fit the limits here, and therefore those of the replica.
            let _ = to.add(*what, name, "");
        }
    }

    /// Adds a principal's subscription and returns the server's response. A refused one is requested again.
    pub(super) fn add(&self, what: What, name: &str, principal: &str) -> Result<Said, Full> {
        let mut wanted = self.wanted.lock();
        let key = (what, name.into());
        let known = wanted.get_mut(&key).and_then(|want| want.by.get_mut(sharer(principal)));
        if let Some((count, _)) = known {
            *count += 1;
        } else {
            let held = self.bytes.take(principal, name.len())?;
            let unsaid = || Want { said: Said::Nothing, was_agreed: false, by: HashMap::new() };
            let want = wanted.entry(key.clone()).or_insert_with(unsaid);
            want.by.insert(sharer(principal).into(), (1, held));
        }
        let Some(want) = wanted.get_mut(&key) else { return Ok(Said::Nothing) };
        if want.said == Said::Refused {
            want.said = Said::Nothing;
        }
        Ok(want.said)
    }

    /// Removes a subscription; returns whether it was the last of its kind.
    pub(super) fn subtract(&self, what: What, name: &str, principal: &str) -> bool {
        let mut wanted = self.wanted.lock();
        let key = (what, name.into());
        let Some(want) = wanted.get_mut(&key) else { return false };
        if let Some((count, _)) = want.by.get_mut(sharer(principal)) {
            *count -= 1;
            if *count == 0 {
                want.by.remove(sharer(principal));
            }
        }
        let last = want.by.is_empty();
        if last {
            wanted.remove(&key);
        }
        last
    }

    /// Removes all subscriptions of a kind; returns whether there was one.
    pub(super) fn remove(&self, what: What, name: &str) -> bool {
        self.wanted.lock().remove(&(what, name.into())).is_some()
    }

    /// Stores the server's response to some subscriptions.
    pub(super) fn settle<'a>(&self, names: impl IntoIterator<Item = &'a Name>, said: Said) {
        let mut wanted = self.wanted.lock();
        for name in names {
            if let Some(want) = wanted.get_mut(name) {
                want.was_agreed |= want.said == Said::Agreed;
                want.said = said;
            }
        }
        drop(wanted);
        self.told.send_replace(());
    }

    /// Makes subscriptions that were accepted once and then refused eligible again; returns whether there are any.
    pub(super) fn ask_again(&self) -> bool {
        let mut wanted = self.wanted.lock();
        let again =
            wanted.values_mut().filter(|want| want.said == Said::Refused && want.was_agreed);
        again.map(|want| want.said = Said::Nothing).count() > 0
    }

    /// Waits until the server has accepted or refused a subscription.
    pub(super) async fn is_agreed(&self, what: What, name: &str) -> bool {
        let key = (what, name.into());
        let mut told = self.told.subscribe();
        let waiting = async {
            loop {
                match self.wanted.lock().get(&key).map(|want| want.said) {
                    Some(Said::Agreed) => return true,
                    Some(Said::Nothing) => {}
                    Some(Said::Refused) | None => return false,
                }
                if told.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout(ACKNOWLEDGE, waiting).await.unwrap_or(false)
    }

    /// The subscriptions to request from the server: all but the refused ones.
    pub(super) fn filter(&self) -> Filter {
        let mut filter = Filter::lists();
        let wanted = self.wanted.lock();
        for ((what, name), _) in wanted.iter().filter(|(_, want)| want.said != Said::Refused) {
            match what {
                What::Resource => filter.uris.insert(name.to_string()),
                What::Task => filter.tasks.insert(name.to_string()),
            };
        }
        filter
    }

    /// The first subscriber.
    pub(super) fn whose(&self, name: &Name) -> Box<str> {
        let wanted = self.wanted.lock();
        let by = wanted.get(name).and_then(|want| want.by.keys().min());
        by.cloned().unwrap_or_default()
    }

    pub(super) fn wants(&self, name: &Name) -> bool {
        self.wanted.lock().contains_key(name)
    }

    pub(super) fn uris(&self) -> BTreeSet<String> {
        let wanted = self.wanted.lock();
        let uris = wanted.keys().filter(|(what, _)| *what == What::Resource);
        uris.map(|(_, uri)| uri.to_string()).collect()
    }
}

/// All that a filter names.
pub(super) fn names(filter: &Filter) -> BTreeSet<Name> {
    let uris = filter.uris.iter().map(|uri| (What::Resource, uri.as_str().into()));
    uris.chain(filter.tasks.iter().map(|task| (What::Task, task.as_str().into()))).collect()
}

/// The entries of a filter that were not accepted.
pub(super) fn fresh(wanted: &Filter, agreed: Option<&Filter>) -> BTreeSet<Name> {
    let known = agreed.map(names).unwrap_or_default();
    names(wanted).difference(&known).cloned().collect()
}

/// The next request: all subscriptions but those that come later.
pub(super) fn without(mut wanted: Filter, later: &[Name]) -> Filter {
    for (what, name) in later {
        match what {
            What::Resource => wanted.uris.remove(&**name),
            What::Task => wanted.tasks.remove(&**name),
        };
    }
    wanted
}

/// The order in which subscriptions are tried: callers take turns, beginning after the one whose
/// turn was last. A caller whose subscriptions are all refused delays no one else.
#[derive(Debug, Default)]
pub(super) struct Turns {
    last: Box<str>,
}

impl Turns {
    /// This many subscriptions, and those that come later.
    pub(super) fn next(
        &mut self,
        fresh: BTreeSet<Name>,
        whose: impl Fn(&Name) -> Box<str>,
        most: usize,
    ) -> (Vec<Name>, Vec<Name>) {
        let mut all: Vec<_> = fresh.into_iter().map(|name| (whose(&name), name)).collect();
        all.sort_by_cached_key(|(sharer, _)| (*sharer <= self.last, sharer.clone()));
        let mut queue = FairQueue::default();
        for (sharer, name) in all {
            queue.push(&sharer.clone(), (sharer, name));
        }
        let mut now = Vec::new();
        while now.len() < most
            && let Some((sharer, name)) = queue.pop()
        {
            self.last = sharer;
            now.push(name);
        }
        let later = std::iter::from_fn(|| queue.pop()).map(|(_, name)| name);
        (now, later.collect())
    }
}

/// A subscription at a server. Dropping it unsubscribes, at any moment.
pub struct Subscription {
    /// `None` if it is counted elsewhere.
    leave: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

impl Subscription {
    /// `leave` removes the subscription.
    pub(super) fn new(leave: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { leave: Some(Box::new(leave)) }
    }

    /// The subscription at one replica, which ends with the overall one.
    pub(super) fn leave_counted(mut self) {
        self.leave = None;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(leave) = self.leave.take() {
            leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest() -> Interest {
        Interest::new(Bounds::new(64, 4))
    }

    fn asked(interest: &Interest) -> Vec<String> {
        interest.filter().uris.into_iter().collect()
    }

    #[test]
    fn a_wish_counts_as_often_as_it_is_had() {
        let interest = interest();
        let (mallory, alice) = ("user \"mallory\"", "user \"alice\"");
        for principal in [mallory, mallory, alice] {
            assert_eq!(interest.add(What::Resource, "a:1", principal), Ok(Said::Nothing));
        }
        assert!(!interest.subtract(What::Resource, "a:1", mallory));
        assert!(!interest.subtract(What::Resource, "a:1", alice));
        assert_eq!(asked(&interest), ["a:1"]);
        assert!(interest.subtract(What::Resource, "a:1", mallory));
        assert!(asked(&interest).is_empty());
        assert!(!interest.subtract(What::Resource, "a:1", mallory));
    }

    #[test]
    fn nobody_wants_more_bytes_than_their_share() {
        let interest = interest();
        let (mallory, alice) = ("user \"mallory\"", "user \"alice\"");
        assert!(interest.add(What::Resource, "0123456789", mallory).is_ok());
        assert!(interest.add(What::Resource, "0123456789", mallory).is_ok(), "the same is one");
        assert_eq!(interest.add(What::Resource, "9876543210", mallory), Err(Full::Share));
        assert!(interest.add(What::Resource, "9876543210", alice).is_ok());
        assert_eq!(interest.add(What::Resource, "x".repeat(17).as_str(), ""), Ok(Said::Nothing));
        assert_eq!(asked(&interest).len(), 3, "nothing is left of what was too much");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_asked_no_more_until_somebody_wants_it_anew() {
        let interest = interest();
        let name = (What::Resource, "a:1".into());
        interest.add(What::Resource, "a:1", "").unwrap();
        interest.settle([&name], Said::Agreed);
        assert!(interest.is_agreed(What::Resource, "a:1").await);
        interest.settle([&name], Said::Refused);
        assert!(!interest.is_agreed(What::Resource, "a:1").await);
        assert!(asked(&interest).is_empty());
        assert!(interest.ask_again(), "it was agreed to once");
        assert_eq!(asked(&interest), ["a:1"]);
        interest.settle([&name], Said::Refused);
        assert_eq!(interest.add(What::Resource, "a:1", ""), Ok(Said::Nothing));
        assert_eq!(asked(&interest), ["a:1"]);
        assert!(!interest.is_agreed(What::Resource, "a:1").await, "not in time");
    }

    #[test]
    fn what_is_new_is_asked_for_some_at_a_time_and_callers_take_turns() {
        let of = |uris: &[&str]| Filter {
            uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            ..Filter::lists()
        };
        let all = of(&["m:1", "m:2", "m:3", "m:4", "z:1", "z:2"]);
        let agreed = of(&["m:2", "x:9"]);
        let whose = |(_, name): &Name| name[..1].into();
        let texts = |names: &[Name]| names.iter().map(|(_, name)| name.to_string()).collect();
        let mut turns = Turns::default();
        let (now, later) = turns.next(fresh(&all, None), whose, usize::MAX);
        assert_eq!((now.len(), later.len()), (6, 0));
        assert_eq!(without(all.clone(), &later), all);
        let (now, later) = turns.next(fresh(&all, Some(&agreed)), whose, 2);
        let now: Vec<String> = texts(&now);
        assert_eq!(now, ["z:1", "m:1"], "who was last comes last");
        assert_eq!(without(all.clone(), &later), of(&["m:1", "m:2", "z:1"]));
        // They are tried one at a time, and the first ones are refused.
        let mut left = fresh(&all, None);
        let mut order: Vec<String> = Vec::new();
        while !left.is_empty() {
            let (now, _) = turns.next(left.clone(), whose, 1);
            left.remove(&now[0]);
            order.extend::<Vec<_>>(texts(&now));
        }
        assert_eq!(order, ["z:1", "m:1", "z:2", "m:2", "m:3", "m:4"]);
    }
}
