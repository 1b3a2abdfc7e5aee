//! Tools over REST and as functions of model APIs: the same decisions, records and prices as over MCP, in other words.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

mod functions;
mod idempotency;
mod pending;
mod table;

use crate::support::client::{Answer, Modern, open, send};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

pub const SAMPLE: &str = "servers: {sample: {sample: true}}";

/// A client of the REST API.
#[derive(Debug, Clone)]
pub struct Rest {
    pub address: String,
    /// `/api/v1`, or that of a portal.
    pub base: String,
    pub authorization: Option<String>,
}

impl Rest {
    pub fn new(gateway: &Gateway) -> Self {
        Self { address: gateway.address.clone(), base: "/api/v1".into(), authorization: None }
    }

    pub fn at(gateway: &Gateway, portal: &str) -> Self {
        Self { base: format!("/api/v1/portals/{portal}"), ..Self::new(gateway) }
    }

    pub fn bearing(self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self }
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all: Vec<(&str, &str)> = headers.to_vec();
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        all.extend(self.authorization.as_deref().map(|text| ("authorization", text)));
        let path = format!("{}{path}", self.base);
        send(&self.address, method, &path, &all, body.as_bytes()).unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[], &body.to_string())
    }

    pub fn execute(&self, tool: &str, input: Value) -> Answer {
        self.post("/execute", json!({ "tool": tool, "input": input }))
    }
}

/// The code of an error.
pub fn code(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_tool_is_called_by_any_of_its_names_and_says_what_it_has_used() {
    let gateway = Gateway::start(SAMPLE);
    let sum = json!({ "a": 1, "b": 2.5 });
    for (rest, body) in [
        (Rest::new(&gateway), json!({ "tool": "sample/add", "input": sum })),
        (Rest::new(&gateway), json!({ "tool": "sample__add", "input": sum })),
        (Rest::new(&gateway), json!({ "tool": "sample", "operation": "add", "input": sum })),
        (Rest::at(&gateway, "sample"), json!({ "tool": "sample__add", "input": sum })),
        (Rest::at(&gateway, "sample"), json!({ "tool": "sample/add", "input": sum })),
        (Rest::at(&gateway, "sample"), json!({ "tool": "add", "input": sum })),
    ] {
        let answer = rest.post("/execute", body.clone());
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        let said = answer.json();
        assert_eq!(said["data"], json!({ "sum": 3.5 }), "{said}");
        assert_eq!((&said["tool"], &said["provider"]), (&json!("sample/add"), &json!("sample")));
        assert_eq!((&said["is_error"], &said["usage"]["cost"]), (&json!(false), &json!("0")));
        assert!(said["usage"]["duration_ms"].is_u64(), "{said}");
        let id = said["id"].as_str().unwrap();
        assert_eq!(answer.header("doorward-request-id"), Some(id));
        assert!(gateway.told(&["audit", "show", id]).contains("sample"), "{id}");
    }
    let text = Rest::new(&gateway).execute("sample/echo", json!({ "text": "hi" })).json();
    assert_eq!((&text["data"], text.get("content")), (&json!("hi"), None));
    // An argument is passed on byte for byte.
    let exact = r#"{"tool":"sample/echo","input":{"text":"x"},"operation":null}"#;
    assert_eq!(Rest::new(&gateway).send("POST", "/execute", &[], exact).status, 200);
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_one_form() {
    let gateway = Gateway::start(&format!(
        "{SAMPLE}\nlimits: {{body: 64KiB, json_depth: 16}}\nallowed_origins: ['https://app.example']\n"
    ));
    let rest = Rest::new(&gateway);
    let deep = format!(
        r#"{{"tool":"sample/echo","input":{{"text":{}1{}}}}}"#,
        "[".repeat(20),
        "]".repeat(20)
    );
    let long = format!(r#"{{"tool":"sample/echo","input":{{"text":"{}"}}}}"#, "x".repeat(70_000));
    let good = r#"{"tool":"sample/echo","input":{"text":"x"}}"#;
    let wide = "x".repeat(33_000);
    let text = [("content-type", "text/plain")];
    for (case, method, path, headers, body, status, code) in [
        ("no JSON", "POST", "/execute", &[][..], "x", 400, "invalid_request"),
        ("an array", "POST", "/execute", &[], "[]", 400, "invalid_request"),
        ("twice", "POST", "/execute", &[], r#"{"tool":"a","tool":"b"}"#, 400, "invalid_request"),
        (
            "case",
            "POST",
            "/execute",
            &[],
            r#"{"tool":"a","input":{"x":1,"X":2}}"#,
            400,
            "invalid_request",
        ),
        (
            "unknown member",
            "POST",
            "/execute",
            &[],
            r#"{"tool":"a","inputs":{}}"#,
            400,
            "invalid_request",
        ),
        ("no tool", "POST", "/execute", &[], r#"{"input":{}}"#, 400, "invalid_request"),
        ("a list", "POST", "/execute", &[], r#"{"tool":"a","input":[]}"#, 400, "invalid_request"),
        ("deep", "POST", "/execute", &[], &deep, 400, "invalid_request"),
        ("long", "POST", "/execute", &[], &long, 413, "too_large"),
        ("type", "POST", "/execute", &text, good, 415, "invalid_request"),
        ("accept", "POST", "/execute", &[("accept", "text/html")], good, 406, "not_acceptable"),
        ("host", "POST", "/execute", &[("host", "evil.example")], good, 403, "forbidden"),
        (
            "origin",
            "POST",
            "/execute",
            &[("origin", "https://evil.example")],
            good,
            403,
            "forbidden",
        ),
        ("header", "POST", "/execute", &[("x", &wide)], good, 431, "invalid_request"),
        ("method", "PUT", "/execute", &[], good, 405, "method_not_allowed"),
        ("path", "GET", "/nothing", &[], "", 404, "not_found"),
        ("portal", "GET", "/portals/none/tools", &[], "", 404, "not_found"),
        ("format", "GET", "/tools?format=x", &[], "", 400, "invalid_request"),
        ("strict", "GET", "/tools?format=anthropic&strict=true", &[], "", 400, "invalid_request"),
        ("cursor", "GET", "/tools?cursor=x", &[], "", 400, "invalid_request"),
        ("query", "GET", "/tools?x=y", &[], "", 400, "invalid_request"),
        ("no call", "POST", "/tools/execute", &[], "{}", 400, "invalid_request"),
        ("unknown call", "GET", "/execute/x", &[], "", 404, "unknown_call"),
    ] {
        let answer = rest.send(method, path, headers, body);
        assert_eq!(
            (answer.status, &*self::code(&answer)),
            (status, code),
            "{case}: {}",
            answer.body
        );
        let error = &answer.json()["error"];
        for member in ["type", "message", "request_id"] {
            assert!(error[member].is_string(), "{case}: {error}");
        }
        assert_eq!(error["retryable"], false, "{case}: {error}");
    }
    // Web pages of configured origins may call it, and read what they need.
    let allowed = [("origin", "https://app.example")];
    let answer = rest.send("POST", "/execute", &allowed, good);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("retry-after"));
    assert_eq!(rest.send("OPTIONS", "/execute", &allowed, "").status, 204);
    // The gateway is as it was.
    assert_eq!(rest.send("POST", "/execute", &[], good).status, 200);
}

#[test]
fn callers_are_authenticated_and_seen_as_at_the_endpoints_of_mcp() {
    let gateway = Gateway::start(&format!(
        "{SAMPLE}\npolicy: {{files: [open.cedar]}}\nportals: {{some: {{tools: [sample/add], rename: {{sample/add: plus}}}}}}\n"
    ));
    let nobody = Rest::new(&gateway);
    for (method, path, body) in [
        ("GET", "/tools", ""),
        ("GET", "/openapi.json", ""),
        ("POST", "/execute", r#"{"tool":"sample/add"}"#),
        ("POST", "/tools/execute", "[]"),
        ("GET", "/execute/x", ""),
        ("GET", "/nothing", ""),
    ] {
        let answer = nobody.send(method, path, &[], body);
        assert_eq!((answer.status, &*code(&answer)), (401, "unauthenticated"), "{path}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        let wrong = nobody.clone().bearing("dw_wrong").send(method, path, &[], body);
        assert_eq!(wrong.status, 401, "{path}");
    }
    let refusals = || gateway.told(&["audit", "search", "--json", "--class", "events"]);
    wait_for("refusals are recorded", || refusals().contains("\"protocol\":\"rest\""));
    let key = gateway.key(&["--user", "ann"]);
    let portal = Rest::at(&gateway, "some").bearing(&key);
    let sum = json!({ "a": 1, "b": 2 });
    for tool in ["plus", "sample/add"] {
        assert_eq!(portal.execute(tool, sum.clone()).json()["data"]["sum"], 3, "{tool}");
    }
    // What is not in the portal, and what is not there at all.
    for tool in ["sample/echo", "sample/none", "none/none", "sample__echo", "sample__add", "none"] {
        let answer = portal.execute(tool, json!({}));
        let told = format!("Unknown tool: {tool}");
        assert_eq!((answer.status, &*code(&answer)), (404, "unknown_tool"), "{}", answer.body);
        assert_eq!(answer.json()["error"]["message"], told);
    }
    let limited = gateway.key(&["--user", "bob", "--portal", "some"]);
    let limited = Rest::new(&gateway).bearing(&limited);
    assert_eq!(limited.execute("sample/add", sum).status, 404);
    assert_eq!(limited.get("/tools").json()["tools"], json!([]));
}

#[test]
fn the_api_can_be_switched_off() {
    let gateway = Gateway::start(&format!("{SAMPLE}\nrest: {{enabled: false}}\n"));
    let answer = Rest::new(&gateway).get("/tools");
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("/mcp"), "{}", answer.body);
}

#[test]
fn a_call_is_streamed_with_its_progress_and_ends_with_its_client() {
    let gateway = Gateway::start(SAMPLE);
    let rest = Rest::new(&gateway);
    let stream = [("accept", "text/event-stream")];
    let body = r#"{"tool":"sample/slow","input":{"steps":3,"pause_ms":20}}"#;
    let answer = rest.send("POST", "/execute", &stream, body);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let events: Vec<&str> =
        answer.body.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(events, ["progress", "log", "progress", "log", "progress", "log", "result"]);
    let messages = answer.messages();
    assert_eq!(messages[0], json!({ "progress": 1, "total": 3, "message": "step 1 of 3" }));
    assert_eq!(messages[6]["data"], "done in 3 steps");
    // A refusal has its status.
    let refused = rest.send("POST", "/execute", &stream, r#"{"tool":"none/none"}"#);
    assert_eq!((refused.status, &*code(&refused)), (404, "unknown_tool"));
    // Who goes away ends the call, whether it is streamed or not.
    for accept in ["text/event-stream", "application/json"] {
        let headers = [("accept", accept), ("content-type", "application/json")];
        let body = br#"{"tool":"sample/slow","input":{"steps":100,"pause_ms":200}}"#;
        let count = || {
            let all = gateway.told(&["audit", "search", "--json", "--tool", "slow"]);
            all.lines().filter(|line| line.contains("\"outcome\":\"cancelled\"")).count()
        };
        let before = count();
        if accept == "text/event-stream" {
            let mut stream =
                open(&rest.address, "POST", "/api/v1/execute", &headers, body).unwrap();
            stream.message().unwrap();
            drop(stream);
        } else {
            let running = || gateway.get_admin("/metrics").1.contains("doorward_calls_in_flight 1");
            let connection = crate::support::client::begin(
                &rest.address,
                "POST",
                "/api/v1/execute",
                &headers,
                body,
            )
            .unwrap();
            wait_for("the call runs", || running() || gateway.logged("slow"));
            drop(connection);
        }
        wait_for("it is recorded as cancelled", || count() == before + 1);
    }
}

#[test]
fn the_description_names_the_gateway_and_is_cached() {
    let gateway = Gateway::start(SAMPLE);
    let rest = Rest::at(&gateway, "sample");
    let answer = rest.get("/openapi.json");
    let said = answer.json();
    assert_eq!(said["servers"][0]["url"], gateway.url("/api/v1/portals/sample"));
    assert!(said["paths"]["/execute"]["post"].is_object());
    let tag = answer.header("etag").unwrap();
    let again = rest.send("GET", "/openapi.json", &[("if-none-match", tag)], "");
    assert_eq!((again.status, &*again.body), (304, ""));
}

#[test]
fn policies_know_by_which_protocol_a_call_came() {
    let gateway = Gateway::start(&format!("{SAMPLE}\npolicy: {{files: [open.cedar]}}\n"));
    let key = gateway.key(&["--user", "ann"]);
    let only = "permit (principal, action in Action::\"use\", resource) when { context.protocol == \"functions\" };";
    std::fs::write(gateway.folder.path().join("open.cedar"), only).unwrap();
    let rest = Rest::new(&gateway).bearing(&key);
    wait_for("the policies are active", || rest.get("/tools").json()["tools"] == json!([]));
    assert_eq!(rest.execute("sample/echo", json!({ "text": "x" })).status, 404);
    let mcp = Modern::new(&gateway, "/mcp").bearing(&key);
    assert!(mcp.call("sample__echo", json!({ "text": "x" })).body.contains("Unknown tool"));
    assert!(!rest.get("/tools?format=openai").json()["tools"].as_array().unwrap().is_empty());
    let call =
        json!({ "type": "tool_use", "id": "1", "name": "sample__echo", "input": { "text": "x" } });
    let said = rest.post("/tools/execute", call).json();
    assert_eq!(said["results"][0]["content"][0]["text"], "x", "{said}");
}
