//! Emergency stops and webhook deliveries, on both databases.
#![allow(clippy::unwrap_used)]

use crate::support::World;
use doorward_governance::stops::{Lifted, Stop, StopKind, StopMode, Target};
use doorward_store::{Attempt, Error, NewDelivery, now_ms};

fn stop(id: &str, name: &str, mode: StopMode) -> Stop {
    let target = Target::new(StopKind::Server, name).unwrap();
    Stop { id: id.into(), target, why: "why".into(), by: "me".into(), at: 1, mode, lifted: None }
}

#[tokio::test]
async fn a_stop_is_set_once_and_every_watch_learns_of_it() {
    for world in World::all() {
        let store = world.open().await;
        let mut watch = store.watch_stops();
        let (first, stops) = watch.poll().await.unwrap().unwrap();
        assert!(stops.is_empty());
        assert!(watch.poll().await.unwrap().is_none());
        let soft = stop("aa", "Mail", StopMode::LetEnd);
        let (set, revision) = store.put_stop(&soft).await.unwrap();
        assert_eq!((set, revision), (soft.clone(), first + 1));
        // Repeating a stop with the same id or the same target changes nothing.
        assert_eq!(store.put_stop(&soft).await.unwrap(), (soft.clone(), revision));
        let same = stop("bb", "mail", StopMode::LetEnd);
        assert_eq!(store.put_stop(&same).await.unwrap(), (soft.clone(), revision));
        // A stricter stop is a new one.
        let hard = stop("cc", "mail", StopMode::Cancel);
        assert_eq!(store.put_stop(&hard).await.unwrap(), (hard.clone(), revision + 1));
        let (seen, mut stops) = watch.poll().await.unwrap().unwrap();
        stops.sort_by(|one, other| one.id.cmp(&other.id));
        assert_eq!((seen, stops), (revision + 1, vec![soft, hard]));
        let lifted = Lifted { by: "me".into(), why: "over".into(), at: 2 };
        let (gone, after) = store.lift_stop("cc", &lifted).await.unwrap();
        assert_eq!((gone.lifted.as_ref(), after), (Some(&lifted), revision + 2));
        let other = Lifted { why: "again".into(), ..lifted.clone() };
        let (again, same) = store.lift_stop("cc", &other).await.unwrap();
        assert_eq!((again.lifted, same), (Some(lifted.clone()), after));
        assert_eq!(watch.poll().await.unwrap().unwrap().1.len(), 1);
        assert!(matches!(store.lift_stop("dd", &lifted).await, Err(Error::Absent { .. })));
        assert_eq!(store.stops(false, 10).await.unwrap().len(), 1);
        assert_eq!(store.stops(true, 10).await.unwrap().len(), 2);
        store.close().await;
    }
}

#[tokio::test]
async fn so_many_stops_may_be_in_force() {
    let world = World::all().remove(0);
    let store = world.open().await;
    for number in 0..doorward_governance::stops::MOST_STOPS {
        let one = stop(&format!("{number:x}"), &format!("s{number}"), StopMode::Cancel);
        store.put_stop(&one).await.unwrap();
    }
    let more = stop("ffff", "more", StopMode::Cancel);
    assert!(matches!(store.put_stop(&more).await, Err(Error::Refused(_))));
    let lifted = Lifted { by: "me".into(), why: "over".into(), at: 2 };
    store.lift_stop("0", &lifted).await.unwrap();
    store.put_stop(&more).await.unwrap();
    store.close().await;
}

fn event(kind: &str) -> NewDelivery {
    NewDelivery { webhook: "oncall".into(), kind: kind.into(), body: "{}".into() }
}

#[tokio::test]
async fn an_event_is_claimed_by_one_until_its_time_is_over() {
    for world in World::all() {
        let (store, other) = (world.open().await, world.open().await);
        assert_eq!(store.queue_deliveries(&[event("one"), event("two")]).await.unwrap(), 0);
        let claimed = store.claim_deliveries(now_ms() + 60_000, 1).await.unwrap();
        let rest = other.claim_deliveries(now_ms() + 60_000, 10).await.unwrap();
        assert_eq!((claimed.len(), rest.len()), (1, 1));
        assert_ne!(claimed[0].id, rest[0].id);
        assert!(store.claim_deliveries(now_ms() + 60_000, 10).await.unwrap().is_empty());
        // The first delivery is retried at once, the second was accepted.
        let again = Attempt { status: Some(500), error: Some("HTTP 500".into()), again: Some(0) };
        store.end_attempt(&claimed[0].id, &again).await.unwrap();
        let done = Attempt { status: Some(200), error: None, again: None };
        other.end_attempt(&rest[0].id, &done).await.unwrap();
        let second = other.claim_deliveries(now_ms() - 1, 10).await.unwrap();
        assert_eq!((second.len(), second[0].attempts), (1, 2));
        // The claimant has crashed and its claim has expired.
        let third = store.claim_deliveries(now_ms() + 60_000, 10).await.unwrap();
        assert_eq!((third.len(), &third[0].id, third[0].attempts), (1, &claimed[0].id, 3));
        let delivered = store.deliveries(None, Some("delivered"), None, 10).await.unwrap();
        assert_eq!((delivered.len(), delivered[0].status), (1, Some(200)));
        assert!(matches!(store.redeliver(&claimed[0].id).await, Err(Error::Refused(_))));
        assert_eq!(store.redeliver(&rest[0].id).await.unwrap().state, "waiting");
        assert!(matches!(store.redeliver("nothing").await, Err(Error::Absent { .. })));
        let newest = store.deliveries(Some("oncall"), None, None, 1).await.unwrap();
        let next = store.deliveries(None, None, Some(&newest[0].id), 10).await.unwrap();
        assert_eq!(next.len(), 1);
        assert_ne!(next[0].id, newest[0].id);
        store.close().await;
        other.close().await;
    }
}

#[tokio::test]
async fn acts_are_looked_at_once_and_none_from_before() {
    for world in World::all() {
        let (store, other) = (world.open().await, world.open().await);
        store.put_stop(&stop("aa", "before", StopMode::Cancel)).await.unwrap();
        let made = |line: &str| match line.contains("stop.set") {
            true => vec![event("stop.set")],
            false => Vec::new(),
        };
        let first = store.queue_acts(made).await.unwrap();
        assert!(first > 0 && store.deliveries(None, None, None, 10).await.unwrap().is_empty());
        store.put_stop(&stop("bb", "after", StopMode::Cancel)).await.unwrap();
        let (one, two) = tokio::join!(store.queue_acts(made), other.queue_acts(made));
        assert_eq!((one.unwrap(), two.unwrap()), (first + 1, first + 1));
        assert_eq!(store.deliveries(None, None, None, 10).await.unwrap().len(), 1);
        store.close().await;
        other.close().await;
    }
}

#[tokio::test]
async fn a_state_is_reported_once_when_it_changes() {
    for world in World::all() {
        let store = world.open().await;
        for (value, quiet, news, events) in [
            ("up", true, true, 0),
            ("up", true, false, 0),
            ("down", false, true, 1),
            ("down", false, false, 1),
            ("up", true, true, 2),
        ] {
            let told = store.report_state("mail", value, quiet, &[event(value)]).await.unwrap();
            let queued = store.deliveries(None, None, None, 10).await.unwrap().len();
            assert_eq!((told, queued), (news, events), "{value}");
        }
        store.close().await;
    }
}
