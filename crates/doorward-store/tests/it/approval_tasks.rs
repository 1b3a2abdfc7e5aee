//! Held calls that are tasks, on both databases.
#![allow(clippy::unwrap_used)]

use doorward_governance::approvals::{Ballot, State};
use doorward_store::{ApprovalTask, MOST_KEPT_OF_CALLER, MOST_TASKS_OF_CALLER, TaskState};

use crate::approvals::{lead, voter, waiting};
use crate::support::World;

fn task(id: &str) -> ApprovalTask {
    ApprovalTask {
        id: id.into(),
        principal: "ann".into(),
        approval: format!("approval of {id}"),
        state: TaskState::Waiting,
        version: 0,
        created: 1_000,
        expires: 2_000,
        updated: 1_000,
        lease: 0,
        request: "sealed".into(),
        outcome: String::new(),
    }
}

#[tokio::test]
async fn of_all_who_change_a_task_that_they_have_read_one_does() {
    for world in World::all() {
        let store = world.open().await;
        let new = task("a");
        assert_eq!(store.begin_approval_task(&new, 1_000).await.unwrap(), Some(new.clone()));
        // An approval has one task.
        let other = ApprovalTask { approval: new.approval.clone(), ..task("b") };
        assert_eq!(store.begin_approval_task(&other, 1_001).await.unwrap(), Some(new.clone()));
        let claimed = ApprovalTask { state: TaskState::Running, lease: 1_060, ..new.clone() };
        let mut claims = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, claimed) = (store.clone(), claimed.clone());
            claims.spawn(async move { store.change_approval_task(claimed, 1_002).await.unwrap() });
        }
        let won: Vec<_> = claims.join_all().await.into_iter().flatten().collect();
        let running = ApprovalTask { version: 1, updated: 1_002, ..claimed };
        assert_eq!(won, std::slice::from_ref(&running));
        assert_eq!(store.approval_task("a", "ann", 1_003).await.unwrap(), Some(running.clone()));
        // Whoever has read it before is late.
        let cancelled = ApprovalTask { state: TaskState::Cancelled, ..new };
        assert_eq!(store.change_approval_task(cancelled, 1_004).await.unwrap(), None);
        let outcome = "what came of it".to_owned();
        let done = ApprovalTask { state: TaskState::Completed, outcome, ..running };
        let done = store.change_approval_task(done, 1_005).await.unwrap().unwrap();
        assert_eq!(store.approval_task("a", "ann", 1_006).await.unwrap(), Some(done));
        assert_eq!(store.approval_task("a", "bob", 1_006).await.unwrap(), None);
        assert_eq!(store.approval_task("a", "ann", 2_000).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_caller_has_so_many_tasks_at_a_time() {
    for world in World::all() {
        let store = world.open().await;
        for number in 0..MOST_TASKS_OF_CALLER {
            let new = task(&number.to_string());
            assert!(store.begin_approval_task(&new, 1_000).await.unwrap().is_some());
        }
        assert_eq!(store.begin_approval_task(&task("more"), 1_000).await.unwrap(), None);
        let of_bob = ApprovalTask { principal: "bob".into(), ..task("of bob") };
        assert!(store.begin_approval_task(&of_bob, 1_000).await.unwrap().is_some());
        // Room is made by what is over.
        let over = ApprovalTask { state: TaskState::Failed, ..task("0") };
        assert!(store.change_approval_task(over, 1_001).await.unwrap().is_some());
        assert!(store.begin_approval_task(&task("more"), 1_001).await.unwrap().is_some());
        assert_eq!(store.begin_approval_task(&task("late"), 1_999).await.unwrap(), None);
        assert!(store.begin_approval_task(&task("late"), 2_000).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn of_what_is_over_the_oldest_goes_first_and_the_newest_stays() {
    for world in World::all() {
        let store = world.open().await;
        let ends = async |id: &str, at: i64, outcome: &str| {
            let new = store.begin_approval_task(&task(id), at).await.unwrap().unwrap();
            let outcome = outcome.to_owned();
            let over = ApprovalTask { state: TaskState::Completed, outcome, ..new };
            store.change_approval_task(over, at).await.unwrap().unwrap();
        };
        let is_kept =
            async |id: &str| store.approval_task(id, "ann", 1_500).await.unwrap().is_some();
        let of_bob = ApprovalTask { principal: "bob".into(), ..task("of bob") };
        store.begin_approval_task(&of_bob, 1_000).await.unwrap().unwrap();
        store.begin_approval_task(&task("open"), 1_000).await.unwrap().unwrap();
        for number in 0..=MOST_KEPT_OF_CALLER.tasks {
            ends(&number.to_string(), 1_001 + number, "done").await;
        }
        // As many as there is room for, and never what is open.
        assert!(is_kept("open").await && is_kept("40").await && is_kept("2").await);
        assert!(!is_kept("0").await && !is_kept("1").await);
        // Not more than so many bytes.
        let most = usize::try_from(MOST_KEPT_OF_CALLER.bytes).unwrap();
        ends("large", 1_100, &"x".repeat(most - 10_000)).await;
        assert!(is_kept("large").await && is_kept("40").await);
        ends("larger", 1_101, &"x".repeat(most)).await;
        assert!(is_kept("larger").await && is_kept("open").await);
        assert!(!is_kept("large").await && !is_kept("40").await);
        assert!(store.approval_task("of bob", "bob", 1_500).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_approval_that_is_withdrawn_is_not_sent_and_not_given_back() {
    for world in World::all() {
        let store = world.open().await;
        let asked = waiting("a", "d", 1);
        store.ask_approval("ann", &asked, 1_000).await.unwrap();
        let dana = lead("dana");
        let approved =
            store.vote_approval("a", voter(&dana), &Ballot::new(true, None), 1_001).await;
        let approved = approved.unwrap().unwrap();
        assert!(store.take_approval(&approved, "c", None, 1_002).await.unwrap());
        // What has changed does not end what a call has, its caller does.
        assert!(!store.end_approval(&approved, "changed").await.unwrap());
        assert!(store.withdraw_approval(&approved, "cancelled").await.unwrap());
        assert!(!store.withdraw_approval(&approved, "cancelled").await.unwrap());
        assert!(!store.send_approval("a", "c").await.unwrap());
        assert!(!store.return_approval(&approved, "c", 1_003).await.unwrap());
        assert_eq!(store.give_back_unsent(9_000).await.unwrap(), 0);
        assert_eq!(store.approval("a").await.unwrap().unwrap().state, State::Ended);
        assert_eq!(store.open_approval("d", 1_003).await.unwrap(), None);
    }
}
