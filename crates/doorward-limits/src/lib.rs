//! Limits and protection: rates, quotas and concurrency of callers; circuit breakers, bulkheads and retry budgets of
//! servers. Everything here decides without I/O, except for counts that several gateways share in a store.

mod adaptive;
pub mod balance;
pub mod breaker;
pub mod buckets;
pub mod budget;
pub mod bulkhead;
pub mod ejection;
pub mod rates;

/// Receives an event for each limit that is hit, for example to update metrics.
pub trait Observer {
    /// A limit refused a call, or would have refused it in a dry run.
    fn limit_hit(&self, limit: &str, dry_run: bool);
}

/// Ignores all events.
impl Observer for () {
    fn limit_hit(&self, _: &str, _: bool) {}
}
