//! The server: one era, a few tools, and as little work per call as possible.
//!
//! Tools: `echo` (returns its text), `big` (a text of `bytes` letters), `slow` (waits `ms`), `notify` (`count`
//! notifications of mixed kinds and sizes before the result), `touch` (notifies listeners that a resource and the
//! tools have changed), `ask` (elicits a name), `write` (counts its texts), and any number of tools `tool-N`.

mod body;
mod tools;
mod trouble;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use self::body::{Body, error, event, json_body, result, status, stream_body};
use self::tools::{call, definitions};
pub use self::trouble::Mood;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    Modern,
    Handshake,
}

/// A running server.
#[derive(Debug)]
pub struct Backend {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    state: Arc<State>,
}

/// What the server has observed, for tests.
#[derive(Debug, Default)]
pub struct Seen {
    pub requests: AtomicU64,
    pub calls: AtomicU64,
    /// Requests in progress.
    pub open: AtomicUsize,
    pub sessions: AtomicUsize,
    pub listeners: AtomicUsize,
    pub cancelled: AtomicU64,
    /// How often `write` was called with which text.
    pub writes: Mutex<HashMap<String, u32>>,
}

#[derive(Debug)]
struct State {
    era: Era,
    seen: Arc<Seen>,
    tools: Vec<Value>,
    next_session: AtomicU64,
    listeners: Mutex<HashMap<u64, Listener>>,
    /// Pending input requests, by the id of the request.
    questions: Mutex<HashMap<i64, oneshot::Sender<Value>>>,
    next_question: AtomicU64,
    mood: watch::Sender<Mood>,
}

#[derive(Debug)]
struct Listener {
    /// The id of the `subscriptions/listen` request, for modern listeners.
    id: Option<Box<RawValue>>,
    out: mpsc::Sender<Bytes>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    result: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    name: String,
    uri: String,
    arguments: Arguments,
    #[serde(rename = "_meta")]
    meta: Value,
    #[serde(rename = "inputResponses")]
    responses: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Arguments {
    text: String,
    bytes: usize,
    ms: u64,
    count: usize,
}

/// Serves on a port that the system chooses, for as long as the runtime lives.
pub async fn start(era: Era, tools: usize) -> std::io::Result<Backend> {
    serve(TcpListener::bind("127.0.0.1:0").await?, era, tools)
}

pub fn serve(listener: TcpListener, era: Era, tools: usize) -> std::io::Result<Backend> {
    let address = listener.local_addr()?;
    let seen = Arc::<Seen>::default();
    let state = Arc::new(State {
        era,
        seen: seen.clone(),
        tools: definitions(tools),
        next_session: AtomicU64::new(1),
        listeners: Mutex::default(),
        questions: Mutex::default(),
        next_question: AtomicU64::new(1),
        mood: watch::Sender::new(Mood::Well),
    });
    tokio::spawn(keep(listener, state.clone()));
    Ok(Backend { address, seen, state })
}

/// Accepts connections. While the server is dead it refuses new ones, and the open ones are closed.
async fn keep(listener: TcpListener, state: Arc<State>) {
    let Ok(address) = listener.local_addr() else { return };
    let mut mood = state.mood.subscribe();
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let Some(open) = &listener else {
            mood.wait_for(|mood| *mood != Mood::Dead).await.map(drop).unwrap_or_default();
            listener = TcpListener::bind(address).await.ok();
            continue;
        };
        tokio::select! {
            taken = open.accept() => {
                let Ok((stream, _)) = taken else { return };
                let _ = stream.set_nodelay(true);
                let state = state.clone();
                let service = service_fn(move |request| {
                    let state = state.clone();
                    async move { Ok::<_, Infallible>(answer(state, request).await) }
                });
                connections.spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
            () = until_dead(&mut mood) => {
                listener = None;
                connections.shutdown().await;
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn until_dead(mood: &mut watch::Receiver<Mood>) {
    if mood.wait_for(|mood| *mood == Mood::Dead).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Backend {
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Notifies all listeners that resource `test://1` and the tools have changed.
    pub async fn touch(&self) {
        self.state.touch().await;
    }

    /// Sets the server's condition.
    pub fn is(&self, mood: Mood) {
        self.state.mood.send_replace(mood);
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Response<Body> {
    state.seen.requests.fetch_add(1, Ordering::Relaxed);
    if let Some(refusal) = state.suffer().await {
        return refusal;
    }
    match *request.method() {
        Method::POST => {}
        Method::GET if state.era == Era::Handshake => return state.listen(None),
        Method::DELETE if state.era == Era::Handshake => {
            state.seen.sessions.fetch_sub(1, Ordering::SeqCst);
            return status(StatusCode::NO_CONTENT);
        }
        _ => return status(StatusCode::METHOD_NOT_ALLOWED),
    }
    let Ok(body) = request.into_body().collect().await else {
        return status(StatusCode::BAD_REQUEST);
    };
    let body = body.to_bytes();
    let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(&body) else {
        return status(StatusCode::BAD_REQUEST);
    };
    let Some(id) = envelope.id else {
        if envelope.method == Some("notifications/cancelled") {
            state.seen.cancelled.fetch_add(1, Ordering::Relaxed);
        }
        return status(StatusCode::ACCEPTED);
    };
    let Some(method) = envelope.method else {
        let waiting = id.get().parse().ok().and_then(|id| state.questions.lock().remove(&id));
        if let Some(waiting) = waiting {
            let _ = waiting.send(envelope.result.unwrap_or_default());
        }
        return status(StatusCode::ACCEPTED);
    };
    let text = envelope.params.map_or("{}", RawValue::get);
    let Ok(params) = serde_json::from_str::<Params>(text) else {
        return json_body(error(id, -32602, "params"));
    };
    match (state.era, method) {
        (Era::Modern, "subscriptions/listen") => {
            let filter = serde_json::from_str::<Value>(text).unwrap_or_default();
            state.clone().listen(Some((id.to_owned(), filter["notifications"].clone())))
        }
        (_, "tools/call") => call(state, id, params).await,
        (era, method) => match state.plain(era, method, &params) {
            Ok(reply) => {
                let mut response = json_body(result(id, &reply));
                if method == "initialize" {
                    state.seen.sessions.fetch_add(1, Ordering::SeqCst);
                    let number = state.next_session.fetch_add(1, Ordering::Relaxed);
                    if let Ok(value) = HeaderValue::try_from(format!("session-{number}")) {
                        response.headers_mut().insert("mcp-session-id", value);
                    }
                }
                response
            }
            Err(code) => {
                let mut response = json_body(error(id, code, "no such thing"));
                if code == -32601 && era == Era::Modern {
                    *response.status_mut() = StatusCode::NOT_FOUND;
                }
                response
            }
        },
    }
}

impl State {
    /// The response to a request that needs no stream.
    fn plain(&self, era: Era, method: &str, params: &Params) -> Result<String, i64> {
        let modern = era == Era::Modern;
        let about = json!({
            "tools": { "listChanged": true },
            "resources": { "listChanged": true, "subscribe": true },
        });
        let mut reply = match method {
            "server/discover" if modern => json!({
                "supportedVersions": ["2026-07-28"],
                "capabilities": about,
                "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "bench", "version": "1" } },
            }),
            "initialize" if !modern => json!({
                "protocolVersion": "2025-11-25",
                "capabilities": about,
                "serverInfo": { "name": "bench", "version": "1" },
            }),
            "ping" | "resources/subscribe" | "resources/unsubscribe" if !modern => json!({}),
            "tools/list" => json!({ "tools": self.tools }),
            "resources/list" => json!({ "resources": [{ "uri": "test://1", "name": "one" }] }),
            "resources/templates/list" => json!({ "resourceTemplates": [] }),
            "resources/read" => json!({ "contents": [{ "uri": params.uri, "text": "content" }] }),
            _ => return Err(-32601),
        };
        if modern {
            reply["resultType"] = "complete".into();
            reply["ttlMs"] = 60_000.into();
            reply["cacheScope"] = "public".into();
        }
        Ok(reply.to_string())
    }

    fn listen(self: Arc<Self>, asked: Option<(Box<RawValue>, Value)>) -> Response<Body> {
        let (out, mut inbox) = mpsc::channel::<Bytes>(64);
        if let Some((id, filter)) = &asked {
            let acknowledged = json!({
                "jsonrpc": "2.0",
                "method": "notifications/subscriptions/acknowledged",
                "params": {
                    "notifications": filter,
                    "_meta": { "io.modelcontextprotocol/subscriptionId": id },
                },
            });
            let _ = out.try_send(event(&acknowledged.to_string()));
        }
        let key = self.next_session.fetch_add(1, Ordering::Relaxed);
        self.listeners.lock().insert(key, Listener { id: asked.map(|(id, _)| id), out });
        self.seen.listeners.fetch_add(1, Ordering::SeqCst);
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    text = inbox.recv() => {
                        let Some(text) = text else { break };
                        if sender.send(text).await.is_err() {
                            break;
                        }
                    }
                    () = sender.closed() => break,
                }
            }
            self.listeners.lock().remove(&key);
            self.seen.listeners.fetch_sub(1, Ordering::SeqCst);
        });
        stream_body(receiver)
    }

    async fn touch(&self) {
        let notices: Vec<(mpsc::Sender<Bytes>, [Bytes; 2])> = self
            .listeners
            .lock()
            .values()
            .map(|listener| {
                let meta = match &listener.id {
                    Some(id) => json!({ "io.modelcontextprotocol/subscriptionId": id }),
                    None => json!({}),
                };
                let texts = [
                    (
                        "notifications/resources/updated",
                        json!({ "uri": "test://1", "_meta": meta }),
                    ),
                    ("notifications/tools/list_changed", json!({ "_meta": meta })),
                ]
                .map(|(method, params)| {
                    let text = json!({ "jsonrpc": "2.0", "method": method, "params": params });
                    event(&text.to_string())
                });
                (listener.out.clone(), texts)
            })
            .collect();
        for (out, texts) in notices {
            for text in texts {
                let _ = out.send(text).await;
            }
        }
    }

    fn said(&self, text: &str) -> String {
        let text = Value::from(text).to_string();
        let kind = match self.era {
            Era::Modern => ",\"resultType\":\"complete\"",
            Era::Handshake => "",
        };
        format!("{{\"content\":[{{\"type\":\"text\",\"text\":{text}}}]{kind}}}")
    }
}
