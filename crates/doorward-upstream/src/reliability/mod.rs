//! Protects calls from a server that is slow, fails or is overloaded: a bulkhead, a circuit breaker, and retries that
//! can do no harm.

mod guard;
mod retry;

pub use self::guard::Guard;
pub use self::retry::{Repeatable, ask};
