//! Requests of a server for input during a call: answered here if the client cannot answer, else
//! stored until the client responds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::error::{Kind, code};
use doorward_mcp::interaction::{self, InputRequest};
use doorward_mcp::{Id, Object, RpcError, capabilities, method, translate};

use super::asked::{Asked, names_a_task};
use super::exchange::Exchange;
use doorward_core::Failure;
use doorward_core::share::{Held, Shares};

/// Maximum size of a request, in bytes.
const QUESTION_BYTES: usize = 1 << 20;
/// Requests that a server sends within this time go to the client together.
pub(crate) const BREATH: Duration = Duration::from_millis(5);
/// Maximum number of requests per round.
pub(crate) const MAX_QUESTIONS: usize = 32;

/// A server's request, and the id under which it awaits the response.
#[derive(Debug)]
pub struct Question {
    pub id: Id,
    pub request: InputRequest,
    /// Its bytes, charged to the caller's share of memory for clients.
    pub held: Held,
}

/// Charges a request to the share of the user who must answer it, because it may wait for minutes.
fn hold_question(shares: &Arc<Shares>, principal: &str, bytes: usize) -> Result<Held, Failure> {
    if bytes > QUESTION_BYTES {
        let why = format!(
            "A request of the server for input has {bytes} bytes; the maximum is {QUESTION_BYTES}"
        );
        return Err(Failure::new(Kind::TooLarge, why));
    }
    shares.take(principal, bytes).map_err(|_| {
        let why = "The limit of bytes stored for clients ('limits.held_bytes') is reached";
        Failure::new(Kind::Overloaded, why)
    })
}

/// Handles a server's request: answers it if the client cannot be asked, else returns it for the client.
pub(crate) async fn question(
    shares: &Arc<Shares>,
    exchange: &Exchange,
    asked: &Asked<'_>,
    id: Id,
    wanted: &str,
    mut params: Object,
) -> Result<Option<Question>, Failure> {
    if wanted == method::PING {
        exchange.respond(&id, Ok(Object::new())).await?;
        return Ok(None);
    }
    if !matches!(wanted, method::ELICIT | method::SAMPLE | method::ROOTS_LIST) {
        exchange.respond(&id, Err(RpcError::method_not_found(wanted))).await?;
        return Ok(None);
    }
    let missing = capabilities::missing_for(&asked.client.capabilities, wanted, &params);
    let refusal = if !method::may_ask_for_input(asked.method) && !names_a_task(asked.method) {
        Some("this request does not allow elicitation or sampling".to_owned())
    } else {
        missing.map(|name| format!("the client does not have the capability '{name}'"))
    };
    if let Some(why) = refusal {
        let declined = interaction::decline(wanted);
        let answer = match declined.and_then(|value| Object::parse(&value.to_bytes())) {
            Some(declined) => Ok(declined),
            None => {
                Err(RpcError::new(code::METHOD_NOT_FOUND, format!("Cannot request input: {why}")))
            }
        };
        exchange.respond(&id, answer).await?;
        return Ok(None);
    }
    let text = params.to_bytes();
    let held = hold_question(shares, asked.principal, text.len());
    if held.is_err() {
        let error =
            RpcError::invalid_params("The request for input cannot be stored for the client");
        // The caller receives the reason, regardless of the server's response.
        let _ = exchange.respond(&id, Err(error)).await;
    }
    let held = held?;
    params = Object::parse(&Bytes::copy_from_slice(&text)).unwrap_or(params);
    translate::question_to_modern(&mut params);
    let key = match getrandom::u32() {
        Ok(random) => format!("q-{random:08x}"),
        Err(_) => format!("q-{id}"),
    };
    let request = InputRequest { key, method: wanted.to_owned(), params };
    Ok(Some(Question { id, request, held }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_core::share::Bounds;

    #[test]
    fn questions_are_bounded_and_counted_to_whoever_is_asked() {
        let shares = Shares::new(Bounds::new(QUESTION_BYTES * 4, 4));
        let (mallory, alice) = ("user \"mallory\"", "user \"alice\"");
        let too_large = hold_question(&shares, alice, QUESTION_BYTES + 1).unwrap_err();
        assert_eq!(too_large.kind, Kind::TooLarge);
        let held = hold_question(&shares, mallory, QUESTION_BYTES).unwrap();
        let more = hold_question(&shares, mallory, 1).unwrap_err();
        assert_eq!(more.kind, Kind::Overloaded);
        assert!(hold_question(&shares, alice, QUESTION_BYTES).is_ok());
        drop(held);
        assert!(hold_question(&shares, mallory, 1).is_ok());
    }
}
