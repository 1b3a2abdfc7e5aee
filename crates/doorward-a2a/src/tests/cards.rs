//! Cards: read in either form, written in each, and made the gateway's.

use bytes::Bytes;
use doorward_mcp::json::Limits;
use serde_json::{Value, json};

use crate::card::{AgentCard, Face};
use crate::{Binding, ErrorKind, Method, Reply, Revision};

fn one() -> Value {
    json!({
        "name": "Agent", "description": "Does", "version": "3.2", "iconUrl": "https://agent/icon",
        "provider": { "url": "https://agent", "organization": "Org" },
        "supportedInterfaces": [
            { "url": "https://agent/v1", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "a" },
            { "url": "agent:443", "protocolBinding": "GRPC", "protocolVersion": "1.0" },
            { "url": "https://agent/old", "protocolBinding": "HTTP+JSON", "protocolVersion": "0.3.0" },
        ],
        "capabilities": {
            "streaming": true, "pushNotifications": false, "extendedAgentCard": true,
            "extensions": [{ "uri": "https://ext/1", "required": true, "params": { "a": 1 } }, { "uri": "https://ext/2" }],
        },
        "securitySchemes": {
            "key": { "apiKeySecurityScheme": { "location": "header", "name": "X-Key" } },
            "oauth": { "oauth2SecurityScheme": { "flows": { "clientCredentials": { "tokenUrl": "https://t", "scopes": { "s": "S" } } } } },
        },
        "securityRequirements": [{ "schemes": { "oauth": { "list": ["s"] }, "key": {} } }],
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": [{
            "id": "s", "name": "Skill", "description": "Skilled", "tags": ["t"], "examples": ["e"],
            "securityRequirements": [{ "schemes": { "key": {} } }],
        }],
        "signatures": [{ "protected": "e30", "signature": "AA" }],
    })
}

fn old() -> Value {
    json!({
        "protocolVersion": "0.3.0", "name": "Agent", "description": "Does", "version": "3.2",
        "url": "https://agent/old", "preferredTransport": "JSONRPC", "iconUrl": "https://agent/icon",
        "additionalInterfaces": [{ "url": "https://agent/rest", "transport": "HTTP+JSON" }],
        "capabilities": { "streaming": true, "stateTransitionHistory": true },
        "supportsAuthenticatedExtendedCard": true,
        "securitySchemes": {
            "key": { "type": "apiKey", "in": "header", "name": "X-Key", "description": "d" },
            "http": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            "oidc": { "type": "openIdConnect", "openIdConnectUrl": "https://o" },
            "tls": { "type": "mutualTLS" },
            "oauth": { "type": "oauth2", "flows": {
                "clientCredentials": { "tokenUrl": "https://t", "scopes": {} },
                "implicit": { "authorizationUrl": "https://a", "scopes": {} },
            } },
        },
        "security": [{ "oauth": ["s"], "key": [] }],
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": [{ "id": "s", "name": "Skill", "description": "Skilled", "tags": [], "security": [{ "key": [] }] }],
    })
}

fn read(card: &Value) -> AgentCard {
    AgentCard::read(&Bytes::from(card.to_string()), Limits::default()).unwrap()
}

fn written(card: &AgentCard, revision: Revision) -> Value {
    serde_json::from_slice(&card.to_bytes(revision).unwrap()).unwrap()
}

#[test]
fn a_card_is_written_as_it_was_read() {
    let mut unknown = one();
    unknown["xUnknown"] = json!({ "a": [1] });
    unknown["skills"][0]["xUnknown"] = json!(true);
    for (card, revision) in
        [(one(), Revision::V1_0), (unknown, Revision::V1_0), (old(), Revision::V0_3)]
    {
        assert_eq!(written(&read(&card), revision), card);
    }
}

#[test]
fn a_card_of_one_revision_is_read_by_the_other() {
    let card = written(&read(&one()), Revision::V0_3);
    assert_eq!(card["url"], "https://agent/old");
    assert_eq!(card["preferredTransport"], "HTTP+JSON");
    assert_eq!(card["supportsAuthenticatedExtendedCard"], true);
    assert_eq!(card["capabilities"].get("extendedAgentCard"), None);
    assert_eq!(
        card["securitySchemes"]["key"],
        json!({ "type": "apiKey", "in": "header", "name": "X-Key" })
    );
    assert_eq!(card["security"], json!([{ "oauth": ["s"], "key": [] }]));
    assert_eq!(card["skills"][0]["security"], json!([{ "key": [] }]));

    let mut mixed = read(&old());
    assert!(mixed.to_bytes(Revision::V1_0).is_none());
    assert_eq!(mixed.interfaces.len(), 2);
    mixed.interfaces.push(crate::card::Interface::new(
        "https://us",
        Binding::JsonRpc,
        Revision::V1_0,
    ));
    let card = written(&mixed, Revision::V1_0);
    assert_eq!(
        card["supportedInterfaces"][1],
        json!({ "url": "https://agent/rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "0.3.0" })
    );
    assert_eq!(card["capabilities"], json!({ "streaming": true, "extendedAgentCard": true }));
    let schemes = &card["securitySchemes"];
    assert_eq!(
        schemes["key"],
        json!({ "apiKeySecurityScheme": { "location": "header", "name": "X-Key", "description": "d" } })
    );
    assert_eq!(schemes["tls"], json!({ "mtlsSecurityScheme": {} }));
    // ProtoJSON has one flow at a time.
    assert_eq!(schemes["oauth"]["oauth2SecurityScheme"]["flows"].as_object().unwrap().len(), 1);
    assert_eq!(
        card["securityRequirements"],
        json!([{ "schemes": { "oauth": { "list": ["s"] }, "key": {} } }])
    );
}

#[test]
fn a_card_of_both_revisions_is_read_by_each() {
    let both: Value = serde_json::from_slice(&read(&one()).to_bytes_of_both()).unwrap();
    assert_eq!(both["url"], "https://agent/old");
    assert_eq!(both["supportedInterfaces"], one()["supportedInterfaces"]);
    assert_eq!(both["securitySchemes"]["key"]["type"], "apiKey");
    assert_eq!(both["securitySchemes"]["key"]["apiKeySecurityScheme"]["name"], "X-Key");
    // Read again, it is what it was: nothing of 0.3 is left over.
    assert_eq!(written(&read(&both), Revision::V1_0), one());
    let mut as_old = both;
    as_old.as_object_mut().unwrap().remove("supportedInterfaces");
    assert_eq!(read(&as_old).interfaces[0].url, "https://agent/old");
}

#[test]
fn the_first_supported_interface_is_chosen() {
    let card = read(&one());
    let (interface, revision, binding) = card.choose(&Face::ALL).unwrap();
    assert_eq!(
        (&*interface.url, revision, binding),
        ("https://agent/v1", Revision::V1_0, Binding::JsonRpc)
    );
    let (interface, ..) = card.choose(&[(Revision::V0_3, Binding::HttpJson)]).unwrap();
    assert_eq!(interface.url, "https://agent/old");
    assert!(card.choose(&[(Revision::V1_0, Binding::HttpJson)]).is_none());
}

#[test]
fn nothing_of_the_agents_place_is_left_in_our_card() {
    let mut source = one();
    source["xUnknown"] = json!("https://agent/hidden");
    source["url"] = json!("https://agent/old");
    source["additionalInterfaces"] = json!([{ "url": "https://agent/x", "transport": "GRPC" }]);
    source["capabilities"]["xUnknown"] = json!("https://agent/hidden");
    let mut card = read(&source);
    let face = Face {
        url: "https://gate/a2a/agent",
        interfaces: &Face::ALL,
        streaming: true,
        push_notifications: true,
        extended_card: false,
        security_schemes: None,
        security: Vec::new(),
    };
    face.put_on(&mut card, |uri| uri == "https://ext/2");
    let ours = card.to_bytes_of_both();
    let text = String::from_utf8(ours.to_vec()).unwrap();
    for gone in [
        "agent/v1",
        "agent/old",
        "agent/x",
        "agent:443",
        "hidden",
        "signature",
        "X-Key",
        "ext/1",
        "tenant",
    ] {
        assert!(!text.contains(gone), "{gone} in {text}");
    }
    let ours: Value = serde_json::from_slice(&ours).unwrap();
    assert_eq!(ours["supportedInterfaces"].as_array().unwrap().len(), 4);
    assert_eq!(
        (&ours["url"], &ours["preferredTransport"]),
        (&json!("https://gate/a2a/agent"), &json!("JSONRPC"))
    );
    // What the agent does not declare stays undeclared, and so does what the door does not carry.
    let capabilities = json!({ "streaming": true, "pushNotifications": false, "extendedAgentCard": false,
        "extensions": [{ "uri": "https://ext/2" }] });
    assert_eq!(ours["capabilities"], capabilities);
    assert_eq!(ours["skills"][0]["id"], "s");
}

#[test]
fn required_extensions_are_required() {
    let card = read(&one());
    let error = card.check_extensions(&[]).unwrap_err();
    assert_eq!((error.kind, error.code()), (ErrorKind::ExtensionSupportRequired, -32008));
    assert!(card.check_extensions(&["https://ext/1".to_owned()]).is_ok());
}

#[test]
fn what_is_no_card_is_refused() {
    for card in [
        json!({}),
        json!([]),
        json!({ "name": "a" }),
        json!({ "name": "a", "url": "" }),
        json!({ "name": "a", "supportedInterfaces": [] }),
        json!({ "name": 7, "url": "https://a" }),
        json!({ "name": "a", "url": "https://a", "URL": "https://b" }),
        json!({ "name": "a", "url": "https://a", "skills": [{}] }),
    ] {
        assert!(
            AgentCard::read(&Bytes::from(card.to_string()), Limits::default()).is_err(),
            "{card}"
        );
    }
    let text = Bytes::from(old().to_string());
    let reply = Reply::read_http(Method::ExtendedCard, &text, Revision::V0_3, Limits::default());
    assert!(matches!(reply, Ok(Reply::Card(card)) if card.name == "Agent"));
}
