//! Stage: the server is asked.

use std::sync::Arc;
use std::time::Instant;

use doorward_mcp::{Object, RpcError};

use crate::call::{Call, CallError, Challenge, Events, Reply};
use crate::delegated;
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};
use crate::upstream::Server;

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
            let _lives = gateway.live.enter(call, &server.name);
            if server.settings.delegated.is_some() {
                return delegated::ask(gateway, call, &server, events).await;
            }
            ask(gateway, call, &server, events).await.map(|result| Some(Reply::Result(result)))
        }))
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
        let mut asked = call.asked(server);
        asked.own = gateway.behalf(call, server).await?;
        let began = Instant::now();
        let outcome = server.ask(&asked, events).await;
        call.notes.upstream += began.elapsed();
        match outcome {
            // Nothing was done: it is asked once more, if something else can be shown.
            Err(CallError::Gateway(failure))
                if !tried
                    && failure.challenge == Some(Challenge::Token)
                    && gateway.behalf_refused(call, server).await =>
            {
                tried = true;
                call.notes.retries += 1;
            }
            outcome => return outcome,
        }
    }
}
