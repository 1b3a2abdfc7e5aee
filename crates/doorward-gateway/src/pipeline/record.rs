//! Stage: counts, measures and logs the call, each line with the call's id, and closes its audit record, or writes it
//! if the call ended before one was opened.

use std::sync::Arc;

use doorward_inspect::written::{self, Keep};
use doorward_mcp::error::Kind;
use doorward_mcp::method;

use crate::call::{Call, CallError, Events, Reply};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};
use crate::record;
use doorward_observability::in_flight::EndedCall;
use doorward_observability::metrics::{OTHERS, Outcome};

pub struct Record;

impl Stage for Record {
    fn name(&self) -> &'static str {
        "record"
    }

    fn enter<'a>(&self, _: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        tracing::debug!(method = &*call.method, revision = %call.revision, "call");
        Step::CONTINUE
    }

    fn leave(&self, gateway: &Gateway, call: &mut Call, reply: &mut Result<Reply, CallError>) {
        let elapsed = call.started.elapsed();
        record::close(gateway, call, reply);
        let outcome = match reply {
            Ok(_) => Outcome::ok,
            Err(CallError::Rpc(_) | CallError::InvalidArguments(_)) => Outcome::error,
            Err(CallError::Denied(_)) => Outcome::denied,
            Err(CallError::Gateway(failure)) if is_denial(failure.kind) => Outcome::denied,
            Err(CallError::Limited(_)) => Outcome::rate_limited,
            Err(CallError::Gateway(_) | CallError::Refused { .. }) => Outcome::failure,
        };
        let server = call.route.as_ref().map(|route| &route.server);
        if let Some(server) = server {
            let tool = match is_named(call) {
                // Anybody can make names up: what the catalogue does not have is one label.
                true if !is_known(call) => OTHERS.into(),
                true => record::target(call).unwrap_or_default(),
                false => "".into(),
            };
            let upstream = call.notes.upstream.as_secs_f64();
            let seconds = elapsed.as_secs_f64();
            server.metrics.record(&call.method, &tool, outcome, seconds, upstream);
        }
        if gateway.telemetry.counts_users() {
            let principal = &call.caller.principal;
            let tenant = principal.who.tenant.as_deref();
            gateway.shared.metrics.user(tenant, &principal.counted, outcome);
        }
        let server = server.map_or("", |server| &*server.name);
        gateway.live.ended(|| EndedCall {
            call: call.id.to_string(),
            principal: call.caller.principal.id.to_string(),
            tenant: call.caller.principal.who.tenant.clone(),
            server: server.to_owned(),
            method: clean(&call.method),
            target: clean(&record::target(call).unwrap_or_default()),
            outcome: name_of(outcome),
            ms: doorward_core::millis(elapsed),
        });
        let ms = doorward_core::millis(elapsed);
        match reply {
            Ok(_) => tracing::debug!(server, ms, "answered"),
            Err(CallError::Rpc(error)) => {
                tracing::debug!(server, ms, code = error.code, "answered with an error");
            }
            Err(CallError::InvalidArguments(mismatches)) => {
                tracing::debug!(server, ms, "invalid arguments: {mismatches}");
            }
            // Logged by the stage that denied it.
            Err(CallError::Denied(_)) => gateway.shared.audit.feed.refused(),
            Err(CallError::Limited(limited)) => {
                let principal = &*call.caller.principal.id;
                tracing::debug!(server, principal, limit = &*limited.rule, "rate limited");
            }
            Err(CallError::Gateway(failure) | CallError::Refused { failure, .. }) => {
                tracing::warn!(
                    method = &*call.method,
                    server,
                    ms,
                    kind = failure.kind.as_str(),
                    cause = failure.cause.as_deref().unwrap_or_default(),
                    "the call failed: {failure}"
                );
            }
        }
    }
}

/// Whether a failure is a decision about the call: nothing has failed.
fn is_denial(kind: Kind) -> bool {
    matches!(kind, Kind::CheckRefused | Kind::DataNotPermitted)
}

/// What a caller has said, for watchers.
fn clean(text: &str) -> String {
    written::text(text, Keep::Nothing).into_owned()
}

fn name_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::ok => "ok",
        Outcome::error => "error",
        Outcome::denied => "denied",
        Outcome::rate_limited => "rate_limited",
        Outcome::failure => "failure",
    }
}

/// Whether the catalogue has the tool or prompt that a call is about.
fn is_known(call: &Call) -> bool {
    let Some(route) = &call.route else { return false };
    if *call.method == *method::TOOLS_CALL {
        return route.tool.is_some();
    }
    call.params
        .string("name")
        .is_some_and(|name| route.server.catalog.has(&route.server.name, &name))
}

/// Whether what a call is about has a name of which there are few: no URI, and no task.
fn is_named(call: &Call) -> bool {
    matches!(&*call.method, method::TOOLS_CALL | method::PROMPTS_GET)
}
