//! Stage: converts arguments of the wrong type to the type of the schema where the meaning is clear, if the operator
//! enables it. It comes before the policies, which must see what will be sent; it refuses only calls that were not
//! started in time.

use std::sync::Arc;

use bytes::Bytes;
use doorward_mcp::{Value, method};

use crate::call::{Call, Events};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};
use doorward_schema::{Effort, NoTurn};
use doorward_upstream::Server;
use doorward_upstream::catalog::ToolEntry;

/// Larger arguments are not touched.
const LARGEST: usize = 128 << 10;
/// From this size on they are read away from the threads that calls are on.
const LARGE: usize = 64 << 10;

pub struct Coercion;

impl Stage for Coercion {
    fn name(&self) -> &'static str {
        "coercion"
    }

    fn enter<'a>(&self, _: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        let Some(coercing) = Coercing::of(call) else { return Step::CONTINUE };
        if coercing.is_quick()
            && let Some(coerced) = coercing.run(Effort::Glance)
        {
            coerced.apply(call);
            return Step::CONTINUE;
        }
        Step::Later(Box::pin(async move {
            let server = coercing.server.clone();
            let principal = call.caller.principal.clone();
            let coercing = move || coercing.run(Effort::Full);
            let coerced = server.catalog.checks.run(&principal.id, coercing).await;
            if let Some(coerced) = coerced.map_err(NoTurn::failure)?.flatten() {
                coerced.apply(call);
            }
            Ok(None)
        }))
    }
}

/// All that is needed to coerce a call's arguments.
struct Coercing {
    text: Bytes,
    tool: Arc<ToolEntry>,
    server: Arc<Server>,
}

/// What the arguments become, if anything else.
struct Coerced(Option<Value>);

impl Coercing {
    /// `None` if there is nothing to be coerced.
    fn of(call: &Call) -> Option<Self> {
        let route = call.route.as_ref().filter(|_| *call.method == *method::TOOLS_CALL)?;
        let tool = route.tool.as_ref().filter(|tool| tool.arguments.coerce == Some(true))?;
        tool.schemas.input.as_ref()?;
        let text = call.params.get("arguments")?.to_bytes();
        let (tool, server) = (tool.clone(), route.server.clone());
        (text.len() <= LARGEST).then_some(Self { text, tool, server })
    }

    fn is_quick(&self) -> bool {
        let bytes = self.text.len();
        bytes < LARGE && self.tool.schemas.input.as_ref().is_none_or(|it| it.is_quick(bytes))
    }

    /// `None` if the time was not enough.
    fn run(&self, effort: Effort) -> Option<Coerced> {
        let Some(schema) = &self.tool.schemas.input else { return Some(Coerced(None)) };
        let Ok(before) = serde_json::from_slice::<serde_json::Value>(&self.text) else {
            return Some(Coerced(None));
        };
        let mut after = before.clone();
        let fits = schema.coerce(&mut after, self.text.len(), effort)?;
        Some(Coerced((fits && after != before).then(|| Value::from_serde(&after))))
    }
}

impl Coerced {
    fn apply(self, call: &mut Call) {
        if let Some(arguments) = self.0 {
            call.params.set("arguments", arguments);
            call.notes.coerced = true;
        }
    }
}
