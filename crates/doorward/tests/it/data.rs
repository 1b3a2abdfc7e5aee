//! Secrets and personal data: detected everywhere in a call, redacted or refused as configured, and never written to
//! disk.
#![allow(clippy::unwrap_used)]

use crate::support::client::{Handshake, JSON, Modern, send};
use crate::support::hostile::Era;
use crate::support::{Gateway, leaky, wait_for};
use base64::Engine;
use serde_json::{Value, json};

const CARD: &str = "4111 1111 1111 1111";
const KEY: &str = "ghp_9f8Kd72mQx4LpZ0vTb6RnYc3WsHaEj1UoGiX";
const MASK: &str =
    "inspection: {results: {data: {default: mask}}, arguments: {data: {default: mask}}}\n";

/// Everything a client receives for all requests that return text from a server.
fn everything(gateway: &Gateway, era: Era) -> String {
    let meta = json!({ "progressToken": 7, "io.modelcontextprotocol/logLevel": "debug" });
    let requests = [
        ("tools/call", json!({ "name": "echo", "arguments": {} })),
        ("tools/call", json!({ "name": "fails", "arguments": {} })),
        ("tools/call", json!({ "name": "streams", "arguments": {}, "_meta": meta })),
        ("prompts/get", json!({ "name": "p", "arguments": {} })),
        ("resources/read", json!({ "uri": "x://1" })),
        (
            "completion/complete",
            json!({ "ref": { "type": "ref/prompt", "name": "p" }, "argument": { "name": "a", "value": "x" } }),
        ),
    ];
    let capabilities = json!({ "elicitation": { "form": {} } });
    let mut bodies = Vec::new();
    match era {
        Era::Modern => {
            let client = Modern::new(gateway, "/mcp/s").with(capabilities);
            bodies.extend(requests.map(|(method, params)| client.ask(method, params).body));
            bodies.push(client.call("asks", json!({})).body);
        }
        Era::Handshake => {
            let client = Handshake::open(gateway, "/mcp/s", "2025-11-25", capabilities);
            let ask = |(number, (method, params))| client.ask(number, method, params).body;
            bodies.extend((10..).zip(requests).map(ask));
        }
    }
    bodies.join("\n")
}

#[test]
fn what_servers_return_is_masked_in_every_place_and_both_eras() {
    let text = format!("card {CARD}, key {KEY}, mail dana@example.com");
    for server in [Era::Modern, Era::Handshake] {
        let leaky = leaky::start(server, &text);
        let gateway = Gateway::start(&leaky.config(&format!(
            "{MASK}audit: {{payloads: {{'s/*': {{arguments: true, result: true}}}}}}\n"
        )));
        for client in [Era::Modern, Era::Handshake] {
            let all = everything(&gateway, client);
            for value in ["4111", "1111", "ghp_", "9f8Kd72m", "dana@"] {
                assert!(!all.contains(value), "{server:?} {client:?} {value}: {all}");
            }
            // Result, error (message and data), log, prompt (description and message), resource and completion.
            let masks = all.matches("card [CARD], key [SECRET], mail [EMAIL]").count();
            assert!(masks >= 8, "{server:?} {client:?}: {masks}: {all}");
            if (server, client) == (Era::Modern, Era::Modern) {
                assert!(all.contains("notifications/progress"), "{all}");
                assert!(all.contains("input_required"), "{all}");
            }
        }
        wait_for("calls are recorded", || {
            gateway.told(&["audit", "search", "--json", "--tool", "echo"]).lines().count() >= 2
        });
        let written = gateway.told(&["audit", "search", "--json"]) + &gateway.log().join("\n");
        for value in ["4111", "ghp_", "9f8Kd72m", "dana@"] {
            assert!(!written.contains(value), "{value}: {written}");
        }
        let records = gateway.told(&["audit", "search", "--json", "--tool", "echo"]);
        let record: Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
        assert_eq!(record["returned"]["data"], json!(["card", "email", "secret"]), "{record}");
        assert_eq!(record["returned"]["actions"], json!({ "masked": 3 }));
    }
}

#[test]
fn arguments_are_masked_before_a_server_sees_them_however_they_are_written() {
    let leaky = leaky::start(Era::Modern, "");
    let gateway = Gateway::start(&leaky.config(
        "inspection: {arguments: {data: {default: mask, classes: {phone: ignore}, fields: {/own: ignore, '/all/*/mail': hash}}}}\n",
    ));
    let client = Modern::new(&gateway, "/mcp/s");
    let coded = base64::engine::general_purpose::STANDARD.encode(format!("the key is {KEY} today"));
    client.call(
        "free",
        json!({
            "card": CARD, "number": 4_111_111_111_111_111_i64, "own": CARD,
            "percent": "dana%40example.com",
            "base64": coded,
            "all": [{ "mail": "dana@example.com" }, { "mail": "dana@example.com" }],
            KEY: "name",
        }),
    );
    let sent = leaky.arguments();
    assert_eq!(
        (&sent["card"], &sent["number"], &sent["own"]),
        (&json!("[CARD]"), &Value::Null, &json!(CARD))
    );
    assert_eq!(sent["percent"], "[EMAIL]");
    let opened =
        base64::engine::general_purpose::STANDARD.decode(sent["base64"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(opened).unwrap(), "the key is [SECRET] today");
    let hashed = sent["all"][0]["mail"].as_str().unwrap();
    assert!(hashed.starts_with("[EMAIL:") && sent["all"][1]["mail"] == hashed, "{sent}");
    assert_eq!(sent["[SECRET]"], "name");
    // With JSON escapes, so the text of the request is written by hand.
    let body = client.body("tools/call", json!({ "name": "free", "arguments": { "to": "PLACE" } }));
    let escaped = body.to_string().replace("PLACE", "\\u0064\\u0061na\\u0040example.com");
    let headers = Modern::headers(&body);
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers: Vec<(&str, &str)> = JSON.into_iter().chain(headers).collect();
    let answer = send(&gateway.address, "POST", "/mcp/s", &headers, escaped.as_bytes());
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(leaky.arguments()["to"], "[EMAIL]");
    // Headers mirror the redacted arguments that are forwarded.
    let call = json!({ "name": "mirrored", "arguments": { "to": "dana@example.com" } });
    let body = client.body("tools/call", call);
    let mirrored = client.send(&body, &[("mcp-param-to", "dana@example.com")]);
    assert_eq!(mirrored.status, 200, "{}", mirrored.body);
    let received = leaky.received.lock();
    assert_eq!(received.last().unwrap().header("mcp-param-to"), Some("[EMAIL]"));
}

#[test]
fn a_refusal_names_the_place_and_nothing_is_sent() {
    let leaky = leaky::start(Era::Modern, &format!("card {CARD}"));
    let gateway = Gateway::start(&leaky.config(
        "inspection:\n  arguments: {data: {classes: {card: refuse}}}\n  exceptions: [{only: [s/fails], results: {data: {detectors: {card: refuse}}}}]\n",
    ));
    let client = Modern::new(&gateway, "/mcp/s");
    let refused =
        client.call("free", json!({ "payment": { "card": CARD } })).json()["error"].clone();
    assert_eq!(refused["data"]["code"], "sensitive_data", "{refused}");
    assert_eq!(refused["data"]["place"], "/payment/card");
    assert!(
        refused["message"].as_str().unwrap().contains("data of class 'card' at /payment/card"),
        "{refused}"
    );
    assert_eq!(leaky.arguments(), Value::Null);
    let refused = client.call("fails", json!({})).json()["error"].clone();
    assert_eq!(
        (refused["code"].as_i64(), &refused["data"]["code"]),
        (Some(-31015), &json!("sensitive_data")),
        "{refused}"
    );
    assert!(!refused.to_string().contains("4111"), "{refused}");
    // A call of an unknown tool gets the usual error.
    assert_eq!(client.call("absent", json!({ "card": CARD })).code(), -32602);
    for direction in ["arguments", "results"] {
        let name = format!(
            "doorward_inspection_refused_total{{direction=\"{direction}\",code=\"sensitive_data\"}}"
        );
        assert!(gateway.metric(&name) >= 1.0, "{direction}");
    }
    wait_for("the refusal is recorded", || {
        let records = gateway.told(&["audit", "search", "--json", "--tool", "free"]);
        records.contains("\"outcome\":\"refused\"") && records.contains("sensitive_data")
    });
}

#[test]
fn structured_content_still_matches_its_output_schema() {
    for (era, more) in [(Era::Modern, ""), (Era::Handshake, "results: {check: refuse}\n")] {
        let leaky = leaky::start(era, "");
        let gateway = Gateway::start(
            &leaky.config(&format!("inspection: {{results: {{data: {{default: mask}}}}}}\n{more}")),
        );
        let client = Modern::new(&gateway, "/mcp/s");
        let content = json!({ "card": 4_111_111_111_111_111_i64 });
        let loose = client.call("loose", content.clone()).result();
        assert_eq!(loose["structuredContent"], json!({ "card": null }), "{loose}");
        for content in [content, json!({ "mail": "dana@example.com" })] {
            let strict = client.call("strict", content).json()["error"].clone();
            assert_eq!(strict["data"]["code"], "redacted_result", "{strict}");
        }
        let harmless = client.call("strict", json!({ "mail": "@", "card": 1 })).result();
        assert_eq!(harmless["structuredContent"], json!({ "mail": "@", "card": 1 }));
    }
}

#[test]
fn tokens_are_turned_back_for_the_same_tenant_and_permitted_tools_alone() {
    let leaky = leaky::start(Era::Modern, "");
    let gateway = Gateway::start(&leaky.config(
        "policy: {files: [open.cedar]}\ninspection: {results: {data: {classes: {email: tokenize}}}, detokenize: [s/loose]}\n",
    ));
    let key = |user: &str, tenant: &str| gateway.key(&["--user", user, "--in-tenant", tenant]);
    let dana = Modern::new(&gateway, "/mcp/s").bearing(&key("dana", "acme"));
    let result = dana.call("free", json!({ "mail": "dana@example.com" })).result();
    let token = result["structuredContent"]["mail"].as_str().unwrap().to_owned();
    assert!(token.starts_with("[EMAIL:"), "{result}");
    let sends = |client: &Modern, tool: &str| {
        client.call(tool, json!({ "mail": format!("to {token}") }));
        leaky.arguments()["mail"].as_str().unwrap().to_owned()
    };
    assert_eq!(sends(&dana, "loose"), "to dana@example.com");
    // A value that was restored for the server is replaced by the same token in the result.
    let again = dana.call("loose", json!({ "mail": token })).result();
    assert_eq!(again["structuredContent"]["mail"], token.as_str());
    assert_eq!(sends(&dana, "echo"), format!("to {token}"));
    let colleague = Modern::new(&gateway, "/mcp/s").bearing(&key("erin", "acme"));
    assert_eq!(sends(&colleague, "loose"), "to dana@example.com");
    let stranger = Modern::new(&gateway, "/mcp/s").bearing(&key("mallory", "globex"));
    assert!(!sends(&stranger, "loose").contains("dana@"));
    let records = || gateway.told(&["audit", "search", "--json", "--tool", "loose"]);
    wait_for("it is recorded", || records().contains("\"detokenized\":1"));
}

#[test]
fn policies_decide_by_the_data_in_arguments() {
    let leaky = leaky::start(Era::Modern, "");
    let folder = crate::support::folder();
    let file = folder.path().join("no-cards.cedar");
    let policy = "permit(principal, action, resource);\n\
        @reason(\"Card numbers stay here.\")\n\
        forbid(principal, action == Action::\"call\", resource) when { context.data.contains(\"card\") };\n\
        @reason(\"That is an instruction.\")\n\
        forbid(principal, action == Action::\"call\", resource) when { context.findings.contains(\"tag-characters\") };";
    std::fs::write(&file, policy).unwrap();
    let config = leaky.config("policy: {files: [no-cards.cedar]}\ninspection: {}\n");
    let gateway = Gateway::start_with(&config, &[("no-cards.cedar", &file)]);
    let client = Modern::new(&gateway, "/mcp/s").bearing(&gateway.key(&["--user", "dana"]));
    let denied = client.call("free", json!({ "n": CARD }));
    assert!(denied.body.contains("Card numbers stay here."), "{}", denied.body);
    assert_eq!(client.call("free", json!({ "n": "4111 1111 1111 1112" })).code(), 0);
    let tags = "x\u{e0041}\u{e0042}";
    assert!(client.call("free", json!({ "n": tags })).body.contains("That is an instruction."));
    wait_for("it is recorded", || {
        gateway
            .told(&["audit", "search", "--json", "--tool", "free"])
            .contains("\"data\":[\"card\"]")
    });
}
