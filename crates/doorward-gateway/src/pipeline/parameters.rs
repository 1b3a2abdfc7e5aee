//! Stage: sets the parameters that a portal fixes or has defaults for. It comes before everything that reads arguments, so
//! that policies, limits and the audit log see what is sent.

use std::sync::Arc;

use doorward_mcp::method;
use doorward_schema::Mismatches;

use super::arguments::headers_agree;
use super::policy::absent;
use crate::call::{Call, Events};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};

pub struct Parameters;

impl Stage for Parameters {
    fn name(&self) -> &'static str {
        "parameters"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        // A cached result is refreshed with the arguments that this stage has made.
        if *call.method != *method::TOOLS_CALL || call.notes.refreshes.is_some() {
            return Step::CONTINUE;
        }
        let Some(portal) = gateway.selection(&call.portal) else { return Step::CONTINUE };
        if portal.settings.parameters.is_empty() {
            return Step::CONTINUE;
        }
        let Some(route) = &call.route else { return Step::CONTINUE };
        let Some(tool) = &route.tool else { return Step::CONTINUE };
        let schema = tool.schemas.input_schema();
        let adapted = match portal.adapted(&route.server.name, &tool.name, schema.as_ref()) {
            None => return Step::CONTINUE,
            Some(Some(adapted)) => adapted,
            // What a portal fixes must not become the caller's to set.
            Some(None) => return Step::refuse(absent(call, "tool", &tool.name)),
        };
        let sent = call.params.object("arguments").unwrap_or_default().into_owned();
        match adapted.arguments(&sent) {
            Ok(arguments) => {
                // Headers mirror what the client has sent, which is not sent on.
                if call.param_headers.is_some() && headers_agree(call).is_ok() {
                    call.param_headers = None;
                }
                call.params.set("arguments", arguments);
            }
            // Told by the stage `arguments`, to those who may see the tool.
            Err(refused) => {
                let path = if refused.path.is_empty() {
                    String::new()
                } else {
                    format!("/{}", refused.path)
                };
                call.notes.unsettable = Some(Box::new(Mismatches::one(path, refused.why)));
            }
        }
        Step::CONTINUE
    }
}
