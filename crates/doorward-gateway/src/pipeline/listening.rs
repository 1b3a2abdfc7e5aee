//! Stage: `subscriptions/listen` subscribes to the switchboard, to as much as can be honoured of what was requested
//! (spec 2026-07-28 basic/patterns/subscriptions).

use std::sync::Arc;

use doorward_mcp::method;

use crate::call::{Call, Events, Reply};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};

pub struct Listening;

impl Stage for Listening {
    fn name(&self) -> &'static str {
        "listening"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if *call.method != *method::LISTEN {
            return Step::CONTINUE;
        }
        Step::Later(Box::pin(async move {
            let filter = doorward_mcp::filter::Filter::read(&call.params)?;
            let listener = gateway.listen(&call.asking(), filter).await?;
            Ok(Some(Reply::Listening(listener)))
        }))
    }
}
