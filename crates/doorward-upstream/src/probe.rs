//! Detects the era and transport of a server, with one request (spec 2026-07-28 basic/versioning, basic/transports).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorward_mcp::error::{Kind, code};
use doorward_mcp::meta::Client;
use doorward_mcp::{Era, Message, Object, Revision, RpcError, method};

use super::session::Session;
use super::session::open::OpenError;
use super::way::{Refused, Way};
use super::{Asked, Contact, Link, Server, Transport};
use doorward_core::Failure;
use doorward_core::deadline::Deadline;
use doorward_mcp::server_info::About;
use doorward_transport::event_stream;
use doorward_transport::http::{Endpoint, Own};
use doorward_transport::pipe::Pipe;

/// The outcome of a probe.
pub(super) enum Verdict {
    Modern(Box<About>),
    Handshake,
    /// No response: the server may be down, or fail on an unknown method.
    Unclear(Failure),
}

impl Server {
    /// Detects the server and returns its contact; with a session, if the server uses sessions.
    pub(super) async fn find(&self) -> Result<(Contact, Option<Arc<Session>>), Failure> {
        if self.settings.sample {
            return Ok((crate::sample::contact(), None));
        }
        match &self.endpoint {
            Some(endpoint) => match &self.settings.openapi {
                Some(openapi) => Ok((self.find_api(openapi, endpoint).await?, None)),
                None => self.find_http(endpoint).await,
            },
            None => self.find_process().await,
        }
    }

    async fn find_http(
        &self,
        endpoint: &Endpoint,
    ) -> Result<(Contact, Option<Arc<Session>>), Failure> {
        endpoint.forget_places();
        let way = Way::Http(endpoint.clone());
        let verdict = match self.handshake_only {
            true => Verdict::Handshake,
            false => self.discover(&way).await?,
        };
        let unclear = match verdict {
            Verdict::Modern(about) => {
                let link = Link::Modern(way);
                let contact = Contact::new(Era::Modern, Transport::StreamableHttp, *about, link);
                return Ok((contact, None));
            }
            // If nothing listens there, an unknown method was not the cause.
            Verdict::Unclear(failure) if failure.kind == Kind::Unreachable => return Err(failure),
            Verdict::Unclear(failure) => Some(failure),
            Verdict::Handshake => None,
        };
        let found = self.find_handshake_http(endpoint).await;
        found.map_err(|failure| unclear.unwrap_or(failure))
    }

    async fn find_handshake_http(
        &self,
        endpoint: &Endpoint,
    ) -> Result<(Contact, Option<Arc<Session>>), Failure> {
        let link = Link::Http(endpoint.clone());
        match self.shake_hands(&link).await {
            Ok(session) => Ok(handshake(Transport::StreamableHttp, link, session)),
            Err(OpenError::NotSpoken(refusal))
                if matches!(refusal.status.as_u16(), 400 | 404 | 405 | 406 | 415) =>
            {
                // Neither: try the two endpoints of 2024-11-05.
                let failure = refusal.failure();
                let link = Link::EventStream(endpoint.clone());
                match self.shake_hands(&link).await {
                    Ok(session) => Ok(handshake(Transport::EventStream, link, session)),
                    Err(_) => Err(failure),
                }
            }
            Err(error) => Err(open_failure(error)),
        }
    }

    async fn find_process(&self) -> Result<(Contact, Option<Arc<Session>>), Failure> {
        if self.handshake_only || self.trips_over_discover.load(Ordering::Relaxed) {
            let session = self.shake_hands(&Link::Process).await.map_err(|error| {
                // The program may have been replaced.
                self.trips_over_discover.store(false, Ordering::Relaxed);
                open_failure(error)
            })?;
            return Ok(handshake(Transport::Stdio, Link::Process, session));
        }
        let pipe = self.program()?;
        match self.discover(&Way::Pipe(pipe.clone())).await {
            Ok(Verdict::Modern(about)) => {
                let link = Link::Modern(Way::Pipe(pipe));
                Ok((Contact::new(Era::Modern, Transport::Stdio, *about, link), None))
            }
            Ok(verdict @ (Verdict::Handshake | Verdict::Unclear(_))) => {
                let (session, is_fresh) =
                    self.shake_hands_with_program(pipe).await.map_err(open_failure)?;
                // A program that rejected the probe may exit a little later, and must not be probed again.
                let refused = matches!(verdict, Verdict::Handshake);
                self.trips_over_discover.store(is_fresh || refused, Ordering::Relaxed);
                Ok(handshake(Transport::Stdio, Link::Process, session))
            }
            Err(failure) => {
                pipe.end(failure.clone());
                Err(failure)
            }
        }
    }

    /// Initializes a program that received `server/discover` before. Some programs fail after an
    /// unknown first message: retried with a fresh process. If both are silent, waits for both,
    /// since the first may only be slow to start. Returns whether the fresh one answered.
    async fn shake_hands_with_program(
        &self,
        pipe: Arc<Pipe>,
    ) -> Result<(Arc<Session>, bool), OpenError> {
        let first = self.shake_hands_over(pipe);
        tokio::pin!(first);
        let fresh = self.shake_hands(&Link::Process);
        let failed = match tokio::time::timeout(self.shared.timeouts.probe.0, &mut first).await {
            Ok(Ok(session)) => return Ok((session, false)),
            Ok(Err(error)) => error,
            Err(_) => {
                tokio::pin!(fresh);
                return tokio::select! {
                    session = &mut first => match session {
                        Ok(session) => Ok((session, false)),
                        Err(error) => Ok((fresh.await.map_err(|_| error)?, true)),
                    },
                    session = &mut fresh => match session {
                        Ok(session) => Ok((session, true)),
                        Err(_) => Ok((first.await?, false)),
                    },
                };
            }
        };
        Ok((fresh.await.map_err(|_| failed)?, true))
    }

    async fn shake_hands_over(&self, pipe: Arc<Pipe>) -> Result<Arc<Session>, OpenError> {
        let client = Client::default();
        self.open_over(super::session::Link::Pipe(pipe), &Object::new(), &client).await
    }

    async fn shake_hands(&self, link: &Link) -> Result<Arc<Session>, OpenError> {
        let client = Client::default();
        let over = self.connect(link, None).await?;
        self.open_over(over, &Object::new(), &client).await
    }

    /// Sends `server/discover`, which has no side effect.
    pub(super) async fn discover(&self, way: &Way) -> Result<Verdict, Failure> {
        let client = Client { info: Some(self.shared.info.clone()), ..Client::default() };
        let probe = self.shared.timeouts.probe.0;
        let deadline = Deadline::within(probe);
        let own = self.own_request(method::DISCOVER, &client);
        let asked = Asked { principal: "", deadline, ..own };
        let opened = self.open_modern(way, &asked, Object::new(), Vec::new(), &deadline).await;
        let answer = match opened {
            Ok(mut exchange) => loop {
                match exchange.next(&deadline).await {
                    Ok(Message::Response { result, .. }) => break Ok(result),
                    Ok(Message::Error { error, .. }) => break Err(Refused::Rpc(error)),
                    Ok(Message::Notification { .. } | Message::Request { .. }) => {}
                    Err(failure) => break Err(Refused::Failed(failure)),
                }
            },
            Err(refused) => Err(refused),
        };
        match answer {
            Ok(result) => verdict_of(&result),
            Err(Refused::Rpc(error)) => verdict_of_error(&error),
            Err(Refused::NotModern(_)) => Ok(Verdict::Handshake),
            // An unreadable response is not a modern one; only an outage gives no verdict, and it may concern this
            // one request.
            Err(Refused::Failed(failure))
                if matches!(
                    failure.kind,
                    Kind::InvalidMessage | Kind::InvalidJson | Kind::WrongId
                ) =>
            {
                Ok(Verdict::Handshake)
            }
            Err(Refused::Failed(failure))
                if failure.kind == Kind::HttpStatus
                    && !["HTTP 5", "HTTP 429"]
                        .iter()
                        .any(|status| failure.message.contains(status)) =>
            {
                Ok(Verdict::Handshake)
            }
            Err(Refused::Failed(failure)) => Ok(Verdict::Unclear(failure)),
        }
    }
}

/// Interprets a response to `server/discover`. One that names no versions comes from a server
/// that responds to anything, and does not prove the modern era.
fn verdict_of(result: &Object) -> Result<Verdict, Failure> {
    let versions =
        result.get("supportedVersions").and_then(doorward_mcp::Value::as_array).unwrap_or_default();
    let mut named = versions.iter().filter_map(doorward_mcp::Value::as_str);
    if named.any(|version| version == Revision::NEWEST.as_str()) {
        return Ok(Verdict::Modern(Box::new(About::from_discover(result))));
    }
    let known = |version: &str| Revision::ALL.iter().any(|known| known.as_str() == version);
    let mut named = versions.iter().filter_map(doorward_mcp::Value::as_str).peekable();
    if named.peek().is_none() || named.any(|version| known(&version)) {
        return Ok(Verdict::Handshake);
    }
    Err(Failure::new(Kind::InvalidMessage, "The server supports no known protocol revision"))
}

fn verdict_of_error(error: &RpcError) -> Result<Verdict, Failure> {
    if error.code != code::UNSUPPORTED_PROTOCOL_VERSION {
        return Ok(Verdict::Handshake);
    }
    let supported = error
        .data
        .as_ref()
        .and_then(doorward_mcp::Value::as_object)
        .and_then(|data| data.get("supported").and_then(doorward_mcp::Value::as_array))
        .unwrap_or_default();
    let modern_only = !supported.is_empty()
        && supported
            .iter()
            .filter_map(doorward_mcp::Value::as_str)
            .all(|version| *version > *Revision::NEWEST_HANDSHAKE.as_str());
    if modern_only {
        return Err(Failure::new(
            Kind::InvalidMessage,
            "The server supports only newer protocol revisions",
        ));
    }
    Ok(Verdict::Handshake)
}

fn handshake(
    transport: Transport,
    link: Link,
    session: Arc<Session>,
) -> (Contact, Option<Arc<Session>>) {
    let mut contact = Contact::new(Era::Handshake, transport, session.about.clone(), link);
    contact.revision = session.revision;
    (contact, Some(session))
}

pub(super) fn open_failure(error: OpenError) -> Failure {
    match error {
        OpenError::NotSpoken(refusal) => refusal.failure(),
        OpenError::Rpc(error) => {
            Failure::new(Kind::InvalidMessage, "The server refused to open a session")
                .because(format!("{}: {}", error.code, error.message))
        }
        OpenError::Failed(failure) => failure,
    }
}

impl Server {
    /// Opens the connection of a new session.
    pub(super) async fn connect(
        &self,
        link: &Link,
        own: Option<&Own>,
    ) -> Result<super::session::Link, Failure> {
        let inbound = self.inbound();
        match link {
            Link::Http(endpoint) => Ok(super::session::Link::Http {
                endpoint: endpoint.with(own),
                inbound: Box::new(inbound),
            }),
            Link::EventStream(endpoint) => {
                let within = self.shared.timeouts.connect.0;
                event_stream::open(&endpoint.with(own), within, inbound)
                    .await
                    .map(super::session::Link::Pipe)
            }
            Link::Process => self.program().map(super::session::Link::Pipe),
            Link::Sample | Link::Api(_) | Link::Modern(_) => {
                Err(Failure::new(Kind::InvalidMessage, "This server has no sessions"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(result: &'static str) -> &'static str {
        match verdict_of(&Object::parse(&bytes::Bytes::from_static(result.as_bytes())).unwrap()) {
            Ok(Verdict::Modern(_)) => "modern",
            Ok(Verdict::Handshake) => "handshake",
            Ok(Verdict::Unclear(_)) | Err(_) => "none",
        }
    }

    #[test]
    fn an_answer_to_discover_tells_the_era() {
        for (result, expected) in [
            (r#"{"supportedVersions":["2025-11-25","2026-07-28"],"capabilities":{}}"#, "modern"),
            (r#"{"supportedVersions":["2025-11-25"]}"#, "handshake"),
            (r#"{"supportedVersions":["2099-01-01"]}"#, "none"),
            (r#"{"supportedVersions":["2099-01-01","2025-11-25"]}"#, "handshake"),
            // From servers that respond to anything.
            (r"{}", "handshake"),
            (r#"{"supportedVersions":[]}"#, "handshake"),
            (r#"{"supportedVersions":"2026-07-28"}"#, "handshake"),
        ] {
            assert_eq!(verdict(result), expected, "{result}");
        }
    }
}
