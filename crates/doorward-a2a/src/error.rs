//! Errors of the protocol, and what they are in each binding (spec 1.0 §3.3.2, §5.4).

mod wire;

pub use wire::{read_http, read_rpc};

use doorward_mcp::json::Value;

/// What went wrong: the errors of the protocol, those of JSON-RPC, and the failures of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    TaskNotFound,
    TaskNotCancelable,
    PushNotificationNotSupported,
    UnsupportedOperation,
    ContentTypeNotSupported,
    InvalidAgentResponse,
    ExtendedAgentCardNotConfigured,
    /// 1.0 only.
    ExtensionSupportRequired,
    /// 1.0 only.
    VersionNotSupported,
    Parse,
    InvalidRequest,
    /// Also a path that is none of the protocol's.
    MethodNotFound,
    /// HTTP+JSON: the path exists with another verb. The detail `allow` names those that it has.
    VerbNotAllowed,
    InvalidParams,
    Internal,
    /// There is no valid credential.
    Unauthenticated,
    /// The caller may not do this. Where the existence of a thing is a secret, answer `TaskNotFound` instead.
    PermissionDenied,
    /// A rate, a quota, a budget or a bound is exceeded.
    ResourceExhausted,
    /// The agent, or what the gateway needs, is not available for now.
    Unavailable,
    /// The agent did not answer in time.
    DeadlineExceeded,
    /// An agent's error with a code that the protocol does not define.
    Other,
}

/// One line of the table of errors.
struct Line {
    kind: ErrorKind,
    code: i64,
    /// HTTP statuses in 1.0 and in 0.3.
    http: (u16, u16),
    status: &'static str,
    reason: &'static str,
    /// The name of the type in 0.3.
    name: &'static str,
}

macro_rules! line {
    ($kind:ident, $code:literal, $one:literal, $old:literal, $status:literal, $reason:literal, $name:literal) => {
        Line {
            kind: ErrorKind::$kind,
            code: $code,
            http: ($one, $old),
            status: $status,
            reason: $reason,
            name: $name,
        }
    };
}

/// Codes, statuses and reasons: spec 1.0.1 §5.4, §9.5 and §11.6. The statuses of 0.3 are those of its reference SDK, for
/// the specification has none.
#[rustfmt::skip]
const TABLE: [Line; 21] = [
    line!(TaskNotFound, -32001, 404, 404, "NOT_FOUND", "TASK_NOT_FOUND", "TaskNotFoundError"),
    line!(TaskNotCancelable, -32002, 400, 409, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE", "TaskNotCancelableError"),
    line!(PushNotificationNotSupported, -32003, 400, 501, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED", "PushNotificationNotSupportedError"),
    line!(UnsupportedOperation, -32004, 400, 501, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION", "UnsupportedOperationError"),
    line!(ContentTypeNotSupported, -32005, 400, 415, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED", "ContentTypeNotSupportedError"),
    line!(InvalidAgentResponse, -32006, 500, 502, "INTERNAL", "INVALID_AGENT_RESPONSE", "InvalidAgentResponseError"),
    line!(ExtendedAgentCardNotConfigured, -32007, 400, 404, "FAILED_PRECONDITION", "EXTENDED_AGENT_CARD_NOT_CONFIGURED", "AuthenticatedExtendedCardNotConfiguredError"),
    line!(ExtensionSupportRequired, -32008, 400, 400, "FAILED_PRECONDITION", "EXTENSION_SUPPORT_REQUIRED", "ExtensionSupportRequiredError"),
    line!(VersionNotSupported, -32009, 400, 400, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED", "VersionNotSupportedError"),
    line!(Parse, -32700, 400, 400, "INVALID_ARGUMENT", "PARSE_ERROR", "JSONParseError"),
    line!(InvalidRequest, -32600, 400, 400, "INVALID_ARGUMENT", "INVALID_REQUEST", "InvalidRequestError"),
    line!(MethodNotFound, -32601, 404, 404, "NOT_FOUND", "METHOD_NOT_FOUND", "MethodNotFoundError"),
    line!(VerbNotAllowed, -32601, 405, 405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED", "MethodNotFoundError"),
    line!(InvalidParams, -32602, 400, 422, "INVALID_ARGUMENT", "INVALID_PARAMS", "InvalidParamsError"),
    line!(Internal, -32603, 500, 500, "INTERNAL", "INTERNAL_ERROR", "InternalError"),
    line!(Unauthenticated, -31013, 401, 401, "UNAUTHENTICATED", "UNAUTHENTICATED", "UnauthenticatedError"),
    line!(PermissionDenied, -31015, 403, 403, "PERMISSION_DENIED", "PERMISSION_DENIED", "PermissionDeniedError"),
    line!(ResourceExhausted, -31016, 429, 429, "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", "ResourceExhaustedError"),
    line!(Unavailable, -31001, 503, 503, "UNAVAILABLE", "UNAVAILABLE", "UnavailableError"),
    line!(DeadlineExceeded, -31003, 504, 504, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "DeadlineExceededError"),
    line!(Other, -32603, 500, 500, "UNKNOWN", "UNKNOWN", "InternalError"),
];

impl ErrorKind {
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|line| line.kind)
    }

    fn line(self) -> &'static Line {
        // Every kind has its line: a test goes through them.
        TABLE.iter().find(|line| line.kind == self).unwrap_or(&TABLE[TABLE.len() - 1])
    }

    /// The code in JSON-RPC.
    pub fn code(self) -> i64 {
        self.line().code
    }

    /// `reason` of its `google.rpc.ErrorInfo`.
    pub fn reason(self) -> &'static str {
        self.line().reason
    }

    /// Whether a task may be asked for again: the failure is not the request's.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::ResourceExhausted | Self::Unavailable | Self::DeadlineExceeded)
    }
}

/// An error, independent of revision and binding.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: ErrorKind,
    /// For people: what, why, and what to do.
    pub message: Box<str>,
    /// The code in JSON-RPC, if it is not that of the kind: the gateway's own codes, and codes of an agent.
    pub code: Option<i64>,
    /// The metadata of its `google.rpc.ErrorInfo`.
    pub metadata: Vec<(String, String)>,
    /// What is wrong with which member of the request (`google.rpc.BadRequest`).
    pub violations: Vec<Violation>,
    /// What an agent said beyond that: raw JSON.
    pub data: Option<Box<Value>>,
}

/// A member of a request that is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its path: `message.parts[0].text`.
    pub field: String,
    pub description: String,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<Box<str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            code: None,
            metadata: Vec::new(),
            violations: Vec::new(),
            data: None,
        }
    }

    /// Adds a detail, which clients read.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.metadata.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the code in JSON-RPC, such as one of [`doorward_mcp::error::Kind`].
    #[must_use]
    pub fn with_code(mut self, code: i64) -> Self {
        self.code = Some(code);
        self
    }

    /// The task does not exist, or the caller may not see it: both say the same (spec 1.0 §3.3.2).
    pub fn task_not_found() -> Self {
        Self::new(ErrorKind::TaskNotFound, "the task does not exist or is not accessible")
    }

    /// The code in JSON-RPC.
    pub fn code(&self) -> i64 {
        self.code.unwrap_or_else(|| self.kind.code())
    }
}

/// Why a value is not of the protocol: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", if path.is_empty() { String::new() } else { format!("'{path}': ") })]
pub struct Invalid {
    /// The path of the member: `message.parts[0].text`; empty for the value itself.
    pub path: String,
    pub why: String,
}

impl Invalid {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { path: String::new(), why: why.into() }
    }

    pub(crate) fn at(name: &str, why: impl Into<String>) -> Self {
        Self::new(why).within(name)
    }

    /// The same, seen from the object that contains the value as the member `name`.
    pub(crate) fn within(mut self, name: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{separator}{}", self.path);
        self
    }

    /// The same, seen from the array that contains the value as the item `index`.
    pub(crate) fn item(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }

    /// As the answer to a client whose request it is.
    pub fn of_request(self) -> Error {
        let mut error = Error::new(ErrorKind::InvalidParams, format!("Invalid parameters: {self}"));
        error.violations = vec![Violation { field: self.path, description: self.why }];
        error
    }

    /// As the answer to a client whose agent has said it. It names no content of the answer.
    pub fn of_agent(&self) -> Error {
        Error::new(
            ErrorKind::InvalidAgentResponse,
            format!("the agent's answer is not valid A2A: {self}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_line_and_its_reason() {
        let mut reasons: Vec<_> = ErrorKind::all().map(ErrorKind::reason).collect();
        assert!(ErrorKind::all().all(|kind| kind.line().kind == kind));
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), TABLE.len());
    }

    #[test]
    fn codes_are_those_of_the_specification() {
        let codes: Vec<_> = ErrorKind::all().take(9).map(ErrorKind::code).collect();
        assert_eq!(codes, (1..=9).map(|code| -32000 - code).collect::<Vec<_>>());
    }

    #[test]
    fn a_path_is_written_as_it_is_read() {
        let invalid = Invalid::at("text", "missing").item(2).within("parts").within("message");
        assert_eq!(invalid.to_string(), "'message.parts[2].text': missing");
        assert_eq!(invalid.of_request().violations[0].field, "message.parts[2].text");
    }
}
