//! HTTP+SSE of 2024-11-05 to a server: a stream that names the endpoint to post to, and carries every response (spec
//! 2024-11-05 basic/transports).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_mcp::error::Kind;
use http::{HeaderMap, Method, Uri};
use tokio::sync::mpsc;

use super::answer::Answer;
use super::http::Endpoint;
use super::inbound::Inbound;
use super::pipe::Pipe;
use doorward_core::Failure;

/// Greetings, pings and the like before the stream names its endpoint.
const MOST_BEFORE: usize = 100;

/// Opens the stream and waits for the event that names the endpoint to post to.
pub async fn open(
    endpoint: &Endpoint,
    within: Duration,
    inbound: Inbound,
) -> Result<Arc<Pipe>, Failure> {
    let opening = async {
        let response = endpoint.get(HeaderMap::new()).await?;
        let mut stream = Answer::open(response, endpoint.bounds())
            .await
            .map_err(|refusal| refusal.map_or_else(|failure| failure, |no| no.failure()))?;
        let mut first = None;
        for _ in 0..MOST_BEFORE {
            first = stream.next_event().await?;
            if first.as_ref().is_none_or(|event| event.kind == "endpoint") {
                break;
            }
        }
        let first = first.filter(|event| event.kind == "endpoint").ok_or_else(|| {
            Failure::new(Kind::InvalidMessage, "The server's stream does not name an 'endpoint'")
        })?;
        // Relative to where the stream was found, which is not where it was looked for if the server redirects.
        let found_at = endpoint.place(&Method::GET);
        Ok((stream, found_at, String::from_utf8_lossy(&first.data).trim().to_owned()))
    };
    let (stream, found_at, path) = tokio::time::timeout(within, opening)
        .await
        .map_err(|_| Failure::new(Kind::Timeout, "The server did not open its stream in time"))??;
    let post_to = endpoint.at(resolve(&found_at, &path)?);
    let (pipe, queue) = Pipe::new(inbound);
    tokio::spawn(read(stream, pipe.clone()));
    tokio::spawn(write(post_to, queue, pipe.clone()));
    Ok(pipe)
}

/// Where to post: a path of the same origin, or the server could make the gateway call anything
/// (attack T12).
fn resolve(base: &Uri, path: &str) -> Result<Uri, Failure> {
    let refused = || {
        Failure::new(
            Kind::InvalidMessage,
            "The server's stream names an endpoint of another origin",
        )
    };
    let base = url::Url::parse(&base.to_string()).map_err(|_| refused())?;
    let target = base.join(path).map_err(|_| refused())?;
    if target.origin() != base.origin() {
        return Err(refused());
    }
    target.as_str().parse().map_err(|_| refused())
}

async fn read(mut stream: Answer, pipe: Arc<Pipe>) {
    stream.calls = Some(pipe.inbound.calls.clone());
    let failure = loop {
        let message = tokio::select! {
            message = stream.next() => message,
            () = pipe.stop.cancelled() => {
                break Failure::new(Kind::Closing, "The server's connection is being closed");
            }
        };
        match message {
            Ok(Some(message)) => pipe.receive(message).await,
            Ok(None) => {
                break Failure::new(
                    Kind::StreamEnded,
                    "The server's stream ended before it answered",
                );
            }
            Err(failure) => break failure,
        }
    };
    pipe.end(failure);
}

async fn write(endpoint: Endpoint, mut queue: mpsc::Receiver<Bytes>, pipe: Arc<Pipe>) {
    loop {
        let text = tokio::select! {
            text = queue.recv() => text,
            () = pipe.stop.cancelled() => return,
        };
        let Some(text) = text else { return };
        match endpoint.post(HeaderMap::new(), text).await {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => {
                let status = response.status().as_u16();
                let message = format!("The server refused a message with HTTP {status}");
                return pipe.end(Failure::new(Kind::HttpStatus, message));
            }
            Err(failure) => return pipe.end(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_to_post_to_stays_at_the_same_origin() {
        let base: Uri = "http://127.0.0.1:80/sse".parse().unwrap();
        for (path, good) in [
            ("/messages?id=1", true),
            ("messages", true),
            ("http://127.0.0.1/messages", true),
            ("http://169.254.169.254/latest", false),
            ("//evil.example/x", false),
            ("https://127.0.0.1/x", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(resolve(&base, path).is_ok(), good, "{path}");
        }
    }
}
