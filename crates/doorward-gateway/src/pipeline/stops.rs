//! Stage: emergency stops of the caller, or of everything. What a call is for is looked at once that is known
//! ([`routing`](super::routing)), and both again when the call is sent.

use std::sync::Arc;

use crate::call::{Call, Events};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};
use crate::stops::admit::failure;

pub struct Stops;

impl Stage for Stops {
    fn name(&self) -> &'static str {
        "stops"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        // First, so that a stop that comes meanwhile is seen later.
        call.notes.stops_seen = gateway.emergency.stops.generation();
        match gateway.stop_of(call) {
            Some(stop) => Step::refuse(failure(&stop)),
            None => Step::CONTINUE,
        }
    }
}
