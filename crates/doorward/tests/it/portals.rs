//! Portals: they contain the selected entries under their new names, and nothing else.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::sync::{Arc, Mutex};

use crate::support::client::{Answer, Handshake, JSON, Modern, send};
use crate::support::hostile::{Era, answer, result_text, with_habit};
use crate::support::{Gateway, doorward};
use serde_json::{Value, json};

const CONFIG: &str = "
servers:
  sample: { sample: true, tools: { echo: { tags: [small] } } }
  other: { sample: true, tags: [foreign] }
portals:
  support:
    description: For the support team
    instructions: Add first, then echo.
    tools: [sample/add, 'sample/ec*', other/slow]
    resources: ['sample/*']
    rename: { sample/add: sum, other/slow: wait }
    describe: { sample/add: Adds what is to be added }
  small: { tags: [small] }
  whole: { servers: [sample], except: [sample/slow] }
";

fn names(answer: &Answer, list: &str) -> Vec<String> {
    let key = if list == "resources" { "uri" } else { "name" };
    let items = answer.result()[list].as_array().unwrap().clone();
    items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_portal_lists_exactly_its_selection() {
    let gateway = Gateway::start(CONFIG);
    let tools =
        |path: &str| names(&Modern::new(&gateway, path).ask("tools/list", json!({})), "tools");
    assert_eq!(tools("/mcp/support"), ["wait", "sample__echo", "sum"]);
    assert_eq!(tools("/mcp/small"), ["sample__echo"]);
    let whole = tools("/mcp/whole");
    assert!(
        whole.len() > 2
            && whole.iter().all(|name| name.starts_with("sample__") && name != "sample__slow")
    );
    let client = Modern::new(&gateway, "/mcp/support");
    let listed = client.ask("tools/list", json!({})).result();
    assert_eq!(listed["tools"][2]["description"], "Adds what is to be added");
    assert_eq!(client.call("sum", json!({ "a": 1, "b": 2 })).text(), "3");
    assert_eq!(client.call("wait", json!({ "steps": 1, "pause_ms": 1 })).status, 200);
    // What the portal does not select cannot be reached under any name.
    for name in
        ["sample__add", "add", "other__slow", "other__add", "sample__slow", "none__x", "sample/add"]
    {
        let answer = client.call(name, json!({ "a": 1, "b": 2 }));
        assert_eq!((answer.status, answer.code()), (200, -32602), "{name}: {}", answer.body);
        assert_eq!(answer.json()["error"]["message"], format!("Unknown tool: {name}"));
    }
    let resources = names(&client.ask("resources/list", json!({})), "resources");
    assert!(!resources.is_empty() && resources.iter().all(|uri| uri.starts_with("sample+")));
    assert!(
        client.ask("resources/read", json!({ "uri": "sample+sample://clock" })).result()["contents"]
            [0]["uri"]
            == "sample+sample://clock"
    );
    assert_eq!(
        client.ask("resources/read", json!({ "uri": "other+sample://clock" })).code(),
        -32602
    );
    assert_eq!(
        client.ask("server/discover", json!({})).result()["instructions"],
        "Add first, then echo."
    );
    assert!(client.ask("prompts/list", json!({})).result()["prompts"] == json!([]));
}

#[test]
fn a_portal_is_the_same_in_a_session() {
    let gateway = Gateway::start(CONFIG);
    for revision in ["2025-03-26", "2025-11-25"] {
        let client = Handshake::open(&gateway, "/mcp/Support", revision, json!({}));
        assert_eq!(client.about["instructions"], "Add first, then echo.");
        assert_eq!(
            names(&client.ask(1, "tools/list", json!({})), "tools"),
            ["wait", "sample__echo", "sum"]
        );
        assert_eq!(client.call(2, "sum", json!({ "a": 1, "b": 2 })).text(), "3");
        assert_eq!(client.call(3, "sample__slow", json!({})).code(), -32602);
        assert!(
            client
                .ask(4, "resources/subscribe", json!({ "uri": "sample+sample://clock" }))
                .json()
                .get("result")
                .is_some()
        );
        assert_eq!(
            client.ask(5, "resources/subscribe", json!({ "uri": "other+sample://clock" })).code(),
            -32002
        );
        let mut stream = client.listen(None);
        let told = stream.message().unwrap();
        assert_eq!(
            (&told["method"], &told["params"]["uri"]),
            (&json!("notifications/resources/updated"), &json!("sample+sample://clock"))
        );
    }
}

#[test]
fn portals_are_made_and_taken_away_while_the_gateway_runs() {
    let gateway = Gateway::start(CONFIG);
    let admin = |method: &str, path: &str, body: Value| {
        let headers = [JSON[0], ("doorward-admin", "1")];
        send(&gateway.admin, method, path, &headers, body.to_string().as_bytes()).unwrap()
    };
    let at = || Modern::new(&gateway, "/mcp/fresh").ask("tools/list", json!({}));
    assert_eq!(at().status, 404);
    let put = |body: Value| {
        let text = json!({ "portal": body }).to_string();
        let length = text.len().to_string();
        let mut stream = crate::support::client::connect(&gateway.admin);
        use std::io::Write;
        write!(stream, "PUT /admin/v1/portals/fresh HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ndoorward-admin: 1\r\ncontent-length: {length}\r\n\r\n{text}").unwrap();
        crate::support::client::read_head(stream).unwrap().status
    };
    assert_eq!(put(json!({ "tools": ["sample/add"] })), 200);
    assert_eq!(names(&at(), "tools"), ["sample__add"]);
    let mut listening =
        Modern::new(&gateway, "/mcp/fresh").listen(json!({ "toolsListChanged": true }));
    assert_eq!(put(json!({ "tools": ["sample/echo"], "rename": { "sample/echo": "say" } })), 200);
    while listening.event().is_some() {}
    assert_eq!(names(&at(), "tools"), ["say"]);
    for wrong in [
        json!({}),
        json!({ "tools": ["add"] }),
        json!({ "tool": [] }),
        json!({ "servers": ["sample"], "rename": { "sample/add": "a b" } }),
    ] {
        assert_eq!(put(wrong.clone()), 400, "{wrong}");
    }
    let exported = gateway.told(&["export"]);
    assert!(exported.contains("fresh") && exported.contains("say"), "{exported}");
    assert_eq!(admin("DELETE", "/admin/v1/portals/fresh", Value::Null).status, 200);
    assert_eq!(at().status, 404);
    // A portal of the configuration file can only be changed there.
    assert_eq!(admin("DELETE", "/admin/v1/portals/support", Value::Null).status, 409);
    std::fs::write(
        &gateway.config,
        CONFIG.replace("[sample/add, ", "[sample/introduce, sample/add, "),
    )
    .unwrap();
    crate::support::wait_for("the portal has more", || {
        names(&Modern::new(&gateway, "/mcp/support").ask("tools/list", json!({})), "tools").len()
            == 4
    });
}

#[test]
fn the_command_says_how_to_connect() {
    let gateway = Gateway::start(CONFIG);
    let run = |arguments: &[&str]| {
        let output = doorward()
            .arg("portals")
            .args(arguments)
            .env("DOORWARD_ADMIN_URL", format!("http://{}", gateway.admin))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let table = run(&[]);
    assert!(
        table.contains("For the support team")
            && table.contains(&gateway.url("/mcp/support"))
            && table.contains("sample")
    );
    let how = run(&["support"]);
    for client in ["claude mcp add", "Cursor", "VS Code", "Windsurf", "claude_desktop_config.json"]
    {
        assert!(how.contains(client), "{client}");
    }
    let snippets: Value = serde_json::from_str(&run(&["support", "--json"])).unwrap();
    let clients = snippets["clients"].as_array().unwrap();
    let cursor = clients.iter().find(|client| client["client"] == "Cursor").unwrap();
    assert_eq!(cursor["snippet"]["mcpServers"]["support"]["url"], gateway.url("/mcp/support"));
}

#[test]
fn wrong_portals_are_told() {
    let folder = crate::support::folder();
    let file = folder.path().join("doorward.yaml");
    for (portal, said) in [
        ("sample: {tools: [a/b]}", "'sample' is already the name"),
        ("p: {}", "selects nothing"),
        ("p: {servers: [nobody]}", "there is no server 'nobody'"),
        ("p: {tools: [add]}", "expected server/name"),
        ("p: {tools: [a/b], rename: {a/b: c, a/c: c}}", "used twice"),
        ("'p q': {tools: [a/b]}", "a portal's name"),
    ] {
        std::fs::write(
            &file,
            format!("servers: {{sample: {{sample: true}}}}\nportals: {{{portal}}}\n"),
        )
        .unwrap();
        let checked = doorward().arg("check").arg(&file).output().unwrap();
        let error = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.code() == Some(3) && error.contains(said), "{portal}: {error}");
    }
}

/// A server of files, and the requests it received.
fn files() -> (crate::support::hostile::Hostile, Arc<Mutex<Vec<String>>>) {
    let reached = Arc::new(Mutex::new(Vec::new()));
    let seen = reached.clone();
    let server = with_habit(Era::Modern, move |asked, out| {
        let method = asked.message["method"].as_str().unwrap_or_default();
        let result = match method {
            "server/discover" => json!({
                "supportedVersions": ["2026-07-28"],
                "capabilities": { "resources": { "subscribe": true }, "completions": {} } }),
            "resources/list" => json!({ "resources": [
                { "uri": "file:///srv/pub/a", "name": "a" },
                { "uri": "file:///srv/pub/../b", "name": "b" }] }),
            "resources/templates/list" => json!({ "resourceTemplates": [
                { "uriTemplate": "file:///srv/pub/{path}", "name": "files" }] }),
            "resources/read" => json!({ "contents": [] }),
            "completion/complete" => json!({ "completion": { "values": [] } }),
            _ => return false,
        };
        if matches!(method, "resources/read" | "completion/complete" | "subscriptions/listen") {
            seen.lock().unwrap().push(asked.message["params"].to_string());
        }
        let mut result = result;
        result["resultType"] = "complete".into();
        result["ttlMs"] = 60_000.into();
        result["cacheScope"] = "public".into();
        answer(out, 200, "application/json", result_text(asked, &result).as_bytes());
        true
    });
    (server, reached)
}

/// Portals and policies compare a URI as text, but a server resolves it: a URI that leaves the permitted path reaches
/// no server, at any endpoint, with any method or spelling.
#[test]
fn what_steps_out_of_a_uri_reaches_no_server() {
    let (server, reached) = files();
    let gateway = Gateway::start(&format!(
        "servers:\n  a: {{url: \"{}\"}}\nportals:\n  pub: {{resources: ['a/file:///srv/pub/*']}}",
        server.url()
    ));
    let reads = |client: &Modern, uri: &str| client.ask("resources/read", json!({ "uri": uri }));
    for (path, prefix) in [("/mcp", "a+"), ("/mcp/a", ""), ("/mcp/pub", "a+")] {
        let client = Modern::new(&gateway, path);
        let session = Handshake::open(&gateway, path, "2025-11-25", json!({}));
        assert_eq!(reads(&client, &format!("{prefix}file:///srv/pub/a")).status, 200);
        let listed = client.ask("resources/list", json!({}));
        assert_eq!(names(&listed, "resources"), [format!("{prefix}file:///srv/pub/a")]);
        let before = reached.lock().unwrap().len();
        for step in [
            "../../etc/passwd",
            "./a",
            "%2e%2e/%2e%2e/etc/passwd",
            "%2E%2E/x",
            ".%2e/x",
            "%2e./x",
            "..%2fx",
            "..%5cx",
            "..\\x",
            "%252e%252e/x",
            "%252e%252e%252fx",
            "..%252fx",
            "..;/x",
            "..;a=b/x",
            "..",
            "a/%2e",
            "..?x",
            "%c0%ae%c0%ae/x",
        ] {
            let uri = format!("{prefix}file:///srv/pub/{step}");
            let refused = |what: &str, code: i64| assert_eq!(code, -32602, "{path} {what} {uri}");
            refused("read", reads(&client, &uri).code());
            refused("read", session.ask(2, "resources/read", json!({ "uri": uri })).code());
            refused(
                "subscribe",
                session.ask(3, "resources/subscribe", json!({ "uri": uri })).code(),
            );
            let listen = json!({ "notifications": { "resourceSubscriptions": [uri] } });
            refused("listen", client.ask("subscriptions/listen", listen).code());
            let argument = |value: &str| json!({ "name": "path", "value": value });
            let of = |uri: &str| json!({ "type": "ref/resource", "uri": uri });
            let template = format!("{prefix}file:///srv/pub/{{path}}");
            for params in [
                json!({ "ref": of(&uri), "argument": argument("") }),
                json!({ "ref": of(&template), "argument": argument(step) }),
                json!({ "ref": of(&template), "argument": argument(""),
                    "context": { "arguments": { "other": step } } }),
            ] {
                refused("complete", client.ask("completion/complete", params.clone()).code());
                refused("complete", session.ask(4, "completion/complete", params).code());
            }
        }
        let all = reached.lock().unwrap();
        assert_eq!(all.len(), before, "{path}: {all:?}");
    }
}

/// A URI that an operator forbids in plain letters is forbidden in every other spelling, by policies and by portals.
#[test]
fn what_a_uri_names_in_other_letters_is_forbidden_as_well() {
    let (server, reached) = files();
    let folder = crate::support::folder();
    let file = folder.path().join("own.cedar");
    let policies = "permit (principal, action, resource);\n\
        forbid (principal, action, resource) when { resource has uri && resource.uri like \"file:///srv/secret*\" };\n";
    std::fs::write(&file, policies).unwrap();
    let gateway = Gateway::start(&format!(
        "servers:\n  a: {{url: \"{}\"}}\npolicy: {{files: ['{}']}}\n\
         portals:\n  some: {{servers: [a], except: ['a/file:///srv/own*']}}",
        server.url(),
        file.display(),
    ));
    let key = gateway.key(&["--user", "alice"]);
    for (path, prefix) in [("/mcp", "a+"), ("/mcp/a", ""), ("/mcp/some", "a+")] {
        let client = Modern::new(&gateway, path).bearing(&key);
        let read =
            |uri: &str| client.ask("resources/read", json!({ "uri": format!("{prefix}{uri}") }));
        for fine in ["file:///srv/a%20b", "file:///srv/%C3%A9//x", "file:///srv/%70ub/x"] {
            assert_eq!(read(fine).status, 200, "{path} {fine}");
        }
        let before = reached.lock().unwrap().len();
        let excepted = if path == "/mcp/some" { "own" } else { "secret" };
        for name in ["secret", excepted] {
            let (first, rest) = name.split_at(1);
            let code = format!("{:02x}", first.as_bytes()[0]);
            for uri in [
                format!("file:///srv/{name}/x"),
                format!("file:///srv/%{code}{rest}/x"),
                format!("file:///srv/%25{code}{rest}/x"),
                format!("file:///srv%2f{name}/x"),
                format!("file:///srv%5C{name}/x"),
                format!("file:///srv//{name}/x"),
                format!("file:////srv/{name}/x"),
                format!("FILE:///srv/{name}/x"),
                format!("file:/srv/{name}/x"),
                format!("file://localhost/srv/{name}/x"),
            ] {
                let answer = read(&uri);
                assert_eq!(answer.code(), -32602, "{path} {uri}: {}", answer.body);
            }
        }
        let all = reached.lock().unwrap();
        assert_eq!(all.len(), before, "{path}: {all:?}");
    }
}
