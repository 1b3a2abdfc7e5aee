//! The life of a server, from proposal to retirement: its states, and who may take it from one to the next.
//!
//! ```text
//! proposed ── review ──► in_review ── approve ──► approved ── activate ──► active ◄──► deprecated ── retire ──► retired
//!     └──────── reject ──────┴───────────────────────────────────────────────────────────────────────────────────► retired
//! approved, active, deprecated, retired ── quarantine ──► quarantined ── release ──► where it was
//! ```
//!
//! Everything here is pure: the store calls [`State::after`] in the transaction that makes a step, the gateway asks
//! [`State::serves`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod notice;

/// Where a server is in its life.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has reviewed it. Nothing connects to it.
    Proposed,
    /// A reviewer examines it, and may let the gateway look at it.
    InReview,
    /// Approved, and not in use yet.
    Approved,
    Active,
    /// In use; clients are told to stop using it.
    Deprecated,
    Retired,
    /// Taken out of use until somebody releases it.
    Quarantined,
}

/// What is done to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Propose,
    Review,
    Approve,
    Reject,
    Activate,
    Deprecate,
    Retire,
    Quarantine,
    Release,
}

/// Why a step is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// The table has no such step.
    #[error("a server that is {from} cannot be {done}; possible: {possible}", from = .from.as_str(),
        done = .step.done(), possible = possible(*.from))]
    Step { from: State, step: Step },
    /// Whoever proposed a server does not approve it.
    #[error("whoever proposed a server cannot approve it: another reviewer has to")]
    SameEyes,
}

fn possible(from: State) -> String {
    let steps = Step::ALL.into_iter().filter(|step| allowed(from, *step).is_some());
    let steps: Vec<_> = steps.map(Step::as_str).collect();
    if steps.is_empty() { "nothing".into() } else { steps.join(", ") }
}

/// Where a step leads: to a state, or back to where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    State(State),
    /// Where it was when it was quarantined.
    Back,
}

/// The table of allowed steps.
fn allowed(from: State, step: Step) -> Option<To> {
    use State::{Active, Approved, Deprecated, InReview, Proposed, Quarantined, Retired};
    Some(To::State(match (step, from) {
        // Proposing again replaces what was proposed, and begins the review again.
        (Step::Propose, Proposed | InReview | Retired) => Proposed,
        (Step::Review, Proposed) => InReview,
        (Step::Approve, InReview) => Approved,
        (Step::Activate, Approved | Deprecated) => Active,
        (Step::Deprecate, Active) => Deprecated,
        (Step::Reject, Proposed | InReview) | (Step::Retire, Approved | Active | Deprecated) => {
            Retired
        }
        (Step::Quarantine, Approved | Active | Deprecated | Retired) => Quarantined,
        (Step::Release, Quarantined) => return Some(To::Back),
        _ => return None,
    }))
}

impl State {
    pub const ALL: [Self; 7] = [
        Self::Proposed,
        Self::InReview,
        Self::Approved,
        Self::Active,
        Self::Deprecated,
        Self::Retired,
        Self::Quarantined,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::InReview => "in_review",
            Self::Approved => "approved",
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Retired => "retired",
            Self::Quarantined => "quarantined",
        }
    }

    /// The state of a name; a name that this version does not know is one in which nothing is served.
    pub fn read(text: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == text).unwrap_or(Self::Quarantined)
    }

    /// Whether clients reach the server.
    pub fn serves(self) -> bool {
        matches!(self, Self::Active | Self::Deprecated)
    }

    /// Whether it waits for a review.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Proposed | Self::InReview)
    }

    /// The state after a step. `was` is where a quarantined server was; without it, a released server has to be
    /// reviewed again.
    pub fn after(self, step: Step, was: Option<Self>) -> Result<Self, NotAllowed> {
        match allowed(self, step) {
            Some(To::State(next)) => Ok(next),
            Some(To::Back) => Ok(was.unwrap_or(Self::Proposed)),
            None => Err(NotAllowed::Step { from: self, step }),
        }
    }
}

impl Step {
    pub const ALL: [Self; 9] = [
        Self::Propose,
        Self::Review,
        Self::Approve,
        Self::Reject,
        Self::Activate,
        Self::Deprecate,
        Self::Retire,
        Self::Quarantine,
        Self::Release,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Propose => "propose",
            Self::Review => "review",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Activate => "activate",
            Self::Deprecate => "deprecate",
            Self::Retire => "retire",
            Self::Quarantine => "quarantine",
            Self::Release => "release",
        }
    }

    pub fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }

    /// Its name in the audit log.
    pub fn act(self) -> &'static str {
        match self {
            Self::Propose => "server.propose",
            Self::Review => "server.review",
            Self::Approve => "server.approve",
            Self::Reject => "server.reject",
            Self::Activate => "server.activate",
            Self::Deprecate => "server.deprecate",
            Self::Retire => "server.retire",
            Self::Quarantine => "server.quarantine",
            Self::Release => "server.release",
        }
    }

    /// The action that a policy must permit for it.
    pub fn action(self) -> &'static str {
        match self {
            Self::Propose => "propose",
            Self::Review | Self::Reject => "review",
            // What was taken out of use for a reason comes back by whoever may approve.
            Self::Approve | Self::Release => "approve",
            Self::Activate | Self::Deprecate | Self::Retire | Self::Quarantine => "operate",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Propose => "proposed",
            Self::Review => "reviewed",
            Self::Approve => "approved",
            Self::Reject => "rejected",
            Self::Activate => "activated",
            Self::Deprecate => "deprecated",
            Self::Retire => "retired",
            Self::Quarantine => "quarantined",
            Self::Release => "released",
        }
    }
}

/// Four eyes: refuses the approval of a server by whoever proposed it. Other steps are anybody's.
pub fn check_eyes(step: Step, proposed_by: &str, who: &str) -> Result<(), NotAllowed> {
    if step == Step::Approve && proposed_by == who { Err(NotAllowed::SameEyes) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every step from every state: a letter for the next state, a dot where the step is refused.
    const TABLE: [(Step, &str); 9] = [
        // From: proposed, in_review, approved, active, deprecated, retired, quarantined.
        (Step::Propose, "pp...p."),
        (Step::Review, "i......"),
        (Step::Approve, ".a....."),
        (Step::Reject, "rr....."),
        (Step::Activate, "..A.A.."),
        (Step::Deprecate, "...d..."),
        (Step::Retire, "..rrr.."),
        (Step::Quarantine, "..qqqq."),
        (Step::Release, "......A"),
    ];

    #[test]
    fn the_table_allows_these_steps_and_no_others() {
        for (step, row) in TABLE {
            for (from, letter) in State::ALL.into_iter().zip(row.chars()) {
                let expected = match letter {
                    'p' => Some(State::Proposed),
                    'i' => Some(State::InReview),
                    'a' => Some(State::Approved),
                    'A' => Some(State::Active),
                    'd' => Some(State::Deprecated),
                    'r' => Some(State::Retired),
                    'q' => Some(State::Quarantined),
                    _ => None,
                };
                let after = from.after(step, Some(State::Active));
                assert_eq!(after.ok(), expected, "{step:?} from {from:?}");
                let refused = NotAllowed::Step { from, step };
                assert!(expected.is_some() || after == Err(refused));
            }
        }
        assert_eq!(TABLE.map(|(step, _)| step), Step::ALL);
    }

    #[test]
    fn nothing_serves_without_an_approval() {
        // After any sequence of steps, an active server was approved since its last proposal.
        let mut seen = std::collections::HashSet::new();
        let mut waiting = vec![(State::Proposed, None, false)];
        while let Some(at @ (state, was, approved)) = waiting.pop() {
            if !seen.insert(at) {
                continue;
            }
            assert!(approved || !state.serves(), "{state:?} without an approval");
            for step in Step::ALL {
                let Ok(next) = state.after(step, was) else { continue };
                let approved = match step {
                    Step::Approve => true,
                    Step::Propose => false,
                    _ => approved,
                };
                let was = if step == Step::Quarantine { Some(state) } else { was };
                waiting.push((next, was, approved));
            }
        }
        assert!(seen.len() > State::ALL.len());
    }

    #[test]
    fn whoever_proposes_does_not_approve() {
        assert_eq!(check_eyes(Step::Approve, "alice", "alice"), Err(NotAllowed::SameEyes));
        assert_eq!(check_eyes(Step::Approve, "alice", "bob"), Ok(()));
        assert_eq!(check_eyes(Step::Retire, "alice", "alice"), Ok(()));
    }

    #[test]
    fn a_refusal_says_what_is_possible() {
        let refused = State::Proposed.after(Step::Approve, None).unwrap_err();
        let expected =
            "a server that is proposed cannot be approved; possible: propose, review, reject";
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn names_are_read_as_they_are_written_and_others_serve_nothing() {
        for state in State::ALL {
            assert_eq!(State::read(state.as_str()), state);
        }
        for step in Step::ALL {
            assert_eq!(Step::read(step.as_str()), Some(step));
            assert_eq!(step.act(), format!("server.{}", step.as_str()));
        }
        assert!(!State::read("approved-by-a-newer-version").serves());
    }
}
