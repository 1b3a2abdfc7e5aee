//! Stage: sends the call to the server.

use std::pin::pin;
use std::sync::Arc;

use doorward_mcp::error::Kind;
use doorward_mcp::{Object, RpcError};

use crate::access::targets::credential_mode;
use crate::attempts;
use crate::call::{Call, CallError, Challenge, Events, Failure, Reply};
use crate::delegated;
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step, answers};
use crate::record;
use crate::stops::admit::failure;
use doorward_observability::in_flight::Entry;
use doorward_upstream::Server;

pub struct Dispatch;

impl Stage for Dispatch {
    fn name(&self) -> &'static str {
        "dispatch"
    }

    fn enter<'a>(
        &self,
        gateway: &'a Arc<Gateway>,
        call: &'a mut Call,
        events: &'a Events,
    ) -> Step<'a> {
        let Some(route) = &call.route else {
            return Step::refuse(RpcError::method_not_found(&call.method));
        };
        let server = route.server.clone();
        Step::Later(Box::pin(async move {
            let entry = Entry {
                began: call.started,
                principal: call.caller.principal.clone(),
                server: server.name.clone(),
                method: call.method.clone(),
                target: record::target(call).unwrap_or_default().into_owned(),
                presents: credential_mode(&server.settings) != "none",
            };
            let mut lives = gateway.live.enter(call.id.number(), entry);
            // Once it can be cancelled: a stop either finds it there, or is found here.
            if let Some(stop) = gateway.stop_since(call, true) {
                return Err(failure(&stop).into());
            }
            gateway.check_credential(call, &server)?;
            if let Some(receipt) = &call.notes.receipt {
                receipt.note_sent();
            }
            let change = Change::of(call, &server);
            let inspected = answers::inspected(call, events);
            let events = inspected.as_ref().unwrap_or(events);
            let answer = {
                // Pinned here: it is large, and would be moved into what waits for both.
                let answering = pin!(async {
                    if server.settings.delegated.is_some() {
                        return Box::pin(delegated::ask(gateway, call, &server, events)).await;
                    }
                    let result = pin!(ask(gateway, call, &server, events)).await?;
                    Ok(Some(Reply::Result(result)))
                });
                tokio::select! {
                    answer = answering => Some(answer),
                    () = lives.cancelled() => None,
                }
            };
            let Some(answer) = answer else {
                let stop = gateway.stop_of(call);
                let why = || Failure::new(Kind::Stopped, "The call was stopped");
                return Err(stop.map_or_else(why, |stop| failure(&stop)).into());
            };
            if let Some(change) = change {
                change.done().await;
            }
            answer
        }))
    }
}

/// A call that may change something at a server. However it ends, what is kept of the server's results is not
/// good any more after it.
struct Change(Option<Arc<Server>>);

impl Change {
    fn of(call: &Call, server: &Arc<Server>) -> Option<Self> {
        let name = call.params.string("name").unwrap_or_default();
        let writes =
            record::is_write(call) && server.settings.cache_of(&name).keep_on_write != Some(true);
        writes.then(|| Self(Some(server.clone())))
    }

    /// Whoever asked reads what they have written.
    async fn done(mut self) {
        if let Some(server) = self.0.take() {
            server.changed().await;
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            server.changed_soon();
        }
    }
}

async fn ask(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    server: &Arc<Server>,
    events: &Events,
) -> Result<Object, CallError> {
    let mut tried = false;
    loop {
        let own = gateway.exchanged_for(call, server).await?;
        let outcome = pin!(attempts::ask(call, server, own, events)).await;
        match outcome {
            // Nothing was done: it is asked once more, if something else can be shown.
            Err(CallError::Gateway(failure))
                if !tried
                    && failure.challenge == Some(Challenge::Token)
                    && gateway.exchanged_refused(call, server).await =>
            {
                tried = true;
                call.notes.retries += 1;
            }
            outcome => return outcome,
        }
    }
}
