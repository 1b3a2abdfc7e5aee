//! Users let the gateway act for them at servers: the calls that wait for their consent, and the pages where they
//! give it. What they have given is kept and renewed by [`delegation`](doorward_identity::delegation).

mod connect;
mod consent;

pub use connect::{answer, depart};
pub use consent::ask;
