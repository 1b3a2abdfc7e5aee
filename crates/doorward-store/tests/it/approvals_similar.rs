//! What was decided about similar calls, on both databases.
#![allow(clippy::unwrap_used)]

use doorward_governance::approvals::{Approval, Ballot, Similar};
use doorward_store::Store;

use crate::approvals::{lead, voter, waiting};
use crate::support::World;

fn asked(id: &str, arguments: &str, at: i64) -> Approval {
    let mut new = waiting(id, id, 1);
    new.subject.arguments = arguments.into();
    (new.created, new.expires) = (at, at + 100);
    new
}

async fn decided(store: &Store, principal: &str, new: &Approval, approves: bool) -> Approval {
    store.ask_approval(principal, new, new.created).await.unwrap();
    let dana = lead("dana");
    let ballot = Ballot::new(approves, None);
    let voted = store.vote_approval(&new.id, voter(&dana), &ballot, new.created + 1).await;
    voted.unwrap().unwrap()
}

#[tokio::test]
async fn the_last_five_decisions_about_the_same_tool_and_caller_are_similar() {
    for world in World::all() {
        let store = world.open().await;
        for number in 0..6 {
            let new = asked(&format!("a{number}"), "{\"to\":\"bob\"}", 1_000 + number);
            decided(&store, "ann", &new, number % 2 == 1).await;
        }
        // It is made, and its outcome is known.
        let made = asked("a6", "{\"to\":\"eve\",\"n\":1}", 1_006);
        let made = decided(&store, "ann", &made, true).await;
        store.note_outcome("a6", "ok").await.unwrap();
        assert!(store.take_approval(&made, "c", None, 1_008).await.unwrap());
        assert!(store.send_approval("a6", "c").await.unwrap());
        store.note_outcome("a6", "tool_error").await.unwrap();
        // Another caller, another tool, and what nobody, or not everybody, has decided.
        decided(&store, "bob", &asked("bob", "{}", 1_010), true).await;
        let mut other = asked("other", "{}", 1_011);
        other.subject.name = "other".into();
        decided(&store, "ann", &other, true).await;
        store.ask_approval("ann", &asked("open", "{}", 1_012), 1_012).await.unwrap();
        let two = Approval { created: 1_013, expires: 1_016, ..waiting("two", "two", 2) };
        decided(&store, "ann", &two, true).await;
        let this = asked("this", "{\"to\":\"bob\"}", 1_020);
        // What has expired is marked by then.
        store.ask_approval("ann", &this, 1_020).await.unwrap();
        let similar = store.similar_approvals(&this).await.unwrap();
        let ids: Vec<&str> = similar.iter().map(|one| &*one.id).collect();
        assert_eq!(ids, ["a6", "a5", "a4", "a3", "a2"]);
        let first = Similar {
            id: "a6".into(),
            approved: true,
            by: vec!["dana".into()],
            at: 1_007,
            outcome: Some("tool_error".into()),
            differs: vec!["n".into(), "to".into()],
        };
        assert_eq!(similar[0], first);
        assert_eq!((similar[1].approved, similar[2].approved), (true, false));
        assert_eq!((&similar[2].outcome, similar[2].differs.is_empty()), (&None, true));
        assert!(store.similar_approvals(&asked("none", "{}", 1)).await.unwrap().is_empty());
    }
}
