//! The Agent2Agent protocol (A2A) on the wire, revisions 1.0 and 0.3.
//!
//! Everything here is a pure function or a state machine: no sockets, no tasks, no clock, no log. There is one model
//! ([`Request`], [`Reply`], [`Event`], [`Error`], [`AgentCard`]), and for each revision and binding a reader and a writer,
//! so a door reads a request in one form and asks an agent in another.
//!
//! | module | content |
//! |---|---|
//! | [`revision`] | the two revisions, the two bindings, the forms of JSON, the negotiation of the version |
//! | [`rpc`] | the JSON-RPC binding: requests, responses, stream events |
//! | [`http`] | the HTTP+JSON binding: paths, queries, bodies |
//! | [`request`], [`reply`], [`event`] | operations, results, what streams and push notifications carry |
//! | [`message`], [`part`], [`task`], [`state`], [`timestamp`], [`push`] | the model |
//! | [`card`] | agent cards in both forms, and the card that the gateway presents in the place of an agent |
//! | [`error`](mod@error) | the errors, their codes and statuses, their forms |
//! | [`history`], [`list`], [`stream`], [`extensions`] | rules: history length, pages of tasks, order of events, extensions |
//!
//! # What is read
//!
//! Every text is scanned once by [`doorward_mcp::json`], within the depth that the caller passes as `Limits`; duplicate
//! members are refused. Each object is then read strictly ([`fields`]): a member has the name of its form or that of its
//! field (`contextId`, `context_id`), never both, and a member that some parser could read as one of them is refused. Other
//! unknown members are carried through to the same form. Ids have at most [`LONGEST_ID`] bytes, arrays at most
//! [`MOST_ITEMS`] items. Metadata, data and base64 remain raw slices of the received text.
//!
//! Requests are read strictly. Answers of agents are read leniently where the meaning is plain: a missing role is the
//! agent's, a time that is none is left out.
//!
//! # What the forms cannot say to each other
//!
//! - 0.3 has neither ListTasks nor tenants, nor names and media types of parts that are no files.
//! - Data that is no object is wrapped in 0.3 (`{"value": …}`, marked in the metadata), as the reference SDK does it.
//! - 1.0 has one authentication scheme for push notifications and one flow of OAuth; of several, it gets the first.
//! - 0.3 over HTTP+JSON has no `referenceTaskIds`, no history length of zero, and no kind `unknown` of a card.
//! - `final` of 0.3 is not written in 1.0, where the state says whether a stream ends.
//!
//! # A door
//!
//! ```
//! use bytes::Bytes;
//! use doorward_a2a::{Binding, Error, Operation, Reply, Request, Revision, Task, TaskState, http, rpc};
//! use doorward_mcp::Id;
//! use doorward_mcp::json::Limits;
//!
//! // A client of 0.3, which sends no version, sends a message.
//! let body = Bytes::from(r#"{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":
//!     {"kind":"message","messageId":"m1","role":"user","parts":[{"kind":"text","text":"hello"}]}}}"#);
//! let revision = Revision::negotiate(None, None)?;
//! let (id, request) = match rpc::read(&body, revision, Limits::default()) {
//!     Ok(read) => read,
//!     Err(refused) => panic!("{:?}", rpc::write_error(refused.id.as_ref(), &refused.error, revision)),
//! };
//! let Operation::Send(send) = &request.operation else { panic!("it is a message") };
//! assert_eq!(send.message.parts[0].as_text().as_deref(), Some("hello"));
//! assert!(!send.returns_immediately());
//!
//! // The agent speaks 1.0 over HTTP+JSON.
//! let call = http::write(&request, Revision::V1_0).map_err(|invalid| invalid.of_request())?;
//! assert_eq!((call.verb, &*call.target), ("POST", "/message:send"));
//! let answer = Bytes::from(r#"{"task":{"id":"t1","contextId":"c1","status":{"state":"TASK_STATE_COMPLETED"}}}"#);
//! let mut reply = Reply::read_http(request.method(), &answer, Revision::V1_0, Limits::default())?;
//!
//! // Task ids are the gateway's own.
//! if let Reply::SentTask(task) = &mut reply {
//!     task.id = "our-task".to_owned();
//! }
//! assert_eq!(
//!     rpc::write_reply(&id, &reply, revision),
//!     r#"{"jsonrpc":"2.0","id":1,"result":{"kind":"task","id":"our-task","contextId":"c1","status":{"state":"completed"}}}"#
//! );
//! # Ok::<(), Error>(())
//! ```

pub mod card;
pub mod error;
pub mod event;
pub mod extensions;
pub mod fields;
pub mod history;
pub mod http;
pub mod list;
pub mod message;
mod out;
mod params;
pub mod part;
pub mod push;
pub mod reply;
pub mod request;
pub mod revision;
pub mod rpc;
pub mod state;
pub mod stream;
pub mod task;
#[cfg(test)]
mod tests;
pub mod timestamp;

pub use card::AgentCard;
pub use error::{Error, ErrorKind, Invalid};
pub use event::Event;
pub use fields::{LONGEST_ID, MOST_ITEMS, Other};
pub use message::{Message, Role};
pub use part::{Content, Part};
pub use push::PushConfig;
pub use reply::Reply;
pub use request::{Method, Operation, Request};
pub use revision::{Binding, Form, MEDIA_TYPE, Revision};
pub use state::TaskState;
pub use stream::StreamOrder;
pub use task::{Artifact, Task, TaskStatus};
pub use timestamp::Timestamp;
