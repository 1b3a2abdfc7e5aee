//! The server: one era, a few tools, nothing that costs time.
//!
//! Tools: `echo` (text back), `big` (a text of `bytes` letters), `slow` (waits `ms`), `notify`
//! (`count` notifications of mixed kinds and sizes before the result), `touch` (tells listeners that
//! a resource and the tools have changed), `ask` (elicits a name), and as many `tool-N` as wanted.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

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

/// What the server has seen, for those who test.
#[derive(Debug, Default)]
pub struct Seen {
    pub requests: AtomicU64,
    pub calls: AtomicU64,
    /// Requests in progress.
    pub open: AtomicUsize,
    pub sessions: AtomicUsize,
    pub listeners: AtomicUsize,
    pub cancelled: AtomicU64,
}

#[derive(Debug)]
struct State {
    era: Era,
    seen: Arc<Seen>,
    tools: Vec<Value>,
    next_session: AtomicU64,
    listeners: Mutex<HashMap<u64, Listener>>,
    /// Answers that are waited for, by the id of the question.
    questions: Mutex<HashMap<i64, oneshot::Sender<Value>>>,
    next_question: AtomicU64,
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

/// Serves on a port of the system's choice for as long as the runtime lives.
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
    });
    let shared = state.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let state = shared.clone();
            let service = service_fn(move |request| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(answer(state, request).await) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    Ok(Backend { address, seen, state })
}

impl Backend {
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Tells all listeners that resource `test://1` and the tools have changed.
    pub async fn touch(&self) {
        self.state.touch().await;
    }
}

fn definitions(count: usize) -> Vec<Value> {
    let tool = |name: &str, properties: Value| {
        json!({
            "name": name,
            "description": format!("The tool {name}, described at a length that is not unusual for tools."),
            "inputSchema": { "type": "object", "properties": properties },
        })
    };
    let mut tools = vec![
        tool("echo", json!({ "text": { "type": "string" } })),
        tool("big", json!({ "bytes": { "type": "integer" } })),
        tool("slow", json!({ "ms": { "type": "integer" } })),
        tool("notify", json!({ "count": { "type": "integer" }, "bytes": { "type": "integer" } })),
        tool("touch", json!({})),
        tool("ask", json!({})),
    ];
    for number in 0..count.saturating_sub(tools.len()) {
        tools.push(tool(
            &format!("tool-{number}"),
            // No two are the same.
            json!({
                "query": { "type": "string", "description": "What to look for", "maxLength": 1_000 + number },
                "limit": { "type": "integer", "minimum": 1, "maximum": 100 + number },
                "order": { "enum": ["newest", "oldest"] },
                "labels": { "type": "array", "items": { "type": "string", "pattern": "^[a-z-]+$" } },
            }),
        ));
    }
    tools
}

/// A body that is whole, or comes bit by bit.
pub enum Body {
    Whole(Option<Bytes>),
    Stream(mpsc::Receiver<Bytes>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Stream(receiver) => {
                receiver.poll_recv(context).map(|text| text.map(|text| Ok(Frame::data(text))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(text) => {
                http_body::SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64)
            }
            Self::Stream(_) => http_body::SizeHint::default(),
        }
    }
}

fn json_body(text: String) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Some(text.into())));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn stream_body(receiver: mpsc::Receiver<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::Stream(receiver));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Whole(None));
    *response.status_mut() = status;
    response
}

fn event(text: &str) -> Bytes {
    Bytes::from(format!("data: {text}\n\n"))
}

fn result(id: &RawValue, result: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")
}

fn error(id: &RawValue, code: i64, message: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":\"{message}\"}}}}"
    )
}

/// Counts while it lives.
struct Counted(Arc<Seen>);

impl Counted {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.open.fetch_add(1, Ordering::SeqCst);
        Self(seen.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Response<Body> {
    state.seen.requests.fetch_add(1, Ordering::Relaxed);
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
    /// The answer to a request that needs no stream.
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

async fn call(state: Arc<State>, id: &RawValue, params: Params) -> Response<Body> {
    state.seen.calls.fetch_add(1, Ordering::Relaxed);
    let counted = Counted::new(&state.seen);
    let arguments = &params.arguments;
    match params.name.as_str() {
        "echo" => json_body(result(id, &state.said(&arguments.text))),
        other if other.starts_with("tool-") => json_body(result(id, &state.said("found"))),
        "big" => json_body(result(id, &state.said(&"x".repeat(arguments.bytes.min(64 << 20))))),
        "touch" => {
            state.touch().await;
            json_body(result(id, &state.said("touched")))
        }
        "slow" => {
            let (sender, receiver) = mpsc::channel(1);
            let (id, ms) = (id.to_owned(), arguments.ms);
            tokio::spawn(async move {
                let _counted = counted;
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(ms)) => {
                        let _ = sender.send(event(&result(&id, &state.said("slept")))).await;
                    }
                    () = sender.closed() => {
                        state.seen.cancelled.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            stream_body(receiver)
        }
        "notify" => {
            let (sender, receiver) = mpsc::channel(16);
            tokio::spawn(notify(state, id.to_owned(), params, sender, counted));
            stream_body(receiver)
        }
        "ask" => ask(state, id, &params, counted),
        _ => json_body(error(id, -32602, "no such tool")),
    }
}

/// Notifications of mixed kinds and sizes, each with its number, then the result.
async fn notify(
    state: Arc<State>,
    id: Box<RawValue>,
    params: Params,
    sender: mpsc::Sender<Bytes>,
    _counted: Counted,
) {
    let token = params.meta["progressToken"].clone();
    let Arguments { count, bytes, .. } = params.arguments;
    for number in 0..count {
        let text = "n".repeat(bytes * (number % 7) / 6);
        let notice = if number % 3 == 0 && !token.is_null() {
            json!({ "method": "notifications/progress", "params": {
                "progressToken": token, "progress": number, "message": text } })
        } else {
            json!({ "method": "notifications/vendor/numbered", "params": {
                "number": number, "text": text } })
        };
        let mut notice = notice;
        notice["jsonrpc"] = "2.0".into();
        if sender.send(event(&notice.to_string())).await.is_err() {
            return;
        }
    }
    let _ = sender.send(event(&result(&id, &state.said("told")))).await;
}

/// Elicits a name: in the words of the era.
fn ask(state: Arc<State>, id: &RawValue, params: &Params, counted: Counted) -> Response<Body> {
    let question = json!({
        "message": "Your name?",
        "requestedSchema": { "type": "object", "properties": { "name": { "type": "string" } } },
    });
    let greet =
        |answer: &Value| format!("hello {}", answer["content"]["name"].as_str().unwrap_or("?"));
    if state.era == Era::Modern {
        if let Some(answer) = params.responses.get("name") {
            return json_body(result(id, &state.said(&greet(answer))));
        }
        let required = json!({
            "resultType": "input_required",
            "inputRequests": { "name": { "method": "elicitation/create", "params": question } },
            "requestState": "asked",
        });
        return json_body(result(id, &required.to_string()));
    }
    let (sender, receiver) = mpsc::channel(2);
    let id = id.to_owned();
    tokio::spawn(async move {
        let _counted = counted;
        let number = state.next_question.fetch_add(1, Ordering::Relaxed).cast_signed();
        let (answered, answer) = oneshot::channel();
        state.questions.lock().insert(number, answered);
        let question = json!({
            "jsonrpc": "2.0", "id": number, "method": "elicitation/create", "params": question });
        let _ = sender.send(event(&question.to_string())).await;
        tokio::select! {
            answer = answer => {
                let text = greet(&answer.unwrap_or_default());
                let _ = sender.send(event(&result(&id, &state.said(&text)))).await;
            }
            () = sender.closed() => {}
        }
        state.questions.lock().remove(&number);
    });
    stream_body(receiver)
}
