//! How messages reach one server and come back: over HTTP, over HTTP+SSE, and over the pipes of a program.
//!
//! Nothing here knows what a server is for. Whoever opens a connection says who the requests are for, and gets answers,
//! and what the server says by itself, in the order in which it comes.

pub mod answer;
pub mod calls;
pub mod credential;
pub mod event_stream;
pub mod http;
pub mod inbound;
pub mod pipe;
pub mod process;
