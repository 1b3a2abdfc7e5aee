//! Calls a server, and retries where that is safe.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_limits::breaker::{Ended, Turn};
use doorward_mcp::Object;
use doorward_mcp::error::Kind;

use crate::call_error::CallError;
use crate::{Asked, Chosen, End, Server};
use doorward_config::RetrySettings;
use doorward_core::{Events, Failure};

/// Whether a call may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeatable {
    /// It has no effect, or is idempotent.
    Yes,
    /// Only if the server cannot have seen it, or has asked for a retry.
    Unseen,
    /// Never: it continues something that may be gone.
    No,
}

impl Repeatable {
    /// Whether a failed call may be retried.
    fn allows(self, failure: &Failure) -> bool {
        match self {
            Self::No => false,
            Self::Unseen => failure.is_unseen(),
            Self::Yes => {
                failure.is_unseen()
                    || match failure.kind {
                        Kind::Timeout | Kind::StreamEnded | Kind::Unreachable => true,
                        Kind::HttpStatus => {
                            matches!(failure.status, Some(429 | 500 | 502 | 503 | 504))
                        }
                        _ => false,
                    }
            }
        }
    }
}

/// What the outcome of a call says about the server's health.
fn ended(outcome: &Result<Object, CallError>) -> Ended {
    let Err(error) = outcome else { return Ended::Well };
    match error {
        CallError::Gateway(failure) => match failure.kind {
            Kind::Unreachable
            | Kind::Timeout
            | Kind::InvalidJson
            | Kind::InvalidMessage
            | Kind::WrongId
            | Kind::StreamEnded
            | Kind::TooLarge => Ended::Failed,
            Kind::HttpStatus if failure.status.is_none_or(|status| status >= 500) => Ended::Failed,
            _ => Ended::Unsaid,
        },
        // The server has responded.
        CallError::Rpc(_) => Ended::Well,
        _ => Ended::Unsaid,
    }
}

/// Calls a server, with retries. Returns the number of retries, too.
pub async fn ask(
    server: &Server,
    repeatable: Repeatable,
    asked: &Asked<'_>,
    events: &Events,
) -> (Result<Object, CallError>, u32) {
    let guard = &server.guard;
    let place = match guard.place(&server.metrics, asked).await {
        Ok(place) => place,
        Err(failure) => return (Err(failure.into()), 0),
    };
    guard.budget.earn();
    let mut again = 0;
    // Attempts that the server may have seen. Failovers from an unreachable replica do not count.
    let mut attempts = 0;
    // The outcome and the replica of the previous attempt.
    let mut before: Option<CallError> = None;
    let mut tried: Vec<Arc<Server>> = Vec::new();
    loop {
        let (member, pass) = match server.choose(asked, &tried).await {
            Ok(chosen) => chosen,
            Err(failure) => {
                let again = again - u32::from(before.is_some());
                // A session lost with its replica is a more specific error than the replica being
                // unreachable.
                before = before.filter(|_| failure.kind != Kind::SessionLost);
                return (Err(before.unwrap_or_else(|| failure.into())), again);
            }
        };
        attempts += 1;
        let began = Instant::now();
        let may_go_on = attempts < guard.retries.attempts;
        // A call that must not be retried waits for its response until the deadline.
        let attempt = guard.attempt.filter(|_| repeatable == Repeatable::Yes && may_go_on);
        let once = Asked { deadline: asked.deadline.for_attempt(attempt), ..asked.clone() };
        let outcome = pin!(attempt_at(&member, repeatable, &once, events)).await;
        let took = began.elapsed();
        let ended = match ended(&outcome) {
            Ended::Well if member.guard.breaker.is_slow(took) => Ended::Slow,
            ended => ended,
        };
        if ended == Ended::Failed || outcome.is_ok() {
            let kind = asked.tool.as_ref().map_or(asked.method, |tool| &tool.name);
            place.tell(kind, began, took, ended == Ended::Failed);
        }
        tell(&member, pass.leave(ended));
        let unreachable =
            matches!(&outcome, Err(CallError::Gateway(Failure { kind: Kind::Unreachable, .. })));
        server.ended(&member, asked, &End { ended, took, unreachable });
        let Err(CallError::Gateway(failure)) = &outcome else { return (outcome, again) };
        if !repeatable.allows(failure) {
            return (outcome, again);
        }
        if let Chosen::Replica(member) = member {
            tried.push(member);
        }
        let elsewhere = server.has_others(asked, &tried);
        if unreachable && elsewhere {
            // It did not reach the server.
            attempts -= 1;
        } else {
            if !may_go_on {
                return (outcome, again);
            }
            let backoff = match elsewhere {
                true => Some(Duration::ZERO),
                false => backoff(&guard.retries, again, failure.retry_after),
            };
            let Some(backoff) = backoff else { return (outcome, again) };
            if backoff >= asked.deadline.left() || !guard.budget.spend() {
                return (outcome, again);
            }
            tokio::time::sleep(backoff).await;
        }
        tracing::debug!(server = &*server.name, "retrying the call: {failure}");
        server.metrics.retries.inc();
        again += 1;
        before = outcome.err();
    }
}

/// Makes one attempt. If its replica turns out to be down, stops waiting if the call may go to
/// another replica.
async fn attempt_at(
    member: &Chosen<'_>,
    repeatable: Repeatable,
    asked: &Asked<'_>,
    events: &Events,
) -> Result<Object, CallError> {
    let asking = pin!(member.ask(asked, events));
    if repeatable != Repeatable::Yes || !matches!(member, Chosen::Replica(_)) {
        return asking.await;
    }
    tokio::select! {
        outcome = asking => outcome,
        () = member.is_lost() => {
            let why = "The replica of the server that received the call stopped responding";
            Err(Failure::new(Kind::StreamEnded, why).into())
        }
    }
}

/// The delay before the next attempt; `None` if the server asks for more time than is left.
fn backoff(settings: &RetrySettings, again: u32, asked: Option<Duration>) -> Option<Duration> {
    let max = settings.max_backoff.0;
    if asked.is_some_and(|asked| asked > max) {
        return None;
    }
    let most = settings.backoff.0.saturating_mul(2_u32.saturating_pow(again)).min(max);
    let random = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    Some(most.mul_f64(random).max(asked.unwrap_or_default()))
}

fn tell(server: &Server, turn: Option<Turn>) {
    let event = match turn {
        None => return,
        Some(Turn::Opened) => {
            tracing::warn!(
                server = &*server.name,
                replica = server.place(),
                "the server fails: circuit open"
            );
            "server.circuit_opened"
        }
        Some(Turn::Closed) => {
            tracing::info!(
                server = &*server.name,
                replica = server.place(),
                "the server responds again: circuit closed"
            );
            "server.circuit_closed"
        }
    };
    server.event(event, |_| ());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_by_chance_and_servers_are_heard() {
        let settings = RetrySettings::default();
        for again in 0..6 {
            let most = Duration::from_millis(100 * 2_u64.pow(again)).min(settings.max_backoff.0);
            for _ in 0..100 {
                assert!(backoff(&settings, again, None).unwrap() <= most);
            }
        }
        let second = Duration::from_secs(1);
        assert!(backoff(&settings, 0, Some(second)).unwrap() >= second);
        assert_eq!(backoff(&settings, 0, Some(second * 60)), None);
    }

    #[test]
    fn what_may_have_written_is_not_sent_again() {
        let failed =
            |kind, status, retry_after| Failure { status, retry_after, ..Failure::new(kind, "") };
        let soon = Some(Duration::from_secs(1));
        for (failure, unseen, read) in [
            (failed(Kind::Unreachable, None, None), true, true),
            (failed(Kind::StreamEnded, None, None), false, true),
            (failed(Kind::Timeout, None, None), false, true),
            (failed(Kind::HttpStatus, Some(500), None), false, true),
            (failed(Kind::HttpStatus, Some(503), None), false, true),
            (failed(Kind::HttpStatus, Some(503), soon), true, true),
            (failed(Kind::HttpStatus, Some(429), soon), true, true),
            (failed(Kind::HttpStatus, Some(404), None), false, false),
            (failed(Kind::InvalidMessage, None, None), false, false),
            (failed(Kind::SessionLost, None, None), false, false),
            (failed(Kind::Unauthorized, Some(401), None), false, false),
        ] {
            assert_eq!(Repeatable::Unseen.allows(&failure), unseen, "{failure:?}");
            assert_eq!(Repeatable::Yes.allows(&failure), read, "{failure:?}");
            assert!(!Repeatable::No.allows(&failure));
        }
    }
}
