//! When a server is connected to, and who shares its sessions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// When the gateway starts.
    #[default]
    Eager,
    /// At the first use.
    Lazy,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Affinity {
    /// All callers share sessions: for servers that store nothing in them.
    Shared,
    /// Callers of one principal share sessions.
    #[default]
    Principal,
    /// Every client session has its own sessions. Modern clients, which have no session, share by principal.
    Session,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCapabilities {
    /// As `shared`, with what its clients declare, once the server has shown that it makes no difference: it responds
    /// the same to `initialize` and lists the same for clients that declare different capabilities, and sends no
    /// elicitation, sampling or roots request. As `separate` until then, and from its first such request on.
    #[default]
    Auto,
    /// A session, and where the server is a program a process, for each set of capabilities that clients declare.
    Separate,
    /// One session for all: it declares elicitation, sampling and roots. A request that a client does not support is
    /// answered with an error.
    Shared,
}
