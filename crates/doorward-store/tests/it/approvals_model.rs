//! Tests the approval state machine against a model, on both databases: random operations in any order, with
//! restarts, concurrent requests, edited arguments and changed tools. A call runs only with its approvals and only
//! once, and an approved call that did not run can still be made.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use doorward_governance::approvals::{Approval, Ballot, State};
use doorward_store::{Asking, LEASE, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::approvals::{lead, voter, waiting};
use crate::support::World;

const TTL: i64 = 100;
const CASES: u32 = 32;

#[derive(Debug, Clone)]
enum Deed {
    /// The caller makes the call, which creates an approval request or finds the open one.
    Ask,
    Vote {
        who: usize,
        approves: bool,
        edits: bool,
    },
    /// Two approvers vote at the same time.
    VoteBoth,
    Wait(i64),
    /// This many clients repeat the call at the same time; one of them takes the approval.
    Take(usize),
    /// The call is approved, but its holder does not send it within the lease, and another client takes it.
    Late,
    /// A current or former holder sends the call.
    Send(usize),
    /// A current or former holder returns the call unsent.
    Return(usize),
    /// The gateway is killed and restarted.
    Kill,
    /// The tool or the policies change.
    Change,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let vote = (0..4usize, prop::bool::weighted(0.9), prop::bool::weighted(0.3));
    let deed = prop_oneof![
        4 => Just(Deed::Ask),
        4 => vote.prop_map(|(who, approves, edits)| Deed::Vote { who, approves, edits }),
        1 => Just(Deed::VoteBoth),
        2 => (1..60i64).prop_map(Deed::Wait),
        5 => (1..4usize).prop_map(Deed::Take),
        2 => Just(Deed::Late),
        3 => (0..4usize).prop_map(Deed::Send),
        2 => (0..4usize).prop_map(Deed::Return),
        2 => Just(Deed::Kill),
        1 => Just(Deed::Change),
    ];
    proptest::collection::vec(deed, 5..40)
}

/// The expected state.
#[derive(Debug, Clone)]
struct Model {
    id: String,
    people: u8,
    expires: i64,
    voted: BTreeSet<usize>,
    edited: bool,
    state: State,
    /// The call that holds the approval, and when its lease ends.
    taken: Option<(String, i64)>,
    runs: u32,
}

impl Model {
    /// Making or reading the call returns an approval whose lease has expired.
    fn give_back(&mut self, now: i64) {
        if self.taken.as_ref().is_some_and(|(_, lease)| *lease <= now) {
            (self.taken, self.state) = (None, State::Approved);
        }
    }

    fn at(&self, now: i64) -> State {
        match self.state {
            State::Waiting | State::Approved if now >= self.expires => State::Expired,
            state => state,
        }
    }

    fn is_open(&self, now: i64) -> bool {
        match self.at(now) {
            State::Waiting | State::Approved | State::Taken => true,
            State::Refused => now < self.expires,
            State::Expired | State::Used | State::Ended => false,
        }
    }
}

/// A caller that repeats its call.
struct Play<'a> {
    world: &'a World,
    store: Store,
    caller: String,
    people: u8,
    now: i64,
    version: u32,
    count: u32,
    calls: usize,
    all: Vec<Model>,
    current: Option<usize>,
    /// Calls that hold or held an approval. The list is cleared when their gateway is killed.
    holders: Vec<(Approval, String)>,
}

impl Play<'_> {
    fn digest(&self) -> String {
        format!("{} {}", self.caller, self.version)
    }

    async fn found(&self) -> Option<Approval> {
        self.store.open_approval(&self.digest(), self.now).await.unwrap()
    }

    fn model(&mut self) -> Option<&mut Model> {
        self.current.map(|at| &mut self.all[at])
    }

    async fn ask(&mut self) {
        let now = self.now;
        self.all.iter_mut().for_each(|model| model.give_back(now));
        let is_open = self.model().is_some_and(|model| model.is_open(now));
        self.count += 1;
        let id = format!("{} {}", self.caller, self.count);
        let mut new = waiting(&id, &self.digest(), self.people);
        (new.created, new.expires, new.asker.id) = (now, now + TTL, self.caller.clone());
        // An approval with editable arguments cannot be remembered and needs exactly one approver.
        let edit = if self.people == 1 { vec!["to".to_owned()] } else { Vec::new() };
        (new.holds[0].edit, new.holds[0].remember, new.memories) = (edit, None, Vec::new());
        let asked = self.store.ask_approval(&self.caller, &new, now).await.unwrap();
        assert_eq!(asked == Asking::Created, !is_open, "{asked:?}");
        if !is_open {
            self.current = Some(self.all.len());
            self.all.push(Model {
                id,
                people: self.people,
                expires: now + TTL,
                voted: BTreeSet::new(),
                edited: false,
                state: State::Waiting,
                taken: None,
                runs: 0,
            });
        }
    }

    async fn vote(&mut self, who: usize, approves: bool, edits: bool) {
        let (now, people) = (self.now, self.people);
        let Some(model) = self.model() else { return };
        let (id, state, mut expected) = (model.id.clone(), model.at(now), None);
        let may_edit = people == 1 && approves;
        if state == State::Waiting && !model.voted.contains(&who) && (!edits || may_edit) {
            model.voted.insert(who);
            model.edited = edits;
            if !approves {
                model.state = State::Refused;
            } else if model.voted.len() >= usize::from(model.people) {
                (model.state, model.expires) = (State::Approved, now + TTL);
            }
            expected = Some(model.state);
        }
        let mut ballot = Ballot::new(approves, None);
        if edits {
            ballot.edits.insert("to".into(), json!(format!("edited by {who}")));
        }
        let name = format!("lead{who}");
        let person = lead(&name);
        let voted = self.store.vote_approval(&id, voter(&person), &ballot, now).await.unwrap();
        if let Some(state) = expected {
            assert_eq!(voted.unwrap().state, state);
        }
        let stored = self.store.approval(&id).await.unwrap().unwrap();
        let Some(model) = self.model() else { return };
        assert_eq!(stored.votes.len(), model.voted.len(), "{stored:?}");
        assert_eq!(stored.edits().is_some(), model.edited, "{stored:?}");
        if model.taken.is_none() && stored.state != State::Taken {
            assert_eq!(stored.state_at(now), model.at(now), "{stored:?}");
        }
    }

    async fn vote_both(&mut self) {
        let now = self.now;
        let Some(model) = self.model() else { return };
        if model.at(now) != State::Waiting {
            return;
        }
        let id = model.id.clone();
        let votes = [2, 3].map(|who| {
            let (store, id) = (self.store.clone(), id.clone());
            tokio::spawn(async move {
                let person = lead(&format!("lead{who}"));
                let ballot = Ballot::new(true, None);
                store.vote_approval(&id, voter(&person), &ballot, now).await.unwrap().is_ok()
            })
        });
        for vote in votes {
            vote.await.unwrap();
        }
        let stored = self.store.approval(&id).await.unwrap().unwrap();
        let Some(model) = self.model() else { return };
        // The second vote may be too late, but no approver counts twice.
        let by =
            stored.votes.iter().map(|vote| vote.by.trim_start_matches("lead").parse().unwrap());
        model.voted = by.collect();
        assert_eq!(model.voted.len(), stored.votes.len());
        assert!(model.voted.len() >= usize::from(model.people).min(2));
        if model.voted.len() >= usize::from(model.people) {
            (model.state, model.expires) = (State::Approved, now + TTL);
        }
        assert_eq!(stored.state, model.state);
    }

    async fn take(&mut self, at_once: usize) {
        let now = self.now;
        let found = self.found().await;
        if self.model().is_some_and(|model| model.taken.is_some()) {
            self.all.iter_mut().for_each(|model| model.give_back(now));
        }
        let expected = self.model().map(|model| (model.is_open(now), model.at(now)));
        let expected = expected.filter(|(is_open, _)| *is_open).map(|(_, state)| state);
        // The store returns an approved call that has not run, and nothing else.
        assert_eq!(found.as_ref().map(|found| found.state), expected);
        let Some(found) = found else { return };
        let calls: Vec<String> = (0..at_once).map(|at| format!("c{}", self.calls + at)).collect();
        self.calls += at_once;
        let tries: Vec<_> = calls
            .iter()
            .map(|call| {
                let (store, found, call) = (self.store.clone(), found.clone(), call.clone());
                tokio::spawn(
                    async move { store.take_approval(&found, &call, None, now).await.unwrap() },
                )
            })
            .collect();
        let mut taken = Vec::new();
        for (one, call) in tries.into_iter().zip(calls) {
            if one.await.unwrap() {
                taken.push(call);
            }
        }
        assert_eq!(taken.len(), usize::from(expected == Some(State::Approved)));
        let Some(call) = taken.pop() else { return };
        let Some(model) = self.model() else { return };
        // The call has as many approvals as it needs, and the edited arguments.
        assert!(model.voted.len() >= usize::from(model.people) && model.state == State::Approved);
        assert_eq!(found.edits().is_some(), model.edited);
        (model.state, model.taken) = (State::Taken, Some((call.clone(), now + LEASE)));
        self.holders.push((found, call));
    }

    fn holder(&mut self, at: usize) -> Option<(Approval, String)> {
        let count = self.holders.len();
        (count > 0).then(|| self.holders.remove(at % count))
    }

    async fn send(&mut self, at: usize) {
        let Some((approval, call)) = self.holder(at) else { return };
        let sent = self.store.send_approval(&approval.id, &call).await.unwrap();
        let model = self.all.iter_mut().find(|model| model.id == approval.id).unwrap();
        // Unless another call has taken the approval meanwhile.
        let has = model.taken.as_ref().is_some_and(|(taker, _)| *taker == call);
        assert_eq!(sent, has);
        if sent {
            (model.state, model.taken) = (State::Used, None);
            model.runs += 1;
        }
    }

    async fn give_back(&mut self, at: usize) {
        let Some((approval, call)) = self.holder(at) else { return };
        let back = self.store.return_approval(&approval, &call, self.now).await.unwrap();
        let model = self.all.iter_mut().find(|model| model.id == approval.id).unwrap();
        let has = model.taken.as_ref().is_some_and(|(taker, _)| *taker == call);
        assert_eq!(back, has);
        if back {
            (model.state, model.taken) = (State::Approved, None);
        }
    }

    async fn kill(&mut self) {
        self.holders.clear();
        self.store.close().await;
        self.store = self.world.open().await;
    }

    async fn run(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Ask => self.ask().await,
                Deed::Vote { who, approves, edits } => self.vote(who, approves, edits).await,
                Deed::VoteBoth => self.vote_both().await,
                Deed::Wait(seconds) => self.now += seconds,
                Deed::Take(at_once) => self.take(at_once).await,
                Deed::Late => {
                    for who in [0, 1] {
                        self.vote(who, true, false).await;
                    }
                    for _ in 0..2 {
                        self.take(1).await;
                        self.now += LEASE;
                    }
                }
                Deed::Send(at) => self.send(at).await,
                Deed::Return(at) => self.give_back(at).await,
                Deed::Kill => self.kill().await,
                Deed::Change => {
                    self.version += 1;
                    self.current = None;
                }
            }
        }
        assert!(self.all.iter().all(|model| model.runs <= 1), "{:?}", self.all);
        // Kill the gateway at the end: an approved call that has neither run nor expired can still be made after its
        // lease.
        self.kill().await;
        let Some(model) = self.current.map(|at| self.all[at].clone()) else { return };
        let stands = matches!(model.state, State::Approved | State::Taken);
        let later = model.taken.as_ref().map_or(self.now, |(_, lease)| self.now.max(*lease));
        if stands && later < model.expires {
            self.now = later;
            self.take(2).await;
            assert_eq!(self.holders.len(), 1, "{model:?}");
            self.send(0).await;
        }
        assert!(self.all.iter().all(|model| model.runs <= 1), "{:?}", self.all);
    }
}

#[test]
fn it_runs_once_with_its_approvals_and_what_was_approved_is_not_lost() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for world in World::all() {
        let mut store = runtime.block_on(world.open());
        let mut case = 0;
        let mut all = Vec::new();
        let mut runner = TestRunner::new_with_rng(
            Config::with_cases(CASES),
            proptest::test_runner::TestRng::deterministic_rng(
                proptest::test_runner::RngAlgorithm::ChaCha,
            ),
        );
        for _ in 0..CASES {
            let tree = (1..3u8, deeds()).new_tree(&mut runner).unwrap();
            all.push(proptest::strategy::ValueTree::current(&tree));
        }
        for (people, deeds) in all {
            case += 1;
            let shown = format!("{people} people: {deeds:?}");
            let mut play = Play {
                world: &world,
                store,
                caller: format!("caller{case}"),
                people,
                // Start after everything of the previous case has expired.
                now: case * 100_000,
                version: 0,
                count: 0,
                calls: 0,
                all: Vec::new(),
                current: None,
                holders: Vec::new(),
            };
            let run = std::panic::AssertUnwindSafe(|| runtime.block_on(play.run(deeds)));
            if let Err(panic) = std::panic::catch_unwind(run) {
                eprintln!("{shown}");
                std::panic::resume_unwind(panic);
            }
            store = play.store;
        }
        runtime.block_on(store.close());
    }
}
