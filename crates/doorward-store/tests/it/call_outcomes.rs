//! Idempotency keys of calls, on both databases.
#![allow(clippy::unwrap_used)]

use doorward_store::{
    Begun, LONGEST_OUTCOME, MOST_OUTCOME_BYTES_OF_CALLER, NewOutcome, OUTCOME_KEPT,
};

use crate::support::World;

fn run(name: &str, holder: &str) -> NewOutcome {
    NewOutcome {
        owner: "ann".into(),
        name: name.into(),
        digest: "digest".into(),
        holder: holder.into(),
        lease: 1_010,
    }
}

#[tokio::test]
async fn of_all_who_begin_with_a_key_one_makes_the_call() {
    for world in World::all() {
        let store = world.open().await;
        let mut begins = tokio::task::JoinSet::new();
        for number in 0..12 {
            let store = store.clone();
            begins.spawn(async move {
                let new = run("key", &number.to_string());
                (store.begin_outcome(&new, 1_000).await.unwrap(), new)
            });
        }
        let all = begins.join_all().await;
        let won: Vec<_> = all.iter().filter(|(begun, _)| *begun == Begun::New).collect();
        assert_eq!(won.len(), 1);
        assert!(all.iter().all(|(begun, _)| matches!(begun, Begun::New | Begun::Running)));
        let won = &won[0].1;
        // The same key with another request, and the same request of somebody else.
        let other = NewOutcome { digest: "other".into(), ..run("key", "x") };
        assert_eq!(store.begin_outcome(&other, 1_001).await.unwrap(), Begun::Other);
        let of_bob = NewOutcome { owner: "bob".into(), ..run("key", "y") };
        assert_eq!(store.begin_outcome(&of_bob, 1_001).await.unwrap(), Begun::New);
        // Only the run that has it can end it.
        store.end_outcome(&run("key", "nobody"), "forged").await.unwrap();
        assert_eq!(store.begin_outcome(&run("key", "z"), 1_002).await.unwrap(), Begun::Running);
        store.end_outcome(won, "outcome").await.unwrap();
        let done = Begun::Done(Some("outcome".into()));
        assert_eq!(store.begin_outcome(&run("key", "z"), 1_003).await.unwrap(), done);
        assert_eq!(store.begin_outcome(&other, 1_003).await.unwrap(), Begun::Other);
        let late = 1_000 + OUTCOME_KEPT;
        assert_eq!(store.begin_outcome(&run("key", "z"), late).await.unwrap(), Begun::New);
    }
}

#[tokio::test]
async fn what_was_begun_and_lost_is_never_begun_again() {
    for world in World::all() {
        let store = world.open().await;
        let first = run("key", "first");
        assert_eq!(store.begin_outcome(&first, 1_000).await.unwrap(), Begun::New);
        store.renew_outcome(&first, 1_020).await.unwrap();
        let again = run("key", "again");
        assert_eq!(store.begin_outcome(&again, 1_019).await.unwrap(), Begun::Running);
        assert_eq!(store.begin_outcome(&again, 1_020).await.unwrap(), Begun::Unknown);
        // A gateway that was only slow can still say what came of it.
        store.end_outcome(&first, "late").await.unwrap();
        let done = Begun::Done(Some("late".into()));
        assert_eq!(store.begin_outcome(&again, 1_030).await.unwrap(), done);
        // What was not sent gives its key back, but only its own run can say so.
        let second = run("second", "second");
        assert_eq!(store.begin_outcome(&second, 1_000).await.unwrap(), Begun::New);
        store.forget_outcome(&run("second", "other")).await.unwrap();
        assert_eq!(store.begin_outcome(&second, 1_001).await.unwrap(), Begun::Running);
        store.forget_outcome(&second).await.unwrap();
        assert_eq!(store.begin_outcome(&second, 1_001).await.unwrap(), Begun::New);
    }
}

#[tokio::test]
async fn outcomes_are_bounded_and_that_they_were_made_is_not_forgotten() {
    for world in World::all() {
        let store = world.open().await;
        let long = "x".repeat(LONGEST_OUTCOME);
        let too_long = run("too long", "a");
        store.begin_outcome(&too_long, 1_000).await.unwrap();
        store.end_outcome(&too_long, &format!("{long}x")).await.unwrap();
        assert_eq!(store.begin_outcome(&too_long, 1_001).await.unwrap(), Begun::Done(None));
        let most = MOST_OUTCOME_BYTES_OF_CALLER / i64::try_from(LONGEST_OUTCOME).unwrap();
        for number in 0..=most {
            let new = run(&number.to_string(), "a");
            store.begin_outcome(&new, 1_000 + number).await.unwrap();
            store.end_outcome(&new, &long).await.unwrap();
        }
        let known = async |name: &str| store.begin_outcome(&run(name, "b"), 1_100).await.unwrap();
        assert_eq!(known("0").await, Begun::Done(None));
        assert_eq!(known("1").await, Begun::Done(Some(long.clone())));
        assert_eq!(known(&most.to_string()).await, Begun::Done(Some(long)));
    }
}
