//! The registry API of MCP (`/v0.1/servers`), in both directions.
//!
//! [`serve`] answers requests for the servers and portals of the gateway: pure functions of a request and of the entries
//! that its caller may see. [`source`] reads other registries and turns their entries into proposals.
//!
//! Names, members and parameters are those of the registry's OpenAPI description of 2025-12-01 and of the schema of
//! `server.json` of 2025-12-11 (github.com/modelcontextprotocol/registry).

pub mod serve;
pub mod source;

/// The schema of the entries.
pub const SCHEMA: &str =
    "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";

/// The member of `_meta` in which a registry describes the state of an entry.
pub const OFFICIAL: &str = "io.modelcontextprotocol.registry/official";
