//! What is not let in, and what is no request of the protocol.

use super::{A2a, call, message, reason};
use crate::rest::SAMPLE;
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

#[test]
fn callers_are_authenticated_before_anything_is_read() {
    let gateway = Gateway::start(&format!("{SAMPLE}\npolicy: {{files: [open.cedar]}}\n"));
    gateway.key(&["--user", "ann"]);
    let nobody = A2a::new(&gateway);
    let good = json!({ "message": call("sample/echo", json!({ "text": "x" })) }).to_string();
    for (method, path, body) in [
        ("POST", "", "x"),
        ("POST", "/message:send", &*good),
        ("GET", "/tasks", ""),
        ("GET", "/extendedAgentCard", ""),
        ("GET", "/nothing", ""),
        ("POST", "/portals/none", "{}"),
    ] {
        for client in [nobody.clone(), nobody.clone().bearing("dw_wrong")] {
            let answer = client.http(method, path, &[], body);
            assert_eq!(answer.status, 401, "{path}: {}", answer.body);
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
            let error = &answer.json()["error"];
            let is_rpc = path.is_empty() || path.starts_with("/portals");
            assert_eq!(error["code"], if is_rpc { -31013 } else { 401 }, "{}", answer.body);
        }
    }
    let refusals = || gateway.told(&["audit", "search", "--json", "--class", "events"]);
    wait_for("refusals are recorded", || refusals().contains("\"protocol\":\"a2a\""));
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_the_words_of_the_protocol() {
    let gateway = Gateway::start(&format!(
        "{SAMPLE}\nlimits: {{body: 64KiB, json_depth: 16}}\nallowed_origins: ['https://app.example']\n"
    ));
    let client = A2a::new(&gateway);
    let rpc = |method: &str, params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
    };
    let send = |data: &str| {
        let parts = format!(r#"[{{"data":{data}}}]"#);
        rpc(
            "SendMessage",
            &format!(r#"{{"message":{{"messageId":"m","role":"ROLE_USER","parts":{parts}}}}}"#),
        )
    };
    let good = send(r#"{"tool":"sample/echo","arguments":{"text":"x"}}"#);
    let twice = send(r#"{"tool":"sample/echo","tool":"sample/add"}"#);
    let inner_twice = send(r#"{"tool":"sample/echo","arguments":{"text":"x","text":"y"}}"#);
    let deep = send(&format!(
        r#"{{"tool":"sample/echo","arguments":{{"text":{}1{}}}}}"#,
        "[".repeat(20),
        "]".repeat(20)
    ));
    let long = send(&format!(
        r#"{{"tool":"sample/echo","arguments":{{"text":"{}"}}}}"#,
        "x".repeat(70_000)
    ));
    let wide = "x".repeat(33_000);
    let text = [("content-type", "text/plain")];
    for (case, headers, body, status, code) in [
        ("no JSON", &[][..], "x", 200, -32700),
        ("an array", &[], "[]", 200, -32600),
        ("a notification", &[], r#"{"jsonrpc":"2.0","method":"GetTask","params":{}}"#, 200, -32600),
        ("twice", &[], &twice, 200, -32600),
        ("twice within", &[], &inner_twice, 200, -32600),
        ("deep", &[], &deep, 200, -32600),
        ("long", &[], &long, 413, -32600),
        ("type", &text, &good, 415, -32600),
        ("method", &[], &rpc("Nothing", "{}"), 200, -32601),
        ("of the other revision", &[], &rpc("message/send", "{}"), 200, -32009),
        ("no message", &[], &rpc("SendMessage", "{}"), 200, -32602),
        ("unknown task", &[], &rpc("GetTask", r#"{"id":"x"}"#), 200, -32001),
        ("tenant", &[], &rpc("GetTask", r#"{"id":"x","tenant":"t"}"#), 200, -32602),
        ("no tool", &[], &send("{}"), 200, -32602),
        ("push", &[], &rpc("ListTaskPushNotificationConfigs", r#"{"taskId":"x"}"#), 200, -32003),
        ("version", &[("a2a-version", "1.0")], &good, 200, -32600),
        ("host", &[("host", "evil.example")], &good, 403, -31015),
        ("origin", &[("origin", "https://evil.example")], &good, 403, -31015),
        ("header", &[("x", &wide)], &good, 431, -32600),
    ] {
        let answer = client.http("POST", "", headers, body);
        assert_eq!((answer.status, answer.code()), (status, code), "{case}: {}", answer.body);
        assert!(answer.json()["error"]["message"].is_string(), "{case}");
        assert!(answer.json()["error"]["data"][0]["reason"].is_string(), "{case}: {}", answer.body);
    }
    // Over HTTP+JSON.
    let body = json!({ "message": call("sample/echo", json!({ "text": "x" })) }).to_string();
    for (case, method, path, body, status) in [
        ("no JSON", "POST", "/message:send", "x", 400),
        ("no message", "POST", "/message:send", "{}", 400),
        ("path", "GET", "/nothing", "", 404),
        ("verb", "DELETE", "/tasks/x", "", 405),
        ("unknown task", "GET", "/tasks/x", "", 404),
        ("a path of 0.3", "POST", "/v1/message:send", &body, 400),
        ("push", "GET", "/tasks/x/pushNotificationConfigs", "", 400),
        ("tenant", "GET", "/other/tasks", "", 400),
    ] {
        let answer = client.http(method, path, &[], body);
        assert_eq!(answer.status, status, "{case}: {}", answer.body);
        assert_eq!(answer.json()["error"]["code"], status, "{case}: {}", answer.body);
    }
    assert_eq!(client.http("DELETE", "/tasks/x", &[], "").header("allow"), Some("GET"));
    assert_eq!(client.http("GET", "", &[], "").status, 405);
    for (portal, status) in [("none", 404), ("sample", 200)] {
        let client = A2a::at(&gateway, portal);
        assert_eq!(client.rpc("ListTasks", json!({})).status, status, "{portal}");
    }
    let unknown = client.clone().speaking(Some("2.0")).rpc("SendMessage", json!({}));
    assert_eq!((unknown.code(), &*reason(&unknown)), (-32009, "VERSION_NOT_SUPPORTED"));
    // What an agent cannot take.
    for (part, code) in [
        (json!({ "url": "https://x.example/a.pdf" }), -32005),
        (json!({ "raw": "aGk=" }), -32005),
        (json!({ "text": " " }), -32602),
        (json!({ "data": 7 }), -32602),
    ] {
        let answer = client.rpc("SendMessage", json!({ "message": message(part.clone()) }));
        assert_eq!(answer.code(), code, "{part}: {}", answer.body);
    }
    let push = json!({ "message": call("sample/echo", json!({})),
        "configuration": { "taskPushNotificationConfig": { "url": "https://x.example" } } });
    assert_eq!(client.rpc("SendMessage", push).code(), -32003);
    assert_eq!(client.rpc("ListTasks", json!({})).result()["totalSize"], 0, "nothing was begun");
    // Web pages of configured origins may call it, and the gateway is as it was.
    let allowed = [("origin", "https://app.example")];
    let answer = client.http("POST", "", &allowed, &good);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(answer.result()["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(client.http("OPTIONS", "", &allowed, "").status, 204);
}

#[test]
fn the_extension_is_confirmed_to_who_names_it() {
    let gateway = Gateway::start(SAMPLE);
    let client = A2a::new(&gateway);
    let named = [("a2a-extensions", "urn:other, urn:doorward:a2a:tools:1")];
    let answer = client.http("GET", "/tasks", &named, "");
    assert_eq!(answer.header("a2a-extensions"), Some("urn:doorward:a2a:tools:1"));
    assert_eq!(client.http("GET", "/tasks", &[], "").header("a2a-extensions"), None);
}

#[test]
fn without_a_store_there_are_no_tasks_and_the_client_is_told_why() {
    let gateway = Gateway::start(&format!("store: none\n{SAMPLE}\n"));
    let answer = A2a::new(&gateway).rpc("ListTasks", json!({}));
    assert_eq!(answer.code(), -32004, "{}", answer.body);
    assert!(answer.body.contains("store"), "{}", answer.body);
    let _: Value = answer.json();
}
