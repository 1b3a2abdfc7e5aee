use super::*;

fn stop(kind: StopKind, name: &str, mode: StopMode) -> Stop {
    let target = Target::new(kind, name).unwrap();
    let (why, by) = ("because".into(), "me".into());
    Stop { id: format!("{kind}-{name}"), target, why, by, at: 1, mode, lifted: None }
}

fn all(stops: &[(StopKind, &str)]) -> Stopped {
    Stopped::new(stops.iter().map(|(kind, name)| stop(*kind, name, StopMode::Cancel)))
}

#[test]
fn what_is_stopped_is_found_by_its_kind_and_name_alone() {
    let chain = ["bot".to_owned(), "idp:app".to_owned()];
    let alice = CallerFacts {
        kind: Some(StopKind::User),
        id: "alice",
        tenant: Some("acme"),
        agent: Some("bot"),
        chain: &chain,
        key: Some("k1"),
        issuer: Some("idp"),
    };
    use StopKind::{Agent, Client, Key, ServiceAccount, Tenant, User};
    for (kind, name, hit) in [
        (User, "alice", true),
        (User, "Alice", false),
        (ServiceAccount, "alice", false),
        (Agent, "alice", false),
        (Agent, "bot", true),
        (Agent, "idp:app", true),
        (Agent, "app", false),
        (Tenant, "acme", true),
        (Tenant, "alice", false),
        (Key, "k1", true),
        (Key, "k2", false),
        // Who acts is 'bot', of another issuer.
        (Client, "bot", false),
    ] {
        assert_eq!(all(&[(kind, name)]).caller(&alice).is_some(), hit, "{kind} {name}");
    }
    let client = CallerFacts { agent: Some("idp:app"), ..alice };
    assert!(all(&[(Client, "app")]).caller(&client).is_some());
    let itself = CallerFacts { kind: Some(Agent), id: "idp:app", agent: None, ..alice };
    assert!(all(&[(Client, "app")]).caller(&itself).is_some());
    assert!(all(&[(Client, "idp:app")]).caller(&client).is_none());
}

#[test]
fn servers_have_no_case_and_tools_do() {
    let stopped = all(&[
        (StopKind::Server, "Mail"),
        (StopKind::Tool, "Files/Write"),
        (StopKind::Credential, "Git"),
        (StopKind::Credential, "CRM/user:Alice"),
    ]);
    assert!(stopped.server("mail").is_some() && stopped.server("MAIL").is_some());
    assert!(stopped.tool("mail", "anything").is_some());
    assert!(stopped.tool("FILES", "Write").is_some());
    assert!(stopped.tool("files", "write").is_none() && stopped.server("files").is_none());
    assert!(stopped.credential("git", None).is_some());
    assert!(stopped.credential("git", Some(("user", "bob"))).is_some());
    assert!(stopped.credential("crm", Some(("user", "Alice"))).is_some());
    assert!(stopped.credential("crm", Some(("user", "alice"))).is_none());
    assert!(stopped.credential("crm", Some(("team", "Alice"))).is_none());
    assert!(stopped.credential("crm", None).is_none());
    assert!(stopped.everything().is_none() && stopped.has_tools());
}

#[test]
fn names_have_the_form_of_their_kind() {
    for (kind, name, good) in [
        (StopKind::All, "", true),
        (StopKind::All, "x", false),
        (StopKind::Server, "", false),
        (StopKind::User, "a\nb", false),
        (StopKind::Tool, "mail", false),
        (StopKind::Tool, "mail/", false),
        (StopKind::Tool, "/send", false),
        (StopKind::Tool, "mail/a/b", true),
        (StopKind::Credential, "mail", true),
        (StopKind::Credential, "mail/alice", false),
        (StopKind::Credential, "mail/user:alice", true),
        (StopKind::Credential, "mail/nobody:alice", false),
    ] {
        assert_eq!(Target::new(kind, name).is_ok(), good, "{kind} '{name}'");
    }
    assert!("service-account".parse::<StopKind>().is_ok() && "team".parse::<StopKind>().is_err());
    for (number, kind) in StopKind::ALL.into_iter().enumerate() {
        assert_eq!((kind as usize, kind.as_str().parse()), (number, Ok(kind)));
    }
}

#[test]
fn of_two_stops_the_one_that_cancels_counts_and_a_lifted_one_does_not() {
    let soft = stop(StopKind::Server, "mail", StopMode::LetEnd);
    let hard = Stop { id: "hard".into(), ..stop(StopKind::Server, "MAIL", StopMode::Cancel) };
    for order in [[soft.clone(), hard.clone()], [hard.clone(), soft.clone()]] {
        let stopped = Stopped::new(order);
        assert_eq!(stopped.server("mail").map(|stop| stop.mode), Some(StopMode::Cancel));
        assert_eq!(stopped.iter().count(), 1);
    }
    let lifted = Some(Lifted { by: "me".into(), why: "over".into(), at: 2 });
    let stopped = Stopped::new([Stop { lifted, ..hard }, soft]);
    assert_eq!(stopped.server("mail").map(|stop| stop.mode), Some(StopMode::LetEnd));
}

#[test]
fn what_is_in_force_is_counted() {
    let stops = Stops::default();
    assert!(stops.current().is_none());
    stops.replace(all(&[(StopKind::All, "")]));
    assert!(stops.current().unwrap().everything().is_some());
    assert_eq!(stops.generation(), 1);
    let before = stops.replace(Stopped::default());
    assert!(!before.is_empty() && stops.current().is_none());
    assert_eq!(stops.generation(), 2);
}

#[test]
fn a_stop_is_written_and_read_alike() {
    let one = stop(StopKind::Tool, "mail/send", StopMode::LetEnd);
    let text = serde_json::to_string(&one).unwrap();
    assert!(text.contains(r#""kind":"tool","name":"mail/send""#), "{text}");
    assert_eq!(serde_json::from_str::<Stop>(&text).unwrap(), one);
}
