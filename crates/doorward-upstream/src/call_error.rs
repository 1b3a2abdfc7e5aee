//! Why a call ended without a result.

use doorward_core::Failure;
use doorward_inspect::written::{self, Keep};
use doorward_limits::rates::Limited;
use doorward_mcp::RpcError;
use doorward_mcp::display::harmless_line;
use doorward_mcp::error::Kind;
use doorward_policy::Decision;
use doorward_schema::Mismatches;

/// Longest error in the log, in characters.
const LONGEST_LOGGED: usize = 500;

/// Why a call ended without a result.
#[derive(Debug, Clone)]
pub enum CallError {
    /// An error defined by the specification: from the server, or for bad input.
    Rpc(RpcError),
    /// The gateway's error: something failed between it and a server.
    Gateway(Failure),
    /// A limit on size or number is exceeded, with its HTTP status.
    Refused { failure: Failure, status: u16 },
    /// A policy denies this to the caller, who may know that the target exists.
    Denied(Box<Decision>),
    /// The arguments do not match the tool's schema.
    InvalidArguments(Box<Mismatches>),
    /// A rate, quota or budget is exhausted.
    Limited(Box<Limited>),
}

impl CallError {
    /// For the operator's log: in one line and of bounded length, because servers write some of it.
    pub fn logged(&self) -> String {
        match self {
            Self::Rpc(error) => logged_rpc(error),
            Self::Gateway(failure) | Self::Refused { failure, .. } => logged_failure(failure),
            Self::Denied(decision) => one_line(&decision.reason()),
            Self::InvalidArguments(_) => "the arguments do not match the tool's schema".into(),
            Self::Limited(_) => "a rate, quota or budget is exhausted".into(),
        }
    }
}

/// An error of a server, without its data.
pub(crate) fn logged_rpc(error: &RpcError) -> String {
    one_line(&format!("{} (code {})", error.message, error.code))
}

pub(crate) fn logged_failure(failure: &Failure) -> String {
    match &failure.cause {
        Some(cause) => one_line(&format!("{}: {cause}", failure.message)),
        None => one_line(&failure.message),
    }
}

/// Secrets are removed before the text is cut: what is left of one is not recognised any more.
fn one_line(text: &str) -> String {
    let text = &*written::text(text, Keep::Addresses);
    let end = text.char_indices().nth(LONGEST_LOGGED);
    let (text, more) = match end {
        Some((end, _)) => (&text[..end], "…"),
        None => (text, ""),
    };
    format!("{}{more}", harmless_line(text))
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Gateway(failure)
    }
}

impl From<RpcError> for CallError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

/// The call was cancelled because nobody waits for its result.
pub(crate) fn client_gone() -> CallError {
    Failure::new(Kind::Closing, "The client is no longer waiting").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_servers_are_logged_in_one_short_line_without_their_data() {
        let mut error = RpcError::invalid_request("a\nWARN b\u{1b}[31m\u{202e}");
        error.data = Some("hunter2".into());
        let code = error.code;
        let logged = CallError::Rpc(error.clone()).logged();
        assert_eq!(logged, format!("a\\nWARN b\\u{{1b}}[31m\\u{{202e}} (code {code})"));
        error.message = "x".repeat(100_000);
        assert_eq!(CallError::Rpc(error).logged().chars().count(), LONGEST_LOGGED + 1);
        let secret = "npm_y1Jhnf0CzQ8wRt5LmVbXk2PsDg7HaE3uNc9o";
        let mut error = RpcError::invalid_request("");
        error.message = format!("{} {secret}", "x".repeat(LONGEST_LOGGED - 12));
        assert!(!CallError::Rpc(error).logged().contains("npm_"));
        let mut failure = Failure::new(Kind::Unreachable, "The server cannot be reached");
        failure.cause = Some("dns\rerror".into());
        let logged = CallError::Gateway(failure).logged();
        assert_eq!(logged, "The server cannot be reached: dns\\u{d}error");
    }
}
