//! Stage: do the headers that mirror arguments say what the arguments say? What was authorised is
//! the body; a header that disagrees is refused (attack T21).

use std::sync::Arc;

use http::HeaderValue;

use crate::call::{Call, Events};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};

pub struct Arguments;

impl Stage for Arguments {
    fn name(&self) -> &'static str {
        "arguments"
    }

    fn enter<'a>(&self, _: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        let tool = call.route.as_ref().and_then(|route| route.tool.as_ref());
        let (Some(tool), Some(sent)) = (tool, &call.param_headers) else { return Step::CONTINUE };
        if tool.param_headers.is_empty() {
            return Step::CONTINUE;
        }
        let arguments = call.params.object("arguments");
        for header in &tool.param_headers {
            let values = sent.get_all(header.header.as_str()).iter().map(HeaderValue::as_bytes);
            if let Err(error) = header.check(values, arguments.as_deref()) {
                return Step::refuse(error);
            }
        }
        Step::CONTINUE
    }
}
