//! Stage: cuts long results, where a portal wants it, after everything else has seen the whole. What is cut can be read on
//! with the tool `read_more`.

use std::sync::Arc;

use doorward_cache::rest::Owner;
use doorward_mcp::method;

use crate::call::{Call, CallError, Events, Portal, Reply};
use crate::cutting::Cutting;
use crate::gateway::Gateway;
use crate::pipeline::{Settling, Stage, Step};

/// Results from this size on are cut away from the threads that calls are on.
const LARGE: usize = 64 << 10;

pub struct Cut;

/// How results are cut at a call's portal; `None` where they are left as they are.
pub fn cutting(gateway: &Gateway, call: &Call) -> Option<Cutting> {
    let Portal::Named(portal) = &call.portal else { return None };
    let rules = gateway.portal(portal)?.cuts.clone()?;
    let owner = Owner { principal: call.caller.principal.id.clone(), portal: portal.clone() };
    Some(Cutting::new(rules, owner, gateway.rests.clone()))
}

impl Stage for Cut {
    fn name(&self) -> &'static str {
        "cut"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if *call.method == *method::TOOLS_CALL {
            call.notes.cutting = cutting(gateway, call).map(Box::new);
        }
        Step::CONTINUE
    }

    fn settle<'a>(
        &self,
        call: &'a mut Call,
        reply: &'a mut Result<Reply, CallError>,
    ) -> Option<Settling<'a>> {
        let cutting = call.notes.cutting.as_mut()?;
        let Ok(Reply::Result(result)) = reply else { return None };
        if result.size_hint() < LARGE {
            if let Some(shorter) = cutting.apply(result) {
                *result = shorter;
            }
            return None;
        }
        let (mut cuts, whole) = (cutting.clone(), result.clone());
        Some(Box::pin(async move {
            let cut = tokio::task::spawn_blocking(move || {
                let shorter = cuts.apply(&whole);
                (cuts, shorter)
            });
            if let Ok((cuts, Some(shorter))) = cut.await {
                *cutting = cuts;
                *result = shorter;
            }
        }))
    }
}
