//! A fast MCP server of both eras, and the tools that measure a gateway in front of it.
//!
//! The server shares no code with the gateway. A misunderstanding that both have in common is found elsewhere: with
//! the official SDKs and the conformance suite.

pub mod backend;
pub mod callgrind;
pub mod chaos;
pub mod gateway;
pub mod issuer;
pub mod load;
pub mod nginx;
pub mod reliable;
pub mod simulate;
pub mod stages;
pub mod stats;
