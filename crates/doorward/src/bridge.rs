//! `doorward connect`: MCP over standard input and output for clients that can only start a command, connected to the
//! gateway's endpoint. The client chooses the era: requests of 2026-07-28 are forwarded as they are, and `initialize`
//! opens a session for the client.

mod lines;
mod modern;
mod session;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_config::Limits;
use doorward_gateway::call::Failure;
use doorward_mcp::error::Kind;
use doorward_mcp::message::{Invalid, is_batch};
use doorward_mcp::{Id, Message, Object, RpcError, message, meta, method};
use doorward_net::clients::Incoming;
use doorward_transport::answer::Answer;
use doorward_transport::http::Endpoint;
use http::HeaderMap;
use parking_lot::Mutex;
use tokio::io::{stdin, stdout};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::lines::{Lines, write_lines};
use self::session::Session;
use crate::cli::{Connect, LogFormat};
use crate::client::{self, Mirrors};
use crate::commands::{Exit, Failed};
use crate::logging;

/// Maximum number of requests in progress; further ones wait on standard input.
const MAX_REQUESTS: usize = 256;
/// Maximum number of messages waiting for the client.
const QUEUE: usize = 64;
/// How long to wait for responses after the client has closed its input.
const LAST_ANSWERS: Duration = Duration::from_secs(30);
/// How long to wait for a gateway that is being started.
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn run(options: Connect) -> Result<(), Failed> {
    logging::start(&options.log, LogFormat::Auto)?;
    let mut credential = options.credential;
    if let Some(variable) = &options.key_env {
        let missing = || format!("the variable {variable} of --key-env is not set");
        let key = std::env::var(variable).map_err(|_| Failed::new(Exit::Usage, missing()))?;
        credential.key = Some(key);
    }
    let endpoint = client::endpoint(&options.url, &options.headers, &credential)?;
    let (out, queue) = mpsc::channel(QUEUE);
    let writing = tokio::spawn(write_lines(stdout(), queue));
    let bridge = Arc::new(Bridge {
        endpoint,
        out,
        mirrors: Mutex::default(),
        running: Mutex::default(),
        session: Session::default(),
        places: Arc::new(Semaphore::new(MAX_REQUESTS)),
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    });
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        () = bridge.clone().follow(Lines::new(stdin())) => {}
        () = bridge.out.closed() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    bridge.end().await;
    drop(bridge);
    let _ = tokio::time::timeout(Duration::from_secs(1), writing).await;
    Ok(())
}

/// The state for the client.
struct Bridge {
    endpoint: Endpoint,
    out: mpsc::Sender<Bytes>,
    mirrors: Mutex<Mirrors>,
    /// Modern requests in progress, which can be cancelled.
    running: Mutex<HashMap<Id, Running>>,
    session: Session,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A modern request in progress.
struct Running {
    cancel: CancellationToken,
    /// It continues until one side ends it.
    listens: bool,
}

impl Bridge {
    /// Handles the client's messages until the input ends.
    async fn follow(self: Arc<Self>, mut lines: Lines<impl tokio::io::AsyncRead + Unpin>) {
        let limit = Limits::default().message.0;
        loop {
            match lines.next(limit).await {
                Ok(Some(line)) => self.take(line).await,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "the client's message cannot be read");
                    let error = RpcError::invalid_request(error.to_string());
                    self.say(message::error_response(None, &error)).await;
                    break;
                }
            }
        }
        // Earlier requests are still answered; listening streams end.
        self.tasks.close();
        self.session.stop_listening();
        self.running.lock().values().filter(|one| one.listens).for_each(|one| one.cancel.cancel());
        let _ = tokio::time::timeout(LAST_ANSWERS, self.tasks.wait()).await;
    }

    async fn take(self: &Arc<Self>, line: Bytes) {
        if is_batch(&line) {
            let bridge = self.clone();
            return self.run(async move { bridge.post_batch(line).await }).await;
        }
        let message = match Message::parse(&line, doorward_mcp::json::Limits::default()) {
            Ok(message) => message,
            Err(invalid) => return self.refuse(&invalid).await,
        };
        match message {
            Message::Request { id, method, params } => self.request(id, method, params).await,
            Message::Notification { method, params } if *method == *method::CANCELLED => {
                let id = params.get("requestId").and_then(Id::read);
                let running = id.and_then(|id| self.running.lock().remove(&id));
                match running {
                    // A modern request is cancelled by closing its stream.
                    Some(running) => running.cancel.cancel(),
                    None => self.post_in_session(&line).await,
                }
            }
            Message::Notification { method, .. } => {
                self.post_in_session(&line).await;
                if *method == *method::INITIALIZED {
                    self.session.listen(self);
                }
            }
            Message::Response { .. } | Message::Error { .. } => self.post_in_session(&line).await,
        }
    }

    async fn refuse(&self, invalid: &Invalid) {
        self.say(message::error_response(invalid.id().as_ref(), &invalid.error())).await;
    }

    async fn request(self: &Arc<Self>, id: Id, method: Box<str>, params: Object) {
        let bridge = self.clone();
        if meta::protocol_version(&params).is_some() {
            let cancelled = CancellationToken::new();
            let running =
                Running { cancel: cancelled.clone(), listens: *method == *method::LISTEN };
            self.running.lock().insert(id.clone(), running);
            let work = async move {
                tokio::select! {
                    () = bridge.ask_modern(&id, &method, params) => {}
                    () = cancelled.cancelled() => {}
                }
                bridge.running.lock().remove(&id);
            };
            return self.run(work).await;
        }
        if *method == *method::INITIALIZE {
            // Nothing can be sent before the session is open.
            return self.initialize(id, params).await;
        }
        self.run(async move { bridge.ask_in_session(&id, &method, params).await }).await;
    }

    async fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(place) = self.places.clone().acquire_owned().await else { return };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        });
    }

    /// Sends the client a message.
    async fn say(&self, text: Bytes) {
        let _ = self.out.send(text).await;
    }

    async fn say_failed(&self, id: &Id, failure: &Failure) {
        let message = failure.message.replace("The server", "The gateway");
        tracing::warn!(cause = failure.cause.as_deref().unwrap_or_default(), "{message}");
        let error = RpcError::gateway(failure.kind, &message, "", failure.retryable, "");
        self.say(message::error_response(Some(id), &error)).await;
    }

    /// Posts a message, with a short wait for a gateway that is not reachable yet.
    async fn post(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<http::Response<Incoming>, Failure> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.endpoint.post(headers.clone(), body.clone()).await {
                Err(failure)
                    if failure.kind == Kind::Unreachable && tokio::time::Instant::now() < end =>
                {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                other => return other,
            }
        }
    }

    /// Forwards all messages of a response. Returns whether the response to `id` was among them.
    async fn relay(&self, id: &Id, answer: &mut Answer) -> Result<bool, Failure> {
        while let Some(message) = answer.next().await? {
            let is_answer = match &message {
                Message::Response { id: of, result } => {
                    if result.contains("tools") {
                        self.mirrors.lock().learn(result);
                    }
                    of == id
                }
                Message::Error { id: of, .. } => of.as_ref().is_none_or(|of| of == id),
                Message::Request { .. } | Message::Notification { .. } => false,
            };
            self.say(message.to_bytes()).await;
            if is_answer {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.session.close(&self.endpoint).await;
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
    }
}
