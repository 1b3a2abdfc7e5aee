//! Stage: refuses a call of one of the tools that find others if its arguments are wrong. What else these tools mean is
//! settled before the first stage ([`Gateway::call`]), and answered by the stage `lists`.

use std::sync::Arc;

use crate::call::{Call, CallError, Events};
use crate::discovering::Discovering;
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};

pub struct Discovery;

impl Stage for Discovery {
    fn name(&self) -> &'static str {
        "discovery"
    }

    fn enter<'a>(&self, _: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        match call.notes.discovering.as_deref() {
            Some(Discovering::Invalid(wrong)) => {
                Step::refuse(CallError::InvalidArguments(wrong.clone()))
            }
            _ => Step::CONTINUE,
        }
    }
}
