//! The spans of a completed call.

use std::borrow::Cow;
use std::time::Instant;

use doorward_mcp::error::Kind;
use doorward_mcp::{Object, interaction, method};

use crate::call::{Call, CallError, Reply};
use crate::gateway::Gateway;
use crate::pipeline::INVALID_ARGUMENTS;
use crate::record;
use doorward_observability::telemetry::context::Context;
use doorward_observability::telemetry::messages::{KeyValue, Span, Status};
use doorward_upstream::Transport;

use super::{CLIENT, ERROR, INTERNAL, SERVER, Trace};

impl Trace {
    /// Its spans, when the call has ended.
    pub fn end(
        self,
        call: &Call,
        reply: &Result<Reply, CallError>,
        payloads: Option<&dyn Fn(&Object) -> String>,
    ) -> Vec<Span> {
        let now = Instant::now();
        let base = u64::try_from(call.began).unwrap_or_default().saturating_mul(1_000);
        let nanos = |at: Instant| {
            let since = at.saturating_duration_since(self.began).as_nanos();
            base.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
        };
        let target = target(call);
        let name = match &target {
            Some((_, target)) => format!("{} {target}", call.method),
            None => call.method.to_string(),
        };
        let (error, status) = outcome(reply);
        let mut attributes = common(call, target.as_ref(), error.as_deref());
        if let Some(address) = call.caller.address {
            attributes.push(KeyValue::new("client.address", address.to_string()));
        }
        if let Some(session) = &call.session {
            attributes.push(KeyValue::new("mcp.session.id", record::session_name(session)));
        }
        attributes.push(KeyValue::new("doorward.call.id", call.id.to_string()));
        attributes.push(KeyValue::new("network.protocol.name", "http"));
        attributes.push(KeyValue::new("network.transport", "tcp"));
        attributes.push(KeyValue::new("mcp.protocol.version", call.revision.as_str()));
        if let Some(decision) = &call.notes.decision {
            attributes.push(KeyValue::new("doorward.policy.code", decision.code.as_str()));
        }
        if let Some(tell) = payloads {
            if let Some(arguments) = call.params.object("arguments") {
                attributes.push(KeyValue::new("gen_ai.tool.call.arguments", tell(&arguments)));
            }
            if let Ok(Reply::Result(result)) = reply {
                attributes.push(KeyValue::new("gen_ai.tool.call.result", tell(result)));
            }
        }
        let own = |span: [u8; 8], parent: Option<[u8; 8]>, name: String, kind, from, to| Span {
            trace_id: self.trace.to_vec(),
            span_id: span.to_vec(),
            trace_state: self.state.clone(),
            parent_span_id: parent.map(|parent| parent.to_vec()).unwrap_or_default(),
            name,
            kind,
            start_time_unix_nano: from,
            end_time_unix_nano: to,
            flags: 1,
            ..Span::default()
        };
        let mut spans = vec![Span {
            attributes,
            status: status.clone(),
            ..own(self.span, self.parent, name.clone(), SERVER, base, nanos(now))
        }];
        let (mut dispatched, mut ids) = (None, self.ids);
        for (stage, from, to) in &self.stages {
            let id = ids.next();
            if *stage == "dispatch" {
                dispatched = Some((id, *from, *to));
            }
            spans.push(own(
                id,
                Some(self.span),
                format!("doorward {stage}"),
                INTERNAL,
                nanos(*from),
                nanos(*to),
            ));
        }
        if let (Some((parent, from, to)), Some(route)) = (dispatched, &call.route) {
            let mut attributes = common(call, target.as_ref(), error.as_deref());
            attributes.push(KeyValue::new("doorward.server", &*route.server.name));
            if let Some(contact) = route.server.known() {
                attributes.push(KeyValue::new("mcp.protocol.version", contact.revision.as_str()));
                let transport = match contact.transport {
                    Transport::Stdio => "pipe",
                    Transport::BuiltIn => "inproc",
                    Transport::StreamableHttp | Transport::EventStream | Transport::OpenApi => {
                        "tcp"
                    }
                };
                attributes.push(KeyValue::new("network.transport", transport));
            }
            let url = route.server.settings.address();
            if let Some(host) = url.and_then(url::Url::host_str) {
                attributes.push(KeyValue::new("server.address", host));
            }
            if let Some(port) = url.and_then(url::Url::port_or_known_default) {
                attributes.push(KeyValue::new("server.port", i64::from(port)));
            }
            let span = own(self.upstream, Some(parent), name, CLIENT, nanos(from), nanos(to));
            spans.push(Span { attributes, status, ..span });
        }
        spans
    }
}

/// Begins the trace of a call, if it is sampled.
pub fn begin(gateway: &Gateway, call: &mut Call) {
    if !gateway.telemetry.takes_traces() {
        return;
    }
    let context = Context::of(&call.params);
    call.notes.trace_id = context.map(|context| context.trace);
    if gateway.telemetry.traces(context.as_ref()) {
        call.notes.trace = Trace::begin(context, &mut call.params);
        call.notes.trace_id = call.notes.trace.as_ref().map(|trace| trace.id());
    }
}

/// Exports the spans of a completed call.
pub fn end(gateway: &Gateway, call: &mut Call, reply: &Result<Reply, CallError>) {
    let Some(trace) = call.notes.trace.take() else { return };
    let text = |object: &Object| record::payload_text(gateway, object);
    let payloads: Option<&dyn Fn(&Object) -> String> =
        if gateway.telemetry.shows_payloads() { Some(&text) } else { None };
    gateway.telemetry.take_spans(trace.end(call, reply, payloads));
}

/// The tool or prompt of a call, under its attribute's name.
fn target(call: &Call) -> Option<(&'static str, Cow<'_, str>)> {
    let name = match &*call.method {
        method::TOOLS_CALL => "gen_ai.tool.name",
        method::PROMPTS_GET => "gen_ai.prompt.name",
        _ => return None,
    };
    Some((name, record::target(call)?))
}

fn common(
    call: &Call,
    target: Option<&(&'static str, Cow<'_, str>)>,
    error: Option<&str>,
) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new("mcp.method.name", &*call.method)];
    if let Some((name, target)) = target {
        attributes.push(KeyValue::new(name, target.as_ref()));
    }
    if *call.method == *method::TOOLS_CALL {
        attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
    }
    if *call.method == *method::RESOURCES_READ
        && let Some(uri) = call.params.string("uri")
    {
        attributes.push(KeyValue::new("mcp.resource.uri", uri.as_ref()));
    }
    if let Some(error) = error {
        attributes.push(KeyValue::new("error.type", error));
    }
    attributes
}

/// The error type or code, and the status of the span.
fn outcome(reply: &Result<Reply, CallError>) -> (Option<String>, Option<Status>) {
    let (error, message) = match reply {
        Ok(Reply::Result(result)) => {
            let failed = interaction::is_tool_error(result);
            if !failed {
                return (None, None);
            }
            ("tool_error".to_owned(), String::new())
        }
        Ok(Reply::Listening(_) | Reply::Held(_)) => return (None, None),
        // The server's message may contain anything.
        Err(CallError::Rpc(error)) => (error.code.to_string(), String::new()),
        Err(CallError::Denied(_)) => ("denied".to_owned(), String::new()),
        Err(CallError::InvalidArguments(_)) => (INVALID_ARGUMENTS.to_owned(), String::new()),
        Err(CallError::Limited(limited)) => {
            (Kind::RateLimited.as_str().to_owned(), limited.rule.to_string())
        }
        Err(CallError::Gateway(failure) | CallError::Refused { failure, .. }) => {
            (failure.kind.as_str().to_owned(), failure.message.clone())
        }
    };
    (Some(error), Some(Status { message, code: ERROR }))
}
