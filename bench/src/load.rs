//! The load generator: keep-alive connections that send one prepared request after another, in a closed loop or at a
//! fixed rate. At a fixed rate, latency counts from the scheduled start of a request, so that a server that stalls
//! cannot hide it.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::backend::Era;
use crate::stats::Run;

/// The server to call, and how.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: String,
    pub path: String,
    pub era: Era,
    /// A token to present.
    pub token: Option<String>,
}

/// A request, without the parts that depend on the connection.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: &'static str,
    pub params: serde_json::Value,
}

impl Ask {
    pub fn tool(name: &str, arguments: &serde_json::Value) -> Self {
        Self {
            method: "tools/call",
            params: serde_json::json!({ "name": name, "arguments": arguments }),
        }
    }
}

/// A connection, with a session if it needs one.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    session: Option<String>,
    target: Target,
    keep: bool,
    kept: Vec<u8>,
}

impl Connection {
    /// Connects; a client of the handshake era also opens its session.
    pub async fn open(target: &Target) -> io::Result<Self> {
        let stream = TcpStream::connect(&target.address).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            buffer: Vec::with_capacity(64 << 10),
            session: None,
            target: target.clone(),
            keep: false,
            kept: Vec::new(),
        };
        if target.era == Era::Handshake {
            connection.shake_hands().await?;
        }
        Ok(connection)
    }

    async fn shake_hands(&mut self) -> io::Result<()> {
        let params = serde_json::json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "load", "version": "1" },
        });
        let head = self.exchange(&self.written("initialize", &params)).await?;
        let session = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
        });
        self.session = session;
        let body = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
        self.exchange(&self.framed(body, "")).await.map(|_| ())
    }

    /// A request as it is sent over the wire.
    pub fn written(&self, method: &str, params: &serde_json::Value) -> Vec<u8> {
        let mut params = params.clone();
        let mut headers = String::new();
        if self.target.era == Era::Modern {
            params["_meta"] = serde_json::json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": { "name": "load", "version": "1" },
            });
            headers = format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n");
            if let Some(name) = params["name"].as_str() {
                headers.push_str(&format!("mcp-name: {name}\r\n"));
            }
        }
        let body =
            serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.framed(&body.to_string(), &headers)
    }

    fn framed(&self, body: &str, headers: &str) -> Vec<u8> {
        let session = match &self.session {
            Some(session) => {
                format!("mcp-session-id: {session}\r\nmcp-protocol-version: 2025-11-25\r\n")
            }
            None => String::new(),
        };
        let token = self.target.token.as_ref();
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
        let token = token.unwrap_or_default();
        format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: application/json, \
             text/event-stream\r\ncontent-length: {}\r\n{headers}{session}{token}\r\n{body}",
            self.target.path,
            self.target.address,
            body.len()
        )
        .into_bytes()
    }

    /// Sends a request and reads the complete response, headers and body.
    pub async fn exchange_text(&mut self, request: &[u8]) -> io::Result<String> {
        self.kept.clear();
        self.keep = true;
        let done = self.exchange(request).await;
        self.keep = false;
        done.map(|_| String::from_utf8_lossy(&self.kept).into_owned())
    }

    /// Sends a request and reads the complete response. Returns its headers; fails unless it is a success.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<String> {
        self.stream.write_all(request).await?;
        let end = self.read_until(b"\r\n\r\n", 0).await?;
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let lower = head.to_ascii_lowercase();
        let length = lower
            .split("content-length:")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.trim().parse::<usize>().ok());
        match length {
            Some(length) => {
                while self.buffer.len() < end + length {
                    self.fill().await?;
                }
            }
            None if lower.contains("chunked") => {
                self.read_until(b"\r\n0\r\n\r\n", end.saturating_sub(2)).await?;
            }
            None => {}
        }
        let failed = !lower.starts_with("http/1.1 2")
            || self.buffer[end..].windows(9).any(|window| window == b"\"error\":{");
        if self.keep {
            self.kept.extend_from_slice(&self.buffer);
        }
        let done = if failed {
            let body = &self.buffer[end..self.buffer.len().min(end + 500)];
            Err(io::Error::other(format!("{head}{}", String::from_utf8_lossy(body))))
        } else {
            Ok(head)
        };
        self.buffer.clear();
        done
    }

    /// Sends a request and waits only for the headers of its response, for a stream that stays open.
    pub async fn open_stream(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await?;
        self.read_until(b"data: ", 0).await.map(|_| ())
    }

    /// Waits for the next event with data on an open stream.
    pub async fn next_event(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.read_until(b"data: ", 0).await.map(|_| ())
    }

    async fn read_until(&mut self, end: &[u8], from: usize) -> io::Result<usize> {
        let mut searched = from;
        loop {
            let found = self.buffer[searched..].windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                return Ok(searched + at + end.len());
            }
            searched = self.buffer.len().saturating_sub(end.len()).max(from);
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Opens the connections and prepares the request of each.
async fn prepare(
    target: &Target,
    ask: &Ask,
    connections: usize,
) -> io::Result<Vec<(Connection, Vec<u8>)>> {
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let mut connection = Connection::open(target).await?;
        let request = connection.written(ask.method, &ask.params);
        // Send it once without measuring, so that everything that the first use creates exists.
        connection.exchange(&request).await?;
        tasks.push((connection, request));
    }
    Ok(tasks)
}

/// Every connection sends its next request as soon as it has its response.
pub async fn closed_loop(
    target: &Target,
    ask: &Ask,
    connections: usize,
    time: Duration,
) -> io::Result<Run> {
    let tasks = prepare(target, ask, connections).await?;
    let begun = Instant::now();
    let running = tasks.into_iter().map(|(mut connection, request)| {
        tokio::spawn(async move {
            let mut run = Run::default();
            while begun.elapsed() < time {
                let sent = Instant::now();
                match connection.exchange(&request).await {
                    Ok(_) => run.add(sent.elapsed()),
                    Err(_) => {
                        run.errors += 1;
                        break;
                    }
                }
            }
            run.took = begun.elapsed();
            run
        })
    });
    gather(running).await
}

/// Sends requests at a fixed rate, distributed over the connections in turn.
pub async fn open_loop(
    target: &Target,
    ask: &Ask,
    connections: usize,
    per_second: u64,
    time: Duration,
) -> io::Result<Run> {
    let total = (time.as_secs_f64() * per_second as f64) as u32;
    let tasks = prepare(target, ask, connections).await?;
    let begun = Instant::now() + Duration::from_millis(5);
    let gap = Duration::from_secs_f64(1.0 / per_second as f64);
    let mut queues = Vec::new();
    let mut running = Vec::new();
    for (mut connection, request) in tasks {
        let (queue, mut dues) = mpsc::unbounded_channel::<Instant>();
        queues.push(queue);
        running.push(tokio::spawn(async move {
            let mut run = Run::default();
            while let Some(due) = dues.recv().await {
                match connection.exchange(&request).await {
                    Ok(_) => run.add(due.elapsed()),
                    Err(_) => {
                        run.errors += 1;
                        break;
                    }
                }
            }
            run.took = begun.elapsed();
            run
        }));
    }
    // A separate thread sleeps more precisely than the runtime's timer, which has a resolution of milliseconds.
    let pacing = std::thread::spawn(move || {
        for number in 0..total {
            let due = begun + gap * number;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // A broken connection has reported its error in its own run.
            let _ = queues[number as usize % queues.len()].send(due);
        }
    });
    let run = gather(running.into_iter()).await;
    pacing.join().map_err(|_| io::Error::other("the pacing thread panicked"))?;
    run
}

async fn gather(running: impl Iterator<Item = tokio::task::JoinHandle<Run>>) -> io::Result<Run> {
    let running: Vec<_> = running.collect();
    let mut all = Run::default();
    for task in running {
        all.merge(task.await?);
    }
    Ok(all)
}
