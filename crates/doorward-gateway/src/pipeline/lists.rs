//! Stage: lists and `server/discover` are served from the catalogue in memory.

use std::sync::Arc;

use doorward_mcp::method;

use crate::call::{Call, CallError, Events, Portal, Reply};
use crate::discovery;
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};
use doorward_upstream::catalog::{Snapshot, kind_of};

pub struct Lists;

impl Stage for Lists {
    fn name(&self) -> &'static str {
        "lists"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if *call.method == *method::DISCOVER {
            return Step::Later(Box::pin(async move {
                Ok(Some(Reply::Result(gateway.discover(call).await?)))
            }));
        }
        let Some(kind) = kind_of(&call.method) else { return Step::CONTINUE };
        let page = gateway.shared.limits.page_size;
        if call.notes.discovering.is_some() {
            return Step::Later(Box::pin(async move {
                let snapshot = match gateway.fresh_snapshot(call) {
                    Some(fresh) => fresh,
                    None => gateway.snapshot(call).await?,
                };
                Ok(Some(Reply::Result(discovery::answer(gateway, call, &snapshot).await?)))
            }));
        }
        if let Some(snapshot) = gateway.fresh_snapshot(call) {
            return Step::Now(page_of(&snapshot, kind, call, page));
        }
        Step::Later(Box::pin(async move {
            let snapshot = gateway.snapshot(call).await?;
            page_of(&snapshot, kind, call, page)
        }))
    }
}

fn page_of(
    snapshot: &Snapshot,
    kind: usize,
    call: &Call,
    page: usize,
) -> Result<Option<Reply>, CallError> {
    if let (Portal::Server(_), Some(problem)) = (&call.portal, snapshot.problem(kind)) {
        return Err(problem.clone());
    }
    Ok(Some(Reply::Result(snapshot.page(kind, call.params.get("cursor"), page)?)))
}
