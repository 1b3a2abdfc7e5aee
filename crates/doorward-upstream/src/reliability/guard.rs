//! Limits for one server: concurrent calls, consecutive failures, and attempts in total.

use std::sync::Arc;
use std::time::Duration;

use doorward_limits::breaker::{Breaker, Pass};
use doorward_limits::budget::Budget;
use doorward_limits::bulkhead::{Bulkhead, Full, Place};
use doorward_mcp::error::Kind;

use crate::asked::Asked;
use doorward_config::{ReliabilitySettings, RetrySettings};
use doorward_core::Failure;
use doorward_observability::metrics::ServerMetrics;

/// The limits of one server.
#[derive(Debug)]
pub struct Guard {
    pub(super) breaker: Arc<Breaker>,
    pub(super) bulkhead: Arc<Bulkhead>,
    pub(super) budget: Budget,
    pub(super) retries: RetrySettings,
    pub(super) attempt: Option<Duration>,
}

impl Guard {
    pub fn new(settings: &ReliabilitySettings) -> Self {
        let retries = settings.retries.clone().unwrap_or_default();
        Self {
            breaker: Breaker::new(settings.breaker.clone().unwrap_or_default()),
            bulkhead: Bulkhead::new(settings.bulkhead.clone().unwrap_or_default()),
            budget: Budget::new(retries.budget),
            retries,
            attempt: settings.attempt.map(|attempt| attempt.0),
        }
    }

    /// Whether tools are retried that are only annotated as idempotent.
    pub fn trusts_idempotent(&self) -> bool {
        self.retries.trust_idempotent
    }

    /// `closed`, `open` or `half_open`.
    pub fn circuit(&self) -> &'static str {
        self.breaker.phase()
    }

    /// The current concurrency limit, if it is adaptive.
    pub fn found_limit(&self) -> Option<usize> {
        self.bulkhead.found_limit()
    }

    /// Admits a call, or says why not.
    pub fn enter(&self) -> Result<Pass, Failure> {
        self.breaker.enter().map_err(|wait| {
            let why = "The server has failed too often: circuit open";
            Failure { retry_after: Some(wait), ..Failure::new(Kind::CircuitOpen, why) }
        })
    }

    /// Waits for a concurrency slot. Rejections are counted.
    pub(super) async fn place(
        &self,
        metrics: &ServerMetrics,
        asked: &Asked<'_>,
    ) -> Result<Place, Failure> {
        if let Some(place) = self.bulkhead.enter_now(asked.principal) {
            return Ok(place);
        }
        self.bulkhead.enter(asked.principal, asked.deadline.left()).await.map_err(|full| {
            metrics.shed.inc();
            let why = match full {
                Full::Waited => "The server has too many concurrent calls, and none ended in time",
                Full::Shed => "The server has too many concurrent calls, and the queue is full",
            };
            Failure::new(Kind::Overloaded, why)
        })
    }
}
