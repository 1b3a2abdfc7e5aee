//! Stage: the server is asked.

use std::sync::Arc;

use doorward_mcp::RpcError;

use crate::call::{Call, CallError, Challenge, Events, Reply};
use crate::delegated;
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};

pub struct Dispatch;

impl Stage for Dispatch {
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
            if server.settings.delegated.is_some() {
                return delegated::ask(gateway, call, &server, events).await;
            }
            let mut tried = false;
            loop {
                let mut asked = call.asked(&server);
                asked.own = gateway.behalf(call, &server).await?;
                match server.ask(&asked, events).await {
                    // Nothing was done: it is asked once more, if something else can be shown.
                    Err(CallError::Gateway(failure))
                        if !tried
                            && failure.challenge == Some(Challenge::Token)
                            && gateway.behalf_refused(call, &server).await =>
                    {
                        tried = true;
                    }
                    outcome => return Ok(Some(Reply::Result(outcome?))),
                }
            }
        }))
    }
}
