//! What may be served, decided without I/O: the life of a server from proposal to retirement ([`lifecycle`]), definitions
//! pinned by their hashes ([`pins`]), names that look like others ([`names`]), and emergency stops ([`stops`]).

pub mod lifecycle;
pub mod names;
pub mod pins;
pub mod stops;
