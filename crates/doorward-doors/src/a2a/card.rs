//! Agent cards. The public one is the same for everybody, and says nothing of what there is; the extended one has the caller's
//! tools as skills.

use std::sync::OnceLock;

use doorward_a2a::card::{Capabilities, Extension, Face, Interface, Skill};
use doorward_a2a::fields::Other;
use doorward_a2a::{AgentCard, Reply};
use doorward_gateway::call::Protocol;
use doorward_gateway::gateway::Gateway;
use doorward_identity::seal::sha256;
use doorward_mcp::Value;
use doorward_mcp::names::is_server_name;
use doorward_store::hex;
use doorward_web::Body;
use doorward_web::response::{empty, json, not_allowed};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ETAG, HeaderName, IF_NONE_MATCH, LAST_MODIFIED,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::json;

use super::fail::{Asked, Fail};
use super::message::{EXTENSION, extension};
use super::{Door, base};
use crate::rest::tools::{admit, all};

const DESCRIPTION: &str = "Calls the tools behind a Doorward gateway. Send a data part {\"tool\", \"arguments\"}, or a text: \
    the agent then calls the only tool that fits, or asks which one to call. The extended card lists the tools.";
const MODES: [&str; 2] = ["application/json", "text/plain"];

fn modes() -> Vec<String> {
    MODES.map(str::to_owned).into()
}

/// The card of the gateway, or of a portal, whether or not there is such a portal.
fn card(gateway: &Gateway, portal: Option<&str>) -> AgentCard {
    let origin = gateway.identity.resources.origin();
    let url = format!("{origin}{}", base(portal));
    let name = portal.map_or_else(|| "Doorward".to_owned(), |name| format!("Doorward: {name}"));
    let interfaces =
        Face::ALL.iter().map(|(revision, binding)| Interface::new(&*url, *binding, *revision));
    let about = json!({ "httpAuthSecurityScheme": {
        "scheme": "Bearer",
        "description": "An API key of the gateway, or an access token for its MCP endpoint.",
    } });
    let is_open = gateway.identity.is_open();
    AgentCard {
        name,
        description: DESCRIPTION.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        interfaces: interfaces.collect(),
        capabilities: Capabilities {
            streaming: Some(true),
            push_notifications: Some(false),
            extended_card: Some(true),
            extensions: vec![Extension {
                uri: EXTENSION.to_owned(),
                required: false,
                value: Value::from_serde(&extension()),
            }],
            other: Other::default(),
        },
        security_schemes: (!is_open).then(|| Value::from_serde(&json!({ "bearer": about }))),
        security: match is_open {
            true => Vec::new(),
            false => vec![Value::from_serde(&json!({ "schemes": { "bearer": { "list": [] } } }))],
        },
        default_input_modes: modes(),
        default_output_modes: modes(),
        skills: vec![Skill {
            id: "tools".to_owned(),
            name: "Call tools".to_owned(),
            description: "Calls a tool by name, or helps to find one".to_owned(),
            tags: vec!["tools".to_owned()],
            ..Skill::default()
        }],
        ..AgentCard::default()
    }
}

/// When this process began to serve cards.
fn began() -> &'static str {
    static BEGAN: OnceLock<String> = OnceLock::new();
    BEGAN.get_or_init(|| {
        let printer = DateTimePrinter::new();
        printer.timestamp_to_rfc9110_string(&Timestamp::now()).unwrap_or_default()
    })
}

/// `GET` of a public card.
pub fn public(
    gateway: &Gateway,
    portal: Option<&str>,
    request: &Request<Incoming>,
) -> Response<Body> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return not_allowed("GET, HEAD");
    }
    if portal.is_some_and(|name| !is_server_name(name)) {
        let asked = Asked {
            revision: doorward_a2a::Revision::V1_0,
            binding: doorward_a2a::Binding::HttpJson,
            id: None,
        };
        return Fail::nothing_here().response(&asked);
    }
    let text = card(gateway, portal).to_bytes_of_both();
    let tag = format!("\"{}\"", &hex(&sha256(&text))[..32]);
    let known = request.headers().get_all(IF_NONE_MATCH).iter();
    let mut known = known.filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(','));
    let is_known = known.any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    });
    let mut response = if is_known { empty(StatusCode::NOT_MODIFIED) } else { json(text) };
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    };
    put(CACHE_CONTROL, "public, max-age=300");
    put(ETAG, &tag);
    put(LAST_MODIFIED, began());
    put(ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    response
}

/// The card with the caller's tools.
pub async fn extended(door: &Door) -> Result<Reply, Fail> {
    let visit = &door.visit;
    admit(visit, Protocol::A2a).await?;
    let tools = all(visit, Protocol::A2a, |_, _| true).await?;
    let name = visit.portal.name();
    let mut card = card(&visit.gateway, Some(name).filter(|name| !name.is_empty()));
    card.skills = tools
        .into_iter()
        .map(|tool| {
            let text =
                |name: &str| tool.definition.string(name).filter(|text| !text.trim().is_empty());
            let server = tool.id.split('/').next().unwrap_or_default().to_owned();
            Skill {
                name: text("title").map_or_else(|| tool.name.clone(), std::borrow::Cow::into_owned),
                description: text("description")
                    .map_or_else(|| format!("The tool {}", tool.id), std::borrow::Cow::into_owned),
                tags: vec![server],
                examples: vec![json!({ "tool": tool.id, "arguments": {} }).to_string()],
                id: tool.id,
                ..Skill::default()
            }
        })
        .collect();
    Ok(Reply::Card(card.into()))
}
