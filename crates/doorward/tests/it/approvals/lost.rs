//! A gateway that is killed between taking an approval and sending its call: the approval is not lost, and nothing runs twice.

use std::process::Command;

use nix::sys::signal::Signal;

use super::world::{HOLD, World, id_of, url};
use crate::support::client::Modern;
use crate::support::services::{postgres, postgres_programs};
use crate::support::{folder, wait_for};

pub fn sql(store: &str, text: &str) -> String {
    let output = Command::new(postgres_programs().join("psql"))
        .args(["--no-psqlrc", "--tuples-only", "--no-align", store, "--command", text])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Whoever notes that a taken call is sent waits.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger AS \
    $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$ LANGUAGE plpgsql; \
    CREATE TRIGGER slow BEFORE UPDATE ON approvals FOR EACH ROW \
    WHEN (OLD.state = 'taken' AND NEW.state = 'used') EXECUTE FUNCTION slow()";
/// The connection of a gateway that was killed ends.
const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE wait_event = 'PgSleep'; DROP FUNCTION slow() CASCADE";

#[test]
fn what_a_killed_gateway_has_taken_and_not_sent_runs_once_on_another() {
    let place = folder();
    let (_database, store) = postgres(place.path());
    let world = World::on(folder(), store, HOLD);
    let [mut first, second] = [world.start(), world.start()];
    let dana = world.lead();
    let key = world.known_key(&first, &["--user", "ann"]);
    world.known_key(&second, &["--user", "bob"]);
    let ann = Modern::new(&first, "/mcp/s").bearing(&key);
    let id = id_of(&ann.call("get", url("a")));
    world.decide(&first, &dana, &id, "approve", 200);
    sql(&world.store, SLOW);
    let body = ann.body("tools/call", serde_json::json!({ "name": "get", "arguments": url("a") }));
    let _cut = ann.begin(&body);
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_for("it is taken, and about to be sent", || sql(&world.store, sleeps) == "1");
    first.signal(Signal::SIGKILL);
    first.wait();
    sql(&world.store, END);
    assert!(world.called().is_empty());
    assert_eq!(sql(&world.store, "SELECT state FROM approvals"), "taken");
    // Its lease is over.
    sql(&world.store, "UPDATE approvals SET lease = lease - 60");
    let ann = Modern::new(&second, "/mcp/s").bearing(&key);
    assert_eq!(ann.call("get", url("a")).text(), "get");
    assert_eq!(world.called().len(), 1);
    assert!(world.told(&["approvals", "show", &id]).contains("used"));
    assert_ne!(id_of(&ann.call("get", url("a"))), id);
    let records = world.told(&["audit", "search", "--json"]);
    assert!(records.contains("its gateway has not sent it in time"), "{records}");
}

#[test]
fn a_call_whose_approval_was_given_back_meanwhile_is_not_sent() {
    let place = folder();
    let (_database, store) = postgres(place.path());
    let world = World::on(folder(), store, HOLD);
    let gateway = world.start();
    let ann = world.client(&gateway, &["--user", "ann"]);
    let dana = world.lead();
    let id = id_of(&ann.call("get", url("a")));
    world.decide(&gateway, &dana, &id, "approve", 200);
    // Another has it by the time that the call is about to be sent.
    sql(
        &world.store,
        "CREATE FUNCTION steal() RETURNS trigger AS \
         $$ BEGIN NEW.used_by = 'another'; RETURN NEW; END $$ LANGUAGE plpgsql; \
         CREATE TRIGGER steal BEFORE UPDATE ON approvals FOR EACH ROW \
         WHEN (OLD.state = 'approved' AND NEW.state = 'taken') EXECUTE FUNCTION steal()",
    );
    let late = ann.call("get", url("a"));
    assert!(late.body.contains("too long after its approval"), "{}", late.body);
    assert!(world.called().is_empty());
    sql(&world.store, "DROP FUNCTION steal() CASCADE; UPDATE approvals SET lease = lease - 60");
    assert_eq!(ann.call("get", url("a")).text(), "get");
    assert_eq!(world.called().len(), 1);
}
