//! A hand-written HTTP client, which can send what a well-behaved library would not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Gateway, PATIENCE};

/// The total time limit for a response that is a stream.
const ANSWER: Duration = PATIENCE.saturating_mul(3);

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All messages of the response, whether it is JSON or a stream.
    pub fn messages(&self) -> Vec<Value> {
        if self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
            return data.map(|text| serde_json::from_str(text).unwrap()).collect();
        }
        if self.body.trim().is_empty() {
            return Vec::new();
        }
        vec![serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))]
    }

    /// The last message, which is the response to the request.
    pub fn json(&self) -> Value {
        self.messages().pop().unwrap_or_default()
    }

    pub fn result(&self) -> Value {
        let message = self.json();
        assert!(message.get("result").is_some(), "no result: {} {}", self.status, self.body);
        message["result"].clone()
    }

    /// The text of the first content block.
    pub fn text(&self) -> String {
        self.result()["content"][0]["text"].as_str().unwrap_or_default().to_owned()
    }

    pub fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or(0)
    }

    /// The kind of an error that the gateway itself returned.
    pub fn kind(&self) -> String {
        self.json()["error"]["data"]["kind"].as_str().unwrap_or_default().to_owned()
    }
}

/// A response whose body is still arriving.
pub struct Stream {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
    /// The bytes left in the current chunk.
    chunk: usize,
    chunked: bool,
    ended: bool,
    /// The deadline for the next event. Pings do not extend it.
    until: Instant,
    pub last_id: Option<String>,
}

impl Stream {
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        while let Some(byte) = self.byte() {
            if byte == b'\n' {
                return String::from_utf8(line).ok();
            }
            line.push(byte);
        }
        String::from_utf8(line).ok().filter(|line| !line.is_empty())
    }

    fn byte(&mut self) -> Option<u8> {
        if self.ended {
            return None;
        }
        if self.chunked && self.chunk == 0 {
            assert!(Instant::now() < self.until, "waited in vain: nothing came but signs of life");
            let mut size = String::new();
            self.reader.read_line(&mut size).ok().filter(|read| *read > 0)?;
            self.chunk = usize::from_str_radix(size.trim(), 16).ok()?;
            if self.chunk == 0 {
                self.ended = true;
                return None;
            }
        }
        let mut byte = [0];
        self.reader.read_exact(&mut byte).ok()?;
        if self.chunked {
            self.chunk -= 1;
            if self.chunk == 0 {
                let mut end = [0; 2];
                self.reader.read_exact(&mut end).ok()?;
            }
        }
        Some(byte[0])
    }

    /// The data of the next event that has any, or `None` when the stream has ended.
    pub fn event(&mut self) -> Option<String> {
        self.until = Instant::now() + PATIENCE;
        let mut data: Option<String> = None;
        loop {
            let line = self.line()?;
            if let Some(id) = line.strip_prefix("id: ") {
                self.last_id = Some(id.to_owned());
            }
            if let Some(text) = line.strip_prefix("data: ") {
                data = Some(data.map_or_else(|| text.to_owned(), |data| format!("{data}\n{text}")));
            }
            if line.is_empty() && data.as_ref().is_some_and(|data| !data.is_empty()) {
                return data;
            }
        }
    }

    pub fn message(&mut self) -> Option<Value> {
        self.event().map(|text| serde_json::from_str(&text).unwrap())
    }

    /// The socket, for tests that do not want to read.
    pub fn socket(&self) -> &TcpStream {
        self.reader.get_ref()
    }
}

/// Connects. Connecting, reading and writing have deadlines.
pub fn connect(address: &str) -> TcpStream {
    let resolved: SocketAddr = address.parse().unwrap();
    let stream = TcpStream::connect_timeout(&resolved, PATIENCE)
        .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends a request and reads the headers of its response.
pub fn open(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Stream> {
    read_head(begin(address, method, path, headers, body)?)
}

/// Sends a request without reading the response.
pub fn begin(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<TcpStream> {
    let mut stream = connect(address);
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let has_body = matches!(method, "POST" | "PUT");
    if has_body {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    // A server that refuses early may not read the rest.
    if has_body {
        let _ = stream.write_all(body);
    }
    Ok(stream)
}

pub fn read_head(stream: TcpStream) -> std::io::Result<Stream> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no status: {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let chunked =
        headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let until = Instant::now() + ANSWER;
    Ok(Stream { status, headers, reader, chunk: 0, chunked, ended: false, until, last_id: None })
}

/// Sends a request and reads its complete response.
pub fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    open(address, method, path, headers, body)?.whole()
}

impl Stream {
    pub fn whole(mut self) -> std::io::Result<Answer> {
        let stream = &mut self;
        let length = stream.headers.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, value)| value.parse::<usize>().ok());
        let body = match length {
            Some(length) => {
                let mut body = vec![0; length];
                stream.reader.read_exact(&mut body)?;
                String::from_utf8_lossy(&body).into_owned()
            }
            None if stream.chunked => {
                let mut body = String::new();
                while let Some(line) = stream.line() {
                    body.push_str(&line);
                    body.push('\n');
                }
                body
            }
            None => String::new(),
        };
        Ok(Answer { status: self.status, headers: self.headers, body })
    }
}

pub fn get(address: &str, path: &str) -> (u16, String) {
    match send(address, "GET", path, &[], b"") {
        Ok(answer) => (answer.status, answer.body),
        Err(_) => (0, String::new()),
    }
}

pub const JSON: [(&str, &str); 2] =
    [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];

/// A client of 2026-07-28.
#[derive(Debug, Clone)]
pub struct Modern {
    pub address: String,
    pub path: String,
    pub capabilities: Value,
    pub authorization: Option<String>,
}

impl Modern {
    pub fn new(gateway: &Gateway, path: &str) -> Self {
        Self {
            address: gateway.address.clone(),
            path: path.into(),
            capabilities: json!({}),
            authorization: None,
        }
    }

    /// The same client with a key or token.
    pub fn bearing(mut self, token: &str) -> Self {
        self.authorization = Some(format!("Bearer {token}"));
        self
    }

    pub fn with(mut self, capabilities: Value) -> Self {
        self.capabilities = capabilities;
        self
    }

    pub fn body(&self, method: &str, mut params: Value) -> Value {
        let meta = &mut params["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
        meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
    }

    pub fn headers(body: &Value) -> Vec<(String, String)> {
        let method = body["method"].as_str().unwrap_or_default();
        let mut headers = vec![
            ("mcp-protocol-version".to_owned(), "2026-07-28".to_owned()),
            ("mcp-method".to_owned(), method.to_owned()),
        ];
        let name = match method {
            "tools/call" | "prompts/get" => body["params"]["name"].as_str(),
            "resources/read" => body["params"]["uri"].as_str(),
            "tasks/get" | "tasks/update" | "tasks/cancel" => body["params"]["taskId"].as_str(),
            _ => None,
        };
        if let Some(name) = name {
            headers.push(("mcp-name".to_owned(), name.to_owned()));
        }
        headers
    }

    pub fn open(&self, body: &Value) -> Stream {
        read_head(self.begin(body)).unwrap()
    }

    /// Sends a request without reading the response.
    pub fn begin(&self, body: &Value) -> TcpStream {
        let headers = Self::headers(body);
        let mut all: Vec<(&str, &str)> = JSON.to_vec();
        all.extend(self.authorization.as_deref().map(|text| ("authorization", text)));
        all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        begin(&self.address, "POST", &self.path, &all, body.to_string().as_bytes()).unwrap()
    }

    pub fn send(&self, body: &Value, extra: &[(&str, &str)]) -> Answer {
        let headers = Self::headers(body);
        let mut all: Vec<(&str, &str)> = JSON.to_vec();
        all.extend(self.authorization.as_deref().map(|text| ("authorization", text)));
        all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        all.extend(extra);
        send(&self.address, "POST", &self.path, &all, body.to_string().as_bytes()).unwrap()
    }

    pub fn ask(&self, method: &str, params: Value) -> Answer {
        self.send(&self.body(method, params), &[])
    }

    pub fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.ask("tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// Opens a listening stream and waits until the server acknowledges it.
    pub fn listen(&self, notifications: Value) -> Stream {
        let body = self.body("subscriptions/listen", json!({ "notifications": notifications }));
        let mut stream = self.open(&body);
        assert_eq!(stream.status, 200);
        let first = stream.message().unwrap();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
        stream
    }
}

/// A client with an initialized session.
#[derive(Debug, Clone)]
pub struct Handshake {
    pub address: String,
    pub path: String,
    pub session: String,
    pub revision: String,
    /// The result of `initialize`.
    pub about: Value,
    pub authorization: Option<String>,
}

impl Handshake {
    pub fn open(gateway: &Gateway, path: &str, revision: &str, capabilities: Value) -> Self {
        Self::open_bearing(gateway, path, revision, capabilities, None)
    }

    pub fn open_bearing(
        gateway: &Gateway,
        path: &str,
        revision: &str,
        capabilities: Value,
        token: Option<&str>,
    ) -> Self {
        let answer = Self::initialize_bearing(gateway, path, revision, capabilities, token);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let client = Self {
            authorization: token.map(|token| format!("Bearer {token}")),
            address: gateway.address.clone(),
            path: path.into(),
            session: answer.header("mcp-session-id").unwrap().to_owned(),
            revision: revision.into(),
            about: answer.result(),
        };
        client.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    pub fn initialize(
        gateway: &Gateway,
        path: &str,
        revision: &str,
        capabilities: Value,
    ) -> Answer {
        Self::initialize_bearing(gateway, path, revision, capabilities, None)
    }

    pub fn initialize_bearing(
        gateway: &Gateway,
        path: &str,
        revision: &str,
        capabilities: Value,
        token: Option<&str>,
    ) -> Answer {
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": revision, "capabilities": capabilities,
            "clientInfo": { "name": "test", "version": "1" } } });
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers = JSON.to_vec();
        headers.extend(authorization.as_deref().map(|text| ("authorization", text)));
        send(&gateway.address, "POST", path, &headers, body.to_string().as_bytes()).unwrap()
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        let mut headers = JSON.to_vec();
        headers.extend(self.authorization.as_deref().map(|text| ("authorization", text)));
        headers.push(("mcp-session-id", self.session.as_str()));
        headers.push(("mcp-protocol-version", self.revision.as_str()));
        headers
    }

    /// Sends any message in the session.
    pub fn send(&self, body: &Value) -> Answer {
        send(&self.address, "POST", &self.path, &self.headers(), body.to_string().as_bytes())
            .unwrap()
    }

    pub fn tell(&self, body: &Value) {
        assert_eq!(self.send(body).status, 202);
    }

    /// Sends a request without reading the response.
    pub fn begin(&self, body: &Value) -> TcpStream {
        begin(&self.address, "POST", &self.path, &self.headers(), body.to_string().as_bytes())
            .unwrap()
    }

    pub fn open_stream(&self, body: &Value) -> Stream {
        read_head(self.begin(body)).unwrap()
    }

    pub fn ask(&self, id: i64, method: &str, params: Value) -> Answer {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
    }

    pub fn call(&self, id: i64, tool: &str, arguments: Value) -> Answer {
        self.ask(id, "tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// The session's listening stream, resumed after an event if one is given.
    pub fn listen(&self, after: Option<&str>) -> Stream {
        let mut headers = self.headers();
        if let Some(after) = after {
            headers.push(("last-event-id", after));
        }
        open(&self.address, "GET", &self.path, &headers, b"").unwrap()
    }

    pub fn end(&self) -> u16 {
        send(&self.address, "DELETE", &self.path, &self.headers(), b"").unwrap().status
    }
}

/// Waits briefly, so that something unwanted would show.
pub fn moment() {
    std::thread::sleep(Duration::from_millis(150));
}

/// The status of a page, or `None` if nothing answers.
pub fn try_get(address: &str, path: &str) -> Option<u16> {
    TcpStream::connect(address).ok()?;
    Some(get(address, path).0)
}
