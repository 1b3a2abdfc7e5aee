//! Limits of connections, in total and per address, so that unauthenticated clients cannot use all of them. At the
//! limit, the connection that has been idle longest is closed; connections in use never are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use doorward_core::address::network;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// All places of a listener.
#[derive(Debug)]
pub struct Places {
    most: usize,
    each: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    next: u64,
    addresses: HashMap<IpAddr, HashMap<u64, Arc<Slot>>>,
}

/// The state of a connection.
#[derive(Debug)]
struct Slot {
    busy: AtomicUsize,
    idle_since: Mutex<Instant>,
    /// Cancelled to ask the connection to close.
    leave: CancellationToken,
}

/// The place of a connection; released when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    address: IpAddr,
    number: u64,
    slot: Arc<Slot>,
}

/// A request in progress: its connection is not idle.
#[derive(Debug)]
pub struct Busy {
    places: Arc<Places>,
    slot: Arc<Slot>,
}

impl Places {
    pub fn new(most: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { most, each, taken: Mutex::default(), freed: Notify::new() })
    }

    /// Returns a place for a connection from this address. Returns `None` if the address has reached its share and
    /// none of its connections is idle, or if it has reached its share and the listener is full. Otherwise waits
    /// while all places are in use: connections of an address beyond its share never make others wait.
    pub async fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = network(address);
        loop {
            let freed = self.freed.notified();
            match self.try_take(address) {
                Ok(place) => return place,
                Err(Full) => freed.await,
            }
        }
    }

    fn try_take(self: &Arc<Self>, address: IpAddr) -> Result<Option<Place>, Full> {
        let mut taken = self.taken.lock();
        if let Some(own) = taken.addresses.get(&address)
            && own.len() >= self.each
        {
            // Connections that are closing will soon be gone. Until then the address may exceed its share, as long as
            // no other address needs the places.
            let leaving = own.values().filter(|slot| slot.is_leaving()).count();
            let is_full = own.len() - leaving >= self.each;
            if taken.count >= self.most || (is_full && !give_way(own)) {
                return Ok(None);
            }
        } else if taken.count >= self.most {
            let most = taken.addresses.values().max_by_key(|of| of.len());
            if !most.is_some_and(give_way) {
                return Err(Full);
            }
        }
        let number = taken.next;
        taken.next += 1;
        taken.count += 1;
        let slot = Arc::new(Slot {
            busy: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            leave: CancellationToken::new(),
        });
        taken.addresses.entry(address).or_default().insert(number, slot.clone());
        Ok(Some(Place { places: self.clone(), address, number, slot }))
    }
}

/// There is no place now, but there will be: all places are in use, or connections are closing.
struct Full;

/// Asks the connection that has been idle longest to close. Returns whether there was one.
fn give_way(of: &HashMap<u64, Arc<Slot>>) -> bool {
    let idle = of.values().filter(|slot| !slot.is_leaving() && !slot.is_busy());
    let oldest = idle.min_by_key(|slot| *slot.idle_since.lock());
    oldest.inspect(|slot| slot.leave.cancel()).is_some()
}

impl Slot {
    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    fn is_leaving(&self) -> bool {
        self.leave.is_cancelled()
    }
}

impl Place {
    /// Marks the connection as busy while a request is in progress.
    pub fn busy(&self) -> Busy {
        self.slot.busy.fetch_add(1, Ordering::AcqRel);
        Busy { places: self.places.clone(), slot: self.slot.clone() }
    }

    /// Returns when the connection has to close, or has been idle for too long.
    pub async fn over(&self, first: Duration, idle: Duration) {
        let began = *self.slot.idle_since.lock();
        loop {
            let since = *self.slot.idle_since.lock();
            let patience = if since == began { first } else { idle };
            tokio::select! {
                () = self.slot.leave.cancelled() => {}
                () = tokio::time::sleep_until((since + patience).into()) => {}
            }
            if self.slot.is_busy() {
                // Checks again later, when it may be idle.
                tokio::time::sleep(idle.min(Duration::from_secs(1))).await;
                continue;
            }
            if self.slot.is_leaving() || *self.slot.idle_since.lock() == since {
                return;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.count -= 1;
        if let Some(own) = taken.addresses.get_mut(&self.address) {
            own.remove(&self.number);
            if own.is_empty() {
                taken.addresses.remove(&self.address);
            }
        }
        drop(taken);
        self.places.freed.notify_one();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *self.slot.idle_since.lock() = Instant::now();
        if self.slot.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            // A waiting connection may have the place now.
            self.places.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn an_address_at_its_share_replaces_its_own_idle_connections() {
        let places = Places::new(8, 2);
        let first = places.take(address(1)).await.unwrap();
        let second = places.take(address(1)).await.unwrap();
        let working = first.busy();
        // The idle connection closes, the other does not.
        let third = places.take(address(1)).await.unwrap();
        assert!(second.slot.is_leaving() && !first.slot.is_leaving());
        let _busy = third.busy();
        drop(second);
        assert!(places.take(address(1)).await.is_none());
        // Other addresses have their own share.
        assert!(places.take(address(2)).await.is_some());
        drop(working);
        assert!(places.take(address(1)).await.is_some());
    }

    #[tokio::test]
    async fn a_full_listener_closes_a_connection_of_the_largest_address() {
        let places = Places::new(4, 3);
        let greedy = [
            places.take(address(1)).await.unwrap(),
            places.take(address(1)).await.unwrap(),
            places.take(address(1)).await.unwrap(),
        ];
        let _other = places.take(address(2)).await.unwrap();
        let _third = places.take(address(3)).await.unwrap();
        assert_eq!(greedy.iter().filter(|place| place.slot.is_leaving()).count(), 1);
    }

    #[tokio::test]
    async fn connections_beyond_a_share_make_no_other_address_wait() {
        let places = Places::new(64, 8);
        let mut silent = Vec::new();
        for _ in 0..40 {
            silent.extend(places.try_take(address(1)).ok().unwrap());
        }
        let leaving = silent.iter().filter(|place| place.slot.is_leaving()).count();
        assert_eq!((silent.len(), leaving), (40, 32), "connections beyond the share are closing");
        assert!(matches!(places.try_take(address(2)), Ok(Some(_))));
        for _ in 0..40 {
            silent.extend(places.try_take(address(1)).ok().unwrap());
        }
        assert_eq!(silent.len(), 64, "no connection waits for an address beyond its share");
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_connection_gets_the_place_of_one_that_closes() {
        let places = Places::new(1, 1);
        let only = places.take(address(1)).await.unwrap();
        let busy = only.busy();
        let waiting = tokio::spawn({
            let places = places.clone();
            async move { places.take(address(2)).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(busy);
        drop(only);
        assert!(waiting.await.unwrap());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
