//! The listening stream of a session, and streams that are resumed (spec 2025-11-25 basic/transports).

use doorward_core::Failure;
use doorward_core::deadline::jittered;
use doorward_mcp::headers;
use doorward_transport::answer::Answer;
use http::HeaderValue;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Link, Session};

impl Session {
    /// Resumes a stream that broke before the response, if the server numbers its events (spec
    /// 2025-11-25 basic/transports). `None` if it cannot be resumed.
    pub async fn resume(&self, broken: &Answer) -> Result<Option<Answer>, Failure> {
        let (Link::Http { endpoint, .. }, Some(last)) = (&self.link, &broken.last_event_id) else {
            return Ok(None);
        };
        let Ok(last_id) = HeaderValue::try_from(last.as_str()) else { return Ok(None) };
        let mut headers = self.headers();
        headers.insert(headers::LAST_EVENT_ID, last_id);
        match Answer::open(endpoint.get(headers).await?, endpoint.bounds()).await {
            Ok(mut answer) => {
                answer.last_event_id = Some(last.clone());
                answer.retry_ms = broken.retry_ms;
                answer.expects = broken.expects;
                Ok(Some(answer))
            }
            Err(Ok(_)) => Ok(None),
            Err(Err(failure)) => Err(failure),
        }
    }

    /// Reads the session's listening stream until the session ends (HTTP only). Servers without one
    /// respond with 405.
    pub async fn listen(self: Arc<Self>) {
        let Link::Http { endpoint, inbound } = &self.link else { return };
        if self.listens.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut last: Option<String> = None;
        let mut pause = Duration::from_millis(200);
        while self.is_open() {
            let mut headers = self.headers();
            if let Some(id) = last.as_deref().and_then(|id| HeaderValue::try_from(id).ok()) {
                headers.insert(headers::LAST_EVENT_ID, id);
            }
            let opened = tokio::select! {
                opened = endpoint.get(headers) => opened,
                () = self.stop.cancelled() => return,
            };
            match opened {
                Ok(response) => match Answer::open(response, endpoint.bounds()).await {
                    Ok(mut stream) => {
                        stream.calls = Some(inbound.calls.clone());
                        pause = Duration::from_millis(200);
                        inbound.calls.logs.open_beside(true);
                        loop {
                            let message = tokio::select! {
                                message = stream.next() => message,
                                () = self.stop.cancelled() => return,
                            };
                            let Ok(Some(message)) = message else { break };
                            if let Some(reply) = inbound.receive(message).await {
                                self.clone().post_in_background(reply);
                            }
                        }
                        if stream.last_event_id.is_some() {
                            last = stream.last_event_id;
                        }
                        if let Some(retry) = stream.retry_ms {
                            pause = Duration::from_millis(retry.clamp(50, 30_000));
                        }
                    }
                    Err(Ok(refusal)) if refusal.status.is_client_error() => {
                        return self.deaf.cancel();
                    }
                    Err(_) => {}
                },
                Err(failure) => tracing::debug!(cause = ?failure.cause, "no listening stream"),
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(pause)) => {}
                () = self.stop.cancelled() => return,
            }
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }
}
