//! Limits of conversations: a model that repeats itself is first warned, then refused.

use crate::support::Gateway;
use crate::support::client::{Answer, Handshake, Modern};
use crate::support::services::{free_port, redis};
use serde_json::{Value, json};

fn start(conversations: &str, more: &str) -> Gateway {
    let servers = "servers: {sample: {sample: true}}";
    Gateway::start(&format!("conversations: {{{conversations}}}\n{more}\n{servers}"))
}

fn add(client: &Modern, a: i64) -> Answer {
    client.call("add", json!({ "a": a, "b": 1 }))
}

/// The gateway's note in a result, if there is one.
fn note(answer: &Answer) -> Option<String> {
    let result = answer.result();
    let content = result["content"].as_array().expect("it is there").clone();
    let mut notes = content.iter().filter_map(|block| block["text"].as_str());
    notes.find(|text| text.starts_with("Note from the gateway")).map(str::to_owned)
}

fn is_refused(answer: &Answer) -> bool {
    answer.code() == -31029 && answer.kind() == "conversation_limit"
}

#[test]
fn an_agent_in_a_loop_is_warned_and_then_refused_with_a_reason() {
    let gateway = start("repeated: 3, warn: 60", "");
    let client = Modern::new(&gateway, "/mcp/sample");
    assert_eq!(note(&add(&client, 1)), None);
    assert!(note(&add(&client, 1)).unwrap().contains("2 times in a row"));
    assert!(note(&add(&client, 1)).is_some());
    let refused = add(&client, 1);
    assert!(is_refused(&refused), "{}", refused.body);
    let reason = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        reason.contains("4 times in a row") && reason.contains("change the arguments"),
        "{reason}"
    );
    // Equal values count as equal however they are written. A different call resets the count.
    let same = client.ask("tools/call", json!({ "name": "add", "arguments": { "b": 1, "a": 1 } }));
    assert!(is_refused(&same), "{}", same.body);
    assert_eq!(note(&add(&client, 2)), None);
    assert_eq!(note(&add(&client, 1)), None);
}

#[test]
fn a_conversation_has_so_many_calls_in_either_era() {
    let gateway = start("calls: 5", "");
    let client = Modern::new(&gateway, "/mcp/sample");
    let session = || Handshake::open(&gateway, "/mcp/sample", "2025-11-25", json!({}));
    let (one, other) = (session(), session());
    let call = |client: &Handshake, a: i64| client.call(a, "add", json!({ "a": a, "b": 1 }));
    for a in 0..5 {
        assert_eq!(note(&add(&client, a)).is_some(), a >= 3, "{a}");
        assert_eq!(note(&call(&one, a)).is_some(), a >= 3, "{a}");
    }
    assert!(is_refused(&add(&client, 9)));
    assert!(is_refused(&call(&one, 9)));
    assert_eq!(call(&other, 9).text(), "10", "another session is another conversation");
    // Listing tools does not count as a call.
    assert!(client.ask("tools/list", json!({})).json()["result"]["tools"].is_array());
}

#[test]
fn a_cached_result_carries_no_warning_of_another_call() {
    let more = "cache: {memory: 1MiB, max_entry: 1KiB}";
    let servers = "servers: {sample: {sample: true, cache: {ttl: 1h, public: true}}}";
    let config = format!("conversations: {{calls: 5, warn: 40}}\n{more}\n{servers}");
    let gateway = Gateway::start(&config);
    let session = || Handshake::open(&gateway, "/mcp/sample", "2025-11-25", json!({}));
    let (one, other) = (session(), session());
    let call = |client: &Handshake| client.call(1, "add", json!({ "a": 1, "b": 1 }));
    assert_eq!(note(&call(&one)), None);
    assert!(note(&call(&one)).unwrap().contains("2 of 5"));
    assert_eq!(note(&call(&other)), None);
}

#[test]
fn what_a_conversation_costs_is_bounded() {
    let more = "billing: {prices: {all: {tools: '*', call: 1}}}";
    let gateway = start("cost: 3", more);
    let client = Modern::new(&gateway, "/mcp/sample");
    for a in 0..3 {
        assert_eq!(add(&client, a).text(), (a + 1).to_string());
    }
    let refused = add(&client, 9);
    assert!(is_refused(&refused), "{}", refused.body);
    assert!(refused.body.contains("3 credits of 3"), "{}", refused.body);
}

#[test]
fn policies_read_the_counts() {
    let folder = crate::support::folder();
    let policy = folder.path().join("calls.cedar");
    let text = "permit (principal, action in Action::\"use\", resource);\n\
                @id(\"few\") forbid (principal, action == Action::\"call\", resource)\n\
                when { context.conversation.calls > 2 };";
    std::fs::write(&policy, text).unwrap();
    let more = format!("policy: {{files: [{}], explain: full}}", policy.display());
    let gateway = start("calls: 100", &more);
    crate::support::wait_for("the policies are active", || gateway.logged("policies are active"));
    let client = Modern::new(&gateway, "/mcp/sample").bearing(&gateway.key(&["--user", "ann"]));
    let codes: Vec<i64> = (0..4).map(|a| add(&client, a).code()).collect();
    assert_eq!(codes, [0, 0, -31015, -31015]);
}

#[test]
fn a_trace_can_be_what_is_counted() {
    let gateway = start("calls: 1, by: trace", "");
    let client = Modern::new(&gateway, "/mcp/sample");
    let call = |trace: &str| {
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        let params = json!({ "name": "add", "arguments": { "a": 1, "b": 1 } });
        client.send(&client.body("tools/call", params), &[("traceparent", parent.as_str())])
    };
    let (one, other) = ("0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c");
    assert_eq!(call(one).text(), "2");
    assert!(is_refused(&call(one)));
    assert_eq!(call(other).text(), "2");
}

#[test]
fn gateways_count_together_and_apart_while_the_store_is_away() {
    let port = free_port();
    let valkey = redis(port);
    let bounds = format!("calls: 4, warn: 100, shared: 'redis://127.0.0.1:{port}'");
    let gateways = [start(&bounds, ""), start(&bounds, "")];
    let clients = gateways.each_ref().map(|gateway| Modern::new(gateway, "/mcp/sample"));
    for a in 0..4 {
        let client = &clients[usize::from(a % 2 == 1)];
        assert_eq!(add(client, a).text(), (a + 1).to_string());
    }
    assert!(clients.iter().all(|client| is_refused(&add(client, 9))));
    drop(valkey);
    let values: Vec<Value> = (0..4).map(|a| add(&clients[0], a).result()).collect();
    assert_eq!(values.len(), 4);
    assert!(is_refused(&add(&clients[0], 9)));
}

#[test]
fn a_bound_reveals_no_hidden_tool() {
    let folder = crate::support::folder();
    let policy = folder.path().join("add.cedar");
    let text = "permit (principal, action == Action::\"call\", resource == Tool::\"sample/add\");";
    std::fs::write(&policy, text).unwrap();
    let gateway = start("calls: 2", &format!("policy: {{files: [{}]}}", policy.display()));
    let client = Modern::new(&gateway, "/mcp/sample").bearing(&gateway.key(&["--user", "ann"]));
    add(&client, 1);
    add(&client, 2);
    assert!(is_refused(&add(&client, 3)));
    let (hidden, missing) = (client.call("slow", json!({})), client.call("none", json!({})));
    assert_eq!(hidden.json()["error"]["message"], "Unknown tool: slow", "{}", hidden.body);
    assert_eq!(missing.json()["error"]["message"], "Unknown tool: none", "{}", missing.body);
}
