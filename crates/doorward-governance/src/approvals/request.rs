//! A request for approval, from its first vote to its use.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use doorward_mcp::method;
use doorward_policy::{Hold, Principal, PrincipalKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest reason of a vote, in bytes.
pub const MOST_REASON: usize = 1_000;
/// Longest edited arguments of a call together, in bytes of JSON.
pub const MOST_EDITED: usize = 16 << 10;

/// Arguments that an approver has set, by name.
pub type Edits = BTreeMap<String, Value>;

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not yet decided.
    Waiting,
    /// The call runs when it is made again.
    Approved,
    /// Somebody has refused it.
    Refused,
    /// Nobody decided, or the approved call was not made, in time.
    Expired,
    /// A call has it that was not sent yet.
    Taken,
    /// The call was sent.
    Used,
    /// What was approved has changed.
    Ended,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Approved,
        Self::Refused,
        Self::Expired,
        Self::Taken,
        Self::Used,
        Self::Ended,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Taken => "taken",
            Self::Used => "used",
            Self::Ended => "ended",
        }
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// Who made the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    pub kind: PrincipalKind,
    /// As policies name it; where an agent acts for a user, the user.
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
}

/// What is to be approved, as people see it. It is not enforced by these texts, but by the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub portal: String,
    pub server: String,
    /// The MCP method.
    pub method: String,
    /// The server's own name of the tool or prompt, or the URI.
    pub name: String,
    /// JSON, masked as in audit records.
    pub arguments: String,
    /// What the client has answered to the server, where the call continues with that. Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
    /// The hash of the definition, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// The version of the policies.
    pub policies: String,
    /// What the gateway has learnt of the call: `findings`, `data` and `flow`, with their items. It may be another when the
    /// call is made again; the flow, and what comes of the rest, is in the digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Vec<String>>,
}

/// Who votes.
#[derive(Debug, Clone, Copy)]
pub enum Voter<'a> {
    Person {
        who: &'a Principal,
        /// An agent acts for them: only people decide.
        is_acted_for: bool,
    },
    /// Whoever can open the store on the machine itself (break-glass): one of the people that each policy requires.
    Machine(&'a str),
}

impl Voter<'_> {
    /// The name under which the vote is kept.
    pub fn name(&self) -> String {
        match self {
            Self::Person { who, .. } => who.id.clone(),
            Self::Machine(name) => format!("machine:{name}"),
        }
    }
}

/// A vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vote {
    pub by: String,
    pub approves: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds since 1970.
    pub at: i64,
    /// IDs of the policies for which it counts.
    pub policies: Vec<String>,
    /// Arguments that the call runs with instead of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub edits: Edits,
}

/// What somebody votes.
#[derive(Debug, Clone, Default)]
pub struct Ballot<'a> {
    pub approves: bool,
    pub reason: Option<&'a str>,
    /// Arguments that the call is to run with instead of its own.
    pub edits: Edits,
}

impl<'a> Ballot<'a> {
    pub fn new(approves: bool, reason: Option<&'a str>) -> Self {
        Self { approves, reason, edits: Edits::new() }
    }
}

/// Why a vote does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// They may not decide this; told as if it did not exist.
    #[error("there is no such approval")]
    NotAllowed,
    /// It is decided, or over.
    #[error("the approval is no longer waiting: it is {}", .0.as_str())]
    Over(State),
    /// They have voted otherwise before.
    #[error("you have already decided this")]
    Already,
    /// An argument that was edited is none of those that every policy lets approvers edit.
    #[error("these arguments cannot be edited: the policy does not name them in @approval_edit")]
    NotEditable,
    /// What one approver edits, the others have not seen.
    #[error("arguments cannot be edited where several people must approve")]
    SeveralDecide,
    #[error("the edited arguments are too long")]
    TooLong,
}

/// A request for approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub id: String,
    /// What it is bound to, as text.
    pub digest: String,
    pub asker: Asker,
    pub subject: Subject,
    /// All of these must be satisfied.
    pub holds: Vec<Hold>,
    /// Under what an approval is remembered, by the policies' IDs.
    pub memories: Vec<(String, String)>,
    pub state: State,
    pub created: i64,
    /// Until when it waits; once approved, until when the call can be made.
    pub expires: i64,
    pub votes: Vec<Vote>,
}

impl Approval {
    /// How long it waits, and how long an approved call can be made, in seconds.
    pub fn ttl(&self) -> i64 {
        self.holds.iter().map(|hold| hold.ttl).min().unwrap_or_default()
    }

    /// The state at a time.
    pub fn state_at(&self, now: i64) -> State {
        match self.state {
            State::Waiting | State::Approved if now >= self.expires => State::Expired,
            state => state,
        }
    }

    /// The policies for which somebody may decide; none for whoever may not decide at all. Callers do not decide their
    /// own calls, nor do users those that an agent makes for them, unless the policy says so. Members of other tenants do
    /// not decide.
    pub fn policies_of(&self, voter: Voter<'_>) -> Vec<&Hold> {
        let (who, is_acted_for) = match voter {
            Voter::Person { who, is_acted_for } => (who, is_acted_for),
            Voter::Machine(_) => return self.holds.iter().collect(),
        };
        if is_acted_for || who.kind != PrincipalKind::User {
            return Vec::new();
        }
        if who.tenant.is_some() && who.tenant != self.asker.tenant {
            return Vec::new();
        }
        let is_own = self.asker.kind == PrincipalKind::User && self.asker.id == who.id;
        let may = |hold: &&Hold| {
            (hold.by_self || !is_own) && hold.approvers.iter().any(|one| one.includes(who))
        };
        self.holds.iter().filter(may).collect()
    }

    /// Takes a vote. Whoever votes the same twice changes nothing (`false`).
    pub fn vote(
        &mut self,
        voter: Voter<'_>,
        ballot: &Ballot<'_>,
        now: i64,
    ) -> Result<bool, Refused> {
        let Ballot { approves, reason, edits } = ballot;
        let approves = *approves;
        let name = voter.name();
        let policies: Vec<String> =
            self.policies_of(voter).into_iter().map(|hold| hold.policy.clone()).collect();
        if policies.is_empty() {
            return Err(Refused::NotAllowed);
        }
        if let Some(before) = self.votes.iter().find(|vote| vote.by == name) {
            let same = before.approves == approves && before.edits == *edits;
            return if same { Ok(false) } else { Err(Refused::Already) };
        }
        match self.state_at(now) {
            State::Waiting => {}
            over => return Err(Refused::Over(over)),
        }
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        let reason = reason.map(|text| text[..text.floor_char_boundary(MOST_REASON)].to_owned());
        let before = self.votes.len();
        let edits = edits.clone();
        self.check_edits(&edits, approves)?;
        self.votes.push(Vote { by: name, approves, reason, at: now, policies, edits });
        let edited = self.votes.last().is_some_and(|vote| !vote.edits.is_empty());
        if edited && !self.missing().is_empty() {
            self.votes.truncate(before);
            return Err(Refused::SeveralDecide);
        }
        if !approves {
            self.state = State::Refused;
        } else if self.missing().is_empty() {
            self.state = State::Approved;
            self.expires = now + self.ttl();
        }
        Ok(true)
    }

    /// Whether these arguments may be edited by this vote.
    fn check_edits(&self, edits: &Edits, approves: bool) -> Result<(), Refused> {
        if edits.is_empty() {
            return Ok(());
        }
        let editable = self.editable();
        if !approves || edits.keys().any(|name| !editable.contains(&&**name)) {
            return Err(Refused::NotEditable);
        }
        if !self.votes.is_empty() {
            return Err(Refused::SeveralDecide);
        }
        let length = serde_json::to_string(edits).map_or(usize::MAX, |text| text.len());
        if length > MOST_EDITED { Err(Refused::TooLong) } else { Ok(()) }
    }

    /// Arguments that may be edited: those that each of the policies names.
    pub fn editable(&self) -> Vec<&str> {
        let Some((first, others)) = self.holds.split_first() else { return Vec::new() };
        // Input for a task has no arguments.
        if self.subject.method == method::TASKS_UPDATE {
            return Vec::new();
        }
        let all = |name: &&String| others.iter().all(|hold| hold.edit.contains(name));
        first.edit.iter().filter(all).map(String::as_str).collect()
    }

    /// What the call runs with instead of its own arguments.
    pub fn edits(&self) -> Option<&Edits> {
        self.votes.iter().map(|vote| &vote.edits).find(|edits| !edits.is_empty())
    }

    /// What is still missing: policies, and how many people each lacks.
    pub fn missing(&self) -> Vec<(&Hold, usize)> {
        let lacks = |hold: &Hold| {
            let voters: BTreeSet<&str> = self
                .votes
                .iter()
                .filter(|vote| vote.approves && vote.policies.contains(&hold.policy))
                .map(|vote| vote.by.as_str())
                .collect();
            usize::from(hold.people).saturating_sub(voters.len())
        };
        self.holds.iter().map(|hold| (hold, lacks(hold))).filter(|(_, lacks)| *lacks > 0).collect()
    }

    /// Whether the call may run now; it does so once.
    pub fn take(&mut self, now: i64) -> bool {
        let may = self.state_at(now) == State::Approved;
        if may {
            self.state = State::Used;
        }
        may
    }

    /// What is remembered now that it is approved: under what, for which policy, and until when.
    pub fn remembered(&self, now: i64) -> Vec<(&str, &str, i64)> {
        let until = |policy: &str| {
            let hold = self.holds.iter().find(|hold| hold.policy == policy)?;
            Some(now + hold.remember?.seconds())
        };
        self.memories
            .iter()
            .filter_map(|(policy, memory)| Some((&**memory, &**policy, until(policy)?)))
            .collect()
    }

    /// Why it waits: what the policies say.
    pub fn reason(&self) -> String {
        let said: Vec<&str> = self.holds.iter().filter_map(|hold| hold.reason.as_deref()).collect();
        if said.is_empty() { "A policy requires approval".into() } else { said.join("; ") }
    }

    /// What holds it: IDs of policies, `inspection`, or `check:NAME`.
    pub fn held_by(&self) -> String {
        let all: Vec<&str> = self.holds.iter().map(|hold| &*hold.policy).collect();
        all.join(", ")
    }

    /// Who can approve, as policies name them.
    pub fn may_approve(&self) -> BTreeSet<String> {
        let all = self.holds.iter().flat_map(|hold| &hold.approvers);
        all.map(ToString::to_string).collect()
    }

    /// Who can approve, in words.
    pub fn approvers(&self) -> String {
        let each = self.holds.iter().map(|hold| {
            let all: Vec<String> = hold.approvers.iter().map(ToString::to_string).collect();
            match hold.people {
                1 => all.join(", "),
                people => format!("{people} of {}", all.join(", ")),
            }
        });
        let mut all: Vec<String> = each.collect();
        all.dedup();
        all.join("; and ")
    }
}
