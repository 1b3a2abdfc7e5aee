//! Labels that several gateways share in Valkey.

use serde_json::json;

use super::world::{World, is_held};
use crate::support::client::Modern;
use crate::support::services::{free_port, redis};
use crate::support::wait_for;

#[test]
fn what_was_read_at_one_gateway_is_carried_to_the_other_and_over_a_restart() {
    let world = World::new();
    let port = free_port();
    let valkey = redis(port);
    let flow = format!("after_start: clean, shared: 'redis://127.0.0.1:{port}'");
    let gateways = [world.start_with(&flow, ""), world.start_with(&flow, "")];
    let key = world.known_key(&[&gateways[0], &gateways[1]], &["--user", "ann"]);
    let clients = gateways.each_ref().map(|gateway| Modern::new(gateway, "/mcp").bearing(&key));
    assert_eq!(clients[1].call("mail__send", json!({})).text(), "A text.");
    assert_eq!(clients[0].call("web__get", json!({})).text(), "A text.");
    assert!(is_held(&clients[1].call("mail__send", json!({}))));
    let again = world.start_with(&flow, "");
    let third = Modern::new(&again, "/mcp").bearing(&key);
    wait_for("the key is known", || third.call("bank__balance", json!({})).status == 200);
    assert!(is_held(&third.call("mail__send", json!({}))));
    // Clearing labels at one gateway clears them at all.
    let admin = world.known_key(&[&gateways[0]], &["--user", "root", "--admin"]);
    let shown = world.administer(&gateways[0], &admin, &["flow", "show", "--user", "ann"]);
    assert!(shown.contains("web/get"), "{shown}");
    let clear = ["flow", "clear", "--user", "ann", "--why", "checked"];
    assert!(world.administer(&gateways[0], &admin, &clear).contains("untrusted"));
    assert_eq!(third.call("mail__send", json!({})).text(), "A text.");
    // While the store is unreachable, calls are held, and results that would add a label are not returned.
    drop(valkey);
    assert!(is_held(&third.call("mail__send", json!({}))));
    let read = third.call("web__get", json!({}));
    assert_eq!(read.kind(), "flow_unavailable", "{}", read.body);
    assert_eq!(third.call("bank__balance", json!({})).text(), "A text.");
    assert!(again.logged("the shared store of flow labels is unavailable"));
}

#[test]
fn a_store_that_has_lost_its_data_knows_of_nobody() {
    let world = World::new();
    let port = free_port();
    let _valkey = redis(port);
    let gateway = world.start_with(&format!("shared: 'redis://127.0.0.1:{port}'"), "");
    let key = world.known_key(&[&gateway], &["--user", "ann"]);
    let client = Modern::new(&gateway, "/mcp").bearing(&key);
    assert!(is_held(&client.call("mail__send", json!({}))));
    let admin = world.known_key(&[&gateway], &["--user", "root", "--admin"]);
    let clear = ["flow", "clear", "--user", "ann", "--why", "a new store"];
    world.administer(&gateway, &admin, &clear);
    assert_eq!(client.call("mail__send", json!({})).text(), "A text.");
}
