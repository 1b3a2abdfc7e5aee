//! Every bound, its key and its default. Nothing that a peer can grow is without one.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ByteSize, Period};
use doorward_core::share::{Bounds, sharer};

/// How much there may be of anything that a peer can grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The body of a client's request. Beyond: 413.
    pub body: ByteSize,
    /// The headers of a client's request, all together. Beyond: 431.
    pub headers: ByteSize,
    /// One message of a server's: a body, an event of a stream, a line of a pipe.
    pub message: ByteSize,
    /// How deep JSON may nest.
    pub json_depth: usize,
    /// Messages in a batch (revision 2025-03-26 only).
    pub batch: usize,
    /// Client connections. Beyond, whoever has most gives way with one that is idle; where none is, new
    /// ones wait to be accepted.
    pub connections: usize,
    /// Of these, the connections of one address (of IPv6, of one /64); an eighth when absent. Beyond, the one
    /// that has been idle longest gives way; where none is idle, new ones are closed.
    pub connections_per_address: Option<usize>,
    /// Client sessions of the handshake era. Beyond: 503.
    pub sessions: usize,
    /// Open streams of one principal: listeners and sessions' streams; its share of `connections` at most.
    /// Beyond: 429.
    pub streams_per_principal: usize,
    /// Resources one listener may subscribe to.
    pub subscriptions: usize,
    /// Calls that wait for an answer of their client's.
    pub parked: usize,
    /// Rounds of questions a call may take.
    pub rounds: usize,
    /// Events that wait for a client that reads slowly, per stream.
    pub queue: usize,
    /// Events kept per stream of a session, to be sent again to a client that lost its connection.
    pub replay: usize,
    /// Pages fetched of one list of a server's.
    pub list_pages: usize,
    /// Items of one list of a server's.
    pub list_items: usize,
    /// Items on one page of a list told to a client.
    pub page: usize,
    /// Sessions held with one server of the handshake era; for a program each is a process.
    pub server_sessions: usize,
    /// Tasks kept of one server of the handshake era, until their time is over.
    pub tasks: usize,
    /// Processes of all servers.
    pub processes: usize,
    /// One caller may have one part in so many of what is bounded for all: sessions, streams, calls that wait, tasks,
    /// sessions with a server, processes, bytes that are kept, held or not read yet. With 1, one may have everything.
    pub share: usize,
    /// Bytes of one list of a server's, all its pages together.
    pub list_bytes: ByteSize,
    /// Bytes of events that are kept for clients that lost their connections, of all sessions.
    pub replay_bytes: ByteSize,
    /// Bytes of answers that clients have not read yet, each of more than 64 KiB. Beyond, an answer waits a moment for
    /// others of its caller's to be read, and is then dropped: 429, or 503 where all callers together have too much.
    pub unread_bytes: ByteSize,
    /// Bytes that are held for clients: URIs that they subscribe to, and questions of servers that wait for them.
    pub held_bytes: ByteSize,
    /// Resident memory of the gateway; when absent, five sixths of what its control group allows, or half of the
    /// machine's where it is in none. Beyond: 503 for what is new, until there is room again.
    pub memory: Option<ByteSize>,
}

impl Limits {
    pub fn connections_of_one_address(&self) -> usize {
        self.connections_per_address.unwrap_or((self.connections / 8).max(1))
    }

    /// How much there is of something, and one caller's share of it.
    pub fn shared(&self, whole: usize) -> Bounds {
        Bounds::new(whole, self.share)
    }

    /// Streams that one caller may have open.
    pub fn streams_of(&self, principal: &str) -> usize {
        let share = self.shared(self.connections).of(sharer(principal));
        self.streams_per_principal.min(share)
    }

    /// Within which a client's JSON is read.
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
            page: 1_000,
            server_sessions: 64,
            tasks: 1000,
            processes: 64,
            share: 8,
            list_bytes: ByteSize(32 << 20),
            replay_bytes: ByteSize(256 << 20),
            unread_bytes: ByteSize(512 << 20),
            held_bytes: ByteSize(256 << 20),
            memory: None,
        }
    }
}

/// How long anything may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until a client has sent its headers.
    pub headers: Period,
    /// Until a client has sent its body.
    pub body: Period,
    /// How long a connection over HTTP/2 may have no request; over HTTP/1.1 it is `headers`.
    pub idle: Period,
    /// How long a client may take nothing of what is sent to it.
    pub write: Period,
    /// Until a server is connected to.
    pub connect: Period,
    /// How long a server may leave the question of its era unanswered.
    pub probe: Period,
    /// A call, without progress; `timeout` of a server or of a tool comes first.
    pub call: Period,
    /// How long a call may be silent before its answer begins as a stream with signs of life, for
    /// clients that take one.
    pub silence: Period,
    /// A call, however much it progresses.
    pub call_with_progress: Period,
    /// How long a call waits for an answer of its client's.
    pub interaction: Period,
    /// Until a client session that nothing uses is forgotten.
    pub session: Period,
    /// Until a session with a server that nothing uses is closed.
    pub server_session: Period,
    /// Between two signs of life on an idle stream.
    pub keep_alive: Period,
    /// How long calls may go on after a shutdown was asked for.
    pub drain: Period,
}

impl Timeouts {
    /// How long a server may take to answer what the gateway asks for itself: lists, subscriptions,
    /// signs of life.
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
            silence: seconds(10),
            call_with_progress: seconds(15 * 60),
            interaction: seconds(10 * 60),
            session: seconds(60 * 60),
            server_session: seconds(10 * 60),
            keep_alive: seconds(20),
            drain: seconds(20),
        }
    }
}
