//! Servers that misbehave on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

/// A request as the server received it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Includes the query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// The JSON-RPC message; null if there is no body.
    pub message: Value,
}

impl Asked {
    pub fn id(&self) -> String {
        self.message["id"].to_string()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A server with scripted responses to `tools/call`; it answers everything else correctly.
pub struct Hostile {
    pub address: std::net::SocketAddr,
    pub calls: Arc<AtomicUsize>,
}

/// Handles a call. It owns the socket, which is closed when it returns.
pub type Behaviour = dyn Fn(&Asked, &mut TcpStream) + Send + Sync;

/// The tools that every such server lists; only `echo` is well-behaved.
const TOOLS: &[&str] = &["echo", "bad"];

/// Returns the server's own result, or `None` for the usual one.
type Script = dyn Fn(&Asked) -> Option<Value> + Send + Sync;

pub fn start(era: Era, bad: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Hostile {
    serve_with(era, Arc::new(bad), Arc::new(|_| None))
}

/// A well-behaved server with its own results, or an `httpStatus` (and `retryAfter`) instead of one.
pub fn scripted(
    era: Era,
    script: impl Fn(&Asked) -> Option<Value> + Send + Sync + 'static,
) -> Hostile {
    serve_with(era, Arc::new(|_, _| {}), Arc::new(script))
}

/// Handles a request in the server's own way. Returns whether it did.
pub type Habit = dyn Fn(&Asked, &mut TcpStream) -> bool + Send + Sync;

/// A server with a habit. It answers correctly what the habit does not handle.
pub fn with_habit(
    era: Era,
    habit: impl Fn(&Asked, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> Hostile {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let habit: Arc<Habit> = Arc::new(habit);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let habit = habit.clone();
            std::thread::spawn(move || serve_habit(era, stream, &*habit));
        }
    });
    Hostile { address, calls: Arc::default() }
}

fn serve_habit(era: Era, mut stream: TcpStream, habit: &Habit) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(asked) = read(&mut reader) {
        let method = asked.message["method"].as_str().unwrap_or_default().to_owned();
        if habit(&asked, &mut stream) {
            continue;
        }
        match proper(era, &asked, &method) {
            Ok(result) => respond(&mut stream, &result_text(&asked, &result), era, &method),
            Err(status) => write_status(&mut stream, status),
        }
    }
}

pub fn redirect(stream: &mut TcpStream, status: u16, location: &str) {
    let head = format!("HTTP/1.1 {status} X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let _ = stream.write_all(head.as_bytes());
}

fn serve_with(era: Era, bad: Arc<Behaviour>, script: Arc<Script>) -> Hostile {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (bad, script, calls) = (bad.clone(), script.clone(), counted.clone());
            std::thread::spawn(move || serve(era, stream, &*bad, &*script, &calls));
        }
    });
    Hostile { address, calls }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    Modern,
    Handshake,
}

impl Hostile {
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn serve(era: Era, stream: TcpStream, bad: &Behaviour, script: &Script, calls: &AtomicUsize) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(asked) = read(&mut reader) {
        let method = asked.message["method"].as_str().unwrap_or_default().to_owned();
        if method == "tools/call" && asked.message["params"]["name"] == "bad" {
            calls.fetch_add(1, Ordering::SeqCst);
            bad(&asked, &mut stream);
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
        let scripted = script(&asked);
        if scripted.is_some() && method == "tools/call" {
            calls.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(status) = scripted.as_ref().and_then(|said| said["httpStatus"].as_u64()) {
            let after = scripted.as_ref().and_then(|said| said["retryAfter"].as_u64());
            write_status_after(&mut stream, u16::try_from(status).unwrap(), after);
            continue;
        }
        match scripted.map_or_else(|| proper(era, &asked, &method), |said| Ok(finished(era, said)))
        {
            Ok(result) => respond(&mut stream, &result_text(&asked, &result), era, &method),
            Err(status) => write_status(&mut stream, status),
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let message = serde_json::from_slice(&body).unwrap_or_default();
    Some(Asked { method, path, headers, message })
}

/// The response of a well-behaved server, or the status of an empty one.
fn proper(era: Era, asked: &Asked, method: &str) -> Result<Value, u16> {
    if asked.method != "POST" {
        return Err(if asked.method == "DELETE" { 204 } else { 405 });
    }
    if asked.message["id"].is_null() {
        return Err(202);
    }
    let tools: Vec<Value> = TOOLS
        .iter()
        .map(|name| json!({ "name": name, "inputSchema": { "type": "object" } }))
        .collect();
    let mut result = match (era, method) {
        (Era::Modern, "server/discover") => json!({
            "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
        (Era::Handshake, "initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "hostile", "version": "1" } }),
        (_, "tools/list") => json!({ "tools": tools }),
        (_, "tools/call") => json!({ "content": [{ "type": "text",
            "text": asked.message["params"]["arguments"]["text"] }] }),
        (Era::Modern, _) => return Err(404),
        (Era::Handshake, _) => return Err(400),
    };
    result["ttlMs"] = 60_000.into();
    result["cacheScope"] = "public".into();
    Ok(finished(era, result))
}

/// Adds the members that a result of this era needs.
fn finished(era: Era, mut result: Value) -> Value {
    if era == Era::Modern && result.get("resultType").is_none() {
        result["resultType"] = "complete".into();
    }
    result
}

pub fn result_text(asked: &Asked, result: &Value) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{result}}}", asked.id())
}

/// A valid result of a call.
pub fn said(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }], "resultType": "complete" })
}

fn respond(stream: &mut TcpStream, text: &str, era: Era, method: &str) {
    let session = match (era, method) {
        (Era::Handshake, "initialize") => "mcp-session-id: s1\r\n",
        _ => "",
    };
    let _ = stream.write_all(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{session}content-length: {}\r\n\r\n{text}",
            text.len()
        )
        .as_bytes(),
    );
}

fn write_status(stream: &mut TcpStream, status: u16) {
    write_status_after(stream, status, None);
}

fn write_status_after(stream: &mut TcpStream, status: u16, after: Option<u64>) {
    let after = after.map(|after| format!("retry-after: {after}\r\n")).unwrap_or_default();
    let head = format!("HTTP/1.1 {status} X\r\n{after}content-length: 0\r\n\r\n");
    let _ = stream.write_all(head.as_bytes());
}

/// Sends a complete response with any status, content type and body.
pub fn answer(stream: &mut TcpStream, status: u16, kind: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}

/// Begins an event stream, which ends with the connection.
pub fn begin_stream(stream: &mut TcpStream) {
    let _ = stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    );
}

pub fn event(stream: &mut TcpStream, text: &str) -> bool {
    stream.write_all(format!("data: {text}\n\n").as_bytes()).is_ok()
}

pub fn until_closed(stream: &mut TcpStream) {
    let mut rest = [0; 1024];
    while matches!(stream.read(&mut rest), Ok(read) if read > 0) {}
}
