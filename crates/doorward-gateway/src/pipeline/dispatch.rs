//! Stage: the server is asked.

use std::sync::Arc;

use doorward_mcp::RpcError;

use crate::call::{Call, Events, Reply};
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
            let mut asked = call.asked(&server);
            asked.own = gateway.given_for(&server, &call.caller.principal)?;
            Ok(Some(Reply::Result(server.ask(&asked, events).await?)))
        }))
    }
}
