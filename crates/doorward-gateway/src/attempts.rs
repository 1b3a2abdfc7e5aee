//! Sends a call to a server, with retries as far as they are allowed.

use std::pin::pin;
use std::time::Instant;

use doorward_mcp::{Object, method};

use crate::call::{Call, CallError, Events};
use doorward_transport::http::Own;
use doorward_upstream::Server;
use doorward_upstream::reliability::{self, Repeatable};

/// Sends a call with its credential. Records the duration, and the number of retries.
pub async fn ask(
    call: &mut Call,
    server: &Server,
    own: Option<Own>,
    events: &Events,
) -> Result<Object, CallError> {
    let repeatable = repeatable(call);
    if let Some(approved) = &mut call.notes.approval {
        // Boxed because it is rare, and would otherwise enlarge every call's future.
        Box::pin(approved.send()).await?;
    }
    let mut asked = call.asked(server);
    asked.own = own;
    let began = Instant::now();
    let (outcome, again) = pin!(reliability::ask(server, repeatable, &asked, events)).await;
    call.notes.upstream += began.elapsed();
    call.notes.retries += again;
    // A call that is only retried if unseen was seen by no earlier attempt.
    let once = again == 0 || repeatable == Repeatable::Unseen;
    if let Err(CallError::Gateway(failure)) = &outcome
        && once
        && (failure.is_unseen() || failure.challenge.is_some())
        && let Some(approved) = &mut call.notes.approval
    {
        approved.note_unseen();
    }
    outcome
}

/// Whether a call may be retried.
fn repeatable(call: &Call) -> Repeatable {
    if call.retry.is_some() {
        return Repeatable::No;
    }
    let Some(route) = &call.route else { return Repeatable::Unseen };
    if *call.method != *method::TOOLS_CALL {
        return if method::is_read_only(&call.method) {
            Repeatable::Yes
        } else {
            Repeatable::Unseen
        };
    }
    let hinted = route.tool.as_ref().is_some_and(|tool| tool.is_idempotent);
    let trusts = route.server.guard.trusts_idempotent();
    let said = route.server.settings.said_of(&call.params.string("name").unwrap_or_default());
    let said = said.into_iter().find_map(|said| said.idempotent);
    match said.unwrap_or(hinted && trusts) || route.writes == Some(false) {
        true => Repeatable::Yes,
        false => Repeatable::Unseen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value is moved with every call, so large and rare members must be boxed.
    #[test]
    fn asking_takes_little_room() {
        fn room<'a, F>(
            _: impl Fn(&'a mut Call, &'a Server, Option<Own>, &'a Events) -> F,
        ) -> usize {
            size_of::<F>()
        }
        assert!(room(ask) < 8 << 10, "{} bytes", room(ask));
    }
}
