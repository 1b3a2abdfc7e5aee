//! Stages: flow rules and bounds of conversations. [`Flow`] comes before the policies, which read what the caller carries and
//! has done. [`Marks`] comes before anything of the server's can reach the client: results, errors, progress, log messages
//! and elicitation texts are covered by marking the caller before the server or the cache is asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_guards::Conversing;
use doorward_guards::conversations::{Counts, digest_of};
use doorward_guards::flow::{Caller, Carried, Carrier, Kind as Separated, Origin, Unavailable};
use doorward_identity::seal::meaning;
use doorward_mcp::error::Kind;
use doorward_mcp::{Object, Value, interaction, method};
use doorward_observability::telemetry::context::Context;
use doorward_policy::Conversation;
use doorward_upstream::catalog::{RESOURCES, TEMPLATES, kind_of};
use doorward_upstream::state::{TaskOf, names_a_task};

use crate::access::targets::is_write;
use crate::call::{AboutTask, Call, CallError, Events, Failure, Portal, Reply};
use crate::gateway::Gateway;
use crate::pipeline::{Decision, Settling, Stage, Step};
use crate::record;

pub struct Flow;

impl Stage for Flow {
    fn name(&self) -> &'static str {
        "flow"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        let (flow, conversations) = (&gateway.flow, &gateway.conversations);
        let (has_rules, is_bounded) = (flow.is_on(), conversations.is_on());
        if !has_rules && !is_bounded {
            return Step::CONTINUE;
        }
        let carrier = carrier(gateway, call);
        let is_use = is_use(&call.method);
        let counter = (is_bounded && is_use).then(|| {
            let trace = conversations.is_by_trace().then(|| Context::of(&call.params)).flatten();
            conversations.counter(&carrier, trace.map(|trace| trace.trace).as_ref())
        });
        let digest = counter.filter(|_| counts(call)).map(|_| digest(gateway, call));
        let depth = depth(call);
        let carried = match has_rules && is_use {
            true => flow.carried_now(&carrier),
            false => Some(Carried::default()),
        };
        let counted = match counter {
            Some(counter) => {
                conversations.count_now(&counter, digest, depth).map(|all| Some((counter, all)))
            }
            None => Some(None),
        };
        match (carried, counted) {
            (Some(carried), Some(counted)) => {
                Step::Now(learn(gateway, call, carrier, carried, counted))
            }
            (carried, counted) => Step::Later(Box::pin(async move {
                let carried = match carried {
                    Some(carried) => carried,
                    None => flow.carried(&carrier).await,
                };
                let counted = match (counted, counter) {
                    (Some(counted), _) => counted,
                    (None, Some(counter)) => {
                        Some((counter, conversations.count(&counter, digest, depth).await))
                    }
                    (None, None) => None,
                };
                learn(gateway, call, carrier, carried, counted)
            })),
        }
    }

    /// What was found in the answer has labels, too.
    fn settle<'a>(
        &self,
        call: &'a mut Call,
        reply: &'a mut Result<Reply, CallError>,
    ) -> Option<Settling<'a>> {
        let notes = &call.notes;
        let conversing = notes.conversing.as_ref()?;
        let found = notes.returned.as_ref().map(|found| (&found.findings, &found.data));
        let labels = conversing.learnt(found, &notes.labels);
        let marking = conversing.bring(labels)?;
        Some(Box::pin(async move {
            if let Err(why) = marking.await {
                *reply = Err(unavailable(why));
            }
        }))
    }

    fn leave(&self, gateway: &Gateway, call: &mut Call, reply: &mut Result<Reply, CallError>) {
        let Some(conversing) = &call.notes.conversing else { return };
        let Some((counter, _)) = &conversing.counted else { return };
        let reserved = call.notes.reserved.as_ref();
        let cost = reserved.map_or(0, |reserved| gateway.cost(reserved, call, reply).0);
        if cost > 0
            && let Some(adding) = conversing.conversations.add_cost(counter, cost)
        {
            gateway.shared.tasks.spawn(adding);
        }
        if let Ok(Reply::Result(result)) = reply
            && *call.method == *method::TOOLS_CALL
            && interaction::result_type(result) == "complete"
            && let Some(warning) = conversing.warning()
        {
            append(result, &warning);
        }
    }
}

pub struct Marks;

impl Stage for Marks {
    fn name(&self) -> &'static str {
        "marks"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if call.notes.conversing.is_none() || !gateway.flow.is_on() {
            return Step::CONTINUE;
        }
        let labels = brought(gateway, call);
        if labels.is_empty() {
            return Step::CONTINUE;
        }
        let Some(marking) = call.notes.conversing.as_ref().and_then(|it| it.bring(labels)) else {
            return Step::CONTINUE;
        };
        Step::Later(Box::pin(async move { marking.await.map(|()| None).map_err(unavailable) }))
    }
}

/// The conversation of a call.
fn carrier(gateway: &Gateway, call: &Call) -> Carrier {
    let principal = &call.caller.principal;
    // That of a single request separates nothing: its client has no session.
    let session = call.session.as_ref().filter(|session| gateway.sessions.is_open(session));
    gateway.flow.carrier(&Caller {
        principal: &principal.id,
        tenant: principal.who.tenant.as_deref(),
        session,
        conversation: call.conversation.as_deref(),
    })
}

/// Whether a call uses something that a server offers, or continues to.
fn is_use(of: &str) -> bool {
    matches!(
        of,
        method::TOOLS_CALL
            | method::PROMPTS_GET
            | method::RESOURCES_READ
            | method::COMPLETE
            | method::TASKS_UPDATE
    )
}

/// Whether a call counts: one that goes on with an earlier one, or refreshes a cached result, is not another.
fn counts(call: &Call) -> bool {
    let continues = call.retry.is_some() || call.notes.answered.is_some();
    let counts = !matches!(&*call.method, method::COMPLETE | method::TASKS_UPDATE);
    counts && !continues && call.notes.refreshes.is_none()
}

fn digest(gateway: &Gateway, call: &Call) -> doorward_guards::flow::Key {
    let server = call.route.as_ref().map_or("", |route| &*route.server.name);
    let name = record::target(call).unwrap_or_default();
    let params = match gateway.conversations.compares_calls() {
        true => meaning(&call.params),
        false => Vec::new(),
    };
    digest_of(server, &call.method, &name, &params)
}

/// How many agents act for each other.
fn depth(call: &Call) -> usize {
    let principal = &call.caller.principal;
    principal.chain.len().max(usize::from(principal.agent.is_some()))
}

/// Puts what was learnt where policies read it, and refuses what exceeds a bound.
fn learn(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    carrier: Carrier,
    mut carried: Carried,
    counted: Option<(doorward_guards::conversations::Counter, Counts)>,
) -> Decision {
    // Whoever has opened a session has read the instructions.
    if carrier.kind == Separated::Session && gateway.flow.lists_bring() && is_use(&call.method) {
        carried.labels.extend(listed(gateway, call, false));
    }
    if !carried.labels.is_empty() {
        call.notes.facts.get_or_insert_default().flow = carried.labels;
    }
    let mut refused = None;
    if let Some((_, counts)) = &counted {
        let Counts { calls, repeated, depth, cost } = *counts;
        let conversation = Conversation { calls, repeated, depth, cost };
        call.notes.facts.get_or_insert_default().conversation = conversation;
        refused = gateway.conversations.refuses(counts);
    }
    let origin = Origin {
        call: call.id.to_string(),
        server: call.route.as_ref().map(|route| route.server.name.to_string()).unwrap_or_default(),
        target: record::target(call).unwrap_or_else(|| (&*call.method).into()).into_owned(),
        at: call.began / 1_000,
    };
    let (flow, conversations) = (gateway.flow.clone(), gateway.conversations.clone());
    let unknown = carried.unknown;
    let conversing = Conversing { carrier, origin, unknown, counted, flow, conversations };
    call.notes.conversing = Some(Box::new(conversing));
    if let Some(why) = refused {
        let (principal, bound) = (&*call.caller.principal.id, why.bound.as_str());
        tracing::info!(principal, bound, "a conversation has reached a bound");
        let failure = Failure::new(Kind::ConversationLimit, why.message);
        call.notes.over_bound = Some(Box::new(failure));
    }
    Ok(None)
}

/// The labels of what a call returns, as settings say.
pub(super) fn brought(gateway: &Gateway, call: &Call) -> BTreeSet<String> {
    if *call.method == *method::LISTEN {
        return of_tasks(gateway, call);
    }
    let Some(route) = &call.route else {
        return listed(gateway, call, true);
    };
    let settings = &route.server.settings;
    let of = |name: &str, write: bool, hint: bool| settings.flow_of(name, write, hint).brings;
    let text = |member: &str| call.params.string(member).unwrap_or_default();
    match &*call.method {
        method::TOOLS_CALL => {
            let hint = route.tool.as_ref().is_none_or(|tool| tool.open_world);
            of(&text("name"), record::is_write(call), hint)
        }
        method::PROMPTS_GET => of(&text("name"), false, true),
        method::RESOURCES_READ => of(&text("uri"), false, true),
        method::COMPLETE => {
            let reference = call.params.object("ref").unwrap_or_default();
            let name = reference.string("uri").or_else(|| reference.string("name"));
            of(&name.unwrap_or_default(), false, true)
        }
        method if names_a_task(method) => match call.notes.task.as_deref() {
            Some(AboutTask { of: TaskOf { tool, .. }, tool: known }) => {
                let write = is_write(&route.server, tool, known.as_deref());
                of(tool, write, known.as_ref().is_none_or(|tool| tool.open_world))
            }
            None => settings.may_bring(),
        },
        _ => listed(gateway, call, true),
    }
}

/// The labels of the tasks that a call listens to: their results are pushed, too.
fn of_tasks(gateway: &Gateway, call: &Call) -> BTreeSet<String> {
    let filter = call.params.object("notifications").unwrap_or_default();
    let tasks = filter.get("taskIds").and_then(Value::as_array).unwrap_or_default();
    let server = |task: &Value| match &call.portal {
        Portal::Server(name) => gateway.server(name),
        Portal::Merged | Portal::Named(_) => gateway.server(task.as_str()?.rsplit_once('.')?.0),
    };
    let servers = tasks.iter().filter_map(server);
    servers.flat_map(|server| server.settings.may_bring()).collect()
}

/// The labels of the lists of a portal, as far as the caller sees its servers: of definitions and instructions, and of
/// resources, whose names and descriptions are content.
fn listed(gateway: &Gateway, call: &Call, with_resources: bool) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    let is_list = matches!(&*call.method, method::DISCOVER) || kind_of(&call.method).is_some();
    if !gateway.flow.lists_bring() || (with_resources && !is_list) {
        return labels;
    }
    let lists_resources =
        with_resources && matches!(kind_of(&call.method), Some(RESOURCES | TEMPLATES));
    for server in gateway.serving(&call.portal) {
        let settings = &server.settings;
        let mut own = settings.lists_bring.clone();
        if lists_resources && server.known().is_none_or(|contact| contact.about.has("resources")) {
            own.extend(settings.may_bring());
        }
        if !own.is_empty() && gateway.sees(call, &server) {
            labels.extend(own);
        }
    }
    labels
}

/// Adds a text to the content of a tool's result, for the model.
fn append(result: &mut Object, text: &str) {
    let mut content = result.get("content").and_then(Value::as_array).unwrap_or_default();
    let mut block = Object::new();
    block.set("type", "text");
    block.set("text", text);
    content.push(Value::Object(block));
    result.set("content", Value::array(&content));
}

fn unavailable(why: Unavailable) -> CallError {
    let failure = Failure::new(Kind::FlowUnavailable, "The labels of this call cannot be stored")
        .because(why.0);
    CallError::Refused { failure, status: 503 }
}
