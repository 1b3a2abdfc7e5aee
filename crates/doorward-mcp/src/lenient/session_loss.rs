//! Detects sessions that a server has lost. The specification defines 404 for it (2025-11-25 basic/transports); servers
//! report it in other ways, too.

use crate::RpcError;
use crate::error::code;

/// What several SDKs answer for a session that they do not know.
const UNKNOWN_SESSION: i64 = -32001;

/// What the Python SDK says, as an error of the parameters.
const BEFORE_INITIALIZATION: &str = "before initialization was complete";

/// How a lost session is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// In so many words: nothing was done.
    Plainly,
    /// It may well be: the session is not used any more. What came of the request cannot be told.
    Perhaps,
}

/// Whether an error says that a session is lost.
pub fn told_by(error: &RpcError) -> Option<Told> {
    // A tool may keep sessions of its own, and be asked about one that it does not know.
    let is_sdk = error.message.to_ascii_lowercase().contains(BEFORE_INITIALIZATION);
    if (error.code == code::INVALID_PARAMS && !is_sdk) || !in_words(&error.message) {
        return None;
    }
    Some(if error.code == UNKNOWN_SESSION { Told::Plainly } else { Told::Perhaps })
}

/// Whether a text says that a session is not there.
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
    // What the official SDKs answer in a session that was never opened, as all are after a restart.
    let of_start = text.contains("not initialized")
        && ["server", "client", "connection"].iter().any(|who| text.contains(who));
    of_session || of_start || text.contains(BEFORE_INITIALIZATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_sessions_are_told_in_many_ways() {
        for (code, message, told) in [
            (-32001, "Session not found", Some(Told::Plainly)),
            (-32001, "Request timed out", None),
            (-32000, "Bad Request: No valid session ID provided", Some(Told::Perhaps)),
            (-32600, "Session has expired", Some(Told::Perhaps)),
            (-32603, "session terminated", Some(Told::Perhaps)),
            (-32602, "Unknown session: browser-7", None),
            (-32000, "Bad Request: Server not initialized", Some(Told::Perhaps)),
            (-32002, "Server not initialized", Some(Told::Perhaps)),
            (-32602, "Received request before initialization was complete", Some(Told::Perhaps)),
            (-32603, "Model not initialized", None),
            (-32603, "the session could not be saved", None),
            (-32603, "not found", None),
        ] {
            assert_eq!(told_by(&RpcError::new(code, message)), told, "{code} {message}");
        }
    }
}
