//! Stage: arguments of the right meaning in the wrong form are put into the tool's form, where the operator
//! wants that. It comes before the policies, which must see what will be sent; it refuses nothing.

use std::sync::Arc;

use doorward_mcp::{Value, method};

use crate::call::{Call, Events};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};

/// Larger arguments are not touched.
const LARGEST: usize = 128 << 10;

pub struct Coercion;

impl Stage for Coercion {
    fn name(&self) -> &'static str {
        "coercion"
    }

    fn enter<'a>(&self, _: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if *call.method == *method::TOOLS_CALL {
            coerce(call);
        }
        Step::CONTINUE
    }
}

fn coerce(call: &mut Call) -> Option<()> {
    let tool = call.route.as_ref()?.tool.as_ref()?;
    if tool.arguments.coerce != Some(true) {
        return None;
    }
    let schema = tool.schemas.input.as_ref()?;
    let text = call.params.get("arguments")?.to_bytes();
    if text.len() > LARGEST {
        return None;
    }
    let before: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let mut after = before.clone();
    if schema.coerce(&mut after, text.len()) && after != before {
        call.params.set("arguments", Value::from_serde(&after));
        call.notes.coerced = true;
    }
    Some(())
}
