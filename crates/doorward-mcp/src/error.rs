//! JSON-RPC errors: the codes of the specification and of the gateway.

use bytes::{BufMut, Bytes, BytesMut};

use crate::json::{Object, Value, quote_into};
use crate::revision::Revision;

/// Codes of JSON-RPC 2.0 and of the specification (spec 2026-07-28 basic/index). The range -32020 to -32099 is
/// reserved for the specification.
pub mod code {
    pub const PARSE: i64 = -32700;
    pub const INVALID_REQUEST: i64 = -32600;
    pub const METHOD_NOT_FOUND: i64 = -32601;
    pub const INVALID_PARAMS: i64 = -32602;
    pub const INTERNAL: i64 = -32603;
    pub const HEADER_MISMATCH: i64 = -32020;
    pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
    pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;
    /// Handshake era only.
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
    /// 2025-11-25 only.
    pub const URL_ELICITATION_REQUIRED: i64 = -32042;
}

/// The gateway's own errors: failures between the gateway and a server, or in the gateway itself. Each has a
/// stable code outside the range reserved by JSON-RPC (-32768 to -32000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The server could not be reached: name resolution, connection or TLS failed, or its process did not start.
    Unreachable,
    /// The server returned an HTTP error status.
    HttpStatus,
    /// The deadline of the call has passed.
    Timeout,
    /// The server's response is not JSON.
    InvalidJson,
    /// The server's response is JSON but not a JSON-RPC response.
    InvalidMessage,
    /// The server responded to an unknown request.
    WrongId,
    /// The server's stream or process ended before the response.
    StreamEnded,
    /// A message from the server is larger than the limit.
    TooLarge,
    /// The server lost the session, and a retry could execute the call twice.
    SessionLost,
    /// A limit of the gateway is reached: sessions, parked exchanges, processes, streams, queues.
    Overloaded,
    /// The client reads too slowly, and its queue is full.
    SlowReader,
    /// The server requires input that this client cannot provide.
    Interaction,
    /// The server requires a login, or rejects the gateway's credential.
    Unauthorized,
    /// The gateway is shutting down, or the server was removed from the configuration.
    Closing,
    /// A policy of the gateway denies the call.
    Denied,
    /// A rate limit, quota or concurrency limit is exceeded.
    RateLimited,
    /// The call cannot be written to the audit log, which is required.
    AuditUnavailable,
    /// There is not enough credit for the call.
    OutOfCredit,
    /// The tool was called, and its result does not match its output schema.
    InvalidResult,
    /// The server has failed too often: circuit open.
    CircuitOpen,
    /// The credit cannot be checked because the database is unavailable.
    CreditUnavailable,
    /// An administrator has stopped the server, the tool, the caller or everything.
    Stopped,
    /// An external check refuses the call or its result.
    CheckRefused,
    /// An external check that must pass could not be made.
    CheckFailed,
    /// Neither the server nor one of its replicas may receive the data of the call.
    DataNotPermitted,
    /// The conversation has reached one of its bounds: calls, cost, equal calls in a row, agents.
    ConversationLimit,
    /// The labels of what the call returns cannot be stored, so it is not made.
    FlowUnavailable,
}

impl Kind {
    pub const ALL: [Self; 27] = [
        Self::Unreachable,
        Self::HttpStatus,
        Self::Timeout,
        Self::InvalidJson,
        Self::InvalidMessage,
        Self::WrongId,
        Self::StreamEnded,
        Self::TooLarge,
        Self::SessionLost,
        Self::Overloaded,
        Self::SlowReader,
        Self::Interaction,
        Self::Unauthorized,
        Self::Closing,
        Self::Denied,
        Self::RateLimited,
        Self::AuditUnavailable,
        Self::OutOfCredit,
        Self::InvalidResult,
        Self::CircuitOpen,
        Self::CreditUnavailable,
        Self::Stopped,
        Self::CheckRefused,
        Self::CheckFailed,
        Self::DataNotPermitted,
        Self::ConversationLimit,
        Self::FlowUnavailable,
    ];

    /// The numeric error code. It never changes once released.
    pub const fn code(self) -> i64 {
        match self {
            Self::Unreachable => -31001,
            Self::HttpStatus => -31002,
            Self::Timeout => -31003,
            Self::InvalidJson => -31004,
            Self::InvalidMessage => -31005,
            Self::WrongId => -31006,
            Self::StreamEnded => -31007,
            Self::TooLarge => -31008,
            Self::SessionLost => -31009,
            Self::Overloaded => -31010,
            Self::SlowReader => -31011,
            Self::Interaction => -31012,
            Self::Unauthorized => -31013,
            Self::Closing => -31014,
            Self::Denied => -31015,
            Self::RateLimited => -31016,
            Self::AuditUnavailable => -31017,
            Self::OutOfCredit => -31018,
            Self::InvalidResult => -31019,
            Self::CircuitOpen => -31020,
            Self::CreditUnavailable => -31021,
            Self::Stopped => -31022,
            Self::CheckRefused => -31026,
            Self::CheckFailed => -31027,
            Self::DataNotPermitted => -31028,
            Self::ConversationLimit => -31029,
            Self::FlowUnavailable => -31030,
        }
    }

    /// The name in `data.kind`, in metrics and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::HttpStatus => "http_status",
            Self::Timeout => "timeout",
            Self::InvalidJson => "invalid_json",
            Self::InvalidMessage => "invalid_message",
            Self::WrongId => "wrong_id",
            Self::StreamEnded => "stream_ended",
            Self::TooLarge => "too_large",
            Self::SessionLost => "session_lost",
            Self::Overloaded => "overloaded",
            Self::SlowReader => "slow_reader",
            Self::Interaction => "interaction",
            Self::Unauthorized => "unauthorized",
            Self::Closing => "closing",
            Self::Denied => "denied",
            Self::RateLimited => "rate_limited",
            Self::AuditUnavailable => "audit_unavailable",
            Self::OutOfCredit => "out_of_credit",
            Self::InvalidResult => "invalid_result",
            Self::CircuitOpen => "circuit_open",
            Self::CreditUnavailable => "credit_unavailable",
            Self::Stopped => "stopped",
            Self::CheckRefused => "check_refused",
            Self::CheckFailed => "check_failed",
            Self::DataNotPermitted => "data_not_permitted",
            Self::ConversationLimit => "conversation_limit",
            Self::FlowUnavailable => "flow_unavailable",
        }
    }
}

/// The error member of a JSON-RPC response. `data` is raw JSON and is passed on unchanged.
#[derive(Debug, Clone)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

impl RpcError {
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub fn with_data(mut self, data: &impl serde::Serialize) -> Self {
        self.data = Some(Value::from_serde(data));
        self
    }

    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_REQUEST, message)
    }

    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_PARAMS, message)
    }

    pub fn method_not_found(method: &str) -> Self {
        Self::new(code::METHOD_NOT_FOUND, format!("Method not found: {method}"))
    }

    pub fn header_mismatch(message: impl Into<String>) -> Self {
        Self::new(code::HEADER_MISMATCH, message)
    }

    /// `data: {supported, requested}` (spec 2026-07-28 basic/versioning).
    pub fn unsupported_version(requested: &str, supported: &[Revision]) -> Self {
        let supported: Vec<_> = supported.iter().map(|revision| revision.as_str()).collect();
        Self::new(code::UNSUPPORTED_PROTOCOL_VERSION, "Unsupported protocol version")
            .with_data(&serde_json::json!({ "supported": supported, "requested": requested }))
    }

    /// `data: {requiredCapabilities}` (spec 2026-07-28 basic/index).
    pub fn missing_capability(name: &str) -> Self {
        Self::new(
            code::MISSING_CLIENT_CAPABILITY,
            format!("This request needs the client capability '{name}', which it did not declare"),
        )
        .with_data(&serde_json::json!({ "requiredCapabilities": { name: {} } }))
    }

    /// The same for an extension, by its identifier.
    pub fn missing_extension(name: &str) -> Self {
        let needed = serde_json::json!({ "requiredCapabilities": { "extensions": { name: {} } } });
        let message =
            format!("This request needs the extension '{name}', which the client did not declare");
        Self::new(code::MISSING_CLIENT_CAPABILITY, message).with_data(&needed)
    }

    /// Whether a request was refused because its client did not declare an extension.
    pub fn wants_extension(&self, name: &str) -> bool {
        let data = self.data.as_ref().and_then(Value::as_object);
        let needed = data.as_ref().and_then(|data| data.object("requiredCapabilities"));
        self.code == code::MISSING_CLIENT_CAPABILITY
            && needed.is_some_and(|all| {
                all.object("extensions").is_some_and(|extensions| extensions.contains(name))
            })
    }

    /// A gateway error, with `data: {kind, server, retryable, call}`.
    pub fn gateway(kind: Kind, message: &str, server: &str, retryable: bool, call: &str) -> Self {
        Self::new(kind.code(), message).with_data(&serde_json::json!({
            "kind": kind.as_str(), "server": server, "retryable": retryable, "call": call,
        }))
    }

    /// Parses the error member of a response; `None` if it is invalid.
    pub fn read(error: &Object) -> Option<Self> {
        let code = error.get("code")?.to_bytes();
        Some(Self {
            code: std::str::from_utf8(&code).ok()?.parse().ok()?,
            message: error.string("message")?.into_owned(),
            data: error.get("data").cloned(),
        })
    }

    pub fn write(&self, out: &mut BytesMut) {
        out.put_slice(b"{\"code\":");
        out.put_slice(self.code.to_string().as_bytes());
        out.put_slice(b",\"message\":");
        quote_into(out, &self.message);
        if let Some(data) = &self.data {
            out.put_slice(b",\"data\":");
            out.put_slice(&data.to_bytes());
        }
        out.put_u8(b'}');
    }

    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.write(&mut out);
        out.freeze()
    }

    /// The status of an HTTP response with this error to a modern client (spec 2026-07-28
    /// basic/transports/streamable-http).
    pub fn modern_status(&self) -> u16 {
        match self.code {
            code::PARSE
            | code::INVALID_REQUEST
            | code::HEADER_MISMATCH
            | code::MISSING_CLIENT_CAPABILITY
            | code::UNSUPPORTED_PROTOCOL_VERSION => 400,
            code::METHOD_NOT_FOUND => 404,
            _ => 200,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_codes_are_distinct_and_outside_the_reserved_range() {
        let mut codes: Vec<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert!(codes.iter().all(|code| !(-32768..=-32000).contains(code)));
        codes.dedup();
        assert_eq!(codes.len(), Kind::ALL.len());
    }
}
