//! Emergency stops: each kind, what is in flight, restarts, broken policies and databases that are away.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::time::Instant;

use doorward_bench::backend::{self, Era};

use crate::support::client::{Answer, Handshake, JSON, Modern, read_head, send};
use crate::support::login::World;
use crate::support::services::postgres;
use crate::support::{Gateway, python, told, wait_for};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const STOPPED: i64 = -31022;
const TWO: &str = "servers: {mail: {sample: true}, files: {sample: true}}\n";

/// Stops something, and returns the stop's id.
fn stop(gateway: &Gateway, arguments: &[&str]) -> String {
    let said = gateway.told(&[&["stop"], arguments, &["--why", "a drill"]].concat());
    said.rsplit('(').next().unwrap().trim_end_matches(')').to_owned()
}

fn undo(gateway: &Gateway, id: &str) {
    gateway.told(&["stop", "undo", id, "--why", "the drill is over"]);
}

fn is_stopped(answer: &Answer) -> bool {
    answer.code() == STOPPED && answer.kind() == "stopped"
}

fn add(client: &Modern, server: &str) -> Answer {
    client.call(&format!("{server}__add"), json!({ "a": 2, "b": 3 }))
}

fn names(answer: &Answer) -> Vec<String> {
    let tools = answer.result()["tools"].as_array().unwrap().clone();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_stopped_server_is_called_and_listed_by_nobody_until_that_is_undone() {
    let gateway = Gateway::start(TWO);
    let client = Modern::new(&gateway, "/mcp");
    let at_mail = Modern::new(&gateway, "/mcp/mail");
    let session = Handshake::open(&gateway, "/mcp/mail", "2025-11-25", json!({}));
    let merged = Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
    let mut listening = at_mail.listen(json!({ "toolsListChanged": true }));
    let mut told = client.listen(json!({ "toolsListChanged": true }));
    assert!(names(&client.ask("tools/list", json!({}))).contains(&"mail__add".to_owned()));
    // Whatever the case.
    let id = stop(&gateway, &["server", "MAIL"]);
    let since = Instant::now();
    wait_for("it is stopped", || is_stopped(&add(&client, "mail")));
    assert!(since.elapsed().as_millis() < 1_000, "{:?}", since.elapsed());
    assert_eq!(add(&client, "mail").json()["error"]["data"]["retryable"], false);
    assert!(is_stopped(&at_mail.ask("tools/list", json!({}))));
    assert!(is_stopped(&at_mail.ask("server/discover", json!({}))));
    assert!(is_stopped(&merged.call(1, "mail__add", json!({ "a": 1, "b": 1 }))));
    // Its streams and sessions end, and all others hear that their lists have changed.
    while listening.event().is_some() {}
    assert_eq!(told.message().unwrap()["method"], "notifications/tools/list_changed");
    wait_for("its session ends", || session.ask(2, "tools/list", json!({})).status == 404);
    let opened = Handshake::initialize(&gateway, "/mcp/mail", "2025-11-25", json!({}));
    assert!(is_stopped(&opened), "{}", opened.body);
    let listed = names(&client.ask("tools/list", json!({})));
    assert!(listed.iter().all(|name| name.starts_with("files__")) && !listed.is_empty());
    assert_eq!(add(&client, "files").text(), "5");
    assert_eq!(gateway.metric("doorward_stops"), 1.0);
    undo(&gateway, &id);
    wait_for("it is back", || add(&client, "mail").json().get("result").is_some());
    assert!(names(&client.ask("tools/list", json!({}))).contains(&"mail__add".to_owned()));
    let list = gateway.told(&["stop", "list", "--all"]);
    assert!(list.contains("a drill") && list.contains("the drill is over"), "{list}");
    let acts = gateway.told(&["audit", "search", "--json", "--class", "acts"]);
    assert!(acts.contains("stop.set") && acts.contains("stop.lift"), "{acts}");
}

#[test]
fn a_stopped_tool_is_gone_and_its_server_goes_on() {
    let gateway = Gateway::start(TWO);
    let client = Modern::new(&gateway, "/mcp");
    let id = stop(&gateway, &["tool", "Mail/add"]);
    wait_for("it is stopped", || is_stopped(&add(&client, "mail")));
    let listed = names(&client.ask("tools/list", json!({})));
    assert!(!listed.contains(&"mail__add".into()) && listed.contains(&"mail__echo".into()));
    assert_eq!(client.call("mail__echo", json!({ "text": "x" })).text(), "x");
    assert_eq!(add(&client, "files").text(), "5");
    let session = Handshake::open(&gateway, "/mcp/mail", "2025-11-25", json!({}));
    assert!(!names(&session.ask(1, "tools/list", json!({}))).contains(&"add".into()));
    undo(&gateway, &id);
    wait_for("it is back", || add(&client, "mail").json().get("result").is_some());
    assert!(names(&client.ask("tools/list", json!({}))).contains(&"mail__add".into()));
    assert!(names(&session.ask(2, "tools/list", json!({}))).contains(&"add".into()));
}

#[test]
fn a_stopped_caller_is_refused_at_every_listener_and_others_go_on() {
    let gateway = Gateway::start(TWO);
    let tenant = ["--user", "ann", "--in-tenant", "acme"];
    let ann = gateway.key(&[&tenant[..], &["--admin"]].concat());
    let again = gateway.key(&["--user", "ann"]);
    let bot = gateway.key(&["--agent", "bot"]);
    let job = gateway.key(&["--service-account", "job"]);
    let of = |key: &str| Modern::new(&gateway, "/mcp").bearing(key);
    let admin = || {
        let bearer = format!("Bearer {ann}");
        let headers = [JSON[0], ("authorization", bearer.as_str())];
        send(&gateway.admin, "GET", "/admin/v1/servers/status", &headers, b"").unwrap()
    };
    assert_eq!(admin().status, 200);
    let id_of = |key: &str| key[4..16].to_owned();
    for (arguments, out, others) in [
        (vec!["user", "ann"], vec![&ann, &again], vec![&bot, &job]),
        (vec!["tenant", "acme"], vec![&ann, &again], vec![&bot, &job]),
        (vec!["key", &id_of(&ann)], vec![&ann], vec![&again, &bot, &job]),
        (vec!["agent", "bot"], vec![&bot], vec![&ann, &again, &job]),
        (vec!["service-account", "job"], vec![&job], vec![&ann, &again, &bot]),
    ] {
        let mut streams: Vec<_> =
            out.iter().map(|key| of(key).listen(json!({ "toolsListChanged": true }))).collect();
        let sessions: Vec<_> = out
            .iter()
            .map(|key| {
                Handshake::open_bearing(&gateway, "/mcp", "2025-11-25", json!({}), Some(key))
            })
            .collect();
        let id = stop(&gateway, &arguments);
        for key in &out {
            wait_for("they are out", || add(&of(key), "mail").status == 403);
            assert!(is_stopped(&add(&of(key), "mail")), "{arguments:?}");
            let asked = of(key).ask("tools/list", json!({}));
            assert!(asked.header("www-authenticate").is_none(), "nobody is sent to log in");
        }
        for stream in &mut streams {
            while stream.event().is_some() {}
        }
        for session in &sessions {
            assert!(is_stopped(&session.ask(1, "tools/list", json!({}))));
        }
        for key in others {
            assert_eq!(add(&of(key), "mail").text(), "5", "{arguments:?}");
        }
        assert_eq!(admin().status, if out.contains(&&ann) { 403 } else { 200 });
        // The machine itself always has a way back.
        undo(&gateway, &id);
        for key in &out {
            wait_for("they are back", || add(&of(key), "mail").status == 200);
        }
        // What they had open was ended.
        for session in &sessions {
            assert_eq!(session.ask(2, "tools/list", json!({})).status, 404);
        }
    }
}

#[test]
fn everything_is_stopped_but_the_way_back() {
    let gateway = Gateway::start(TWO);
    let key = gateway.key(&["--user", "ann", "--admin"]);
    let client = Modern::new(&gateway, "/mcp").bearing(&key);
    let session = Handshake::open_bearing(&gateway, "/mcp", "2025-06-18", json!({}), Some(&key));
    let mut stream = client.listen(json!({ "toolsListChanged": true }));
    let id = stop(&gateway, &["all"]);
    wait_for("nothing goes", || is_stopped(&client.ask("server/discover", json!({}))));
    assert!(is_stopped(&session.call(1, "mail__add", json!({ "a": 1, "b": 2 }))));
    while stream.event().is_some() {}
    wait_for("no session is open", || {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        let metrics = send(&gateway.admin, "GET", "/metrics", &headers, b"").unwrap();
        assert_eq!(metrics.status, 200);
        metrics.body.contains("doorward_client_sessions 0")
    });
    undo(&gateway, &id);
    wait_for("all is back", || add(&client, "mail").status == 200);
}

/// A gateway whose server is another gateway, so that it can be seen what reaches the server.
fn behind(more: &str) -> (Gateway, Gateway) {
    let server = Gateway::start("servers: {sample: {sample: true}}");
    let url = server.url("/mcp/sample");
    let gateway = Gateway::start(&format!("servers: {{mail: {{url: '{url}'{more}}}}}\n"));
    (server, gateway)
}

const SLOW: [&str; 2] = ["mail__slow", "slow"];

#[test]
fn calls_in_flight_are_cancelled_and_the_server_is_told() {
    let (server, gateway) = behind("");
    let client = Modern::new(&gateway, "/mcp");
    let session = Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
    let long = json!({ "name": SLOW[0], "arguments": { "steps": 100, "pause_ms": 200 } });
    for target in [vec!["server", "mail"], vec!["tool", "mail/slow"]] {
        let modern = client.begin(&client.body("tools/call", long.clone()));
        let asked = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": long });
        let handshake = session.begin(&asked);
        wait_for("both are at the server", || server.metric("doorward_calls_in_flight") == 2.0);
        let id = stop(&gateway, &target);
        let since = Instant::now();
        for answer in [modern, handshake] {
            let answer = read_head(answer).unwrap().whole().unwrap();
            assert!(is_stopped(&answer), "{}", answer.body);
        }
        assert!(since.elapsed().as_millis() < 1_000, "{:?}", since.elapsed());
        let in_flight = || server.metric("doorward_calls_in_flight");
        std::thread::sleep(std::time::Duration::from_secs(2));
        eprintln!("XX {target:?} {}", in_flight());
        for l in gateway.log().iter().rev().take(14).rev() {
            eprintln!("YY {l}");
        }
        wait_for("the server is told", || in_flight() == 0.0);
        undo(&gateway, &id);
        wait_for("it is back", || {
            client.call("mail__echo", json!({ "text": "x" })).json().get("result").is_some()
        });
    }
}

#[test]
fn calls_in_flight_may_end_and_nothing_new_begins() {
    let (server, gateway) = behind("");
    let client = Modern::new(&gateway, "/mcp");
    let short = json!({ "name": SLOW[0], "arguments": { "steps": 10, "pause_ms": 200 } });
    for target in [vec!["server", "mail"], vec!["tool", "mail/slow"]] {
        let running = client.begin(&client.body("tools/call", short.clone()));
        wait_for("it is at the server", || server.metric("doorward_calls_in_flight") == 1.0);
        let id = stop(&gateway, &[&target[..], &["--let-end"]].concat());
        wait_for("it is stopped", || is_stopped(&client.ask("tools/call", short.clone())));
        let running = read_head(running).unwrap().whole().unwrap();
        assert!(running.text().contains("10"), "{}", running.body);
        undo(&gateway, &id);
        wait_for("it is back", || {
            client.call("mail__echo", json!({ "text": "x" })).json().get("result").is_some()
        });
    }
}

#[test]
fn parked_questions_end_with_what_is_stopped() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let backend = runtime.block_on(backend::start(Era::Handshake, 5)).unwrap();
    let inner = Gateway::start(&format!("servers: {{ask: {{url: '{}'}}}}", backend.url()));
    let elicits = json!({ "elicitation": { "form": {} } });
    let modern = Modern::new(&inner, "/mcp").with(elicits.clone());
    let session = Handshake::open(&inner, "/mcp", "2025-11-25", elicits);
    let call = json!({ "name": "ask__ask", "arguments": {} });
    for target in [vec!["tool", "ask/ask"], vec!["server", "ask"], vec!["user", "local"]] {
        let asked = modern.ask("tools/call", call.clone()).result();
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        let waits = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": call });
        let mut waits = session.open_stream(&waits);
        assert_eq!(waits.message().unwrap()["method"], "elicitation/create");
        assert_eq!(inner.metric("doorward_parked_calls"), 2.0);
        let id = stop(&inner, &target);
        // The client that waits for its user is told; nothing is parked any more.
        let last = waits.message().unwrap();
        assert_eq!(last["error"]["code"], STOPPED, "{target:?}: {last}");
        wait_for("nothing is parked", || inner.metric("doorward_parked_calls") == 0.0);
        let mut retried = call.clone();
        retried["requestState"] = asked["requestState"].clone();
        let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap();
        retried["inputResponses"] =
            json!({ key: { "action": "accept", "content": { "name": "Ada" } } });
        assert!(is_stopped(&modern.ask("tools/call", retried)), "{target:?}");
        undo(&inner, &id);
        wait_for("it is back", || {
            let answer = modern.ask("tools/call", call.clone());
            answer.json()["result"]["resultType"] == "input_required"
        });
        inner.told(&["stop", "tool", "ask/ask", "--why", "to begin anew"]);
        wait_for("nothing is parked", || inner.metric("doorward_parked_calls") == 0.0);
        let again = inner.told(&["stop", "list", "--json"]);
        let again: Value = serde_json::from_str(&again).unwrap();
        undo(&inner, again[0]["id"].as_str().unwrap());
        wait_for("it is back", || inner.metric("doorward_stops") == 0.0);
    }
}

#[test]
fn tasks_are_cancelled_with_what_is_stopped() {
    let folder = crate::support::folder();
    let marks = folder.path().join("marks");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/tasks.py");
    let gateway = Gateway::start(&format!(
        "servers: {{t: {{command: {}, args: [{program:?}, handshake, {marks:?}]}}}}\n",
        python()
    ));
    let client = Modern::new(&gateway, "/mcp/t")
        .with(json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } }));
    let task = client.call("long", json!({})).result()["taskId"].as_str().unwrap().to_owned();
    let id = stop(&gateway, &["tool", "t/long"]);
    let cancelled = || std::fs::read_to_string(&marks).unwrap_or_default().contains("cancelled");
    wait_for("the server is told", cancelled);
    assert_eq!(client.ask("tasks/get", json!({ "taskId": task })).code(), -32602);
    undo(&gateway, &id);
}

#[test]
fn a_stop_survives_a_restart_and_the_server_is_not_even_connected_to() {
    let (server, gateway) = behind("");
    let id = stop(&gateway, &["server", "mail"]);
    let client = Modern::new(&gateway, "/mcp");
    wait_for("it is stopped", || is_stopped(&client.call("mail__echo", json!({ "text": "x" }))));
    let store = crate::support::store_in(gateway.folder.path());
    let before = server.log().len();
    let config = std::fs::read_to_string(&gateway.config).unwrap();
    let again = Gateway::start(&format!("store: {store}\n{config}"));
    let client = Modern::new(&again, "/mcp");
    let answer = client.call("mail__echo", json!({ "text": "x" }));
    assert!(is_stopped(&answer), "{}", answer.body);
    let calls = server.log()[before..].iter().filter(|line| line.contains("session.open")).count();
    assert_eq!(calls, 0);
    told(&store, &["stop", "undo", &id, "--why", "over"]);
    wait_for("it is connected to", || {
        client.call("mail__echo", json!({ "text": "x" })).json().get("result").is_some()
    });
}

#[test]
fn stops_work_while_the_policies_are_broken() {
    let gateway = Gateway::start(&format!("policy: {{files: [open.cedar]}}\n{TWO}"));
    let key = gateway.key(&["--user", "ann"]);
    let client = Modern::new(&gateway, "/mcp").bearing(&key);
    assert_eq!(add(&client, "mail").text(), "5");
    std::fs::write(gateway.folder.path().join("open.cedar"), "permit (principal").unwrap();
    wait_for("that is noticed", || gateway.logged("open.cedar"));
    let id = stop(&gateway, &["server", "mail"]);
    wait_for("it is stopped", || is_stopped(&add(&client, "mail")));
    let user = stop(&gateway, &["user", "ann"]);
    wait_for("they are out", || add(&client, "files").status == 403);
    undo(&gateway, &user);
    undo(&gateway, &id);
    wait_for("all is back", || add(&client, "mail").json().get("result").is_some());
}

#[test]
fn who_may_not_see_a_server_is_not_told_that_it_is_stopped() {
    let gateway = Gateway::start(TWO);
    let key = gateway.key(&["--user", "ann", "--server", "files"]);
    let client = Modern::new(&gateway, "/mcp").bearing(&key);
    let before = add(&client, "mail").body;
    let nothing = add(&client, "nothing").body;
    let other = Modern::new(&gateway, "/mcp").bearing(&gateway.key(&["--user", "bob"]));
    stop(&gateway, &["server", "mail"]);
    wait_for("it is stopped", || is_stopped(&add(&other, "mail")));
    let after = add(&client, "mail").body;
    assert_eq!(after.replace("mail", "nothing"), nothing.replace("mail", "nothing"), "{before}");
}

#[test]
fn the_token_endpoint_refuses_who_is_stopped_and_nothing_is_used_up() {
    let world = World::new();
    let (access, refresh) = world.tokens();
    let gateway = &world.gateway;
    let client = Modern::new(gateway, "/mcp").bearing(&access);
    assert_eq!(client.call("sample__echo", json!({ "text": "x" })).text(), "x");
    let renew = || world.refresh(&refresh, &[]);
    for target in [vec!["client", "desk"], vec!["user", "acme:alice"], vec!["agent", "acme:desk"]] {
        let id = stop(gateway, &target);
        wait_for("they are out", || client.ask("tools/list", json!({})).status == 403);
        let refused = renew();
        assert_eq!(refused.status, 403, "{target:?} {}", refused.body);
        assert_eq!(refused.json()["error"], "access_denied");
        undo(gateway, &id);
        wait_for("they are back", || client.ask("tools/list", json!({})).status == 200);
    }
    assert_eq!(renew().status, 200);
}

#[test]
fn a_stopped_credential_is_presented_to_nobody() {
    let server = Gateway::start("policy: {files: [open.cedar]}\nservers: {sample: {sample: true}}");
    let key = server.key(&["--user", "gateway"]);
    let gateway = Gateway::start(&format!(
        "servers:\n  mail: {{url: '{}', headers: {{authorization: 'Bearer {key}'}}}}\n  files: {{sample: true}}\n",
        server.url("/mcp/sample")
    ));
    let client = Modern::new(&gateway, "/mcp");
    assert_eq!(add(&client, "mail").text(), "5");
    let id = stop(&gateway, &["credential", "mail"]);
    wait_for("it is stopped", || is_stopped(&add(&client, "mail")));
    assert_eq!(add(&client, "files").text(), "5");
    undo(&gateway, &id);
    wait_for("it is back", || add(&client, "mail").json().get("result").is_some());
}

#[test]
fn replicas_obey_within_a_second_on_postgresql() {
    let folder = crate::support::folder();
    let (_database, url) = postgres(folder.path());
    let config = format!("store: {url}\n{TWO}");
    let (first, second) = (Gateway::start(&config), Gateway::start(&config));
    let all = [&first, &second].map(|gateway| Modern::new(gateway, "/mcp"));
    // By the machine, and by the admin API of the other.
    let admin = format!("http://{}", second.admin);
    for at in [vec![], vec!["--admin-url", &admin]] {
        let set = [&["stop", "server", "mail", "--why", "a drill"], &at[..]].concat();
        let said = told(&url, &set);
        let since = Instant::now();
        for client in &all {
            wait_for("it is stopped", || is_stopped(&add(client, "mail")));
        }
        assert!(since.elapsed().as_millis() < 1_000, "{:?}", since.elapsed());
        let id = said.rsplit('(').next().unwrap().trim_end_matches(')');
        told(&url, &[&["stop", "undo", id, "--why", "over"], &at[..]].concat());
        for client in &all {
            wait_for("it is back", || add(client, "mail").json().get("result").is_some());
        }
    }
}

#[test]
fn replicas_that_share_a_folder_agree_however_fast_it_is_stopped_and_undone() {
    let folder = crate::support::folder();
    let (_database, url) = postgres(folder.path());
    let stops = tempfile::tempdir().unwrap();
    let config = format!("store: {url}\nstops: {{folder: {:?}}}\n{TWO}", stops.path());
    let all = [Gateway::start(&config), Gateway::start(&config)];
    for number in 0..30 {
        let wanted = json!({ "kind": "server", "name": "mail", "why": "a drill" });
        let stop = administer(&all[number % 2], "/admin/v1/stops", wanted).json();
        assert_eq!(stop["known_by"], "all_replicas", "{stop}");
        if number % 3 == 0 {
            let other = Modern::new(&all[(number + 1) % 2], "/mcp");
            wait_for("the other knows it", || is_stopped(&add(&other, "mail")));
        }
        let path = format!("/admin/v1/stops/{}/lift", stop["id"].as_str().unwrap());
        let lifted = administer(&all[number % 2], &path, json!({ "why": "over" }));
        assert_eq!(lifted.status, 200, "{}", lifted.body);
    }
    for gateway in &all {
        let client = Modern::new(gateway, "/mcp");
        wait_for("it is back", || add(&client, "mail").json().get("result").is_some());
        wait_for("nothing is left", || gateway.metric("doorward_stops_unwritten") == 0.0);
    }
    assert_eq!(std::fs::read_dir(stops.path()).unwrap().count(), 0);
}

/// Asks the admin API of a gateway that lets everybody on this machine in.
fn administer(gateway: &Gateway, path: &str, body: Value) -> Answer {
    let headers = [JSON[0], ("doorward-admin", "1")];
    send(&gateway.admin, "POST", path, &headers, body.to_string().as_bytes()).unwrap()
}

#[test]
fn a_stop_is_obeyed_while_the_database_is_away_and_survives_a_kill() {
    let folder = crate::support::folder();
    let (database, url) = postgres(folder.path());
    let stops = tempfile::tempdir().unwrap();
    let config = format!("store: {url}\n{TWO}");
    let own = format!("{config}stops: {{folder: {:?}}}\n", stops.path());
    let (first, second) = (Gateway::start(&own), Gateway::start(&config));
    let clients = [&first, &second].map(|gateway| Modern::new(gateway, "/mcp"));
    let hangs = |signal| {
        database.signal_children(signal);
        database.signal(signal);
    };
    hangs(Signal::SIGSTOP);
    let wanted = json!({ "kind": "server", "name": "mail", "why": "no database" });
    let stopped = std::thread::scope(|scope| {
        let asking = scope.spawn(|| administer(&first, "/admin/v1/stops", wanted));
        let since = Instant::now();
        // Before the answer, which waits for the database a moment.
        wait_for("it is stopped here", || is_stopped(&add(&clients[0], "mail")));
        assert!(since.elapsed().as_millis() < 1_000, "{:?}", since.elapsed());
        asking.join().unwrap()
    });
    assert_eq!(stopped.status, 200, "{}", stopped.body);
    let stop = stopped.json();
    assert_eq!(
        (&stop["known_by"], &stop["survives_restart"]),
        (&json!("this_gateway"), &json!(true))
    );
    assert_eq!(add(&clients[1], "mail").text(), "5", "the other does not know yet");
    assert_eq!(first.metric("doorward_stops_unwritten"), 1.0);
    // Killed, and started again when the database is back: nothing is served before it is obeyed.
    first.signal(Signal::SIGKILL);
    hangs(Signal::SIGCONT);
    let again = Gateway::start_unready(&own);
    let client = Modern::new(&again, "/mcp");
    assert!(is_stopped(&add(&client, "mail")));
    wait_for("the other learns it", || is_stopped(&add(&clients[1], "mail")));
    wait_for("it is written", || again.metric("doorward_stops_unwritten") == 0.0);
    assert_eq!(std::fs::read_dir(stops.path()).unwrap().count(), 0, "its file is removed");
    // It is undone in the same way.
    hangs(Signal::SIGSTOP);
    let path = format!("/admin/v1/stops/{}/lift", stop["id"].as_str().unwrap());
    let lifted = administer(&again, &path, json!({ "why": "over" }));
    assert_eq!(lifted.json()["known_by"], "this_gateway", "{}", lifted.body);
    wait_for("it is back here", || add(&client, "mail").json().get("result").is_some());
    assert!(is_stopped(&add(&clients[1], "mail")));
    hangs(Signal::SIGCONT);
    wait_for("it is back there", || add(&clients[1], "mail").json().get("result").is_some());
    let acts = told(&url, &["audit", "search", "--json", "--class", "acts"]);
    assert_eq!(acts.matches("\"stop.set\"").count(), 1, "{acts}");
    assert_eq!(acts.matches("\"stop.lift\"").count(), 1, "{acts}");
}

#[test]
fn a_gateway_without_a_store_keeps_its_stops_in_a_folder() {
    let stops = tempfile::tempdir().unwrap();
    let config = format!("store: none\nstops: {{folder: {:?}}}\n{TWO}", stops.path());
    let gateway = Gateway::start(&config);
    let wanted = json!({ "kind": "tool", "name": "mail/add", "why": "a drill", "let_end": true });
    let stop = administer(&gateway, "/admin/v1/stops", wanted).json();
    assert_eq!(stop["survives_restart"], true, "{stop}");
    assert!(is_stopped(&add(&Modern::new(&gateway, "/mcp"), "mail")));
    drop(gateway);
    let gateway = Gateway::start(&config);
    let client = Modern::new(&gateway, "/mcp");
    assert!(is_stopped(&add(&client, "mail")));
    let path = format!("/admin/v1/stops/{}/lift", stop["id"].as_str().unwrap());
    assert_eq!(administer(&gateway, &path, json!({ "why": "over" })).status, 200);
    assert_eq!(add(&client, "mail").text(), "5");
    assert_eq!(administer(&gateway, &path, json!({ "why": "over" })).status, 404);
    assert_eq!(std::fs::read_dir(stops.path()).unwrap().count(), 0);
    // What the gateway reads from the folder, ten times a second, never undoes what is changed meanwhile.
    for _ in 0..40 {
        let wanted = json!({ "kind": "tool", "name": "mail/add", "why": "a drill" });
        let stop = administer(&gateway, "/admin/v1/stops", wanted).json();
        assert!(is_stopped(&add(&client, "mail")), "{stop}");
        let path = format!("/admin/v1/stops/{}/lift", stop["id"].as_str().unwrap());
        assert_eq!(administer(&gateway, &path, json!({ "why": "over" })).status, 200);
        assert_eq!(add(&client, "mail").text(), "5");
    }
}

#[test]
fn a_stop_needs_a_kind_a_name_and_a_reason() {
    let gateway = Gateway::start(TWO);
    for wanted in [
        json!({ "kind": "server", "name": "mail" }),
        json!({ "kind": "server", "name": "mail", "why": "  " }),
        json!({ "kind": "server", "name": "", "why": "x" }),
        json!({ "kind": "tool", "name": "mail", "why": "x" }),
        json!({ "kind": "all", "name": "mail", "why": "x" }),
        json!({ "kind": "team", "name": "mail", "why": "x" }),
        json!({ "kind": "server", "name": "mail", "why": "x", "more": 1 }),
    ] {
        let answer = administer(&gateway, "/admin/v1/stops", wanted.clone());
        assert_eq!(answer.status, 400, "{wanted}: {}", answer.body);
    }
    let rehearsed = json!({ "kind": "server", "name": "mail", "why": "x" });
    let answer = administer(&gateway, "/admin/v1/stops?dry_run=true", rehearsed);
    assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some("")));
    assert_eq!(add(&Modern::new(&gateway, "/mcp"), "mail").text(), "5");
}
