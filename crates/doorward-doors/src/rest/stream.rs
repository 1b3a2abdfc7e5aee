//! A call as a stream of events: `progress` and `log` while it runs, then `result` or `error`.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use doorward_core::byte_queue::Receiver;
use doorward_mcp::{Object, method, sse};
use doorward_web::Body;
use http::Response;

use super::Visit;
use super::answer::Answer;
use crate::mcp::accept::Form;
use crate::mcp::call_stream::{CallStream, Ending, First, first};

/// A notification of a call as an event. What REST has no word for keeps the name that MCP has for it.
fn event(message: &[u8]) -> Bytes {
    let read = Object::parse(&Bytes::copy_from_slice(message)).unwrap_or_default();
    let of = read.string("method").unwrap_or_default();
    let kind = match &*of {
        method::PROGRESS => "progress",
        method::LOG => "log",
        other => other.strip_prefix("notifications/").unwrap_or("notification"),
    };
    let mut params = read.object("params").unwrap_or_default().into_owned();
    // It is the client's own, who has given none.
    params.remove("progressToken");
    // A line break would end the name, and what follows could be taken for another event.
    let kind: String = kind.chars().filter(|c| !c.is_control()).collect();
    sse::encode_kind(&kind, &params.to_bytes(), None)
}

/// The last event.
fn ending(answer: &Answer) -> Ending {
    let kind = if answer.status.is_success() { "result" } else { "error" };
    let frame = sse::encode_kind(kind, &answer.body, None);
    Ending::Frames(Box::pin(futures_util::stream::iter([frame])))
}

/// Answers as soon as there is something to say: a refusal with its status, everything else as a stream.
pub async fn begin(
    visit: &Visit,
    mut run: Pin<Box<dyn Future<Output = Answer> + Send>>,
    mut receiver: Receiver<Bytes>,
) -> Response<Body> {
    let timeouts = &visit.gateway.shared.timeouts;
    let (keep_alive, stream_after) = (timeouts.keep_alive.0, timeouts.stream_after.0);
    let first = first(&mut run, &mut receiver, Form::Stream, stream_after).await;
    let (first, run): (_, Pin<Box<dyn Future<Output = Ending> + Send>>) = match first {
        First::Answer(answer) if !answer.status.is_success() => return answer.response(),
        First::Answer(answer) => {
            let told = receiver.try_recv().ok();
            (told, Box::pin(std::future::ready(ending(&answer))))
        }
        First::Event(event) => (Some(event), Box::pin(async move { ending(&run.await) })),
        First::Silence => (None, Box::pin(async move { ending(&run.await) })),
    };
    CallStream::framed(first, run, receiver, keep_alive, event).response()
}

/// A stream with the last event alone.
pub fn last(visit: &Visit, run: impl Future<Output = Answer> + Send + 'static) -> Response<Body> {
    // Nothing is told meanwhile.
    let (_, receiver) = visit.events();
    let keep_alive = visit.gateway.shared.timeouts.keep_alive.0;
    let run = async move { ending(&run.await) };
    CallStream::framed(None, run, receiver, keep_alive, event).response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_short_names_and_no_token() {
        for (message, frame) in [
            (
                r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":2}}"#,
                "event: progress\ndata: {\"progress\":2}\n\n",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#,
                "event: log\ndata: {\"level\":\"info\",\"data\":\"x\"}\n\n",
            ),
            (
                "{\"method\":\"notifications/a\\nevent: result\",\"params\":{}}",
                "event: aevent: result\ndata: {}\n\n",
            ),
        ] {
            assert_eq!(event(message.as_bytes()), frame);
        }
    }
}
