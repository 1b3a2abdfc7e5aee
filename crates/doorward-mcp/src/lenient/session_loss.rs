//! Detects sessions that a server has lost. The specification defines 404 for it (2025-11-25 basic/transports); servers
//! report it in other ways, too.

use crate::RpcError;
use crate::error::code;

/// The error code of several SDKs for an unknown session.
const UNKNOWN_SESSION: i64 = -32001;

/// The message of the Python SDK, with the code for invalid params.
const BEFORE_INITIALIZATION: &str = "before initialization was complete";

/// How a lost session is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// Explicitly: the request was not executed.
    Explicitly,
    /// Possibly: the session is not used any more. Whether the request was executed is unknown.
    Possibly,
}

/// Whether an error reports a lost session.
pub fn reported_by(error: &RpcError) -> Option<Reported> {
    // A tool may have sessions of its own and reject one as invalid params.
    let is_sdk = error.message.to_ascii_lowercase().contains(BEFORE_INITIALIZATION);
    if (error.code == code::INVALID_PARAMS && !is_sdk) || !in_words(&error.message) {
        return None;
    }
    Some(if error.code == UNKNOWN_SESSION { Reported::Explicitly } else { Reported::Possibly })
}

/// Whether a text reports that a session does not exist.
pub fn in_words(text: &str) -> bool {
    const WORDS: [&str; 19] = [
        "not found",
        "unknown",
        "invalid",
        "expired",
        "not valid",
        "no valid",
        "not exist",
        "n't exist",
        "no such",
        "terminated",
        "closed",
        "not initialized",
        "no longer",
        "no active",
        "lost",
        "gone",
        "stale",
        "recognized",
        "missing",
    ];
    let text = text.to_ascii_lowercase();
    let of_session = text.contains("session") && WORDS.iter().any(|word| text.contains(word));
    // The message of the official SDKs in a session that was never opened, as is the case after a restart.
    let of_start = text.contains("not initialized")
        && ["server", "client", "connection"].iter().any(|who| text.contains(who));
    of_session || of_start || text.contains(BEFORE_INITIALIZATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_sessions_are_detected() {
        for (code, message, told) in [
            (-32001, "Session not found", Some(Reported::Explicitly)),
            (-32001, "Request timed out", None),
            (-32000, "Bad Request: No valid session ID provided", Some(Reported::Possibly)),
            (-32600, "Session has expired", Some(Reported::Possibly)),
            (-32603, "session terminated", Some(Reported::Possibly)),
            (-32602, "Unknown session: browser-7", None),
            (-32000, "Bad Request: Server not initialized", Some(Reported::Possibly)),
            (-32002, "Server not initialized", Some(Reported::Possibly)),
            (
                -32602,
                "Received request before initialization was complete",
                Some(Reported::Possibly),
            ),
            (-32603, "Model not initialized", None),
            (-32603, "the session could not be saved", None),
            (-32603, "not found", None),
        ] {
            assert_eq!(reported_by(&RpcError::new(code, message)), told, "{code} {message}");
        }
    }
}
