//! Stage: what happened is counted, measured and logged, each line with the call's id; and the record is
//! closed, or written, where the call came to its end before one was opened.

use std::sync::Arc;

use crate::call::{Call, CallError, Events, Reply};
use crate::gateway::Gateway;
use crate::metrics::Outcome;
use crate::pipeline::{Stage, Step};

pub struct Record;

impl Stage for Record {
    fn enter<'a>(&self, _: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        tracing::debug!(method = &*call.method, revision = %call.revision, "call");
        Step::CONTINUE
    }

    fn leave(&self, gateway: &Gateway, call: &mut Call, reply: &mut Result<Reply, CallError>) {
        let elapsed = call.started.elapsed();
        gateway.shared.audit.ended(gateway, call, reply);
        let outcome = match reply {
            Ok(_) => Outcome::ok,
            Err(CallError::Rpc(_)) => Outcome::error,
            Err(CallError::Denied(_)) => Outcome::denied,
            Err(CallError::Limited(_)) => Outcome::limited,
            Err(CallError::Gateway(_) | CallError::Refused { .. }) => Outcome::failure,
        };
        let server = call.route.as_ref().map(|route| &route.server);
        if let Some(server) = server {
            server.metrics.record(outcome, elapsed.as_secs_f64());
        }
        let server = server.map_or("", |server| &*server.name);
        let ms = elapsed.as_secs_f64() * 1e3;
        match reply {
            Ok(_) => tracing::debug!(server, ms, "answered"),
            Err(CallError::Rpc(error)) => {
                tracing::debug!(server, ms, code = error.code, "answered with an error");
            }
            // Told by the stage that denied it.
            Err(CallError::Denied(_)) => {}
            Err(CallError::Limited(limited)) => {
                let principal = &*call.caller.principal.id;
                tracing::debug!(server, principal, limit = &*limited.rule, "limited");
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
