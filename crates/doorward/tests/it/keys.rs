//! API keys: created by operators, and used by callers with every protocol.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::time::Instant;

use crate::support::client::{Handshake, JSON, Modern, get, open, send};
use crate::support::{Gateway, PROMPT, doorward, wait_for};
use doorward_bench::backend::{self, Era};
use serde_json::{Value, json};

const SAMPLE: &str = "servers: {sample: {sample: true}, other: {sample: true}}";

fn names(answer: &crate::support::client::Answer) -> Vec<String> {
    let tools = answer.result()["tools"].as_array().unwrap().clone();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_first_key_closes_every_door() {
    let gateway = Gateway::start(SAMPLE);
    let open_client = Modern::new(&gateway, "/mcp");
    assert_eq!(open_client.call("sample__add", json!({ "a": 1, "b": 2 })).text(), "3");
    assert_eq!(gateway.get_admin("/admin/v1/servers/status").0, 200);
    let mut listening = open_client.listen(json!({ "toolsListChanged": true }));
    let session = Handshake::open(&gateway, "/mcp", "2025-11-25", json!({}));
    let mut main = session.listen(None);
    let key = gateway.key(&["--user", "alice"]);
    assert!(key.starts_with("dwk_"));
    // Streams that were opened before are closed.
    while listening.event().is_some() {}
    while main.event().is_some() {}
    assert_eq!(session.call(1, "sample__add", json!({ "a": 1, "b": 2 })).status, 401);
    let body = open_client.body("tools/list", json!({}));
    let wrong = format!("Bearer {}x", &key[..key.len() - 1]);
    for (authorization, status) in [
        (None, 401),
        (Some("Basic YTpi"), 401),
        (Some("Bearer"), 400),
        (Some("Bearer a b"), 400),
        (Some("Bearer dwk_nonsense"), 401),
        (Some("Bearer garbage"), 401),
        (Some(wrong.as_str()), 401),
    ] {
        let mut headers = JSON.to_vec();
        headers.extend(authorization.map(|text| ("authorization", text)));
        for (address, method, path) in [
            (&gateway.address, "POST", "/mcp"),
            (&gateway.address, "POST", "/mcp/sample"),
            (&gateway.address, "POST", "/mcp/no-such-server"),
            (&gateway.address, "GET", "/mcp"),
            (&gateway.address, "DELETE", "/mcp"),
            (&gateway.address, "PUT", "/mcp"),
            (&gateway.address, "GET", "/sse"),
            (&gateway.address, "GET", "/sse/sample"),
            (&gateway.address, "POST", "/messages?session_id=x"),
            (&gateway.address, "GET", "/nothing"),
            (&gateway.admin, "GET", "/admin/v1/servers/status"),
            (&gateway.admin, "GET", "/metrics"),
            (&gateway.admin, "GET", "/admin/v1/keys"),
            (&gateway.admin, "POST", "/admin/v1/keys"),
            (&gateway.admin, "GET", "/nothing"),
        ] {
            let answer =
                send(address, method, path, &headers, body.to_string().as_bytes()).unwrap();
            assert_eq!(answer.status, status, "{authorization:?} {method} {path}: {}", answer.body);
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("Bearer "), "{method} {path}: {challenge}");
            let error = challenge.contains("error=");
            assert_eq!(error, authorization.is_some_and(|text| text.starts_with("Bearer")));
        }
    }
    let known = Modern::new(&gateway, "/mcp").bearing(&key);
    assert_eq!(known.call("sample__add", json!({ "a": 1, "b": 2 })).text(), "3");
    // Health needs no credential, but a bad credential is refused.
    assert_eq!(get(&gateway.admin, "/healthz").0, 200);
    let rubbish = [("authorization", "Bearer garbage")];
    assert_eq!(send(&gateway.admin, "GET", "/healthz", &rubbish, b"").unwrap().status, 401);
}

#[test]
fn a_key_works_on_every_door_and_its_sessions_are_its_owners() {
    let gateway = Gateway::start(SAMPLE);
    let (alice, bob) = (gateway.key(&["--user", "alice"]), gateway.key(&["--user", "bob"]));
    let session = Handshake::open_bearing(&gateway, "/mcp", "2025-11-25", json!({}), Some(&alice));
    assert_eq!(session.call(1, "sample__add", json!({ "a": 1, "b": 2 })).text(), "3");
    // The session of another user is not found.
    let mut thief = session.clone();
    thief.authorization = Some(format!("Bearer {bob}"));
    assert_eq!(thief.call(2, "sample__add", json!({ "a": 1, "b": 2 })).status, 404);
    assert_eq!(thief.listen(None).status, 404);
    assert_eq!(thief.end(), 404);
    thief.authorization = None;
    assert_eq!(thief.call(2, "sample__add", json!({ "a": 1, "b": 2 })).status, 401);
    // Another key of the same owner can continue the session.
    let mut again = session.clone();
    again.authorization = Some(format!("Bearer {}", gateway.key(&["--user", "alice"])));
    assert_eq!(again.call(3, "sample__add", json!({ "a": 1, "b": 2 })).text(), "3");
    // HTTP+SSE.
    let bearer = format!("Bearer {alice}");
    let mut stream =
        open(&gateway.address, "GET", "/sse", &[("authorization", &bearer)], b"").unwrap();
    let endpoint = stream.event().unwrap();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
    let post = |authorization: &str| {
        let headers = [JSON[0], ("authorization", authorization)];
        send(&gateway.address, "POST", &endpoint, &headers, body.as_bytes()).unwrap().status
    };
    assert_eq!(post(&format!("Bearer {bob}")), 404);
    assert_eq!(post(&bearer), 202);
    assert_eq!(stream.message().unwrap()["id"], 1);
}

#[test]
fn a_revoked_key_fails_within_a_second_also_on_open_streams() {
    let gateway = Gateway::start(SAMPLE);
    let key = gateway.key(&["--agent", "robot"]);
    let id = key[4..16].to_owned();
    let client = Modern::new(&gateway, "/mcp").bearing(&key);
    let mut listening = client.listen(json!({ "resourcesListChanged": true }));
    let session = Handshake::open_bearing(&gateway, "/mcp", "2025-06-18", json!({}), Some(&key));
    let mut main = session.listen(None);
    let body = client.body("tools/call", json!({ "name": "sample__slow", "arguments": { "steps": 100, "pause_ms": 100 }, "_meta": { "progressToken": 1 } }));
    let mut call = client.open(&body);
    assert!(call.message().is_some());
    let bearer = format!("Bearer {key}");
    let mut sse =
        open(&gateway.address, "GET", "/sse", &[("authorization", &bearer)], b"").unwrap();
    assert!(sse.event().is_some());
    gateway.told(&["keys", "revoke", &id]);
    let revoked = Instant::now();
    wait_for("the key is refused", || client.ask("tools/list", json!({})).status == 401);
    assert!(revoked.elapsed().as_millis() < 1000, "{:?}", revoked.elapsed());
    for stream in [&mut listening, &mut main, &mut call, &mut sse] {
        while stream.event().is_some() {}
    }
    assert!(revoked.elapsed() < PROMPT, "{:?}", revoked.elapsed());
    assert_eq!(session.call(5, "sample__add", json!({ "a": 1, "b": 2 })).status, 401);
    // Revoking the last key does not turn off authentication.
    assert_eq!(Modern::new(&gateway, "/mcp").ask("tools/list", json!({})).status, 401);
}

#[test]
fn a_key_is_good_for_what_its_scopes_say_and_lists_show_no_more() {
    let gateway = Gateway::start(
        "servers: {sample: {sample: true, tools: {slow: {write: true}}}, other: {sample: true, tools: {'*': {write: true}}}}",
    );
    let server = gateway.key(&["--user", "a", "--server", "sample"]);
    let tools = gateway.key(&["--user", "b", "--tool", "sample/a*"]);
    let portal = gateway.key(&["--user", "c", "--portal", "sample"]);
    let reader = gateway.key(&["--user", "d", "--read-only"]);
    let at = |path: &str, key: &str| Modern::new(&gateway, path).bearing(key);
    let all = names(&at("/mcp", &gateway.key(&["--user", "e"])).ask("tools/list", json!({})));
    let own: Vec<String> =
        all.iter().filter(|name| name.starts_with("sample__")).cloned().collect();
    assert!(all.len() == 2 * own.len() && own.len() > 3);
    assert_eq!(names(&at("/mcp", &server).ask("tools/list", json!({}))), own);
    let listed = names(&at("/mcp", &tools).ask("tools/list", json!({})));
    assert!(!listed.is_empty() && listed.iter().all(|name| name.starts_with("sample__a")));
    assert_eq!(names(&at("/mcp", &portal).ask("tools/list", json!({}))), Vec::<String>::new());
    assert_eq!(names(&at("/mcp/sample", &portal).ask("tools/list", json!({}))).len(), own.len());
    let reading = names(&at("/mcp", &reader).ask("tools/list", json!({})));
    assert!(reading.len() < all.len() && !reading.is_empty(), "{reading:?}");
    // Every listed tool can be called, and an unlisted one looks as if it did not exist.
    for (key, listed) in [(&server, &own), (&tools, &listed), (&reader, &reading)] {
        let client = at("/mcp", key);
        for name in &all {
            let answer = client.call(name, json!({}));
            let unknown = answer.json()["error"]["message"] == format!("Unknown tool: {name}");
            assert_eq!(unknown, !listed.contains(name), "{name}: {}", answer.body);
            if unknown {
                let mut absent = client.call("sample__nothing", json!({})).json();
                absent["error"]["message"] = format!("Unknown tool: {name}").into();
                assert_eq!(answer.json(), absent);
            }
        }
    }
    // A server outside the key's scope looks as if it did not exist: same status, headers and body.
    for path in ["/mcp/other", "/mcp/none"] {
        for method in ["tools/list", "server/discover", "tools/call"] {
            let answer = at(path, &server).ask(method, json!({ "name": "add", "arguments": {} }));
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (404, Some("application/json"))
            );
            assert!(answer.body.contains("Not found: the endpoints"), "{}", answer.body);
        }
        let hello =
            Handshake::initialize_bearing(&gateway, path, "2025-06-18", json!({}), Some(&server));
        assert_eq!(hello.status, 404, "{}", hello.body);
        let bearer = format!("Bearer {server}");
        let sse = path.replace("mcp", "sse");
        let stream =
            send(&gateway.address, "GET", &sse, &[("authorization", &bearer)], b"").unwrap();
        assert_eq!(stream.status, 404, "{}", stream.body);
    }
    // Instructions and notifications do not reveal it either.
    let about = at("/mcp", &server).ask("server/discover", json!({})).result();
    assert!(!about.to_string().contains("other"), "{about}");
    let mut listening = at("/mcp", &server).open(&at("/mcp", &server).body(
        "subscriptions/listen",
        json!({ "notifications": { "resourceSubscriptions": ["other+sample://clock", "sample+sample://clock"] } }),
    ));
    let first = listening.message().unwrap();
    assert_eq!(
        first["params"]["notifications"]["resourceSubscriptions"],
        json!(["sample+sample://clock"])
    );
}

#[test]
fn keys_are_rotated_with_overlap_listed_without_secrets_and_expire() {
    let gateway = Gateway::start(SAMPLE);
    let old = gateway.key(&["--user", "alice", "--label", "laptop", "--expires", "30d"]);
    let works = |key: &str| {
        Modern::new(&gateway, "/mcp").bearing(key).ask("tools/list", json!({})).status == 200
    };
    let rotated = gateway.told(&["keys", "rotate", &old[4..16], "--overlap", "2s"]);
    wait_for("the new key works", || works(&rotated));
    assert!(works(&old));
    wait_for("the old one ends", || !works(&old));
    assert!(works(&rotated));
    let short = gateway.key(&["--user", "bob", "--expires", "2s"]);
    let mut stream =
        Modern::new(&gateway, "/mcp").bearing(&short).listen(json!({ "toolsListChanged": true }));
    wait_for("it expires", || !works(&short));
    while stream.event().is_some() {}
    let listed: Value =
        serde_json::from_str(&gateway.told(&["keys", "list", "--all", "--json"])).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    let shown =
        format!("{listed}{}{}", gateway.told(&["keys", "list", "--all"]), gateway.log().join(""));
    for key in [&old, &rotated, &short] {
        assert!(!shown.contains(&key[17..]), "a secret is shown");
    }
}

#[test]
fn the_directory_of_the_configuration_holds_for_keys_and_is_read_again() {
    let config = |who: &str| format!("{SAMPLE}\ndirectory: {{users: {{alice: {{{who}}}}}}}");
    let gateway = Gateway::start(&config("teams: [support]"));
    let key = gateway.key(&["--user", "alice"]);
    let works =
        || Modern::new(&gateway, "/mcp").bearing(&key).ask("tools/list", json!({})).status == 200;
    assert!(works());
    std::fs::write(&gateway.config, config("disabled: true")).unwrap();
    wait_for("alice is out", || !works());
    std::fs::write(&gateway.config, config("roles: [lead]")).unwrap();
    wait_for("alice is back", works);
}

#[test]
fn a_key_is_revoked_on_every_replica() {
    let first = Gateway::start(SAMPLE);
    let shared = crate::support::store_in(first.folder.path());
    let second = Gateway::start(&format!("store: {shared}\n{SAMPLE}"));
    let key = first.key(&["--user", "alice"]);
    let status = |gateway: &Gateway| {
        Modern::new(gateway, "/mcp").bearing(&key).ask("tools/list", json!({})).status
    };
    wait_for("the other knows it, too", || status(&second) == 200);
    let mut stream =
        Modern::new(&second, "/mcp").bearing(&key).listen(json!({ "toolsListChanged": true }));
    first.told(&["keys", "revoke", &key[4..16]]);
    let revoked = Instant::now();
    wait_for("both refuse it", || status(&first) == 401 && status(&second) == 401);
    assert!(revoked.elapsed().as_millis() < 1000, "{:?}", revoked.elapsed());
    while stream.event().is_some() {}
}

#[test]
fn what_one_caller_carries_is_of_no_use_to_another() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let backend = runtime.block_on(backend::start(Era::Handshake, 5)).unwrap();
    let gateway = Gateway::start(&format!("servers: {{ask: {{url: '{}'}}}}", backend.url()));
    let (alice, bob) = (gateway.key(&["--user", "alice"]), gateway.key(&["--user", "bob"]));
    let capabilities = json!({ "elicitation": { "form": {} } });
    let at = |key: &str| Modern::new(&gateway, "/mcp").bearing(key).with(capabilities.clone());
    let asked = at(&alice).call("ask__ask", json!({})).result();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let name = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let answer = json!({ name: { "action": "accept", "content": { "name": "Ada" } } });
    let state = &asked["requestState"];
    let retry = |key: &str| {
        at(key).ask("tools/call", json!({ "name": "ask__ask", "arguments": {}, "inputResponses": answer, "requestState": state }))
    };
    // 39: the parked call keeps waiting for its own caller.
    assert_eq!(retry(&bob).code(), -32602);
    assert!(retry(&alice).json().get("result").is_some());
}

#[test]
fn whoever_is_disabled_is_out_at_once() {
    let gateway = Gateway::start(SAMPLE);
    let key = gateway.key(&["--user", "alice", "--in-tenant", "acme", "--in-team", "support"]);
    let works =
        || Modern::new(&gateway, "/mcp").bearing(&key).ask("tools/list", json!({})).status == 200;
    for (kind, name) in [("team", "support"), ("tenant", "acme")] {
        assert!(works());
        gateway.told(&["principals", "set", kind, name, "--disabled"]);
        wait_for("its members are out", || !works());
        gateway.told(&["principals", "remove", kind, name]);
        wait_for("they are back", works);
    }
    let mut stream =
        Modern::new(&gateway, "/mcp").bearing(&key).listen(json!({ "toolsListChanged": true }));
    gateway.told(&["principals", "set", "user", "alice", "--disabled"]);
    while stream.event().is_some() {}
    assert!(!works());
}

/// The path of a route, with a value for each parameter.
fn filled(path: &str) -> String {
    path.replace("{id}", "x")
        .replace("{name}", "x")
        .replace("{kind}", "user")
        .replace("{owner}", "x")
        .replace("{server}", "x")
        .replace("{version}", "1")
}

#[test]
fn the_admin_listener_is_for_operators() {
    let gateway = Gateway::start(SAMPLE);
    let (user, admin) =
        (gateway.key(&["--user", "u"]), gateway.key(&["--user", "root", "--admin"]));
    let ask = |method: &str, path: &str, key: &str, body: Value| {
        let bearer = format!("Bearer {key}");
        let headers = [JSON[0], ("authorization", bearer.as_str())];
        let body = body.to_string();
        let asked = || send(&gateway.admin, method, path, &headers, body.as_bytes()).unwrap();
        let mut answer = asked();
        // There are more routes than the rate limit allows at once.
        wait_for("the administrator's rate allows it", || {
            if answer.status == 429 {
                answer = asked();
            }
            answer.status != 429
        });
        answer
    };
    // Every route (R3): a missing, invalid or non-operator credential gets nothing from any of them.
    let open = ["/healthz", "/readyz"];
    for path in doorward_admin::routes::paths() {
        let at = filled(path);
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let bare = send(&gateway.admin, method, &at, &[JSON[0]], b"{}").unwrap().status;
            assert!(bare == 401 || open.contains(&path), "{method} {path}: {bare}");
            for wrong in ["dwk_nonsense", "e30.e30.e30", &format!("{}x", &admin[..admin.len() - 1])]
            {
                assert_eq!(ask(method, &at, wrong, json!({})).status, 401, "{method} {path}");
            }
            let answer = ask(method, &at, &user, json!({})).status;
            assert!(answer == 403 || open.contains(&path), "{method} {path}: {answer}");
        }
        let is_read = doorward_admin::routes::all()
            .iter()
            .any(|route| route.path == path && !route.changes() && !path.contains('{'));
        if is_read {
            assert_eq!(ask("GET", path, &admin, Value::Null).status, 200, "{path}");
        }
    }
    assert_eq!(
        ask("POST", "/admin/v1/keys", &user, json!({ "owner": { "kind": "user", "name": "x" } }))
            .status,
        403
    );
    let made = ask(
        "POST",
        "/admin/v1/keys",
        &admin,
        json!({ "owner": { "kind": "user", "name": "x", "teams": ["t"] }, "scopes": { "servers": ["sample"] }, "label": "l" }),
    );
    assert_eq!(made.status, 201, "{}", made.body);
    let made: Value = serde_json::from_str(&made.body).unwrap();
    let (id, key) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let works = |key: &str| {
        Modern::new(&gateway, "/mcp").bearing(key).ask("tools/list", json!({})).status == 200
    };
    assert!(works(key), "a key is good as soon as it is told");
    let rotated =
        ask("POST", &format!("/admin/v1/keys/{id}/rotate"), &admin, json!({ "overlap": 0 }));
    let rotated: Value = serde_json::from_str(&rotated.body).unwrap();
    assert!(works(rotated["secret"].as_str().unwrap()) && !works(key));
    let path = format!("/admin/v1/keys/{}", rotated["key"]["id"].as_str().unwrap());
    assert_eq!(ask("DELETE", &path, &admin, Value::Null).status, 200);
    assert!(!works(rotated["secret"].as_str().unwrap()));
    assert_eq!(ask("DELETE", "/admin/v1/keys/nothing", &admin, Value::Null).status, 404);
    let wrong = ask(
        "POST",
        "/admin/v1/keys",
        &admin,
        json!({ "owner": { "kind": "user", "name": "x" }, "scope": [] }),
    );
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("scope"), "{}", wrong.body);
    let servers = doorward()
        .args(["servers", "--admin-url", &format!("http://{}", gateway.admin), "--key", &admin])
        .output()
        .unwrap();
    assert!(servers.status.success());
    let refused = doorward()
        .args(["servers", "--admin-url", &format!("http://{}", gateway.admin)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(5), "{said}");
    assert!(said.contains("; pass an admin key"), "{said}");
}

#[test]
fn the_commands_show_a_key() {
    let gateway = Gateway::start(SAMPLE);
    let key = gateway.key(&["--user", "alice"]);
    let url = gateway.url("/mcp");
    let run = |key: Option<&str>| {
        let mut command = doorward();
        command.args(["call", "sample__add", "a=2", "b=3", "--url", &url]);
        key.map(|key| command.env("DOORWARD_KEY", key));
        command.output().unwrap()
    };
    assert_eq!(String::from_utf8_lossy(&run(Some(&key)).stdout), "5\n");
    let refused = run(None);
    assert_eq!(refused.status.code(), Some(5));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("--key"), "{said}");
    // The key is never printed, not even as a default value in the help.
    let help = doorward().args(["call", "--help"]).env("DOORWARD_KEY", &key).output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains(&key));
}

/// A page in a browser on this machine can reach the listener, but the requests that it can send change nothing.
#[test]
fn no_web_page_changes_anything_or_makes_the_first_key() {
    let gateway = Gateway::start(SAMPLE);
    let key = json!({ "owner": { "kind": "user", "name": "x" }, "scopes": { "admin": true } });
    let portal = json!({ "portal": { "tools": ["sample/add"] } });
    let host = gateway.admin.clone();
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &Value| {
        send(&gateway.admin, method, path, headers, body.to_string().as_bytes()).unwrap().status
    };
    let own = format!("http://{host}");
    let header = ("doorward-admin", "1");
    let routes = doorward_admin::routes::paths();
    let changes = [
        ("POST", "/admin/v1/keys", &key),
        ("PUT", "/admin/v1/portals/p", &portal),
        ("POST", "/admin/v1/policies", &key),
    ];
    for (method, path, body) in changes {
        for headers in [
            // What a form, or a fetch without a preflight request, can send.
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "application/x-www-form-urlencoded")],
            &[("content-type", "multipart/form-data; boundary=x")],
            &[("content-type", "text/plain; application/json")],
            &[("content-type", "text/plain"), ("content-type", "application/json")],
            &[("content-type", "application/json")],
            &[("content-type", "text/plain"), header],
            // Another origin, whatever it sends.
            &[("content-type", "application/json"), header, ("origin", "http://localhost:3000")],
            &[("content-type", "application/json"), header, ("origin", "null")],
            &[("content-type", "application/json"), header, ("origin", "https://evil.example")],
        ] {
            let status = ask(method, path, headers, body);
            assert!(matches!(status, 403 | 405 | 415), "{method} {path} {headers:?}: {status}");
        }
    }
    for path in &routes {
        let at = filled(path);
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let headers = [("origin", "http://localhost:3000"), JSON[0], header];
            assert_eq!(ask(method, &at, &headers, &json!({})), 403, "{method} {path}");
        }
    }
    // Creating the first key takes write access to the store; access to the listener is not enough.
    let all = [JSON[0], header, ("origin", own.as_str())];
    assert_eq!(ask("PUT", "/admin/v1/portals/p", &all, &portal), 200);
    for (method, path) in [
        ("POST", "/admin/v1/keys"),
        ("PUT", "/admin/v1/policies"),
        ("POST", "/admin/v1/policies/rollback"),
        ("PUT", "/admin/v1/principals/user/x"),
    ] {
        let answer = send(&gateway.admin, method, path, &all, key.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(answer.body.contains("doorward keys create"), "{}", answer.body);
    }
    assert_eq!(Modern::new(&gateway, "/mcp").ask("tools/list", json!({})).status, 200);
    assert_eq!(gateway.told(&["keys", "list", "--json"]), "[]");
    let admin = gateway.key(&["--user", "root", "--admin"]);
    let bearer = format!("Bearer {admin}");
    let shown = [JSON[0], ("authorization", bearer.as_str())];
    wait_for("the key is known", || ask("GET", "/admin/v1/keys", &shown, &Value::Null) == 200);
    assert_eq!(ask("POST", "/admin/v1/keys", &shown, &key), 201);
}
