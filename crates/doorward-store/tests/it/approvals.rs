//! Approvals of calls, on both databases.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use doorward_governance::approvals::{Approval, Asker, Ballot, Refused, State, Subject, Voter};
use doorward_policy::{Approver, Hold, Principal, PrincipalKind, Remember};
use doorward_store::{Asking, MOST_APPROVALS_OF_CALLER};

use crate::support::World;

pub fn waiting(id: &str, digest: &str, people: u8) -> Approval {
    let hold = Hold {
        policy: "p".into(),
        reason: Some("Payments".into()),
        approvers: vec![Approver::Role("lead".into())],
        ttl: 100,
        people,
        remember: Some(Remember::Seconds(50)),
        by_self: false,
        edit: Vec::new(),
    };
    Approval {
        id: id.into(),
        digest: digest.into(),
        asker: Asker {
            kind: PrincipalKind::User,
            id: "ann".into(),
            tenant: None,
            agent: None,
            chain: Vec::new(),
        },
        subject: Subject {
            portal: String::new(),
            server: "pay".into(),
            method: "tools/call".into(),
            name: "send".into(),
            arguments: "{\"to\":\"bob\"}".into(),
            definition: None,
            policies: "v".into(),
            facts: BTreeMap::new(),
            answers: None,
        },
        holds: vec![hold],
        memories: vec![("p".into(), format!("memory of {digest}"))],
        state: State::Waiting,
        created: 1_000,
        expires: 1_100,
        votes: Vec::new(),
    }
}

pub fn lead(id: &str) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        id: id.into(),
        tenant: None,
        teams: BTreeSet::new(),
        roles: BTreeSet::from(["lead".into()]),
    }
}

pub fn voter(who: &Principal) -> Voter<'_> {
    Voter::Person { who, is_acted_for: false }
}

#[tokio::test]
async fn a_call_is_requested_once_approved_once_and_taken_once() {
    for world in World::all() {
        let store = world.open().await;
        let (dana, eve) = (lead("dana"), lead("eve"));
        let asked = waiting("a", "d", 1);
        assert_eq!(store.ask_approval("ann", &asked, 1_000).await.unwrap(), Asking::Created);
        let again = waiting("b", "d", 1);
        let found = Asking::Found(Box::new(asked.clone()));
        assert_eq!(store.ask_approval("ann", &again, 1_001).await.unwrap(), found);
        assert_eq!(store.waiting_approvals(1_002).await.unwrap(), 1);
        assert!(!store.take_approval(&asked, "c1", None, 1_002).await.unwrap());
        assert!(!store.is_remembered("memory of d", 1_002).await.unwrap());
        let nobody = Principal { roles: BTreeSet::new(), ..lead("bob") };
        let refused = store
            .vote_approval("a", voter(&nobody), &Ballot::new(true, None), 1_002)
            .await
            .unwrap();
        assert_eq!(refused, Err(Refused::NotAllowed));
        let unknown =
            store.vote_approval("x", voter(&dana), &Ballot::new(true, None), 1_002).await.unwrap();
        assert_eq!(unknown, Err(Refused::NotAllowed));
        let voted = store
            .vote_approval("a", voter(&dana), &Ballot::new(true, Some("fine")), 1_010)
            .await
            .unwrap();
        let approved = voted.unwrap();
        assert_eq!((approved.state, approved.expires), (State::Approved, 1_110));
        // A repeated vote by the same approver changes nothing; a vote after the decision is refused.
        let again =
            store.vote_approval("a", voter(&dana), &Ballot::new(true, None), 1_011).await.unwrap();
        assert_eq!(again.unwrap(), approved);
        let late =
            store.vote_approval("a", voter(&eve), &Ballot::new(false, None), 1_011).await.unwrap();
        assert_eq!(late, Err(Refused::Over(State::Approved)));
        assert_eq!(store.approval("a").await.unwrap(), Some(approved.clone()));
        assert_eq!(store.open_approval("d", 1_011).await.unwrap(), Some(approved.clone()));
        assert!(store.is_remembered("memory of d", 1_059).await.unwrap());
        assert!(!store.is_remembered("memory of d", 1_060).await.unwrap());
        let tries = (0..8).map(|at| {
            let (store, approved) = (store.clone(), approved.clone());
            tokio::spawn(async move {
                store.take_approval(&approved, &format!("c{at}"), None, 1_020).await.unwrap()
            })
        });
        let mut taken = 0;
        for one in tries.collect::<Vec<_>>() {
            taken += usize::from(one.await.unwrap());
        }
        assert_eq!(taken, 1);
        let taken = store.approval("a").await.unwrap().unwrap();
        assert_eq!(taken.state, State::Taken);
        let mut sent = 0;
        for at in 0..8 {
            sent += usize::from(store.send_approval("a", &format!("c{at}")).await.unwrap());
        }
        assert_eq!(sent, 1);
        assert!(store.open_approval("d", 1_021).await.unwrap().is_none());
        // Only the call that took the approval can return it, and only while no newer request is open.
        let again = waiting("again", "e", 1);
        store.ask_approval("ann", &again, 1_000).await.unwrap();
        let again = store
            .vote_approval("again", voter(&dana), &Ballot::new(true, None), 1_001)
            .await
            .unwrap();
        let again = again.unwrap();
        assert!(store.take_approval(&again, "c1", None, 1_002).await.unwrap());
        assert!(!store.return_approval(&again, "c2", 1_003).await.unwrap());
        assert!(store.return_approval(&again, "c1", 1_003).await.unwrap());
        assert!(!store.return_approval(&again, "c1", 1_003).await.unwrap());
        assert!(store.take_approval(&again, "c3", None, 1_004).await.unwrap());
        assert!(store.send_approval("again", "c3").await.unwrap());
        store.ask_approval("ann", &waiting("third", "e", 1), 1_005).await.unwrap();
        assert!(!store.return_approval(&again, "c3", 1_006).await.unwrap());
        let used = store.approvals(Some(State::Used), 1_021, 10).await.unwrap();
        assert_eq!((used.len(), used[0].votes.len()), (2, 1));
        // The same call now needs a new approval.
        let next = waiting("b", "d", 1);
        assert_eq!(store.ask_approval("ann", &next, 1_022).await.unwrap(), Asking::Created);
        store.close().await;
    }
}

#[tokio::test]
async fn of_two_who_approve_at_once_both_count() {
    for world in World::all() {
        let store = world.open().await;
        for round in 0..10 {
            let id = format!("a{round}");
            let asked = waiting(&id, &id, 2);
            store.ask_approval("ann", &asked, 1_000).await.unwrap();
            let votes = ["dana", "eve"].map(|name| {
                let (store, id) = (store.clone(), id.clone());
                tokio::spawn(async move {
                    let who = lead(name);
                    store
                        .vote_approval(&id, voter(&who), &Ballot::new(true, None), 1_001)
                        .await
                        .unwrap()
                })
            });
            for vote in votes {
                vote.await.unwrap().unwrap();
            }
            let approval = store.approval(&id).await.unwrap().unwrap();
            assert_eq!((approval.state, approval.votes.len()), (State::Approved, 2));
        }
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_refused_expired_or_ended_cannot_be_taken() {
    for world in World::all() {
        let store = world.open().await;
        let dana = lead("dana");
        for (id, approves) in [("a", false), ("b", true), ("c", true)] {
            store.ask_approval("ann", &waiting(id, id, 1), 1_000).await.unwrap();
            let voted = store
                .vote_approval(id, voter(&dana), &Ballot::new(approves, Some("no")), 1_001)
                .await;
            voted.unwrap().unwrap();
        }
        let refused = store.open_approval("a", 1_002).await.unwrap().unwrap();
        assert_eq!(refused.votes[0].reason.as_deref(), Some("no"));
        let other =
            store.vote_approval("a", voter(&dana), &Ballot::new(true, None), 1_002).await.unwrap();
        assert_eq!(other, Err(Refused::Already));
        assert!(!store.take_approval(&refused, "x", None, 1_002).await.unwrap());
        let ended = store.approval("b").await.unwrap().unwrap();
        assert!(store.end_approval(&ended, "the tool has changed").await.unwrap());
        assert!(!store.end_approval(&ended, "the tool has changed").await.unwrap());
        assert!(!store.take_approval(&ended, "x", None, 1_002).await.unwrap());
        let late = store.approval("c").await.unwrap().unwrap();
        assert!(!store.take_approval(&late, "x", None, 1_101).await.unwrap());
        let expired = store.approvals(Some(State::Expired), 1_101, 10).await.unwrap();
        assert_eq!(expired.len(), 1);
        assert_eq!(store.approvals(None, 1_101, 10).await.unwrap().len(), 3);
        store.close().await;
    }
}

#[tokio::test]
async fn so_many_of_a_caller_may_wait() {
    let world = World::all().remove(0);
    let store = world.open().await;
    for at in 0..MOST_APPROVALS_OF_CALLER {
        let one = waiting(&format!("a{at}"), &format!("d{at}"), 1);
        assert_eq!(store.ask_approval("ann", &one, 1_000).await.unwrap(), Asking::Created);
    }
    let more = waiting("more", "more", 1);
    let full = store.ask_approval("ann", &more, 1_001).await.unwrap();
    assert_eq!(full, Asking::TooMany(MOST_APPROVALS_OF_CALLER));
    assert_eq!(store.ask_approval("eve", &more, 1_001).await.unwrap(), Asking::Created);
    // Expired approvals do not count towards the limit.
    let later = waiting("later", "later", 1);
    assert_eq!(store.ask_approval("ann", &later, 1_200).await.unwrap(), Asking::Created);
    store.close().await;
}

#[tokio::test]
async fn what_was_taken_and_not_sent_is_given_back_after_its_lease() {
    for world in World::all() {
        let store = world.open().await;
        let dana = lead("dana");
        let asked = waiting("a", "d", 1);
        store.ask_approval("ann", &asked, 1_000).await.unwrap();
        let ballot = Ballot::new(true, None);
        let approved = store.vote_approval("a", voter(&dana), &ballot, 1_001).await.unwrap();
        let approved = approved.unwrap();
        assert!(store.take_approval(&approved, "c1", None, 1_002).await.unwrap());
        // The same call made meanwhile finds the approval taken and creates no new request.
        let found = store.open_approval("d", 1_003).await.unwrap().unwrap();
        assert_eq!((&*found.id, found.state), ("a", State::Taken));
        let again = store.ask_approval("ann", &waiting("b", "d", 1), 1_003).await.unwrap();
        assert!(matches!(again, Asking::Found(found) if found.state == State::Taken));
        // The lease has expired, as after a crash of the gateway that held it.
        let later = 1_002 + doorward_store::LEASE;
        assert_eq!(store.open_approval("d", later - 1).await.unwrap().unwrap().state, State::Taken);
        let back = store.open_approval("d", later).await.unwrap().unwrap();
        assert_eq!((&*back.id, back.state), ("a", State::Approved));
        // Two calls took the approval one after the other. Only the current holder can send.
        assert!(store.take_approval(&back, "c2", None, later).await.unwrap());
        assert!(!store.send_approval("a", "c1").await.unwrap());
        assert!(!store.return_approval(&back, "c1", later).await.unwrap());
        assert!(store.send_approval("a", "c2").await.unwrap());
        assert!(!store.send_approval("a", "c2").await.unwrap());
        assert!(store.open_approval("d", later + 1_000).await.unwrap().is_none());
        assert_eq!(store.give_back_unsent(later + 1_000).await.unwrap(), 0);
        assert_eq!(store.approval("a").await.unwrap().unwrap().state, State::Used);
        store.close().await;
    }
}

#[tokio::test]
async fn arguments_are_edited_where_every_policy_lets_the_only_approver() {
    for world in World::all() {
        let store = world.open().await;
        let dana = lead("dana");
        let edits = |name: &str| Ballot {
            edits: [(name.to_owned(), serde_json::json!("eve"))].into(),
            ..Ballot::new(true, None)
        };
        for (id, people, edit, name, expected) in [
            ("a", 1, &["to", "note"][..], "to", Ok(())),
            ("b", 1, &["note"][..], "to", Err(Refused::NotEditable)),
            ("c", 1, &[][..], "to", Err(Refused::NotEditable)),
            ("d", 2, &["to"][..], "to", Err(Refused::SeveralDecide)),
        ] {
            let mut asked = waiting(id, id, people);
            asked.holds[0].edit = edit.iter().map(|name| (*name).to_owned()).collect();
            store.ask_approval("ann", &asked, 1_000).await.unwrap();
            let voted = store.vote_approval(id, voter(&dana), &edits(name), 1_001).await.unwrap();
            assert_eq!(voted.map(|_| ()), expected, "{id}");
            let stored = store.approval(id).await.unwrap().unwrap();
            assert_eq!(stored.edits().is_some(), expected.is_ok(), "{id}");
        }
        let refusing = Ballot { approves: false, ..edits("to") };
        let mut asked = waiting("e", "e", 1);
        asked.holds[0].edit = vec!["to".into()];
        store.ask_approval("ann", &asked, 1_000).await.unwrap();
        let voted = store.vote_approval("e", voter(&dana), &refusing, 1_001).await.unwrap();
        assert_eq!(voted, Err(Refused::NotEditable));
        let mut long = edits("to");
        long.edits.insert("to".into(), "x".repeat(20_000).into());
        let voted = store.vote_approval("e", voter(&dana), &long, 1_001).await.unwrap();
        assert_eq!(voted, Err(Refused::TooLong));
        // With two policies, only the arguments that both name can be edited.
        let mut both = waiting("f", "f", 1);
        both.holds.push(both.holds[0].clone());
        both.holds[0].edit = vec!["to".into(), "note".into()];
        both.holds[1].edit = vec!["note".into()];
        assert_eq!(both.editable(), ["note"]);
        store.close().await;
    }
}
