//! Stage: validates the result of a tool against its output schema.
//!
//! Errors, requests for input and tasks have none. Results of handshake-era servers must also have structured content
//! if the tool has announced an output schema (spec 2025-06-18 server/tools).

use std::sync::Arc;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use doorward_mcp::method;

use crate::call::{Call, CallError, Events, Failure, Reply};
use crate::gateway::Gateway;
use crate::pipeline::{Settling, Stage, Step};
use doorward_cache::is_final;
use doorward_config::Check;
use doorward_schema::{Effort, Mismatches, NoTurn};
use doorward_upstream::Server;
use doorward_upstream::catalog::ToolEntry;

/// Content from this size on is read away from the threads that calls are on.
const LARGE: usize = 64 << 10;

pub struct Results;

impl Stage for Results {
    fn name(&self) -> &'static str {
        "results"
    }

    fn enter<'a>(&self, _: &'a Arc<Gateway>, _: &'a mut Call, _: &'a Events) -> Step<'a> {
        Step::CONTINUE
    }

    fn settle<'a>(
        &self,
        call: &'a mut Call,
        reply: &'a mut Result<Reply, CallError>,
    ) -> Option<Settling<'a>> {
        let (Ok(Reply::Result(result)), Some(route)) = (&*reply, &call.route) else { return None };
        let tool = route.tool.clone().filter(|_| *call.method == *method::TOOLS_CALL)?;
        if tool.schemas.output.is_none() || !is_final(result) {
            return None;
        }
        let Some(content) = result.get("structuredContent") else {
            decide(call, reply, &tool, Err(Mismatches::one("", "'structuredContent' is missing")));
            return None;
        };
        let text = content.to_bytes();
        let schema = tool.schemas.output.as_ref();
        if text.len() < LARGE && schema.is_none_or(|schema| schema.is_quick(text.len())) {
            let checked = check(&tool, &text, Effort::Glance);
            if !checked.as_ref().is_err_and(|mismatches| mismatches.late) {
                decide(call, reply, &tool, checked);
                return None;
            }
        }
        let (server, checked) = (route.server.clone(), tool.clone());
        Some(Box::pin(async move {
            let checking = move || check(&checked, &text, Effort::Full);
            let principal = call.caller.principal.clone();
            match server.catalog.checks.run(&principal.id, checking).await {
                Ok(checked) => {
                    let checked = checked.unwrap_or_else(|| Err(Mismatches::too_costly()));
                    decide(call, reply, &tool, checked);
                }
                Err(no_turn) => unchecked(reply, &server, &tool, no_turn),
            }
        }))
    }
}

/// Whether a result that somebody has changed still matches the tool's output schema; whatever the settings say of those
/// that do not.
pub(super) async fn fits(call: &Call, result: &doorward_mcp::Object) -> bool {
    let Some(route) = &call.route else { return false };
    let tool = route.tool.clone().filter(|_| *call.method == *method::TOOLS_CALL);
    let Some(tool) = tool.filter(|tool| tool.schemas.output.is_some() && is_final(result)) else {
        return true;
    };
    let Some(content) = result.get("structuredContent") else { return false };
    let text = content.to_bytes();
    let checking = move || check(&tool, &text, Effort::Full);
    let checked = route.server.catalog.checks.run(&call.caller.principal.id, checking).await;
    matches!(checked, Ok(Some(Ok(()))))
}

/// Whether structured content matches the output schema of its tool.
pub(super) fn check(tool: &ToolEntry, text: &Bytes, effort: Effort) -> Result<(), Mismatches> {
    let Some(schema) = &tool.schemas.output else { return Ok(()) };
    let value = serde_json::from_slice(text)
        .map_err(|error| Mismatches::one("", format!("cannot be validated: {error}")))?;
    schema.check(&value, text.len(), effort)
}

/// The turn of the check has not come. That says nothing of the result.
fn unchecked(
    reply: &mut Result<Reply, CallError>,
    server: &Server,
    tool: &ToolEntry,
    no_turn: NoTurn,
) {
    let failure = no_turn.failure();
    if tool.results.check() == Check::Refuse {
        let why = "The tool was called, but its result was not validated: too many validations at \
            once";
        // What was done is not to be done again.
        *reply = Err(Failure { message: why.into(), retryable: false, ..failure }.into());
    } else {
        let (server, tool) = (&*server.name, &*tool.name);
        tracing::warn!(server, tool, "a result cannot be validated: {failure}");
    }
}

fn decide(
    call: &mut Call,
    reply: &mut Result<Reply, CallError>,
    tool: &ToolEntry,
    checked: Result<(), Mismatches>,
) {
    let (Err(mismatches), Some(route)) = (checked, &call.route) else { return };
    call.notes.invalid_result = true;
    route.server.metrics.invalid_results.inc();
    let (server, tool_name) = (&*route.server.name, &*tool.name);
    if tool.results.check() == Check::Refuse {
        let why = "The tool was called, but its result does not match its output schema";
        let failure = Failure::new(Kind::InvalidResult, why).because(mismatches);
        *reply = Err(failure.into());
    } else {
        tracing::warn!(server, tool = tool_name, "invalid result: {mismatches}");
    }
}
