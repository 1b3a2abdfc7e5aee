//! Stage: the record of the call is opened, on disk first where the call can change something; its
//! price is reserved. What cannot be recorded as it must be is refused.

use std::sync::Arc;

use crate::audit::record;
use crate::call::{Call, Events};
use crate::gateway::Gateway;
use crate::pipeline::{Stage, Step};
use crate::settings::Durability;

pub struct Accounting;

impl Stage for Accounting {
    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        let audit = &gateway.shared.audit;
        match audit.durability(record::class_of(call)) {
            Durability::Off => Step::CONTINUE,
            Durability::Background => {
                let members = record::opened(gateway, call);
                match audit.open_soon(call, members) {
                    Ok(opened) => {
                        call.notes.opened = Some(opened);
                        Step::CONTINUE
                    }
                    Err(refused) => Step::refuse(refused),
                }
            }
            Durability::Before => {
                let members = record::opened(gateway, call);
                Step::Later(Box::pin(async move {
                    call.notes.opened = Some(audit.open_now(call, members).await?);
                    Ok(None)
                }))
            }
        }
    }
}
