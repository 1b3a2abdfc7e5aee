//! What administrators see of a running gateway: what servers offer, who is listening, and what waits for a decision.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use crate::support::client::Modern;
use crate::support::{Gateway, wait_for};

fn ask(gateway: &Gateway, key: &str, method: &str, path: &str) -> (u16, Value) {
    gateway.administer(key, method, &format!("/admin/v1/{path}"), &json!({}))
}

#[test]
fn what_servers_offer_is_listed_by_page_and_found_by_words() {
    let gateway = Gateway::start(
        "servers: {sample: {sample: true, risk: low, tags: [math], tools: {add: {write: false}}}, other: {sample: true}}",
    );
    let admin = gateway.key(&["--user", "root", "--admin"]);
    Modern::new(&gateway, "/mcp").bearing(&admin).ask("tools/list", json!({}));
    let (status, all) = ask(&gateway, &admin, "GET", "tools?limit=1000");
    assert_eq!(status, 200, "{all}");
    let of = |server: &str| {
        let tools = all["items"].as_array().unwrap().iter();
        tools.filter(|tool| tool["server"] == server).count()
    };
    assert!(of("sample") > 3 && of("sample") == of("other"), "{all}");
    let (_, found) = ask(&gateway, &admin, "GET", "tools?server=Sample&q=ADD");
    let tool = &found["items"][0];
    assert_eq!(
        (&tool["name"], &tool["writes"], &tool["risk"], &tool["tags"]),
        (&json!("add"), &json!(false), &json!("low"), &json!(["math"])),
        "{found}"
    );
    // The pages together contain the whole list.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("servers/sample/definitions?limit=2{cursor}");
        let (status, page) = ask(&gateway, &admin, "GET", &path);
        assert_eq!(status, 200, "{page}");
        seen.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let tools = seen.iter().filter(|it| it["kind"] == "tools").count();
    assert_eq!(tools, of("sample"));
    assert!(seen.iter().any(|it| it["kind"] == "resourceTemplates"), "{seen:?}");
    let add = seen.iter().find(|it| it["name"] == "add").unwrap();
    assert_eq!(add["definition"]["inputSchema"]["type"], "object");
    let (status, wrong) = ask(&gateway, &admin, "GET", "servers/sample/definitions?kind=tool");
    assert!(status == 400 && wrong["detail"].as_str().unwrap().contains("resourceTemplates"));
    assert_eq!(ask(&gateway, &admin, "GET", "servers/nobody/definitions").0, 404);
}

#[test]
fn a_stream_is_listed_and_ended() {
    let gateway = Gateway::start("servers: {sample: {sample: true}}");
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let client = Modern::new(&gateway, "/mcp/sample").bearing(&admin);
    let mut listening = client.listen(json!({ "toolsListChanged": true }));
    let (_, streams) = ask(&gateway, &admin, "GET", "streams");
    let stream = &streams["items"][0];
    assert_eq!(
        (&stream["portal"], &stream["era"]),
        (&json!("sample"), &json!("modern")),
        "{streams}"
    );
    assert!(stream["principal"].as_str().unwrap().contains("root"), "{streams}");
    let id = stream["id"].as_str().unwrap();
    assert_eq!(ask(&gateway, &admin, "DELETE", "streams/999").0, 404);
    let (status, removed) = ask(&gateway, &admin, "DELETE", &format!("streams/{id}?dry_run=true"));
    assert_eq!((status, &removed["removed"]), (200, &json!(id)), "{removed}");
    assert_eq!(ask(&gateway, &admin, "GET", "streams").1["items"].as_array().unwrap().len(), 1);
    assert_eq!(ask(&gateway, &admin, "DELETE", &format!("streams/{id}")).0, 200);
    while listening.message().is_some() {}
    assert_eq!(ask(&gateway, &admin, "GET", "streams").1["items"], json!([]));
    wait_for("it is recorded", || {
        let acts = gateway.told(&["audit", "search", "--json", "--limit", "100"]);
        acts.contains("stream.end_by_administrator")
    });
}

#[test]
fn what_waits_for_a_decision_is_told_as_it_happens() {
    let gateway = Gateway::start_unready("pins: {mode: \"on\"}\nservers: {sample: {sample: true}}");
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let mut until = gateway.events(&admin);
    until("\"definitions\":{\"sample\":");
    let body =
        json!({ "name": "tickets", "settings": { "url": "https://tickets.example.com/mcp" } });
    assert_eq!(gateway.administer(&admin, "POST", "/admin/v1/servers", &body).0, 201);
    let told = until("tickets");
    assert!(
        told.contains("\"proposals\":[{\"server\":\"tickets\",\"state\":\"proposed\"}]"),
        "{told}"
    );
}
