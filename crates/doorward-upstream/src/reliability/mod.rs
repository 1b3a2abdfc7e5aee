//! Protects calls from a server that is slow, failing or overloaded: a bulkhead, a circuit breaker,
//! and safe retries.

mod guard;
mod retry;

pub use self::guard::Guard;
pub use self::retry::{Repeatable, ask};
