//! Every limit, its key and its default. Everything that a peer can make grow has one.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Period};
use doorward_core::share::{Bounds, sharer};

/// Limits on everything that clients and servers can make grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Size of the body of a client's request. Beyond: 413.
    pub body: ByteSize,
    /// Total size of the headers of a client's request. Beyond: 431.
    pub headers: ByteSize,
    /// Size of one message of a server: a body, an event of a stream, or a line on standard output.
    pub message: ByteSize,
    /// Maximum nesting depth of JSON.
    pub json_depth: usize,
    /// Messages in a batch (revision 2025-03-26 only).
    pub batch: usize,
    /// Client connections. Beyond, an idle connection of the client with the most connections is closed; if none
    /// is idle, new connections wait to be accepted.
    pub connections: usize,
    /// Client connections from one address (for IPv6, one /64). Default: one eighth of `connections`. Beyond, the
    /// connection that has been idle longest is closed; if none is idle, new connections are closed.
    pub connections_per_address: Option<usize>,
    /// Client sessions of the handshake era. Beyond: 503.
    pub sessions: usize,
    /// Open streams of one principal: listeners and session streams; at most its share of `connections`. Beyond:
    /// 429.
    pub streams_per_principal: usize,
    /// Resources that one listener may subscribe to.
    pub subscriptions: usize,
    /// Calls that wait for a response of their client to an elicitation or sampling request.
    pub parked: usize,
    /// Rounds of elicitation and sampling requests in one call.
    pub rounds: usize,
    /// Events that wait for a client that reads slowly, per stream.
    pub queue: usize,
    /// Events stored per stream of a session, to be resent to a client that lost its connection.
    pub replay: usize,
    /// Pages to fetch of one list of a server.
    pub list_pages: usize,
    /// Items of one list of a server.
    pub list_items: usize,
    /// Items on one page of a list that clients receive.
    pub page_size: usize,
    /// Sessions with one server of the handshake era; for a server with `command`, each is a process.
    pub server_sessions: usize,
    /// Tasks stored of one server of the handshake era, until they expire.
    pub tasks: usize,
    /// Conversations whose labels are stored (`flow`). Beyond, callers carry every label.
    /// Conversations whose calls are counted (`conversations`). Beyond, the counts unused for longest are dropped.
    pub conversations: usize,
    /// Processes of all servers.
    pub processes: usize,
    /// Share of each global limit that one caller may use, as one part in this number: sessions, streams, waiting
    /// calls, tasks, conversations, sessions with a server, processes, and buffered bytes. With 1, one caller may use
    /// everything.
    pub caller_share: usize,
    /// Bytes of one list of a server, all its pages together.
    pub list_bytes: ByteSize,
    /// Bytes of events stored for clients that lost their connections, of all sessions.
    pub replay_bytes: ByteSize,
    /// Bytes of responses larger than 64 KiB that clients have not read yet. Beyond, a response waits briefly for
    /// others of the same caller to be read, and is then dropped: 429, or 503 if all callers together use too
    /// much.
    pub unread_bytes: ByteSize,
    /// Bytes stored for clients: URIs that they subscribe to, and pending elicitation and sampling requests.
    pub held_bytes: ByteSize,
    /// Resident memory of the gateway. Default: five sixths of the limit of its control group, or half of the
    /// machine's memory without one. Beyond: new requests get 503 until memory is available.
    pub memory: Option<ByteSize>,
}

impl Limits {
    pub fn connections_of_one_address(&self) -> usize {
        self.connections_per_address.unwrap_or((self.connections / 8).max(1))
    }

    /// A limit, and one caller's share of it.
    pub fn shared(&self, whole: usize) -> Bounds {
        Bounds::new(whole, self.caller_share)
    }

    /// Streams that one caller may have open.
    pub fn streams_of(&self, principal: &str) -> usize {
        let share = self.shared(self.connections).of(sharer(principal));
        self.streams_per_principal.min(share)
    }

    /// Limits for parsing a client's JSON.
    pub fn json(&self) -> doorward_mcp::json::Limits {
        doorward_mcp::json::Limits {
            depth: self.json_depth,
            ..doorward_mcp::json::Limits::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: ByteSize(4 << 20),
            headers: ByteSize(32 << 10),
            message: ByteSize(16 << 20),
            json_depth: 128,
            batch: 64,
            connections: 16_384,
            connections_per_address: None,
            sessions: 10_000,
            streams_per_principal: 4_096,
            subscriptions: 1_000,
            parked: 1_024,
            rounds: 16,
            queue: 256,
            replay: 256,
            list_pages: 100,
            list_items: 10_000,
            page_size: 1_000,
            server_sessions: 64,
            tasks: 1000,
            conversations: 100_000,
            processes: 64,
            caller_share: 8,
            list_bytes: ByteSize(32 << 20),
            replay_bytes: ByteSize(256 << 20),
            unread_bytes: ByteSize(512 << 20),
            held_bytes: ByteSize(256 << 20),
            memory: None,
        }
    }
}

/// Timeouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until a client has sent its headers.
    pub headers: Period,
    /// Until a client has sent its body.
    pub body: Period,
    /// How long an HTTP/2 connection may be idle; for HTTP/1.1, `headers` applies.
    pub idle: Period,
    /// How long a client may stop reading what is sent to it.
    pub write: Period,
    /// Until the connection to a server is established.
    pub connect: Period,
    /// How long a server may take to respond when its era is detected.
    pub probe: Period,
    /// A call without progress; the `timeout` of a server or tool takes precedence.
    pub call: Period,
    /// How long a call may take before its response becomes a stream with keep-alives, for clients that accept
    /// one.
    pub stream_after: Period,
    /// A call, including one that reports progress.
    pub call_with_progress: Period,
    /// How long a call waits for a response of its client to an elicitation or sampling request.
    pub interaction: Period,
    /// Until an unused client session is closed.
    pub session: Period,
    /// Until an unused session with a server is closed.
    pub server_session: Period,
    /// Interval of keep-alives on an idle stream.
    pub keep_alive: Period,
    /// How long calls may continue after a shutdown was requested.
    pub drain: Period,
}

impl Timeouts {
    /// How long a server may take to respond to the gateway's own requests: lists, subscriptions, pings.
    pub fn own_request(&self) -> Duration {
        self.call.0.min(Duration::from_secs(60))
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |seconds| Period(Duration::from_secs(seconds));
        Self {
            headers: seconds(10),
            body: seconds(30),
            idle: seconds(2 * 60),
            write: seconds(60),
            connect: seconds(10),
            probe: seconds(5),
            call: seconds(5 * 60),
            stream_after: seconds(10),
            call_with_progress: seconds(15 * 60),
            interaction: seconds(10 * 60),
            session: seconds(60 * 60),
            server_session: seconds(10 * 60),
            keep_alive: seconds(20),
            drain: seconds(20),
        }
    }
}
