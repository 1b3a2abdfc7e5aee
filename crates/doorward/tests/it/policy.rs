//! Policies: what is listed and what can be called, how policies change at run time, and their commands.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use crate::support::client::{Answer, Handshake, Modern};
use crate::support::{Gateway, doorward, wait_for};
use serde_json::{Value, json};

const SERVERS: &str =
    "servers: {sample: {sample: true, tools: {slow: {write: true}}}, other: {sample: true}}";

/// A gateway with policies in a file.
fn start(policies: &str, more: &str) -> Gateway {
    let gateway = Gateway::start(&format!(
        "policy: {{files: [open.cedar], explain: full}}\n{SERVERS}\n{more}"
    ));
    write(&gateway, policies);
    gateway
}

fn write(gateway: &Gateway, policies: &str) {
    std::fs::write(gateway.folder.path().join("open.cedar"), policies).unwrap();
    let before = count(gateway);
    wait_for("the policies are active", || count(gateway) > before);
}

fn count(gateway: &Gateway) -> usize {
    gateway.log().iter().filter(|line| line.contains("policies are active")).count()
}

fn names(answer: &Answer) -> Vec<String> {
    let tools = answer.result()["tools"].as_array().unwrap().clone();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn key(gateway: &Gateway, arguments: &[&str]) -> String {
    gateway.told(&[&["keys", "create"], arguments].concat())
}

/// A client with a key that the gateway already knows.
fn at(gateway: &Gateway, path: &str, key: &str) -> Modern {
    let client = Modern::new(gateway, path).bearing(key);
    wait_for("the key is known", || client.ask("tools/list", json!({})).status != 401);
    client
}

#[test]
fn a_policy_alone_closes_the_gateway_and_nothing_is_permitted_by_default() {
    let gateway = start(
        "permit (principal, action == Action::\"call\", resource == Tool::\"sample/add\");",
        "",
    );
    assert_eq!(Modern::new(&gateway, "/mcp").ask("tools/list", json!({})).status, 401);
    let client = at(&gateway, "/mcp", &key(&gateway, &["--user", "alice"]));
    assert_eq!(names(&client.ask("tools/list", json!({}))), ["sample__add"]);
    assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 2 })).text(), "3");
    for (method, params) in [
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("prompts/list", json!({})),
    ] {
        let result = client.ask(method, params).result();
        assert!(
            result.as_object().unwrap().values().any(|value| *value == json!([])),
            "{method}: {result}"
        );
    }
    assert_eq!(
        client.ask("resources/read", json!({ "uri": "sample+sample://clock" })).code(),
        -32602
    );
    // Policies cannot permit a method of an extension.
    let server = at(&gateway, "/mcp/sample", &key(&gateway, &["--user", "alice"]));
    assert_eq!(server.ask("vendor/anything", json!({})).status, 404);
}

#[test]
fn what_is_hidden_cannot_be_told_from_what_is_absent() {
    let gateway = start(
        "permit (principal in Role::\"all\", action, resource);
         permit (principal, action in Action::\"use\", resource in Server::\"sample\");
         @id(\"no-slow\") @reason(\"Nobody waits\") forbid (principal, action, resource == Tool::\"sample/slow\") unless { principal in Role::\"all\" };
         forbid (principal, action, resource == Resource::\"sample/sample://clock\") unless { principal in Role::\"all\" };",
        "",
    );
    let some = at(&gateway, "/mcp", &key(&gateway, &["--user", "alice"]));
    let all = at(&gateway, "/mcp", &key(&gateway, &["--user", "root", "--role", "all"]));
    let (few, every) =
        (names(&some.ask("tools/list", json!({}))), names(&all.ask("tools/list", json!({}))));
    assert!(every.len() > few.len() && few.iter().all(|name| every.contains(name)));
    assert!(
        !few.contains(&"sample__slow".to_owned())
            && few.iter().all(|name| name.starts_with("sample__"))
    );
    let same = |hidden: Answer, absent: Answer, hidden_name: &str, absent_name: &str| {
        assert_eq!(hidden.status, absent.status);
        assert_eq!(hidden.body.replace(hidden_name, "X"), absent.body.replace(absent_name, "X"));
        let mut heads = [hidden.headers, absent.headers];
        heads
            .iter_mut()
            .for_each(|head| head.retain(|(name, _)| name != "date" && name != "content-length"));
        assert_eq!(heads[0], heads[1]);
    };
    for (hidden, absent) in [
        ("sample__slow", "sample__slaw"),
        ("other__echo", "other__ecko"),
        ("other__echo", "nobody__echo"),
    ] {
        same(some.call(hidden, json!({})), some.call(absent, json!({})), hidden, absent);
    }
    let session =
        |key: &str| Handshake::open_bearing(&gateway, "/mcp", "2025-06-18", json!({}), Some(key));
    let old = session(&some.authorization.as_ref().unwrap()[7..]);
    same(
        old.call(1, "sample__slow", json!({})),
        old.call(1, "sample__slaw", json!({})),
        "sample__slow",
        "sample__slaw",
    );
    assert_eq!(names(&old.ask(2, "tools/list", json!({}))), few);
    let subscribe = |uri: &str| old.ask(3, "resources/subscribe", json!({ "uri": uri }));
    same(subscribe("other+sample://clock"), subscribe("none+sample://clock"), "other+", "none+");
    assert_eq!(subscribe("sample+sample://clock").code(), -32002);
    let read = |client: &Modern, uri: &str| client.ask("resources/read", json!({ "uri": uri }));
    same(
        read(&some, "other+sample://clock"),
        read(&some, "none+sample://clock"),
        "other+",
        "none+",
    );
    assert_eq!(read(&some, "sample+sample://clock").code(), -32602);
    assert_eq!(read(&all, "sample+sample://clock").status, 200);
    assert!(read(&all, "sample+sample://clock").json().get("result").is_some());
    // The operator sees the reason.
    assert!(gateway.logged("no-slow") && gateway.logged("Nobody waits"));
    // At the endpoint of a hidden server, neither status nor text reveals it, whatever is sent (R2).
    for garbage in ["{", "[]", "{}", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"] {
        let post = |path: &str| {
            let mut headers = crate::support::client::JSON.to_vec();
            headers.push(("authorization", some.authorization.as_deref().unwrap()));
            crate::support::client::send(
                &gateway.address,
                "POST",
                path,
                &headers,
                garbage.as_bytes(),
            )
            .unwrap()
        };
        same(post("/mcp/other"), post("/mcp/nobody"), "other", "nobody");
    }
}

/// A server that hangs: a caller who may not see it learns nothing from the response time.
#[test]
fn a_hidden_server_costs_no_time() {
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", hanging.local_addr().unwrap());
    let gateway = Gateway::start_unready(&format!(
        "policy: {{files: [open.cedar]}}\nservers: {{sample: {{sample: true}}, hanging: {{url: '{url}'}}}}"
    ));
    write(&gateway, "permit (principal, action, resource in Server::\"sample\");");
    let key = key(&gateway, &["--user", "alice"]);
    let client = |path: &str| Modern::new(&gateway, path).bearing(&key);
    wait_for("the key is known", || client("/mcp").call("none__x", json!({})).status != 401);
    let timed = |path: &str, name: &str| {
        let began = std::time::Instant::now();
        let answer = client(path).call(name, json!({}));
        (answer.status, began.elapsed())
    };
    for (path, hidden, absent) in [("/mcp", "hanging__x", "nobody__x"), ("/mcp/hanging", "x", "x")]
    {
        let (status, took) = timed(path, hidden);
        let (of_absent, _) = timed(&path.replace("hanging", "nobody"), absent);
        assert_eq!(status, of_absent);
        assert!(took.as_millis() < 500, "{path}: {took:?}");
    }
}

#[test]
fn arguments_decide_and_the_reason_is_told() {
    let gateway = start(
        "@id(\"everything\") permit (principal, action, resource);
         @id(\"limit\") @reason(\"Sums over 100 need a lead\") @arguments(\"a?: Long\")
         forbid (principal, action == Action::\"call\", resource == Tool::\"sample/add\")
         when { context.arguments has a && context.arguments.a > 100 } unless { principal in Role::\"lead\" };",
        "",
    );
    let client = at(&gateway, "/mcp", &key(&gateway, &["--user", "alice"]));
    let lead = at(&gateway, "/mcp", &key(&gateway, &["--user", "bob", "--role", "lead"]));
    assert!(names(&client.ask("tools/list", json!({}))).contains(&"sample__add".to_owned()));
    assert_eq!(client.call("sample__add", json!({ "a": 100, "b": 2 })).text(), "102");
    let denied = client.call("sample__add", json!({ "a": 101, "b": 2 }));
    assert_eq!((denied.status, denied.code()), (200, -31015));
    let error = &denied.json()["error"];
    assert_eq!(error["message"], "Sums over 100 need a lead");
    assert_eq!(
        (&error["data"]["code"], &error["data"]["policies"]),
        (&json!("forbidden"), &json!(["limit"]))
    );
    assert_eq!(lead.call("sample__add", json!({ "a": 101, "b": 2 })).text(), "103");
    for strange in
        [json!({ "a": "101", "b": 1 }), json!({ "a": 101.5, "b": 1 }), json!({ "A": 1, "b": 1 })]
    {
        let refused = client.call("sample__add", strange.clone());
        assert_eq!(
            refused.json()["error"]["data"]["code"],
            "argument_type",
            "{strange}: {}",
            refused.body
        );
    }
    // A number that is too large for the policy language does not count as an absent argument.
    let body = client
        .body("tools/call", json!({ "name": "sample__add", "arguments": { "a": 7777, "b": 2 } }));
    let body: String = body.to_string().replace("7777", "1e999");
    let mut headers = crate::support::client::JSON.to_vec();
    headers.extend([
        ("authorization", client.authorization.as_deref().unwrap()),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "sample__add"),
    ]);
    let refused =
        crate::support::client::send(&gateway.address, "POST", "/mcp", &headers, body.as_bytes())
            .unwrap();
    assert_eq!((refused.status, refused.code()), (400, -32600), "{}", refused.body);
    // The policy does not apply to the tool of the same name at the other server.
    assert_eq!(client.call("other__add", json!({ "a": 101, "b": 2 })).text(), "103");
    let session = Handshake::open_bearing(
        &gateway,
        "/mcp",
        "2025-03-26",
        json!({}),
        Some(&client.authorization.as_ref().unwrap()[7..]),
    );
    assert_eq!(session.call(1, "sample__add", json!({ "a": 101, "b": 2 })).code(), -31015);
}

#[test]
fn policies_change_while_the_gateway_runs_and_bad_ones_do_not() {
    let all = "permit (principal, action, resource);";
    let gateway = start(all, "");
    let client = at(&gateway, "/mcp", &key(&gateway, &["--user", "alice"]));
    let before = names(&client.ask("tools/list", json!({}))).len();
    let mut lists = client.listen(json!({ "toolsListChanged": true }));
    let mut updates = client.listen(json!({ "resourceSubscriptions": ["sample+sample://clock"] }));
    write(&gateway, "permit (principal, action, resource in Server::\"other\");");
    assert_eq!(lists.message().unwrap()["method"], "notifications/tools/list_changed");
    // Subscriptions to resources end, so that the client subscribes again under the new policies.
    while updates.event().is_some() {}
    let after = names(&client.ask("tools/list", json!({})));
    assert!(after.len() < before && after.iter().all(|name| name.starts_with("other__")));
    assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 2 })).code(), -32602);
    std::fs::write(gateway.folder.path().join("open.cedar"), "permit (principal, action, resource")
        .unwrap();
    wait_for("they are refused", || gateway.logged("the new policies are invalid"));
    assert_eq!(names(&client.ask("tools/list", json!({}))), after);
}

#[test]
fn policies_of_the_store_are_applied_and_rolled_back_by_commands() {
    let gateway = Gateway::start(SERVERS);
    let folder = gateway.folder.path().join("policies");
    let folder = folder.to_str().unwrap();
    let client = at(&gateway, "/mcp", &key(&gateway, &["--user", "alice", "--in-team", "support"]));
    let listed = || names(&client.ask("tools/list", json!({})));
    let everything = listed().len();
    assert!(everything > 0, "a key is good for everything while there are no policies");
    assert!(gateway.told(&["policy", "example"]).contains("read-only-agents"));
    gateway.told(&["policy", "example", "team-portals", "--output", folder]);
    assert!(gateway.told(&["policy", "check", folder]).starts_with("valid: 2 policies"));
    assert_eq!(gateway.told(&["policy", "test", folder]), "7 tests passed");
    assert!(gateway.told(&["policy", "diff", folder]).contains("+ permit"));
    assert!(
        gateway
            .told(&["policy", "apply", folder, "--note", "portals"])
            .ends_with("version 1 is active")
    );
    wait_for("nothing is listed", || listed().is_empty());
    assert_eq!(gateway.told(&["policy", "diff", folder]), "nothing would change");
    // Invalid policies, and policies whose tests fail, are not applied.
    std::fs::write(
        gateway.folder.path().join("policies/bad.cedar"),
        "permit (principal, action, resource) when { x };",
    )
    .unwrap();
    let refused = gateway.run(&["policy", "apply", folder]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("bad.cedar:1"));
    let open = gateway.folder.path().join("open.cedar");
    std::fs::rename(&open, gateway.folder.path().join("policies/bad.cedar")).unwrap();
    let failed = gateway.run(&["policy", "apply", folder]);
    assert_eq!(failed.status.code(), Some(1), "{}", String::from_utf8_lossy(&failed.stdout));
    assert!(
        String::from_utf8_lossy(&failed.stdout).contains("at another's: expected deny, got allow")
    );
    std::fs::remove_file(gateway.folder.path().join("policies/team-portals.test.yaml")).unwrap();
    gateway.told(&["policy", "apply", folder, "--note", "all"]);
    wait_for("everything is listed", || listed().len() == everything);
    assert_eq!(gateway.told(&["policy", "rollback"]), "version 1 is active");
    wait_for("nothing is listed again", || listed().is_empty());
    assert!(gateway.told(&["policy", "show"]).contains("team-portals/support"));
    assert!(gateway.told(&["policy", "show", "2"]).contains("bad.cedar"));
    let versions: Value =
        serde_json::from_str(&gateway.told(&["policy", "versions", "--json"])).unwrap();
    let active = versions.as_array().unwrap().iter().find(|it| it["active_since"].is_i64());
    assert_eq!(active.unwrap()["version"], 1);
    assert_eq!(active.unwrap()["activations"].as_array().unwrap().len(), 2);
    let explained = gateway.run(&[
        "policy",
        "explain",
        "--user",
        "alice",
        "--team",
        "support",
        "--tool",
        "tickets/search",
        "--through",
        "support",
    ]);
    assert!(
        explained.status.success()
            && String::from_utf8_lossy(&explained.stdout).contains("team-portals/support permits")
    );
    let denied = gateway.run(&[
        "policy",
        "explain",
        "--user",
        "alice",
        "--tool",
        "tickets/search",
        "a=1",
        "--json",
    ]);
    assert_eq!(denied.status.code(), Some(5));
    let denied: Value = serde_json::from_slice(&denied.stdout).unwrap();
    assert_eq!(
        (&denied["decision"]["code"], &denied["request"]["context"]["arguments"]["known"]["a"]),
        (&json!("not_permitted"), &json!(1))
    );
    // Export everything as configuration files.
    let out = gateway.folder.path().join("exported");
    let exported = gateway.told(&["export", "--policies", out.to_str().unwrap()]);
    assert!(
        exported.contains("alice")
            && exported.contains("support")
            && out.join("team-portals.cedar").is_file()
    );
    let file = gateway.folder.path().join("exported.yaml");
    std::fs::write(&file, format!("{exported}\nservers: {{}}\n")).unwrap();
    assert!(doorward().arg("check").arg(&file).output().unwrap().status.success(), "{exported}");
}

#[test]
fn policies_are_applied_and_rolled_back_over_http() {
    let gateway = Gateway::start(SERVERS);
    let admin = key(&gateway, &["--user", "root", "--admin"]);
    let client = at(&gateway, "/mcp", &admin);
    let ask = |method: &str, path: &str, body: Value| {
        let text = body.to_string();
        let mut stream = crate::support::client::connect(&gateway.admin);
        use std::io::Write;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {admin}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            text.len()
        );
        stream.write_all(format!("{head}{text}").as_bytes()).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head[9..12].parse::<u16>().unwrap(),
            serde_json::from_str::<Value>(body).unwrap_or_default(),
        )
    };
    let put = |text: &str| {
        ask("PUT", "/admin/v1/policies", json!({ "files": { "a.cedar": text }, "note": "n" }))
    };
    let listed = || names(&client.ask("tools/list", json!({}))).len();
    let all = listed();
    let (status, refused) = put("permit (principal, action, resource) when { x };");
    assert_eq!((status, &refused["findings"][0]["line"]), (422, &json!(1)));
    assert_eq!(listed(), all);
    assert_eq!(
        put("permit (principal, action, resource in Server::\"other\");"),
        (200, json!({ "version": 1 }))
    );
    assert_eq!(listed() * 2, all, "in force as soon as it is told");
    // An operator's key is sufficient, even if no policy mentions operators.
    assert_eq!(put("permit (principal, action, resource);").1["version"], 2);
    assert_eq!(listed(), all);
    assert_eq!(ask("POST", "/admin/v1/policies/rollback", json!({})).1["version"], 1);
    assert_eq!(listed() * 2, all);
    assert_eq!(ask("POST", "/admin/v1/policies/rollback", json!({ "to": 9 })).0, 404);
    let declared = start("permit (principal, action, resource);", "");
    let root = key(&declared, &["--user", "root", "--admin"]);
    at(&declared, "/mcp", &root);
    let bearer = format!("Bearer {root}");
    let refused = crate::support::client::send(
        &declared.admin,
        "POST",
        "/admin/v1/policies/rollback",
        &[("authorization", bearer.as_str()), crate::support::client::JSON[0]],
        b"",
    )
    .unwrap();
    assert_eq!(refused.status, 409, "{}", refused.body);
}

#[test]
fn wrong_policies_at_the_start_are_told_and_nothing_starts() {
    let folder = crate::support::folder();
    let config = folder.path().join("doorward.yaml");
    std::fs::write(&config, "policy: {files: [p.cedar]}\nservers: {}\n").unwrap();
    for (text, said) in [
        (None, "p.cedar"),
        (Some("permit (principal, action, resource) when { principal.age > 1 };"), "p.cedar:1"),
    ] {
        if let Some(text) = text {
            std::fs::write(folder.path().join("p.cedar"), text).unwrap();
        }
        let refused = doorward()
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "off",
                "--store",
                "none",
                "--config",
            ])
            .arg(&config)
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(3));
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(error.contains(said), "{error}");
    }
}
