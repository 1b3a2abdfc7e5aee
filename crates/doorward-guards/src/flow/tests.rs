//! Flow rules in memory: what is known, and what is not.
#![allow(clippy::unwrap_used)]

use super::*;
use doorward_config::{AfterStart, FlowSettings, Separation};

fn settings(after_start: AfterStart) -> Settings {
    let servers = [(
        "web".to_owned(),
        ServerSettings { brings: ["untrusted".to_owned()].into(), ..ServerSettings::sample() },
    )];
    let flow = FlowSettings {
        after_start,
        data: [(doorward_core::pattern::Pattern("card".into()), ["pii".to_owned()].into())].into(),
        ..FlowSettings::default()
    };
    Settings { servers: servers.into(), flow, ..Settings::default() }
}

fn origin() -> Origin {
    Origin { call: "1".into(), server: "web".into(), target: "é".repeat(300), at: 1 }
}

fn set(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

fn caller(flow: &Flow, principal: &str, session: Option<&str>) -> Carrier {
    let (principal, session) = (Arc::from(principal), session.map(Arc::from));
    flow.carrier(&Caller {
        principal: &principal,
        tenant: None,
        session: session.as_ref(),
        conversation: None,
    })
}

#[test]
fn a_session_that_begins_here_is_known_and_a_caller_after_a_start_is_not() {
    let flow = Flow::new(&settings(AfterStart::Marked));
    let known = flow.carried_now(&caller(&flow, "a", Some("s"))).unwrap();
    assert_eq!(known, Carried::default());
    let unknown = flow.carried_now(&caller(&flow, "a", None)).unwrap();
    assert_eq!(unknown.labels, set(&["pii", "untrusted"]));
    assert!(matches!(unknown.unknown, Some(Unknown::Start(left)) if !left.is_zero()));
    let clean = Flow::new(&settings(AfterStart::Clean));
    assert_eq!(clean.carried_now(&caller(&clean, "a", None)).unwrap(), Carried::default());
}

#[tokio::test]
async fn whoever_is_cleared_is_known() {
    let flow = Flow::new(&settings(AfterStart::Marked));
    let one = caller(&flow, "a", None);
    let callers = [(Arc::from("a"), None)];
    let cleared = flow.clear(|about| about.principal == "a", &callers).await.unwrap();
    assert_eq!((cleared.len(), cleared[0].0.kind), (1, Kind::Caller));
    assert_eq!(flow.carried_now(&one).unwrap(), Carried::default());
    assert!(flow.bring_now(&one, &set(&["untrusted"]), &origin()));
    let carried = flow.carried(&one).await;
    assert_eq!(carried, Carried { labels: set(&["untrusted"]), unknown: None });
    let report = flow.report().await.unwrap();
    assert_eq!(report.len(), 1);
    let first = report[0].marks[0].origin.as_ref().unwrap();
    assert_eq!((first.call.as_str(), first.target.len()), ("1", 200));
    assert!(report[0].marks[0].left.is_some());
    let cleared = flow.clear(|about| about.principal == "a", &callers).await.unwrap();
    assert_eq!(cleared[0].1, ["untrusted"]);
    assert_eq!(flow.carried(&one).await, Carried::default());
}

#[test]
fn what_inspection_finds_has_the_labels_that_settings_give_it() {
    let flow = Flow::new(&settings(AfterStart::Clean));
    assert!(flow.is_on() && flow.reads_results() && flow.lists_bring());
    assert_eq!(flow.labels_of(&set(&["x"]), &set(&["card", "email"])), set(&["pii"]));
    flow.take(&Settings::default(), std::iter::empty());
    assert!(!flow.is_on());
}

#[test]
fn nothing_separates_where_settings_say_so() {
    let mut settings = settings(AfterStart::Clean);
    settings.flow.conversations = Separation::Principal;
    let flow = Flow::new(&settings);
    assert!(flow.bring_now(&caller(&flow, "a", Some("1")), &set(&["pii"]), &origin()));
    let other = flow.carried_now(&caller(&flow, "a", Some("2"))).unwrap();
    assert_eq!(other.labels, set(&["pii"]));
}

#[tokio::test]
async fn callers_who_are_unknown_since_the_start_are_reported_until_they_are_cleared() {
    let flow = Flow::new(&settings(AfterStart::Marked));
    assert_eq!(flow.report().await.unwrap(), []);
    for session in [None, Some("s")] {
        flow.carried(&caller(&flow, "a", session)).await;
    }
    flow.carried(&caller(&flow, "b", None)).await;
    let report = flow.report().await.unwrap();
    let named: Vec<&str> = report.iter().map(|one| one.about.principal.as_str()).collect();
    assert_eq!(named, ["a", "b"]);
    assert!(report.iter().all(|one| matches!(one.unknown, Some(Unknown::Start(_)))));
    // What is known beside it is in the same report.
    assert!(flow.bring_now(&caller(&flow, "a", None), &set(&["pii"]), &origin()));
    let report = flow.report().await.unwrap();
    assert_eq!((report.len(), report[0].marks.len()), (2, 1));
    assert!(report[0].unknown.is_some());
    flow.clear(|about| about.principal == "a", &[(Arc::from("a"), None)]).await.unwrap();
    flow.carried(&caller(&flow, "a", None)).await;
    let report = flow.report().await.unwrap();
    assert!(report[0].cleared && report[0].unknown.is_none(), "{report:?}");
    assert!(report[1].unknown.is_some());
    let clean = Flow::new(&settings(AfterStart::Clean));
    clean.carried(&caller(&clean, "a", None)).await;
    assert_eq!(clean.report().await.unwrap(), []);
}
