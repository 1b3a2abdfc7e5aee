#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{Approver, Hold, Principal, PrincipalKind, Remember};
use proptest::prelude::*;

use super::*;
use crate::pins::Hash;

fn hold(policy: &str, people: u8, by_self: bool) -> Hold {
    let (approvers, reason) = (vec![Approver::Role("lead".into())], None);
    Hold {
        policy: policy.into(),
        reason,
        approvers,
        ttl: 100,
        people,
        remember: None,
        by_self,
        edit: Vec::new(),
    }
}

fn user(id: &str) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        id: id.into(),
        tenant: None,
        teams: BTreeSet::new(),
        roles: BTreeSet::from(["lead".into()]),
    }
}

fn voter(who: &Principal) -> Voter<'_> {
    Voter::Person { who, is_acted_for: false }
}

fn waiting(holds: Vec<Hold>) -> Approval {
    Approval {
        id: "a".into(),
        digest: "d".into(),
        asker: Asker {
            kind: PrincipalKind::User,
            id: "0".into(),
            tenant: None,
            agent: Some("bot".into()),
            chain: Vec::new(),
        },
        subject: Subject {
            portal: String::new(),
            server: "s".into(),
            method: "tools/call".into(),
            name: "t".into(),
            arguments: "{}".into(),
            definition: None,
            policies: "v".into(),
            facts: BTreeMap::new(),
            answers: None,
        },
        holds,
        memories: Vec::new(),
        state: State::Waiting,
        created: 0,
        expires: 100,
        votes: Vec::new(),
    }
}

#[test]
fn only_people_who_are_named_and_did_not_ask_decide() {
    let mut approval = waiting(vec![hold("p", 1, false)]);
    approval.asker.tenant = Some("acme".into());
    let of = |who: &Principal, acted: bool| {
        approval.policies_of(Voter::Person { who, is_acted_for: acted }).len()
    };
    assert_eq!(of(&user("dana"), false), 1);
    assert_eq!(of(&user("dana"), true), 0);
    assert_eq!(of(&user("0"), false), 0);
    assert_eq!(of(&Principal { kind: PrincipalKind::Agent, ..user("bot") }, false), 0);
    assert_eq!(of(&Principal { roles: BTreeSet::new(), ..user("dana") }, false), 0);
    assert_eq!(of(&Principal { tenant: Some("acme".into()), ..user("dana") }, false), 1);
    assert_eq!(of(&Principal { tenant: Some("other".into()), ..user("dana") }, false), 0);
    let own = waiting(vec![hold("p", 1, true)]);
    assert_eq!(own.policies_of(voter(&user("0"))).len(), 1);
    assert_eq!(own.policies_of(Voter::Machine("root")).len(), 1);
}

#[test]
fn every_part_is_bound() {
    let chain = ["a".to_owned()];
    let bound = Bound {
        principal: "p",
        agent: None,
        chain: &[],
        credential: "k",
        portal: "",
        server: "s",
        method: "tools/call",
        name: "t",
        definition: Some(Hash([1; 32])),
        policies: "v",
        labels: &BTreeSet::new(),
    };
    let (one, two) = (["pii".to_owned()].into(), ["pi".to_owned(), "i".to_owned()].into());
    let holds = [Hold { remember: Some(Remember::Session), ..hold("p", 1, false) }];
    let others = [
        Bound { principal: "q", ..bound },
        Bound { agent: Some(""), ..bound },
        Bound { chain: &chain, ..bound },
        Bound { credential: "l", ..bound },
        Bound { portal: "x", ..bound },
        Bound { server: "st", name: "", ..bound },
        Bound { method: "prompts/get", ..bound },
        Bound { name: "u", ..bound },
        Bound { definition: None, ..bound },
        Bound { policies: "w", ..bound },
    ];
    let mut digests = BTreeSet::from([
        bound.digest(b"{}", b"", &holds),
        bound.digest(b"{ }", b"", &holds),
        bound.digest(b"", b"{}", &holds),
        bound.digest(b"{}", b"{}", &holds),
    ]);
    digests.insert(bound.digest(b"{}", b"", &[]));
    for labels in [&one, &two] {
        let other = Bound { labels, ..bound };
        digests.insert(other.digest(b"{}", b"", &holds));
        assert_eq!(other.memory(&holds[0], Some("1")), bound.memory(&holds[0], Some("1")));
    }
    let mut memories = BTreeSet::from([bound.memory(&holds[0], Some("1")).unwrap()]);
    memories.insert(bound.memory(&holds[0], Some("2")).unwrap());
    for other in others {
        digests.insert(other.digest(b"{}", b"", &holds));
        memories.insert(other.memory(&holds[0], Some("1")).unwrap());
    }
    // By what it is held, why, and who decides.
    for other in [
        Hold { policy: "inspection".into(), ..holds[0].clone() },
        Hold { reason: Some("a finding".into()), ..holds[0].clone() },
        Hold { approvers: vec![Approver::User("lead".into())], ..holds[0].clone() },
        Hold { people: 2, ..holds[0].clone() },
        Hold { by_self: true, ..holds[0].clone() },
    ] {
        digests.insert(bound.digest(b"{}", b"", std::slice::from_ref(&other)));
        digests.insert(bound.digest(b"{}", b"", &[holds[0].clone(), other]));
    }
    assert_eq!((digests.len(), memories.len()), (27, 12));
    assert_eq!(bound.memory(&holds[0], None), None);
    assert_eq!(bound.memory(&hold("p", 1, false), Some("1")), None);
}

#[derive(Debug, Clone)]
enum Deed {
    Vote { who: u8, approves: bool },
    Wait(i64),
    Take,
    Restart,
}

fn some_deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0..5u8, prop::bool::weighted(0.9)).prop_map(|(who, approves)| Deed::Vote { who, approves }),
        2 => (1..60i64).prop_map(Deed::Wait),
        2 => Just(Deed::Take),
        1 => Just(Deed::Restart),
    ];
    proptest::collection::vec(deed, 1..25)
}

proptest! {
    /// Whatever is done in whatever order: it runs at most once, only after as many different people as each policy
    /// wants, none of them the asker, within its time; and never after a refusal.
    #[test]
    fn it_runs_once_with_its_approvals_or_not_at_all(
        people in proptest::collection::vec((1..4u8, any::<bool>()), 1..3),
        deeds in some_deeds(),
    ) {
        let holds: Vec<Hold> = people
            .iter()
            .enumerate()
            .map(|(at, (people, by_self))| hold(&at.to_string(), *people, *by_self))
            .collect();
        let mut approval = waiting(holds.clone());
        // The model: who has voted, when it was complete, and whether it is over.
        let (mut now, mut voted, mut refused, mut complete, mut runs) =
            (0, BTreeSet::new(), false, None, 0);
        for deed in deeds {
            match deed {
                Deed::Wait(seconds) => now += seconds,
                Deed::Restart => {
                    let text = serde_json::to_string(&approval).unwrap();
                    approval = serde_json::from_str(&text).unwrap();
                }
                Deed::Vote { who, approves } => {
                    let open = !refused && complete.is_none() && now < 100;
                    let may = who != 0 || holds.iter().any(|hold| hold.by_self);
                    let person = user(&who.to_string());
                    let counts = approval.vote(voter(&person), &Ballot::new(approves, None), now) == Ok(true);
                    prop_assert_eq!(counts, open && may && !voted.contains(&who));
                    if counts {
                        refused |= !approves;
                        voted.insert(who);
                        let enough = holds.iter().all(|hold| {
                            let of = |who: &&u8| **who != 0 || hold.by_self;
                            voted.iter().filter(of).count() >= usize::from(hold.people)
                        });
                        if enough && !refused {
                            complete = Some(now);
                        }
                    }
                }
                Deed::Take => {
                    let may = runs == 0 && complete.is_some_and(|at| now < at + 100);
                    prop_assert_eq!(approval.take(now), may);
                    runs += i32::from(may);
                }
            }
        }
        prop_assert!(runs <= 1);
    }
}
