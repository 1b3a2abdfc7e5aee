//! What was cut from results, for those who read on: the whole text, for its caller at the portal alone, for a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a text can be read on.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Most bytes for one caller, and for all. The oldest texts are dropped first.
const MOST_OF_ONE: usize = 8 << 20;
const MOST: usize = 64 << 20;
/// What an entry takes beside its text.
const OVERHEAD: usize = 512;

/// Whose text it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub principal: Arc<str>,
    pub portal: Arc<str>,
}

#[derive(Debug)]
struct Entry {
    id: String,
    owner: Owner,
    text: Arc<str>,
    until: Instant,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

/// Whole texts of results that were cut.
#[derive(Debug, Default)]
pub struct Rests(Mutex<VecDeque<Entry>>);

impl Rests {
    /// Stores a text, and returns the ID that it is read by; `None` if it is too long.
    pub fn put(&self, owner: Owner, text: Arc<str>) -> Option<String> {
        let id = doorward_identity::seal::random_id().ok()?;
        let entry = Entry { id: id.clone(), owner, text, until: Instant::now() + LIFETIME };
        if entry.bytes() > MOST_OF_ONE {
            return None;
        }
        let mut all = self.0.lock();
        let now = Instant::now();
        all.retain(|entry| now < entry.until);
        let of_one = |it: &Entry| it.owner.principal == entry.owner.principal;
        let mut own: usize = all.iter().filter(|it| of_one(it)).map(Entry::bytes).sum();
        while own + entry.bytes() > MOST_OF_ONE {
            let Some(oldest) = all.iter().position(of_one) else { break };
            own -= all.remove(oldest).map_or(0, |dropped| dropped.bytes());
        }
        let mut bytes: usize = all.iter().map(Entry::bytes).sum();
        while bytes + entry.bytes() > MOST {
            let Some(dropped) = all.pop_front() else { break };
            bytes -= dropped.bytes();
        }
        all.push_back(entry);
        Some(id)
    }

    /// A text of this owner's. IDs are random and long; others' are as if they did not exist.
    pub fn get(&self, owner: &Owner, id: &str) -> Option<Arc<str>> {
        let all = self.0.lock();
        let found = all.iter().find(|entry| entry.id == id && entry.owner == *owner)?;
        (Instant::now() < found.until).then(|| found.text.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn owner(principal: &str) -> Owner {
        Owner { principal: principal.into(), portal: "p".into() }
    }

    #[test]
    fn a_text_is_its_owners_alone() {
        let rests = Rests::default();
        let id = rests.put(owner("ann"), "text".into()).unwrap();
        assert_eq!(rests.get(&owner("ann"), &id).as_deref(), Some("text"));
        assert_eq!(rests.get(&owner("bob"), &id), None);
        assert_eq!(rests.get(&Owner { portal: "q".into(), ..owner("ann") }, &id), None);
        assert_eq!(rests.get(&owner("ann"), "other"), None);
    }

    #[test]
    fn texts_are_bounded_by_caller_and_in_all() {
        let rests = Rests::default();
        assert!(rests.put(owner("ann"), "x".repeat(MOST_OF_ONE).into()).is_none());
        let big: Arc<str> = "x".repeat(3 << 20).into();
        let bobs = rests.put(owner("bob"), "small".into()).unwrap();
        let first = rests.put(owner("ann"), big.clone()).unwrap();
        let second = rests.put(owner("ann"), big.clone()).unwrap();
        let third = rests.put(owner("ann"), big.clone()).unwrap();
        assert!(rests.get(&owner("ann"), &first).is_none());
        assert!(rests.get(&owner("ann"), &second).is_some());
        assert!(rests.get(&owner("ann"), &third).is_some());
        // One caller takes nothing from another, and all together are bounded.
        assert!(rests.get(&owner("bob"), &bobs).is_some());
        for number in 0..30 {
            rests.put(owner(&format!("n{number}")), big.clone()).unwrap();
        }
        let bytes: usize = rests.0.lock().iter().map(Entry::bytes).sum();
        assert!(bytes <= MOST, "{bytes}");
    }
}
