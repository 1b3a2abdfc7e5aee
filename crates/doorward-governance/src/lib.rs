//! What may be served, and what must wait for a person, decided without I/O: approvals of calls ([`approvals`]), the life of a server from proposal to retirement ([`lifecycle`]), pinned
//! definitions ([`pins`]), names that look alike ([`names`]), and emergency stops ([`stops`]).

pub mod approvals;
pub mod lifecycle;
pub mod names;
pub mod pins;
pub mod stops;
