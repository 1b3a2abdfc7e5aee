//! Stage: the possible price of the call is reserved, and its audit record is opened, on disk first if the call can
//! change something. A call that cannot be recorded as required, or paid for, is refused.

use std::sync::Arc;

use crate::billing::Reserving;
use crate::call::{Call, CallError, Events, Failure};
use crate::gateway::Gateway;
use crate::pipeline::{Decision, Stage, Step};
use crate::record;
use doorward_config::Durability;

pub struct Accounting;

impl Stage for Accounting {
    fn name(&self) -> &'static str {
        "accounting"
    }

    fn enter<'a>(&self, gateway: &'a Arc<Gateway>, call: &'a mut Call, _: &'a Events) -> Step<'a> {
        if !gateway.has_prices() {
            return open(gateway, call);
        }
        match gateway.reserve(call) {
            Ok(Reserving::Done(reserved)) => {
                call.notes.reserved = reserved;
                open(gateway, call)
            }
            Ok(Reserving::Asks(reserved, asked)) => Step::Later(Box::pin(async move {
                call.notes.reserved = Some(gateway.reserve_rest(reserved, asked).await?);
                match open(gateway, call) {
                    Step::Now(decision) => decision,
                    Step::Later(decision) => decision.await,
                }
            })),
            Err(refused) => Step::refuse(refused),
        }
    }
}

fn open<'a>(gateway: &'a Arc<Gateway>, call: &'a mut Call) -> Step<'a> {
    let audit = &gateway.shared.audit;
    let class = record::class_of(call);
    let durability = match audit.durability(class) {
        // What is charged is charged with its record.
        Durability::Off if call.notes.reserved.is_some() => Durability::Background,
        durability => durability,
    };
    match durability {
        Durability::Off => Step::CONTINUE,
        Durability::Background => {
            let common = record::common(call, class);
            let record = record::opened(gateway, call, &common);
            match audit.open_soon(call.id, common, record) {
                Ok(opened) => {
                    call.notes.opened = Some(opened);
                    Step::CONTINUE
                }
                Err(waiting) => Step::Later(Box::pin(async move {
                    let opened = audit.open_when_there_is_room(call.id, waiting).await;
                    call.notes.opened = Some(opened.map_err(unavailable)?);
                    Decision::Ok(None)
                })),
            }
        }
        Durability::Before => {
            let common = record::common(call, class);
            let record = record::opened(gateway, call, &common);
            Step::Later(Box::pin(async move {
                let opened = &mut call.notes.opened;
                audit.open_now(call.id, opened, common, record).await.map_err(unavailable)?;
                Decision::Ok(None)
            }))
        }
    }
}

/// What a caller is told whose call cannot be recorded.
fn unavailable(failure: Failure) -> CallError {
    CallError::Refused { failure, status: 503 }
}
