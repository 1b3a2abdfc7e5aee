//! The server lifecycle, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used)]

use doorward_governance::lifecycle::{State, Step};
use doorward_store::{
    Actor, Deprecation, Error, ServerOrigin, ServerProposal, Stepping, Store, StoredServer,
};

use crate::support::World;

fn by(store: &Store, name: &str) -> Store {
    store.acting(Actor { via: "admin", name: name.into(), address: None })
}

fn proposal<'a>(name: &'a str, spec: &'a str) -> ServerProposal<'a> {
    ServerProposal { name, spec, digest: "d1", why: "we need it" }
}

fn because(why: &str) -> Stepping {
    Stepping { why: why.into(), four_eyes: true, ..Stepping::default() }
}

async fn step(store: &Store, who: &str, name: &str, step: Step) -> StoredServer {
    by(store, who).step_server(name, step, &because("so"), None).await.unwrap()
}

async fn refusal(store: &Store, who: &str, name: &str, step: Step) -> String {
    match by(store, who).step_server(name, step, &because("so"), None).await {
        Err(Error::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_lives_from_proposal_to_retirement() {
    for world in World::all() {
        let store = world.open().await;
        let (alice, spec) = (by(&store, "alice"), r#"{"url":"https://a.example/mcp"}"#);
        let made = alice.propose_server(&proposal("Tickets", spec)).await.unwrap();
        assert_eq!((made.state, made.revision), (State::Proposed, 1));
        assert_eq!((made.origin, made.proposed_by.as_str()), (ServerOrigin::RunTime, "alice"));
        assert!(
            refusal(&store, "bob", "tickets", Step::Approve).await.contains("cannot be approved")
        );
        step(&store, "bob", "tickets", Step::Review).await;
        // A server cannot be approved before it was inspected, nor by the user who proposed it.
        assert!(refusal(&store, "bob", "TICKETS", Step::Approve).await.contains("inspect"));
        by(&store, "bob").keep_look("tickets", "d1", r#"{"tools":[]}"#).await.unwrap();
        assert!(
            refusal(&store, "alice", "tickets", Step::Approve).await.contains("another reviewer")
        );
        // A restart between any two steps changes nothing.
        store.close().await;
        let store = world.open().await;
        assert_eq!(store.server_look("Tickets").await.unwrap().unwrap().who, "bob");
        let approved = step(&store, "bob", "tickets", Step::Approve).await;
        assert_eq!(approved.approved_by.as_deref(), Some("bob"));
        assert!(!approved.state.serves() && !approved.allow_private);
        assert!(step(&store, "carol", "tickets", Step::Activate).await.state.serves());
        let note = Deprecation { successor: Some("issues".into()), ..Deprecation::default() };
        let deprecate = Stepping { deprecation: note.clone(), ..because("replaced") };
        let carol = by(&store, "carol");
        let told = carol.step_server("tickets", Step::Deprecate, &deprecate, None).await.unwrap();
        assert_eq!(told.deprecation, Some(note));
        let quarantined = step(&store, "dave", "tickets", Step::Quarantine).await;
        assert_eq!(quarantined.quarantined_from, Some(State::Deprecated));
        store.close().await;
        let store = world.open().await;
        let released = step(&store, "bob", "tickets", Step::Release).await;
        assert_eq!((released.state, released.quarantined_from), (State::Deprecated, None));
        assert!(released.deprecation.is_some());
        let retired = step(&store, "carol", "tickets", Step::Retire).await;
        assert_eq!(store.servers().await.unwrap(), [retired]);
        let steps = store.server_steps("tickets").await.unwrap();
        let told: Vec<_> =
            steps.iter().map(|step| (step.step.as_str(), step.who.as_str())).collect();
        let expected = [
            ("propose", "alice"),
            ("review", "bob"),
            ("approve", "bob"),
            ("activate", "carol"),
            ("deprecate", "carol"),
            ("quarantine", "dave"),
            ("release", "bob"),
            ("retire", "carol"),
        ];
        assert_eq!(told, expected);
        assert!(steps.iter().zip(1..).all(|(step, n)| step.n == n && step.via == "admin"));
        // The name can be proposed again, and the new proposal needs its own inspection.
        by(&store, "erin").propose_server(&proposal("tickets", spec)).await.unwrap();
        assert_eq!(store.server_look("tickets").await.unwrap(), None);
        store.close().await;
    }
}

#[tokio::test]
async fn of_steps_that_were_decided_on_one_revision_one_is_made() {
    for world in World::all() {
        let store = world.open().await;
        by(&store, "alice").propose_server(&proposal("s", "{}")).await.unwrap();
        let decided = |step: Step, who: String| {
            let store = by(&store, &who);
            async move {
                let stepping = Stepping { revision: Some(1), ..because("at once") };
                store.step_server("s", step, &stepping, None).await
            }
        };
        let (one, two) = tokio::join!(
            decided(Step::Review, "bob".into()),
            decided(Step::Reject, "carol".into()),
        );
        assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1, "{one:?} {two:?}");
        assert_eq!(store.server("s").await.unwrap().revision, 2);
        assert_eq!(store.server_steps("s").await.unwrap().len(), 2);
        store.close().await;
    }
}

#[tokio::test]
async fn a_server_of_the_file_is_proposed_again_when_it_is_another() {
    for world in World::all() {
        let store = world.open().await;
        assert!(store.declare_server("files", "d1").await.unwrap());
        assert!(!store.declare_server("files", "d1").await.unwrap());
        step(&store, "bob", "files", Step::Review).await;
        by(&store, "bob").keep_look("files", "d1", "{}").await.unwrap();
        step(&store, "bob", "files", Step::Approve).await;
        step(&store, "bob", "files", Step::Activate).await;
        assert!(!store.declare_server("files", "d1").await.unwrap());
        assert!(store.server("files").await.unwrap().state.serves());
        assert!(store.declare_server("files", "d2").await.unwrap());
        let changed = store.server("files").await.unwrap();
        assert_eq!((changed.state, changed.digest.as_str()), (State::Proposed, "d2"));
        // The inspection of the previous definition does not count for this one.
        assert_eq!(store.server_look("files").await.unwrap(), None);
        assert!(by(&store, "bob").keep_look("files", "d1", "{}").await.is_err());
        // A quarantine survives a change of the file.
        step(&store, "bob", "files", Step::Review).await;
        by(&store, "bob").keep_look("files", "d2", "{}").await.unwrap();
        for then in [Step::Approve, Step::Activate, Step::Quarantine] {
            step(&store, "bob", "files", then).await;
        }
        assert!(store.declare_server("files", "d3").await.unwrap());
        assert_eq!(store.server("files").await.unwrap().state, State::Quarantined);
        assert_eq!(step(&store, "bob", "files", Step::Release).await.state, State::Proposed);
        store.close().await;
    }
}

#[tokio::test]
async fn a_trusted_server_can_be_taken_out_of_use() {
    for world in World::all() {
        let store = world.open().await;
        let stepping = because("it misbehaves");
        let absent = store.step_server("files", Step::Quarantine, &stepping, None).await;
        assert!(matches!(absent, Err(Error::Absent { .. })));
        let quarantine = store.step_server("files", Step::Quarantine, &stepping, Some("d"));
        assert_eq!(quarantine.await.unwrap().state, State::Quarantined);
        let release = store.step_server("files", Step::Release, &stepping, Some("d"));
        assert_eq!(release.await.unwrap().state, State::Active);
        store.close().await;
    }
}

#[tokio::test]
async fn proposals_are_bounded_and_others_are_not_replaced() {
    for world in World::all() {
        let store = world.open().await;
        for number in 0..20 {
            let name = format!("s{number}");
            by(&store, "alice").propose_server(&proposal(&name, "{}")).await.unwrap();
        }
        let one_more = |who: &str, name: &'static str| {
            let store = by(&store, who);
            async move { store.propose_server(&proposal(name, "{}")).await }
        };
        assert!(one_more("alice", "more").await.unwrap_err().to_string().contains("20 proposals"));
        // Replacing an own proposal adds none to the count. Proposals of other users cannot be replaced.
        assert_eq!(one_more("alice", "s1").await.unwrap().revision, 2);
        assert!(one_more("bob", "s1").await.unwrap_err().to_string().contains("alice"));
        for other in 0..9 {
            for number in 0..20 {
                let name = format!("o{other}-{number}");
                let who = by(&store, &format!("other{other}"));
                who.propose_server(&proposal(&name, "{}")).await.unwrap();
            }
        }
        assert!(one_more("bob", "last").await.unwrap_err().to_string().contains("200 proposals"));
        let long = "x".repeat((256 << 10) + 1);
        assert!(by(&store, "alice").propose_server(&proposal("s1", &long)).await.is_err());
        store.close().await;
    }
}

#[tokio::test]
async fn a_due_review_is_reported_once_a_day_by_one_replica() {
    for world in World::all() {
        let (one, two) = (world.open().await, world.open().await);
        let told = tokio::join!(
            one.note_review_due("s", "2026-11-29"),
            two.note_review_due("S", "2026-11-29"),
        );
        assert!(told.0.unwrap() != told.1.unwrap());
        assert!(!one.note_review_due("s", "2026-11-29").await.unwrap());
        assert!(one.note_review_due("s", "2026-11-30").await.unwrap());
        one.close().await;
        two.close().await;
    }
}
