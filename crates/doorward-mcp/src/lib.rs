//! The Model Context Protocol on the wire.
//!
//! Everything here is a pure function or a state machine: no sockets, no tasks, no clock, no log. The gateway
//! passes bytes in and receives decisions and bytes, so every rule of the protocol can be tested by table and
//! fuzzed.
//!
//! | module | content |
//! |---|---|
//! | [`json`] | the strict JSON parser, and raw members that are passed on unchanged |
//! | [`message`] | JSON-RPC envelopes: requests, notifications, responses, batches |
//! | [`display`] | sanitized external text |
//! | [`lenient`] | messages of servers that deviate from the specification |
//! | [`error`] | error codes of the specification and of this gateway |
//! | [`revision`] | the five revisions and the two eras |
//! | [`method`](mod@method) | the methods, the member that `Mcp-Name` mirrors, and which may require input |
//! | [`meta`] | what every modern request declares about its client in `_meta` |
//! | [`headers`], [`param_headers`] | HTTP headers that mirror the body |
//! | [`sse`] | framing of server-sent events |
//! | [`names`] | names and URIs in a merged catalogue |
//! | [`capabilities`] | capabilities of each side, in the form of a revision |
//! | [`interaction`] | `input_required` results and the responses to them |
//! | [`filter`] | subscription filters |
//! | [`tasks`] | tasks of 2025-11-25 in the form of the extension |
//! | [`translate`] | results and errors from one era to the other |
//! | [`uri`] | deceptive URIs |

pub mod capabilities;
pub mod display;
pub mod error;
pub mod filter;
pub mod headers;
pub mod interaction;
pub mod json;
pub mod lenient;
pub mod message;
pub mod meta;
pub mod method;
pub mod names;
pub mod param_headers;
pub mod revision;
pub mod server_info;
pub mod sse;
pub mod tasks;
pub mod translate;
pub mod uri;

pub use error::RpcError;
pub use json::{Object, Value};
pub use message::{Id, Message};
pub use revision::{Era, Revision};
