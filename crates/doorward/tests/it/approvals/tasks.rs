//! Held calls as tasks, for clients that take tasks.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::lost::sql;
use super::world::{HOLD, World, id_of, url};
use crate::support::client::{Answer, Modern};
use crate::support::services::postgres;
use crate::support::{Gateway, folder, wait_for};

fn tasks() -> Value {
    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

fn ann(world: &World, gateway: &Gateway) -> Modern {
    world.client(gateway, &["--user", "ann"]).with(tasks())
}

/// The task that a held call has become, and the ID of its approval.
fn held(answer: &Answer) -> (String, String) {
    let task = answer.result();
    assert_eq!(
        (&task["resultType"], &task["status"]),
        (&json!("task"), &json!("working")),
        "{task}"
    );
    let message = task["statusMessage"].as_str().unwrap();
    assert!(message.contains("role:lead (Getting needs a lead)"), "{message}");
    let (_, id) = message.split_once("/approvals/").unwrap();
    (task["taskId"].as_str().unwrap().to_owned(), id.split(' ').next().unwrap().to_owned())
}

fn get(client: &Modern, task: &str) -> Value {
    client.ask("tasks/get", json!({ "taskId": task })).result()
}

/// The task once it is over.
fn over(client: &Modern, task: &str) -> Value {
    wait_for("the task is over", || get(client, task)["status"] != "working");
    get(client, task)
}

#[test]
fn a_held_call_is_a_task_that_runs_once_when_it_is_approved() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let dana = world.lead();
    let ann = ann(&world, &gateway);
    let declared = ann.ask("server/discover", json!({})).result();
    assert!(declared["capabilities"].to_string().contains("/tasks"), "{declared}");
    let (task, id) = held(&ann.call("get", url("a")));
    // The same call is the same task.
    let (again, same) = held(&ann.call("get", url("a")));
    assert_eq!(same, id);
    let seen = get(&ann, &task);
    let (status, kind) = (&seen["status"], &seen["resultType"]);
    assert_eq!(
        (status, kind, &seen["taskId"]),
        (&json!("working"), &json!("complete"), &json!(task))
    );
    // Nobody else has it, be it the same user with another key.
    for who in ["bob", "ann"] {
        let other = world.client(&gateway, &["--user", who]).with(tasks());
        for method in ["tasks/get", "tasks/cancel"] {
            let refused = other.ask(method, json!({ "taskId": task }));
            assert_eq!(refused.code(), -32602, "{who}: {}", refused.body);
        }
    }
    assert!(world.called().is_empty());
    world.decide(&gateway, &dana, &id, "approve", 200);
    let done = over(&ann, &task);
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(done["result"]["content"][0]["text"], "get", "{done}");
    assert_eq!(over(&ann, &again)["result"], done["result"]);
    assert_eq!(world.called().len(), 1);
    assert!(world.told(&["approvals", "show", &id]).contains("used"));
    // What is over is not cancelled, and the next call needs another approval.
    ann.ask("tasks/cancel", json!({ "taskId": task })).result();
    assert_eq!(get(&ann, &task)["status"], "completed");
    assert_ne!(held(&ann.call("get", url("a"))).1, id);
    // Whoever takes no tasks gets none.
    id_of(&world.client(&gateway, &["--user", "eve"]).call("get", url("a")));
    assert_eq!(world.called().len(), 1);
}

#[test]
fn a_task_ends_with_its_approval_and_an_approval_with_its_task() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let dana = world.lead();
    let ann = ann(&world, &gateway);
    let (refused, id) = held(&ann.call("get", url("a")));
    world.decide(&gateway, &dana, &id, "refuse", 200);
    let failed = over(&ann, &refused);
    assert_eq!(failed["status"], "failed");
    assert!(failed["error"]["message"].as_str().unwrap().ends_with("refused this call: because"));
    let (cancelled, id) = held(&ann.call("get", url("b")));
    ann.ask("tasks/cancel", json!({ "taskId": cancelled })).result();
    assert_eq!(get(&ann, &cancelled)["status"], "cancelled");
    assert!(world.told(&["approvals", "show", &id]).contains("ended"));
    world.decide(&gateway, &dana, &id, "approve", 0);
    // Another call has used the approval: the task has not run.
    let (used, id) = held(&ann.call("get", url("c")));
    world.decide(&gateway, &dana, &id, "approve", 200);
    assert_eq!(ann.call("get", url("c")).text(), "get");
    assert_eq!(over(&ann, &used)["status"], "failed");
    assert_eq!(world.called().len(), 1);
    // What has changed meanwhile is not run.
    let (changed, id) = held(&ann.call("get", url("d")));
    world.decide(&gateway, &dana, &id, "approve", 200);
    world.change_tool(&gateway);
    let failed = over(&ann, &changed);
    assert!(
        failed["error"]["message"].as_str().unwrap().contains("not this call any more"),
        "{failed}"
    );
    let (late, _) = held(&ann.call("get", url("e")));
    world.age(3_600);
    let failed = over(&ann, &late);
    assert!(failed["error"]["message"].as_str().unwrap().contains("in time"), "{failed}");
    assert_eq!(world.called().len(), 1);
}

#[test]
fn a_caller_has_so_many_tasks() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let ann = ann(&world, &gateway);
    let mut last = String::new();
    for number in 0..20 {
        let (task, id) = held(&ann.call("get", url(&number.to_string())));
        // What is approved does not wait any more, and its task goes on.
        world.told(&["approvals", "approve", &id]);
        last = task;
    }
    let more = ann.call("get", url("more"));
    assert_eq!(more.kind(), "overloaded", "{}", more.body);
    held(&world.client(&gateway, &["--user", "bob"]).with(tasks()).call("get", url("more")));
    ann.ask("tasks/cancel", json!({ "taskId": last })).result();
    held(&ann.call("get", url("more")));
    assert!(world.called().is_empty());
}

#[test]
fn a_task_whose_server_asks_for_input_goes_on_with_it() {
    let hold =
        HOLD.replace("resource == Tool::\"s/get\"", "resource == Tool::\"sample/introduce\"");
    let world = World::new(&hold);
    let gateway = world.start_with("  sample: {sample: true}\n");
    let dana = world.lead();
    let key = world.known_key(&gateway, &["--user", "ann"]);
    let both = json!({ "elicitation": { "form": {} }, "extensions": tasks()["extensions"] });
    // At the endpoint of all servers, whose names are qualified.
    let ann = Modern::new(&gateway, "/mcp").bearing(&key).with(both);
    let name = || {
        let list = ann.ask("tools/list", json!({})).result();
        let tools = list["tools"].as_array().unwrap().clone();
        let names = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned());
        names.clone().find(|name| name.contains("introduce"))
    };
    wait_for("the server is known", || name().is_some());
    let (task, id) = held(&ann.call(&name().unwrap(), json!({})));
    world.decide(&gateway, &dana, &id, "approve", 200);
    let asked = over(&ann, &task);
    assert_eq!(asked["status"], "input_required", "{asked}");
    let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let update = |responses: Value| {
        let params = json!({ "taskId": task, "inputResponses": responses });
        ann.ask("tasks/update", params).result()
    };
    update(json!({ "another": { "action": "decline" } }));
    assert_eq!(get(&ann, &task)["status"], "input_required");
    update(json!({ key: { "action": "accept", "content": { "name": "Ann" } } }));
    let done = over(&ann, &task);
    assert_eq!(done["status"], "completed", "{done}");
    assert!(done["result"]["content"].to_string().contains("Ann"), "{done}");
}

#[test]
fn stops_other_policies_and_a_revoked_key_end_a_task() {
    let world = World::new(HOLD);
    let gateway = world.start();
    let dana = world.lead();
    let ann = ann(&world, &gateway);
    let approved = |at: &str| {
        let (task, id) = held(&ann.call("get", url(at)));
        world.decide(&gateway, &dana, &id, "approve", 200);
        task
    };
    let stopped = approved("a");
    let said = world.told(&["stop", "tool", "s/get", "--why", "a drill"]);
    wait_for("it is stopped", || ann.call("get", url("x")).kind() == "stopped");
    let failed = over(&ann, &stopped);
    assert_eq!(failed["error"]["data"]["kind"], "stopped", "{failed}");
    let stop = said.rsplit('(').next().unwrap().trim().trim_end_matches(')').to_owned();
    world.told(&["stop", "undo", &stop, "--why", "over"]);
    wait_for("it is not stopped any more", || ann.call("get", url("x")).kind() != "stopped");
    let other = approved("b");
    world.write(&format!("{HOLD}\n// Changed.\n"));
    let count = || gateway.log().iter().filter(|it| it.contains("policies are active")).count();
    wait_for("the policies are active", || count() > 1);
    let failed = over(&ann, &other);
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains("not this call any more"), "{message}");
    let lost = approved("c");
    let keys: Value = serde_json::from_str(&world.told(&["keys", "list", "--json"])).unwrap();
    let of_ann = keys.as_array().unwrap().iter().find(|key| key.to_string().contains("ann"));
    world.told(&["keys", "revoke", of_ann.unwrap()["id"].as_str().unwrap()]);
    wait_for("it is revoked", || ann.ask("tools/list", json!({})).status == 401);
    assert_eq!(ann.ask("tasks/get", json!({ "taskId": lost })).status, 401);
    // Her next key has nothing of it.
    let next = self::ann(&world, &gateway);
    assert_eq!(next.ask("tasks/get", json!({ "taskId": lost })).code(), -32602);
    assert!(world.called().is_empty());
}

/// A client of another server than the one that is counted.
fn at(world: &World, gateway: &Gateway, server: &str) -> Modern {
    let key = world.known_key(gateway, &["--user", "ann"]);
    let client = Modern::new(gateway, &format!("/mcp/{server}")).bearing(&key).with(tasks());
    wait_for("the server is known", || {
        client.ask("tools/list", json!({})).json()["result"]["tools"].is_array()
    });
    client
}

/// Everything of a server waits for a lead.
fn hold_all_of(server: &str) -> String {
    HOLD.replace("resource == Tool::\"s/get\"", &format!("resource in Server::\"{server}\""))
}

#[test]
fn a_running_call_is_dropped_when_its_task_is_cancelled() {
    let world = World::new(&hold_all_of("sample"));
    let gateway = world.start_with("  sample: {sample: true}\n");
    let dana = world.lead();
    let ann = at(&world, &gateway, "sample");
    let (task, id) = held(&ann.call("slow", json!({ "steps": 100, "pause_ms": 5_000 })));
    world.decide(&gateway, &dana, &id, "approve", 200);
    assert_eq!(get(&ann, &task)["status"], "working");
    let shows = |state: &str| world.told(&["approvals", "show", &id]).contains(state);
    wait_for("it is sent", || shows("used"));
    ann.ask("tasks/cancel", json!({ "taskId": task })).result();
    assert_eq!(get(&ann, &task)["status"], "cancelled");
    let records = || world.told(&["audit", "search", "--json"]);
    wait_for("the call has ended", || records().contains("\"outcome\":\"cancelled\""));
}

#[test]
fn the_result_of_a_task_is_inspected_like_any_other() {
    let world = World::new(&hold_all_of("sample"));
    let more =
        "  sample: {sample: true}\ninspection: {results: {data: {classes: {email: mask}}}}\n";
    let gateway = world.start_with(more);
    let dana = world.lead();
    let ann = at(&world, &gateway, "sample");
    let (task, id) = held(&ann.call("echo", json!({ "text": "Write to eve.hill@example.com." })));
    world.decide(&gateway, &dana, &id, "approve", 200);
    let done = over(&ann, &task);
    assert_eq!(done["result"]["content"][0]["text"], "Write to [EMAIL].", "{done}");
}

#[test]
fn a_task_of_the_server_goes_on_under_the_same_id() {
    let world = World::new(&hold_all_of("t"));
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/tasks.py");
    let marks = world.folder.path().join("marks");
    let python = crate::support::python();
    let server = format!("  t: {{command: {python}, args: [{program:?}, modern, {marks:?}]}}\n");
    let gateway = world.start_with(&server);
    let dana = world.lead();
    let ann = at(&world, &gateway, "t");
    let (short, id) = held(&ann.call("short", json!({})));
    world.decide(&gateway, &dana, &id, "approve", 200);
    let done = over(&ann, &short);
    let text = &done["result"]["content"][0]["text"];
    assert_eq!((&done["status"], text), (&json!("completed"), &json!("done: None")), "{done}");
    assert_eq!(done["taskId"], short.as_str());
    let (long, id) = held(&ann.call("long", json!({})));
    world.decide(&gateway, &dana, &id, "approve", 200);
    let is_there = || get(&ann, &long)["statusMessage"] == "at work";
    wait_for("it is the server's", is_there);
    ann.ask("tasks/cancel", json!({ "taskId": long })).result();
    assert_eq!(over(&ann, &long)["status"], "cancelled");
    assert!(std::fs::read_to_string(marks).unwrap().contains("cancelled task-1"));
}

/// Whoever notes something of what is stored waits.
fn slow(table: &str, when: &str) -> String {
    format!(
        "CREATE FUNCTION slow() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$ \
         LANGUAGE plpgsql; CREATE TRIGGER slow BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({when}) \
         EXECUTE FUNCTION slow()"
    )
}

#[test]
fn a_gateway_that_is_killed_loses_no_task_and_nothing_runs_twice() {
    let place = folder();
    let (_database, store) = postgres(place.path());
    let world = World::on(folder(), store, HOLD);
    let dana = world.lead();
    let mut gateway = world.start();
    let key = world.known_key(&gateway, &["--user", "ann"]);
    let client = |gateway: &Gateway| {
        let client = Modern::new(gateway, "/mcp/s").bearing(&key).with(tasks());
        let known = || client.ask("tools/list", json!({})).json()["result"]["tools"].is_array();
        wait_for("the gateway knows all", known);
        client
    };
    // Before the approval; then before the call is sent; then before its result is kept.
    let steps = [
        (None, "completed", 1),
        (Some(slow("approvals", "OLD.state = 'taken' AND NEW.state = 'used'")), "completed", 2),
        (Some(slow("approval_tasks", "NEW.state = 'completed'")), "failed", 3),
    ];
    for (at, (slow, status, called)) in steps.into_iter().enumerate() {
        let ann = client(&gateway);
        let (task, id) = held(&ann.call("get", url(&at.to_string())));
        if let Some(slow) = &slow {
            sql(&world.store, slow);
            world.decide(&gateway, &dana, &id, "approve", 200);
            assert_eq!(get(&ann, &task)["status"], "working");
            let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
            wait_for("it is on its way", || sql(&world.store, sleeps) == "1");
        }
        gateway.signal(Signal::SIGKILL);
        gateway.wait();
        match slow {
            None => _ = world.told(&["approvals", "approve", &id]),
            Some(_) => {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE wait_event = 'PgSleep'; DROP FUNCTION slow() CASCADE";
                sql(&world.store, end);
                // The leases are over.
                sql(&world.store, "UPDATE approvals SET lease = lease - 60");
                sql(&world.store, "UPDATE approval_tasks SET lease = lease - 120");
            }
        }
        gateway = world.start();
        let ann = client(&gateway);
        let done = over(&ann, &task);
        assert_eq!(done["status"], status, "{at}: {done}");
        assert_eq!(world.called().len(), called, "{at}");
        if status == "failed" {
            let message = done["error"]["message"].as_str().unwrap();
            assert!(message.contains("may have been executed"), "{message}");
        }
    }
}

#[test]
fn of_two_gateways_one_runs_a_task() {
    let place = folder();
    let (_database, store) = postgres(place.path());
    let world = World::on(folder(), store, HOLD);
    let gateways = [world.start(), world.start()];
    let dana = world.lead();
    let key = world.known_key(&gateways[0], &["--user", "ann"]);
    world.known_key(&gateways[1], &["--user", "bob"]);
    let clients = gateways
        .each_ref()
        .map(|gateway| Modern::new(gateway, "/mcp/s").bearing(&key).with(tasks()));
    for round in 1..=3 {
        let (task, id) = held(&clients[0].call("get", url(&round.to_string())));
        world.decide(&gateways[1], &dana, &id, "approve", 200);
        let asks: Vec<_> = (0..6)
            .map(|at| {
                let (client, task) = (clients[at % 2].clone(), task.clone());
                std::thread::spawn(move || over(&client, &task))
            })
            .collect();
        for done in asks {
            let done = done.join().unwrap();
            assert_eq!(done["result"]["content"][0]["text"], "get", "{done}");
        }
        assert_eq!(world.called().len(), round);
    }
}
