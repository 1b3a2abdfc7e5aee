//! A fast MCP server of both eras, and what measures a gateway in front of it.
//!
//! The server shares no code with the gateway, so that what both misunderstand alike shows
//! elsewhere: with the official SDKs and the conformance suite.

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
