//! Delegation: calls that wait for consent, and the pages for it. Tokens are stored and refreshed by
//! [`delegation`](doorward_identity::delegation).

mod connect;
mod consent;

pub use connect::{answer, depart};
pub use consent::{ask, is_consent};
