//! Labels of conversations in memory. A mark is never lost before its time: beyond the bounds, a caller's other
//! conversations count as unknown.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_core::share::{Bounds, Held, Shares, sharer};
use serde::{Deserialize, Serialize};

use super::carrier::{About, Carrier, Key, Kind};

/// Labels of one conversation; beyond, it carries every label. Settings have as many at most, and external checks may
/// invent some.
const MOST_LABELS: usize = 64;
/// Longest target of a call that is stored, in bytes.
const LONGEST_TARGET: usize = 200;
/// How long sessions of a caller count as unknown that could not be stored.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The call that first returned a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The ID of the call.
    pub call: String,
    pub server: String,
    /// The tool, prompt or resource.
    pub target: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

impl Origin {
    pub(crate) fn bounded(mut self) -> Self {
        let end = self.target.floor_char_boundary(LONGEST_TARGET);
        self.target.truncate(end);
        self
    }
}

/// A label that a conversation carries.
#[derive(Debug, Clone)]
pub struct Mark {
    pub label: Box<str>,
    pub origin: Arc<Origin>,
    /// Until when; `None`: as long as the session.
    pub until: Option<Instant>,
}

/// What is stored of a conversation.
#[derive(Debug)]
struct Entry {
    about: Arc<About>,
    session: Option<Arc<str>>,
    marks: Vec<Mark>,
    /// More labels were returned than are stored.
    every: Option<Instant>,
    /// What was before is known not to count, until this time.
    cleared: Option<Instant>,
    _held: Option<Held>,
}

impl Entry {
    fn holds(&self, now: Instant) -> bool {
        self.marks.iter().any(|mark| mark.until.is_none_or(|until| until > now))
            || [self.every, self.cleared].into_iter().flatten().any(|until| until > now)
    }
}

/// What is known of a conversation.
#[derive(Debug, Default)]
pub struct Known {
    pub labels: BTreeSet<String>,
    /// There may be more than is known: everything counts.
    pub exceeded: bool,
    /// What was before is known not to count.
    pub cleared: bool,
}

/// An entry as it is reported.
#[derive(Debug, Clone)]
pub struct Reported {
    pub about: Arc<About>,
    pub marks: Vec<Mark>,
    pub exceeded: bool,
    pub cleared: bool,
}

#[derive(Debug)]
pub struct Marks {
    entries: HashMap<Key, Entry>,
    places: Arc<Shares>,
    /// Callers of whom not everything is stored, and until when that counts.
    exceeded: HashMap<Box<str>, Instant>,
    most_exceeded: usize,
    /// Until when that counts of everybody.
    all_exceeded: Option<Instant>,
}

impl Marks {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            entries: HashMap::new(),
            places: Shares::new(bounds),
            exceeded: HashMap::new(),
            most_exceeded: bounds.whole,
            all_exceeded: None,
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing at all is stored: then nobody carries anything.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.exceeded.is_empty() && self.all_exceeded.is_none()
    }

    pub fn of(&self, carrier: &Carrier, now: Instant) -> Known {
        let mut known = Known::default();
        if self.is_empty() {
            return known;
        }
        let is_now = |until: &Option<Instant>| until.is_some_and(|until| until > now);
        let own = self.entries.get(&carrier.key);
        if let Some(entry) = own {
            let marks = entry.marks.iter();
            let marks = marks.filter(|mark| mark.until.is_none_or(|until| until > now));
            known.labels.extend(marks.map(|mark| mark.label.to_string()));
            known.exceeded = is_now(&entry.every);
            known.cleared = is_now(&entry.cleared);
        } else {
            let theirs = self.exceeded.get(sharer(&carrier.principal)).copied();
            known.exceeded = is_now(&theirs) || is_now(&self.all_exceeded);
        }
        if carrier.key != carrier.whole {
            let whole = self.entries.get(&carrier.whole);
            known.cleared |= whole.is_some_and(|entry| is_now(&entry.cleared));
        }
        known
    }

    /// Labels that a conversation carries from now on; those of a session as long as it is, others for so long.
    pub fn bring(
        &mut self,
        carrier: &Carrier,
        labels: &BTreeSet<String>,
        origin: &Origin,
        lasts: Duration,
        now: Instant,
    ) {
        let until = (carrier.kind != Kind::Session).then(|| now + lasts);
        let Some(entry) = self.entry(carrier, lasts, now) else { return };
        let mut shared: Option<Arc<Origin>> = None;
        let mut first = || shared.get_or_insert_with(|| origin.clone().bounded().into()).clone();
        for label in labels {
            let known = entry.marks.iter().position(|mark| *mark.label == **label);
            match known {
                Some(at) => {
                    let mark = &mut entry.marks[at];
                    // The call that was first stays named.
                    if mark.until.is_some_and(|until| until <= now) {
                        mark.origin = first();
                    }
                    mark.until = until;
                }
                None if entry.marks.len() >= MOST_LABELS => {
                    entry.every = Some(until.unwrap_or(now + DAY.max(lasts)));
                }
                None => {
                    let (label, origin) = (label.as_str().into(), first());
                    entry.marks.push(Mark { label, origin, until });
                }
            }
        }
    }

    /// The entry of a conversation. Where there is no room for one, what is not stored counts as unknown.
    fn entry(&mut self, carrier: &Carrier, lasts: Duration, now: Instant) -> Option<&mut Entry> {
        if !self.entries.contains_key(&carrier.key) {
            match self.places.take(&carrier.principal, 1) {
                Ok(held) => {
                    let entry = Entry {
                        about: carrier.about().into(),
                        session: carrier.session().cloned(),
                        marks: Vec::new(),
                        every: None,
                        cleared: None,
                        _held: Some(held),
                    };
                    self.entries.insert(carrier.key, entry);
                }
                Err(_) => {
                    let patience = match carrier.kind {
                        Kind::Session => DAY.max(lasts),
                        Kind::Conversation | Kind::Caller => lasts,
                    };
                    self.exceed(sharer(&carrier.principal), now + patience);
                    return None;
                }
            }
        }
        self.entries.get_mut(&carrier.key)
    }

    fn exceed(&mut self, whose: &str, until: Instant) {
        let room = self.exceeded.len() < self.most_exceeded;
        match self.exceeded.get_mut(whose) {
            Some(known) => *known = (*known).max(until),
            None if room => _ = self.exceeded.insert(whose.into(), until),
            None => self.all_exceeded = self.all_exceeded.max(Some(until)),
        }
    }

    /// A conversation carries nothing any more; what was before is known not to count for so long. Returns the labels that
    /// it had.
    pub fn clear(&mut self, carrier: &Carrier, keeps: Duration, now: Instant) -> Vec<String> {
        let had = self.entries.remove(&carrier.key).map(|entry| entry.marks).unwrap_or_default();
        self.exceeded.remove(sharer(&carrier.principal));
        if let Some(entry) = self.entry(carrier, keeps, now) {
            entry.cleared = Some(now + keeps);
        }
        let had = had.into_iter().filter(|mark| mark.until.is_none_or(|until| until > now));
        had.map(|mark| mark.label.into()).collect()
    }

    /// Clears the conversations that a filter names. Returns what they were, with the labels that they had.
    pub fn clear_those(
        &mut self,
        keeps: Duration,
        now: Instant,
        are_meant: impl Fn(&About) -> bool,
    ) -> Vec<(Arc<About>, Vec<String>)> {
        let mut cleared = Vec::new();
        let mut sharers = BTreeSet::new();
        for entry in self.entries.values_mut().filter(|entry| are_meant(&entry.about)) {
            let had = std::mem::take(&mut entry.marks);
            let had = had.into_iter().filter(|mark| mark.until.is_none_or(|until| until > now));
            cleared.push((entry.about.clone(), had.map(|mark| mark.label.into()).collect()));
            sharers.insert(sharer(&entry.about.principal).to_owned());
            entry.every = None;
            entry.cleared = Some(now + keeps);
        }
        self.exceeded.retain(|whose, _| !sharers.contains(&**whose));
        cleared
    }

    pub fn list(&self, now: Instant) -> Vec<Reported> {
        let held = self.entries.values().filter(|entry| entry.holds(now));
        let reported = held.map(|entry| {
            let marks = entry.marks.iter();
            let marks = marks.filter(|mark| mark.until.is_none_or(|until| until > now)).cloned();
            let is_now = |until: Option<Instant>| until.is_some_and(|until| until > now);
            Reported {
                about: entry.about.clone(),
                marks: marks.collect(),
                exceeded: is_now(entry.every),
                cleared: is_now(entry.cleared),
            }
        });
        reported.collect()
    }

    /// Drops what has ended: labels by time, and those of sessions that are not open any more.
    pub fn sweep(&mut self, now: Instant, is_open: impl Fn(&str) -> bool) {
        self.entries.retain(|_, entry| match &entry.session {
            Some(session) => is_open(session) && entry.holds(now),
            None => entry.holds(now),
        });
        self.exceeded.retain(|_, until| *until > now);
        self.all_exceeded = self.all_exceeded.filter(|until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::carrier::Caller;
    use super::*;
    use doorward_config::Separation;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn carrier(principal: &str, conversation: &str) -> Carrier {
        let principal = Arc::from(principal);
        let conversation = Some(conversation);
        let caller = Caller { principal: &principal, tenant: None, session: None, conversation };
        Carrier::of(&caller, Separation::Trusted)
    }

    fn session(principal: &str, id: &str) -> Carrier {
        let (principal, id) = (Arc::from(principal), Arc::from(id));
        let caller =
            Caller { principal: &principal, tenant: None, session: Some(&id), conversation: None };
        Carrier::of(&caller, Separation::Sessions)
    }

    fn origin(call: &str) -> Origin {
        Origin { call: call.into(), server: "web".into(), target: "get".into(), at: 1 }
    }

    fn set(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn a_label_holds_for_its_time_after_the_last_call_and_names_the_first() {
        let mut marks = Marks::new(Bounds::new(8, 1));
        let (one, start) = (carrier("user \"a\"", "1"), Instant::now());
        marks.bring(&one, &set(&["untrusted"]), &origin("first"), HOUR, start);
        marks.bring(&one, &set(&["untrusted", "pii"]), &origin("second"), HOUR, start + HOUR / 2);
        let listed = marks.list(start + HOUR);
        let named: Vec<_> =
            listed[0].marks.iter().map(|mark| (&*mark.label, &*mark.origin.call)).collect();
        assert_eq!(named, [("untrusted", "first"), ("pii", "second")]);
        assert_eq!(marks.of(&one, start + HOUR).labels, set(&["pii", "untrusted"]));
        assert!(marks.of(&one, start + HOUR + HOUR / 2).labels.is_empty());
        marks.sweep(start + HOUR + HOUR / 2, |_| true);
        assert!(marks.is_empty());
    }

    #[test]
    fn labels_of_a_session_end_with_it_and_not_by_time() {
        let mut marks = Marks::new(Bounds::new(8, 1));
        let (one, start) = (session("user \"a\"", "1"), Instant::now());
        marks.bring(&one, &set(&["untrusted"]), &origin("first"), HOUR, start);
        let later = start + 10 * HOUR;
        marks.sweep(later, |_| true);
        assert_eq!(marks.of(&one, later).labels, set(&["untrusted"]));
        marks.sweep(later, |_| false);
        assert!(marks.is_empty());
    }

    #[test]
    fn beyond_its_share_a_callers_other_conversations_are_unknown_and_nobody_elses() {
        let mut marks = Marks::new(Bounds::new(8, 4));
        let start = Instant::now();
        for id in ["1", "2", "3"] {
            marks.bring(&carrier("user \"a\"", id), &set(&["pii"]), &origin("c"), HOUR, start);
        }
        for (principal, id, exceeded) in [
            ("user \"a\"", "1", false),
            ("user \"a\"", "3", true),
            ("user \"a\"", "never seen", true),
            ("user \"a\" by \"agent\"", "1", true),
            ("user \"b\"", "1", false),
        ] {
            let known = marks.of(&carrier(principal, id), start);
            assert_eq!(known.exceeded, exceeded, "{principal} {id}");
        }
        marks.sweep(start + HOUR, |_| true);
        assert!(!marks.of(&carrier("user \"a\"", "3"), start + HOUR).exceeded);
    }

    #[test]
    fn beyond_all_bounds_everybody_is_unknown() {
        let mut marks = Marks::new(Bounds::new(2, 2));
        let start = Instant::now();
        for principal in ["a", "b", "c", "d", "e", "f"] {
            marks.bring(&carrier(principal, "1"), &set(&["pii"]), &origin("c"), HOUR, start);
        }
        assert_eq!(marks.len(), 2);
        assert!(marks.of(&carrier("never seen", "1"), start).exceeded);
        assert!(!marks.of(&carrier("a", "1"), start).exceeded);
    }

    #[test]
    fn more_labels_than_are_stored_are_every_label() {
        let mut marks = Marks::new(Bounds::new(8, 1));
        let (one, start) = (carrier("a", "1"), Instant::now());
        let many: BTreeSet<String> = (0..100).map(|number| format!("label-{number}")).collect();
        marks.bring(&one, &many, &origin("c"), HOUR, start);
        let known = marks.of(&one, start);
        assert!(known.exceeded && known.labels.len() == MOST_LABELS);
    }

    #[test]
    fn what_is_cleared_is_known_to_carry_nothing_until_something_is_returned_again() {
        let mut marks = Marks::new(Bounds::new(8, 1));
        let (one, start) = (carrier("a", "1"), Instant::now());
        marks.bring(&one, &set(&["pii"]), &origin("c"), HOUR, start);
        assert_eq!(marks.clear(&one, HOUR, start), ["pii"]);
        let known = marks.of(&one, start);
        assert!(known.cleared && known.labels.is_empty());
        marks.bring(&one, &set(&["secret"]), &origin("d"), HOUR, start);
        assert_eq!(marks.of(&one, start).labels, set(&["secret"]));
        let cleared = marks.clear_those(HOUR, start, |about| about.principal == "a");
        assert_eq!(cleared[0].1, ["secret"]);
        assert!(marks.of(&one, start).labels.is_empty());
    }
}
