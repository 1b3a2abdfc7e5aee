//! Stage: does what a tool answers fit its output schema?
//!
//! Errors, questions and tasks have none to fit. Of a handshake-era server's tool, too, structured content is
//! expected where it has announced a form of it (spec 2025-06-18 server/tools).

use std::sync::Arc;

use doorward_mcp::error::Kind;
use doorward_mcp::{Object, method};

use crate::cache::is_final;
use crate::call::{Call, CallError, Events, Failure, Reply};
use crate::catalog::ToolEntry;
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};
use crate::schema::Unfit;
use crate::settings::Check;

pub struct Results;

impl Stage for Results {
    fn name(&self) -> &'static str {
        "results"
    }

    fn enter<'a>(&self, _: &'a Arc<Gateway>, _: &'a mut Call, _: &'a Events) -> Step<'a> {
        Step::CONTINUE
    }

    fn leave(&self, _: &Gateway, call: &mut Call, reply: &mut Result<Reply, CallError>) {
        let (Ok(Reply::Result(result)), Some(route)) = (&*reply, &call.route) else { return };
        let Some(tool) = route.tool.as_ref().filter(|_| *call.method == *method::TOOLS_CALL) else {
            return;
        };
        let Err(unfit) = check(tool, result) else { return };
        call.notes.unfit_result = true;
        route.server.metrics.unfit_results.inc();
        let (server, tool_name) = (&*route.server.name, &*tool.name);
        if tool.results.check() == Check::Refuse {
            let why = "The tool was called, but its result does not fit its output schema";
            let failure = Failure::new(Kind::InvalidResult, why).because(unfit);
            *reply = Err(failure.into());
        } else {
            tracing::warn!(server, tool = tool_name, "a result that does not fit: {unfit}");
        }
    }
}

fn check(tool: &ToolEntry, result: &Object) -> Result<(), Unfit> {
    let Some(schema) = &tool.schemas.output else { return Ok(()) };
    if !is_final(result) {
        return Ok(());
    }
    let Some(content) = result.get("structuredContent") else {
        return Err(Unfit::one("", "there is no 'structuredContent'"));
    };
    let text = content.to_bytes();
    let value = serde_json::from_slice(&text)
        .map_err(|error| Unfit::one("", format!("cannot be checked: {error}")))?;
    schema.check(&value, text.len())
}
