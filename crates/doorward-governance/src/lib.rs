//! What may be served, decided without I/O: the life of a server from proposal to retirement ([`lifecycle`]), and emergency
//! stops ([`stops`]).

pub mod lifecycle;
pub mod stops;
