//! Stage: the client's answer to the gateway's own request for approval, from which its call continues: as it was sent, with
//! what the client had answered to the server before.

use std::sync::Arc;

use super::{Stage, Step};
use crate::approvals::answer;
use crate::call::{Call, Events};
use crate::gateway::Gateway;

pub struct Resumption;

impl Stage for Resumption {
    fn name(&self) -> &'static str {
        "resumption"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if call.retry.is_some() && call.revision.is_modern() {
            answer::open(gateway, call);
        }
        Step::CONTINUE
    }
}
