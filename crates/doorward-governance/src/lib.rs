//! What may be served, decided without I/O: the life of a server from proposal to retirement ([`lifecycle`]), pinned
//! definitions ([`pins`]), names that look alike ([`names`]), and emergency stops ([`stops`]).

pub mod lifecycle;
pub mod names;
pub mod pins;
pub mod stops;
