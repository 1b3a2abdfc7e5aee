//! The audit record of a call: the caller, the request, the decision and the outcome. Of arguments and results, it
//! contains only hashes (SHA-256 of the canonical form, RFC 8785), unless the operator configures more.

use bytes::Bytes;
use doorward_mcp::{Object, Value, method};
use doorward_policy::{Conversation, Verdict};
use doorward_store::{hex, written_at};

use crate::access::targets;
use crate::call::Call;
use crate::discovering::Discovering;
use crate::gateway::Gateway;
use doorward_config::{AuditSettings, PayloadSettings, RecordClass, ToolSettings};
use doorward_identity::identity::Principal;
use doorward_identity::seal;
use doorward_observability::audit::mask::{masked, masked_value};
use doorward_observability::audit::members::Members;
use doorward_observability::audit::{Common, Ended, Mark, Outcome, Record};
use doorward_upstream::catalog::kind_of;
use doorward_upstream::state::names_a_task;

mod outcome;
pub mod who;

pub use outcome::{close, word};
pub use who::{caller, session_name};

use self::who::{authentication, key, whose, write_address};
/// The usual size of a call's record.
const USUAL: usize = 1_100;

/// Records a refused administrator as an event of the audit log.
pub fn administration_refused(
    gateway: &Gateway,
    asker: &doorward_identity::identity::Caller,
    action: &str,
    target: &str,
) {
    gateway.shared.audit.refused(|members| {
        caller(members, asker);
        members.text("protocol", "admin").text("action", action).text("target", target);
        members.text("error", "not_permitted");
    });
}

/// The class of records that a call belongs to.
pub fn class_of(call: &Call) -> RecordClass {
    match &*call.method {
        method::DISCOVER | method::LISTEN => RecordClass::Lists,
        of if kind_of(of).is_some() => RecordClass::Lists,
        _ if is_write(call) => RecordClass::Writes,
        _ => RecordClass::Reads,
    }
}

/// Whether a call may have side effects; unknown tools may.
pub fn is_write(call: &Call) -> bool {
    match (&*call.method, &call.route) {
        (method::TOOLS_CALL, Some(route)) => route.writes.unwrap_or_else(|| {
            let name = call.params.string("name").unwrap_or_default();
            targets::is_write(&route.server, &name, route.tool.as_deref())
        }),
        // A tool call without a route names no existing tool.
        (
            method::TOOLS_CALL
            | method::PROMPTS_GET
            | method::RESOURCES_READ
            | method::COMPLETE
            | method::DISCOVER
            | method::LISTEN
            | "tasks/get",
            _,
        ) => false,
        (of, _) => kind_of(of).is_none(),
    }
}

/// The tool, prompt or resource, by the server's original name.
pub fn target(call: &Call) -> Option<std::borrow::Cow<'_, str>> {
    match &*call.method {
        method::TOOLS_CALL | method::PROMPTS_GET => call.params.string("name"),
        method::RESOURCES_READ => call.params.string("uri"),
        of if names_a_task(of) => call.params.string("taskId").map(|_| "task".into()),
        _ => None,
    }
}

/// The same, but of a request about a task, the tool that has created it, as far as that is known.
pub fn subject(call: &Call) -> Option<std::borrow::Cow<'_, str>> {
    match names_a_task(&call.method) {
        true => call.notes.task.as_ref().map(|task| (&*task.of.tool).into()),
        false => target(call),
    }
}

pub fn common(call: &Call, class: RecordClass) -> Common {
    let mut members = Members::with_capacity(200);
    members.text("class", class.as_str());
    let principal = &call.caller.principal;
    let whose = principal.recorded.whose.get_or_init(|| {
        let mut members = Members::default();
        whose(&mut members, principal);
        key(&mut members, principal);
        members.into_text()
    });
    members.and(whose);
    members.maybe("server", call.route.as_ref().map(|route| &*route.server.name));
    let target = target(call).filter(|target| !target.is_empty());
    if let Some(target) = &target {
        members.clean("target", target);
    }
    let counted = target.is_some() && matches!(class, RecordClass::Reads | RecordClass::Writes);
    Common { text: members.into_text(), counted }
}

/// Further members about a principal.
fn more_of(principal: &Principal) -> &str {
    principal.recorded.more.get_or_init(|| {
        let mut members = Members::default();
        members.texts("teams", principal.who.teams.iter().map(String::as_str));
        members.texts("roles", principal.who.roles.iter().map(String::as_str));
        authentication(&mut members, principal);
        members.texts("chain", principal.chain.iter().map(String::as_str));
        members.into_text()
    })
}

/// The opening record of a call.
pub fn opened(gateway: &Gateway, call: &Call, common: &Common) -> Record {
    let mut members = Members::with_capacity(USUAL);
    describe(&mut members, gateway, call, &common.text);
    let (members, at) = (members.into_text(), call.began / 1_000);
    Record { kind: "opened", members, at, mark: Mark::Opens(call.id.number()), ended: None }
}

/// The record of a call that was not sent to a server: denied, refused, or answered from the cache.
pub fn at_once(gateway: &Gateway, call: &Call, class: RecordClass, outcome: Outcome) -> Record {
    let Outcome { text, usage, charges } = outcome;
    let ended = Ended { common: common(call, class), usage, charges };
    let mut members = Members::with_capacity(USUAL);
    describe(&mut members, gateway, call, &ended.common.text);
    members.and(&text);
    let (members, at) = (members.into_text(), call.began / 1_000);
    Record { kind: "call", members, at, mark: Mark::None, ended: Some(ended) }
}

fn describe(members: &mut Members, gateway: &Gateway, call: &Call, common: &str) {
    let principal = &call.caller.principal;
    members.text("id", &call.id.to_string()).text("at", &written_at(call.began));
    members.and(common);
    members.and(more_of(principal)).maybe("grant", call.caller.grant.as_deref());
    if let Some(address) = call.caller.address {
        write_address(members, address);
    }
    if let Some(session) = &call.session {
        // Not the session id, which would let a reader of the record use the session.
        members.text("session", &session_name(session));
    }
    members.text("protocol", call.protocol.as_str());
    members.maybe("portal", Some(call.portal.name()));
    client(members, call);
    if let Some(trace) = call.notes.trace_id {
        members.text("trace", &hex(&trace));
    }
    members.text("revision", call.revision.as_str()).clean("method", &call.method);
    let discovering = call.notes.discovering.as_deref();
    members.maybe("discovery_tool", discovering.and_then(Discovering::tool));
    if let Some(route) = &call.route {
        let settings = &route.server.settings;
        members.maybe("environment", settings.environment.as_deref());
        members.maybe("region", settings.region_of_all());
        let classes = settings.data_classes_of_all();
        members.texts("data_classes", classes.iter().flatten().map(String::as_str));
        members.maybe("owner", settings.owner.as_deref());
        members.text("credential", targets::credential_mode(settings));
    }
    if *call.method == *method::TOOLS_CALL {
        members.flag("write", is_write(call));
        risk(members, call);
    }
    if let Some(reserved) = &call.notes.reserved {
        let mut amounts = Members::default();
        for (account, amount) in reserved.accounts() {
            amounts.number(account, amount.0);
        }
        members.object("reserved", &amounts);
    }
    decision(members, gateway, call);
    facts(members, call);
    arguments(members, gateway, call);
}

/// The facts for policies beyond the call itself.
fn facts(members: &mut Members, call: &Call) {
    let Some(facts) = &call.notes.facts else { return };
    for (name, set) in [("findings", &facts.findings), ("data", &facts.data), ("flow", &facts.flow)]
    {
        members.texts(name, set.iter().map(String::as_str));
    }
    let conversing = call.notes.conversing.as_ref();
    let unknown = conversing.and_then(|conversing| conversing.unknown);
    members.maybe("flow_unknown", unknown.map(doorward_guards::flow::Unknown::as_str));
    let counts = &facts.conversation;
    if *counts != Conversation::default() {
        let mut conversation = Members::default();
        conversation.number("calls", counts.calls).number("repeated", counts.repeated);
        conversation.number("depth", counts.depth).number("cost", counts.cost);
        members.object("conversation", &conversation);
    }
}

fn client(members: &mut Members, call: &Call) {
    let info = call.client.info.as_ref().and_then(doorward_mcp::Value::as_object);
    let Some(info) = info else { return };
    let mut about = Members::default();
    for name in ["name", "version"] {
        if let Some(text) = info.string(name).filter(|text| !text.is_empty()) {
            about.clean(name, &text);
        }
    }
    members.object("client", &about);
}

/// Further properties of a tool that policies use.
fn risk(members: &mut Members, call: &Call) {
    let Some(route) = &call.route else { return };
    let settings = &route.server.settings;
    let tells = |known: &ToolSettings| known.risk.is_some() || !known.tags.is_empty();
    let has_risk =
        settings.risk.is_some() || !settings.tags.is_empty() || settings.tools.values().any(tells);
    let has_flow = call.notes.conversing.is_some();
    if !has_risk && !has_flow {
        return;
    }
    let name = call.params.string("name").unwrap_or_default();
    let kind = doorward_policy::TargetKind::Tool;
    let target = targets::target(&route.server, kind, &name, route.tool.as_deref());
    members.maybe("risk", target.risk.as_deref());
    members.texts("tags", target.tags.iter().map(String::as_str));
    if has_flow {
        members.texts("brings", target.brings.iter().map(String::as_str));
        members.flag("sink", target.sink).flag("open_world", target.open_world);
    }
}

fn decision(members: &mut Members, gateway: &Gateway, call: &Call) {
    let held = call.notes.held.as_deref();
    let decision = call.notes.decision.as_deref();
    if decision.is_none() && held.is_none() {
        // Nothing restricts the caller, or the call did not reach the policies.
        return;
    }
    let word = match decision.map(|decision| (decision.verdict, decision.is_allowed())) {
        Some((Verdict::Hold, _)) => "hold",
        Some((_, false)) => "deny",
        Some((_, true)) | None if held.is_some() => "hold",
        Some((_, true)) | None => "allow",
    };
    members.text("decision", word);
    if let Some(approved) = &call.notes.approval {
        members.text("approval", approved.id());
    }
    members.maybe("held_by", held.map(|held| &*held.policy));
    let edited = call.notes.edited.as_deref();
    members.texts("edited", edited.into_iter().flat_map(|edits| edits.keys().map(String::as_str)));
    let Some(decision) = decision else { return };
    members.text("code", decision.code.as_str());
    let policies = gateway.policies();
    if policies.set.is_some() {
        // The version's number, and enough of its hash.
        let version: String = policies.version.chars().take(24).collect();
        members.text("policy_version", &version);
    }
    members.texts("policies", decision.policies.iter().map(|policy| policy.id.as_str()));
}

fn arguments(members: &mut Members, gateway: &Gateway, call: &Call) {
    let text = match &*call.method {
        method::TOOLS_CALL | method::PROMPTS_GET => {
            call.params.get("arguments").map(Value::to_bytes)
        }
        _ => Some(call.params.to_bytes()),
    };
    let text = text.filter(|text| text.starts_with(b"{"));
    let text = text.unwrap_or_else(|| Bytes::from_static(b"{}"));
    let settings = gateway.shared.audit.settings();
    let mut about = Members::default();
    digest(&mut about, &text);
    if call.notes.coerced {
        about.flag("coerced", true);
    }
    if payload_of(&settings, call).is_some_and(|payload| payload.arguments) {
        payload(&mut about, &settings, &Object::parse(&text).unwrap_or_default());
    }
    if settings.policy_arguments
        && let doorward_policy::Arguments::Known(known) = gateway.arguments(&call.params)
        && !known.is_empty()
    {
        match masked_value(&settings, serde_json::Value::Object(known)) {
            Some(text) => about.raw("policy", &text),
            None => about.flag("too_long", true),
        };
    }
    if let Some(inspecting) = &call.notes.inspection {
        outcome::inspected(&mut about, &inspecting.arguments);
    }
    members.object("arguments", &about);
}

/// Adds the hash and size of a value; returns the size.
fn digest(members: &mut Members, text: &[u8]) -> i64 {
    match doorward_mcp::json::canonical(text) {
        Ok(canonical) => _ = members.text("sha256", &hex(&seal::sha256(&canonical))),
        // For example a number without a canonical form.
        Err(_) => {
            members.text("sha256", &hex(&seal::sha256(text))).flag("canonical", false);
        }
    }
    let bytes = i64::try_from(text.len()).unwrap_or(i64::MAX);
    members.number("bytes", bytes);
    bytes
}

/// The recorded payload of this call.
fn payload_of(settings: &AuditSettings, call: &Call) -> Option<PayloadSettings> {
    if settings.payloads.is_empty() {
        return None;
    }
    let server = &call.route.as_ref()?.server.name;
    let name = format!("{server}/{}", target(call)?);
    let fitting = settings.payloads.iter().filter(|(pattern, _)| pattern.matches(&name));
    fitting.max_by_key(|(pattern, _)| pattern.0.len()).map(|(_, payload)| *payload)
}

/// An object as masked text, limited to the size of recorded payloads.
pub fn payload_text(gateway: &Gateway, object: &Object) -> String {
    let settings = gateway.shared.audit.settings();
    masked(&settings, object).unwrap_or_else(|| "[too long]".into())
}

fn payload(members: &mut Members, settings: &AuditSettings, object: &Object) {
    match masked(settings, object) {
        Some(text) => members.raw("payload", &text),
        None => members.flag("too_long", true),
    };
}
