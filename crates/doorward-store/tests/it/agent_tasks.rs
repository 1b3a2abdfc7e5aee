//! Tasks of the gateway as an agent, on both databases.
#![allow(clippy::unwrap_used)]

use doorward_store::{
    AgentTask, AgentTaskFilter, AgentTaskState, MOST_AGENT_TASK_BYTES, MOST_OPEN_AGENT_TASKS, Store,
};

use crate::support::World;

fn task(id: &str, state: AgentTaskState) -> AgentTask {
    AgentTask {
        id: id.into(),
        owner: "ann".into(),
        portal: "p".into(),
        context: "c".into(),
        state,
        version: 0,
        updated: 1_000_000,
        expires: 90_000,
        lease: 1_010,
        content: format!("content of {id}"),
    }
}

fn all_of(owner: &str) -> AgentTaskFilter {
    AgentTaskFilter { owner: owner.into(), portal: "p".into(), limit: 100, ..Default::default() }
}

async fn ids(store: &Store, filter: &AgentTaskFilter) -> (Vec<String>, i64) {
    let (tasks, total) = store.agent_tasks(filter, 1_001).await.unwrap();
    (tasks.into_iter().map(|task| task.id).collect(), total)
}

#[tokio::test]
async fn a_task_is_changed_by_one_and_seen_by_its_creator_only() {
    for world in World::all() {
        let store = world.open().await;
        let first = task("1", AgentTaskState::Working);
        assert!(store.begin_agent_task(&first, 1_000).await.unwrap());
        assert_eq!(store.agent_task("1", "ann", "p", 1_001).await.unwrap(), Some(first.clone()));
        for (owner, portal) in [("bob", "p"), ("ann", "q")] {
            assert_eq!(store.agent_task("1", owner, portal, 1_001).await.unwrap(), None);
        }
        assert_eq!(ids(&store, &all_of("bob")).await, (Vec::new(), 0));
        let mut changes = tokio::task::JoinSet::new();
        for number in 0..8 {
            let (store, first) = (store.clone(), first.clone());
            let to =
                AgentTask { state: AgentTaskState::Input, content: number.to_string(), ..first };
            changes.spawn(async move { store.change_agent_task(&to).await.unwrap() });
        }
        let won = changes.join_all().await.into_iter().filter(|won| *won).count();
        assert_eq!(won, 1);
        let now = store.agent_task("1", "ann", "p", 1_001).await.unwrap().unwrap();
        assert_eq!((now.version, now.state), (1, AgentTaskState::Input));
        assert!(!store.renew_agent_task("1", 0, 2_000).await.unwrap(), "it does not work any more");
        assert_eq!(store.agent_task("1", "ann", "p", 90_000).await.unwrap(), None, "it expires");
    }
}

#[tokio::test]
async fn what_a_gateway_worked_on_that_has_ended_is_lost() {
    for world in World::all() {
        let store = world.open().await;
        for (id, state) in [("1", AgentTaskState::Working), ("2", AgentTaskState::Input)] {
            assert!(store.begin_agent_task(&task(id, state), 1_000).await.unwrap());
        }
        assert!(store.renew_agent_task("1", 0, 1_020).await.unwrap());
        let at =
            async |id: &str, now| store.agent_task(id, "ann", "p", now).await.unwrap().unwrap();
        assert_eq!(at("1", 1_019).await.state, AgentTaskState::Working);
        let listed = store.agent_tasks(&all_of("ann"), 1_020).await.unwrap().0;
        assert_eq!(listed[0].state, AgentTaskState::Lost, "{listed:?}");
        let lost = at("1", 1_020).await;
        assert_eq!((lost.version, lost.updated), (1, 1_020_000));
        // Its gateway was only slow, and does not say anything any more.
        let late =
            AgentTask { state: AgentTaskState::Completed, ..task("1", AgentTaskState::Working) };
        assert!(!store.change_agent_task(&late).await.unwrap());
        assert_eq!(at("2", 1_020).await.state, AgentTaskState::Input);
    }
}

#[tokio::test]
async fn lists_have_pages_in_one_order_and_are_filtered() {
    for world in World::all() {
        let store = world.open().await;
        for number in 0..5_i64 {
            let state =
                if number % 2 == 0 { AgentTaskState::Input } else { AgentTaskState::Failed };
            let new = AgentTask {
                // Two have the same time.
                updated: 1_000_000 + number / 2,
                context: if number == 4 { "other".into() } else { "c".into() },
                ..task(&number.to_string(), state)
            };
            assert!(store.begin_agent_task(&new, 1_000).await.unwrap());
        }
        let mut filter = AgentTaskFilter { limit: 2, ..all_of("ann") };
        let mut seen = Vec::new();
        loop {
            let (tasks, total) = store.agent_tasks(&filter, 1_001).await.unwrap();
            assert_eq!(total, 5);
            let Some(last) = tasks.last() else { break };
            filter.after = Some((last.updated, last.id.clone()));
            seen.extend(tasks.into_iter().map(|task| task.id));
        }
        assert_eq!(seen, ["4", "2", "3", "0", "1"]);
        let failed = AgentTaskFilter { states: vec![AgentTaskState::Failed], ..all_of("ann") };
        assert_eq!(ids(&store, &failed).await, (vec!["3".into(), "1".into()], 2));
        let since = AgentTaskFilter { since: 1_000_002, ..all_of("ann") };
        assert_eq!(ids(&store, &since).await, (vec!["4".into()], 1));
        let context = AgentTaskFilter { context: Some("other".into()), ..all_of("ann") };
        assert_eq!(ids(&store, &context).await, (vec!["4".into()], 1));
    }
}

#[tokio::test]
async fn tasks_are_bounded_for_each_caller() {
    for world in World::all() {
        let store = world.open().await;
        let long = usize::try_from(MOST_AGENT_TASK_BYTES / 4).unwrap();
        for number in 0..6_i64 {
            let new = AgentTask {
                content: "x".repeat(long),
                updated: number,
                ..task(&format!("over {number}"), AgentTaskState::Completed)
            };
            assert!(store.begin_agent_task(&new, 1_000).await.unwrap());
        }
        let (left, _) = ids(&store, &all_of("ann")).await;
        assert_eq!(left, ["over 5", "over 4", "over 3", "over 2"]);
        for number in 0..MOST_OPEN_AGENT_TASKS {
            let new = task(&number.to_string(), AgentTaskState::Input);
            assert!(store.begin_agent_task(&new, 1_000).await.unwrap());
        }
        assert!(
            !store.begin_agent_task(&task("more", AgentTaskState::Input), 1_000).await.unwrap()
        );
        let of_bob = AgentTask { owner: "bob".into(), ..task("bob", AgentTaskState::Input) };
        assert!(store.begin_agent_task(&of_bob, 1_000).await.unwrap(), "others have their own");
    }
}
