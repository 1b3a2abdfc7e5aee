//! Callers of whom it is not known what they carry, since the memory of labels is younger than labels last.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_config::Period;
use parking_lot::RwLock;

use super::carrier::{About, Carrier, Key, Kind};

/// Most callers that are listed; what more of them carry is not known all the same.
const MOST: usize = 10_000;

/// Why it is not known what a conversation carries. It counts as every label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The memory of labels is younger than labels last: the gateway has started, or the shared store has lost its data. How
    /// long that counts.
    Start(Duration),
    /// More conversations or labels than are stored.
    Bounds,
    /// The shared store is unavailable.
    Away,
}

impl Unknown {
    /// A stable word: `start`, `bounds` or `away`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Bounds => "bounds",
            Self::Away => "away",
        }
    }

    /// For whoever is denied a call because of it.
    pub fn explained(self) -> String {
        let why = match self {
            Self::Start(left) => {
                let left = Period(Duration::from_secs(left.as_secs().max(1)));
                format!(
                    "what this caller has read before the gateway started is not known, for {left} \
                     from now"
                )
            }
            Self::Bounds => "more was returned to this caller than is stored".into(),
            Self::Away => "the store that has the labels is unavailable".into(),
        };
        format!("{why}, so it counts as every label. An administrator can clear it")
    }
}

/// The callers that were seen so since the start.
#[derive(Debug, Default)]
pub struct UnknownCallers {
    seen: RwLock<HashMap<Key, (Arc<About>, Instant)>>,
}

impl UnknownCallers {
    /// Notes a caller; the log says so once.
    pub fn note(&self, carrier: &Carrier, left: Duration, now: Instant) {
        if self.seen.read().contains_key(&carrier.whole) {
            return;
        }
        let mut seen = self.seen.write();
        if seen.len() >= MOST || seen.contains_key(&carrier.whole) {
            return;
        }
        let principal = carrier.principal.to_string();
        tracing::info!(
            principal,
            left_s = left.as_secs(),
            "flow rules: it is not known what this caller has read before the start; it counts as \
             every label, until labels would have ended or 'doorward flow clear'"
        );
        let tenant = carrier.tenant.as_deref().map(Into::into);
        let about = About { kind: Kind::Caller, principal, tenant, name: None };
        seen.insert(carrier.whole, (about.into(), now + left));
    }

    /// Those of whom it is still not known, and how long that counts.
    pub fn list(&self, now: Instant) -> Vec<(Arc<About>, Duration)> {
        let seen = self.seen.read();
        let left = |until: &Instant| until.saturating_duration_since(now);
        let all = seen.values().map(|(about, until)| (about.clone(), left(until)));
        all.filter(|(_, left)| !left.is_zero()).collect()
    }

    /// Somebody was cleared: it is known now.
    pub fn forget(&self, is_meant: impl Fn(&About) -> bool) {
        self.seen.write().retain(|_, (about, _)| !is_meant(about));
    }

    /// Drops what has ended.
    pub fn sweep(&self, now: Instant) {
        if !self.seen.read().is_empty() {
            self.seen.write().retain(|_, (_, until)| *until > now);
        }
    }
}
