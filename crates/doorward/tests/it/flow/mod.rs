//! Flow rules: a conversation that has read untrusted content needs a person's approval for calls that send, write,
//! pay or read secrets.

mod continued;
mod injected;
mod shared;
mod world;

use crate::support::client::{Handshake, Modern};
use crate::support::{doorward, wait_for};
use serde_json::json;

use self::world::{Client, World, is_held};

#[test]
fn a_page_is_read_and_then_mail_waits_for_a_person() {
    let world = World::new();
    let gateway = world.start();
    for client in world.clients(&gateway, "ann") {
        let before = client.call("mail__send");
        assert_eq!(before.text(), "A text.", "{}", before.body);
        assert_eq!(client.call("web__get").text(), "A text.");
        let after = client.call("mail__send");
        assert!(is_held(&after), "{}", after.body);
        assert_eq!(client.call("bank__balance").text(), "A text.");
    }
    assert_eq!(world.called().iter().filter(|one| *one == "mail__send").count(), 2);
    // Labels of one user do not affect another.
    for client in world.clients(&gateway, "ben") {
        assert_eq!(client.call("mail__send").text(), "A text.");
    }
}

#[test]
fn a_session_ends_with_what_it_carries_and_a_new_one_carries_nothing() {
    let world = World::new();
    let gateway = world.start();
    let key = world.known_key(&[&gateway], &["--user", "ann"]);
    let open = || Handshake::open_bearing(&gateway, "/mcp", "2025-11-25", json!({}), Some(&key));
    let (one, other) = (open(), open());
    assert_eq!(one.call(1, "web__get", json!({})).text(), "A text.");
    assert!(is_held(&one.call(2, "mail__send", json!({}))));
    assert_eq!(other.call(1, "mail__send", json!({})).text(), "A text.");
    // Requests of the handshake era without a session share one conversation; a new request does not reset it.
    let alone = |tool: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": tool, "arguments": {} } });
        let bearer = format!("Bearer {key}");
        let headers = [
            crate::support::client::JSON[0],
            crate::support::client::JSON[1],
            ("mcp-protocol-version", "2025-06-18"),
            ("authorization", bearer.as_str()),
        ];
        let body = body.to_string();
        crate::support::client::send(&gateway.address, "POST", "/mcp", &headers, body.as_bytes())
            .unwrap()
    };
    assert_eq!(alone("web__get").text(), "A text.");
    assert!(is_held(&alone("mail__send")));
}

#[test]
fn a_call_that_runs_marks_its_caller_before_it_says_anything() {
    let world = World::new();
    let gateway = world.start();
    let [Client::Modern(client, _), _] = world.clients(&gateway, "ann") else { unreachable!() };
    let reading = client.clone();
    let slow = std::thread::spawn(move || reading.call("web__slow", json!({})).text());
    wait_for("the server reads", || world.has_called("web__slow"));
    let sent = client.call("mail__send", json!({}));
    assert!(is_held(&sent), "{}", sent.body);
    world.release();
    assert_eq!(slow.join().unwrap(), "A text.");
    assert!(!world.has_called("mail__send"));
}

#[test]
fn a_call_that_is_not_made_marks_nobody() {
    let world = World::new();
    let policies = world.folder.path().join("flow.cedar");
    let all = std::fs::read_to_string(&policies).unwrap();
    let no_web = "forbid (principal, action, resource == Tool::\"web/get\");";
    std::fs::write(&policies, format!("{all}{no_web}")).unwrap();
    let gateway = world.start();
    for client in world.clients(&gateway, "ann") {
        assert_ne!(client.call("web__get").code(), 0);
        assert_eq!(client.call("mail__send").text(), "A text.");
    }
}

#[test]
fn what_inspection_finds_in_a_result_has_labels_before_the_client_has_the_result() {
    let world = World::new();
    let policies = "@id(\"pii\") forbid (principal, action == Action::\"call\", resource == Tool::\"mail/send\")\n\
                    when { context.flow.contains(\"pii\") };";
    std::fs::write(world.folder.path().join("flow.cedar"), format!("{}{policies}", world::OPEN))
        .unwrap();
    let gateway = world.start_with("after_start: clean, data: {card: [pii]}", "inspection: {}");
    for client in world.clients(&gateway, "ann") {
        world.say("A text.");
        assert_eq!(client.call("bank__balance").text(), "A text.");
        assert_eq!(client.call("mail__send").text(), "A text.");
        world.say("The card is 4111 1111 1111 1111.");
        assert!(client.call("bank__balance").text().contains("4111"));
        let denied = client.call("mail__send");
        assert_eq!(denied.kind(), "denied", "{}", denied.body);
        // The tool is still listed, and the client can use everything else.
        let listed = client.ask("tools/list", json!({}));
        assert!(listed.body.contains("mail__send"), "{}", listed.body);
    }
}

#[test]
fn an_agent_that_changes_its_conversation_id_carries_what_it_has_read() {
    let world = World::new();
    let send = |client: &Modern, tool: &str, id: &str| {
        let params =
            json!({ "name": tool, "arguments": {}, "_meta": { "doorward/conversation": id } });
        client.send(&client.body("tools/call", params), &[("doorward-conversation", id)])
    };
    for (separates, flow) in
        [(false, "after_start: clean"), (true, "after_start: clean, conversations: trusted")]
    {
        let gateway = world.start_with(flow, "");
        let key = world.known_key(&[&gateway], &["--user", &format!("ann-{separates}")]);
        let client = Modern::new(&gateway, "/mcp").bearing(&key);
        assert_eq!(send(&client, "web__get", "one").text(), "A text.");
        assert!(is_held(&send(&client, "mail__send", "one")));
        assert_eq!(is_held(&send(&client, "mail__send", "two")), !separates);
    }
    let gateway = world.start();
    let client =
        Modern::new(&gateway, "/mcp").bearing(&world.known_key(&[&gateway], &["--user", "eve"]));
    let params =
        json!({ "name": "web__get", "arguments": {}, "_meta": { "doorward/conversation": "a" } });
    let both = client.send(&client.body("tools/call", params), &[("doorward-conversation", "b")]);
    assert_eq!(both.code(), -32020, "{}", both.body);
}

#[test]
fn after_a_restart_a_caller_without_a_session_carries_everything_until_it_is_cleared() {
    let world = World::new();
    let flow = "lasts: 1h";
    drop(world.start_with(flow, ""));
    let gateway = world.start_with(flow, "");
    let [modern, session] = world.clients(&gateway, "ann");
    assert_eq!(session.call("mail__send").text(), "A text.", "a session begins here");
    assert!(is_held(&modern.call("mail__send")));
    let admin = world.known_key(&[&gateway], &["--user", "root", "--admin"]);
    let clear = ["flow", "clear", "--user", "ann-modern", "--why", "the gateway was updated"];
    let cleared = world.administer(&gateway, &admin, &clear);
    assert!(cleared.contains("cleared user \"ann-modern\": no known labels"), "{cleared}");
    assert_eq!(modern.call("mail__send").text(), "A text.");
    assert_eq!(modern.call("web__get").text(), "A text.");
    assert!(is_held(&modern.call("mail__send")));
}

#[test]
fn labels_are_shown_with_the_call_that_returned_them_and_cleared_with_a_reason() {
    let world = World::new();
    let gateway = world.start();
    let clients = world.clients(&gateway, "ann");
    for client in &clients {
        assert_eq!(client.call("web__get").text(), "A text.");
        assert!(is_held(&client.call("mail__send")));
    }
    let admin = world.known_key(&[&gateway], &["--user", "root", "--admin"]);
    let shown = world.administer(&gateway, &admin, &["flow", "show"]);
    assert_eq!(shown.matches("web/get").count(), 2, "{shown}");
    let json =
        world.administer(&gateway, &admin, &["flow", "show", "--json", "--user", "ann-session"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let (one, label) = (&json[0], &json[0]["labels"][0]);
    assert_eq!((json.as_array().unwrap().len(), &one["kind"]), (1, &json!("session")));
    assert_eq!((&label["label"], &label["server"]), (&json!("untrusted"), &json!("web")));
    let call = label["call"].as_str().unwrap().to_owned();
    wait_for("the call is in the audit log", || {
        let found = doorward()
            .args(["audit", "search", "--json", "--text", &call])
            .env("DOORWARD_STORE", &world.store)
            .output()
            .unwrap();
        String::from_utf8_lossy(&found.stdout).contains(&call)
    });
    let session = one["session"].as_str().unwrap();
    let clear = ["flow", "clear", "--session", session, "--why", "the page was checked"];
    assert!(world.administer(&gateway, &admin, &clear).contains("untrusted"));
    assert_eq!(clients[1].call("mail__send").text(), "A text.");
    assert!(is_held(&clients[0].call("mail__send")), "another's is not cleared");
    wait_for("the act is in the audit log", || {
        let found = told_events(&world.store);
        found.contains("flow.clear")
            && found.contains("the page was checked")
            && found.contains("root")
    });
    // Only an operator can clear labels, and only the running gateway knows them.
    let other = world.known_key(&[&gateway], &["--user", "eve"]);
    let body = json!({ "user": "ann-modern", "why": "because" });
    let (status, _) = gateway.administer(&other, "POST", "/admin/v1/flow/clear", &body);
    assert_eq!(status, 403);
    let (status, _) =
        gateway.administer(&admin, "POST", "/admin/v1/flow/clear", &json!({ "why": "x" }));
    assert_eq!(status, 400);
    let alone =
        doorward().args(["flow", "show"]).env("DOORWARD_STORE", &world.store).output().unwrap();
    let said = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(!alone.status.success() && said.contains("--admin-url"), "{said}");
}

fn told_events(store: &str) -> String {
    let found = doorward()
        .args(["audit", "search", "--json", "--text", "flow.clear"])
        .env("DOORWARD_STORE", store)
        .output()
        .expect("it succeeds");
    String::from_utf8_lossy(&found.stdout).into_owned()
}

#[test]
fn beyond_the_bound_a_callers_other_conversations_are_marked() {
    let world = World::new();
    let more = "limits: {conversations: 2, caller_share: 1}";
    let gateway = world.start_with("after_start: clean, conversations: trusted", more);
    let key = world.known_key(&[&gateway], &["--user", "ann"]);
    let client = Modern::new(&gateway, "/mcp").bearing(&key);
    let call = |tool: &str, id: &str| {
        let params = json!({ "name": tool, "arguments": {} });
        client.send(&client.body("tools/call", params), &[("doorward-conversation", id)])
    };
    assert_eq!(call("mail__send", "clean").text(), "A text.");
    for id in ["one", "two", "three"] {
        assert_eq!(call("web__get", id).text(), "A text.");
        assert!(is_held(&call("mail__send", id)), "{id}");
    }
    assert!(is_held(&call("mail__send", "clean")), "it may have been one of them");
}
