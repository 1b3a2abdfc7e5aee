//! OpenTelemetry: traces, metrics and logs by OTLP. Queues are bounded; what exceeds them is dropped and counted, and
//! never delays a call.

mod clean;
pub mod context;
pub mod logs;
pub mod messages;
pub mod metrics;
pub mod sending;
mod spans;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use prost::Message;

use self::context::Context;
use self::messages::{LogsRequest, MetricsRequest, ResourceLogs, ScopeLogs, Span, resource, scope};
use self::sending::{Collector, Signal};
use self::spans::Spans;
use doorward_config::{OtlpProtocol, TelemetrySettings};
use doorward_core::CallId;
use doorward_core::random::{STEP, scattered};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Telemetry {
    settings: ArcSwap<TelemetrySettings>,
    /// Whether traces are exported.
    traces: AtomicBool,
    users: AtomicBool,
    spans: Spans,
    pub dropped: AtomicU64,
    /// The fraction of calls that begin a trace, of 2^64.
    share: AtomicU64,
    chance: AtomicU64,
}

impl Telemetry {
    pub fn new(settings: &TelemetrySettings) -> Self {
        let telemetry = Self {
            settings: ArcSwap::default(),
            traces: AtomicBool::new(false),
            users: AtomicBool::new(false),
            spans: Spans::default(),
            dropped: AtomicU64::new(0),
            share: AtomicU64::new(0),
            chance: AtomicU64::new(getrandom::u64().unwrap_or_default()),
        };
        telemetry.take(settings);
        telemetry
    }

    /// Applies new settings.
    pub fn take(&self, settings: &TelemetrySettings) {
        self.traces.store(settings.otlp.is_some(), Ordering::Release);
        self.share.store((settings.traces.sample * u64::MAX as f64) as u64, Ordering::Release);
        self.users.store(settings.metrics.users, Ordering::Release);
        logs::want(settings.otlp.is_some() && settings.logs.otlp);
        self.settings.store(Arc::new(settings.clone()));
    }

    /// Whether calls are counted by user, too.
    pub fn counts_users(&self) -> bool {
        self.users.load(Ordering::Acquire)
    }

    /// Whether traces are exported.
    pub fn takes_traces(&self) -> bool {
        self.traces.load(Ordering::Acquire)
    }

    /// Whether a call with this context is traced, if traces are exported.
    pub fn traces(&self, context: Option<&Context>) -> bool {
        let follows = self.settings.load().traces.follow_clients;
        match context.filter(|_| follows) {
            Some(context) => context.sampled,
            None => self.is_chosen(),
        }
    }

    /// Whether spans contain arguments and results.
    pub fn shows_payloads(&self) -> bool {
        self.settings.load().traces.payloads
    }

    /// Samples pseudo-randomly, without a system call each time.
    fn is_chosen(&self) -> bool {
        let share = self.share.load(Ordering::Acquire);
        scattered(self.chance.fetch_add(STEP, Ordering::Relaxed)) < share || share == u64::MAX
    }

    /// Queues the spans of a call that has ended.
    pub fn take_spans(&self, mut spans: Vec<Span>) {
        spans.iter_mut().for_each(clean::span);
        if !self.spans.add(&spans) {
            self.dropped.fetch_add(spans.len() as u64, Ordering::Relaxed);
        }
    }

    /// Sends queued telemetry to the collector until `end` is cancelled. `measure` returns the
    /// metrics as text.
    pub async fn run(&self, end: CancellationToken, measure: impl Fn() -> String) {
        let instance = format!("{:08x}", CallId::run());
        let mut current: Option<(TelemetrySettings, Collector)> = None;
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut measured = tokio::time::Instant::now();
        let mut failing = false;
        loop {
            let closing = end.is_cancelled();
            if !closing {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = end.cancelled() => {}
                }
            }
            let settings = self.settings.load_full();
            let Some(otlp) = &settings.otlp else {
                current = None;
                if closing {
                    return;
                }
                continue;
            };
            if current.as_ref().is_none_or(|(before, _)| *before != *settings) {
                let grpc = otlp.protocol == OtlpProtocol::Grpc;
                let collector = Collector::new(&otlp.endpoint, &otlp.headers, grpc);
                current = Some(((*settings).clone(), collector));
            }
            let Some((_, collector)) = &current else { continue };
            let mut told = self.send_spans(collector, &instance).await;
            told = told.and(send_logs(collector, &instance).await);
            if settings.metrics.otlp && (closing || measured.elapsed() >= settings.metrics.every.0)
            {
                measured = tokio::time::Instant::now();
                let metrics = metrics::of(&measure(), &instance);
                let request = MetricsRequest { resource_metrics: vec![metrics] };
                told = told.and(collector.send(Signal::Metrics, request.encode_to_vec()).await);
            }
            match told {
                Ok(()) if std::mem::take(&mut failing) => {
                    tracing::info!("the collector accepts data");
                }
                Err(why) if !std::mem::replace(&mut failing, true) => {
                    tracing::warn!("the collector rejects data: {why}");
                }
                _ => {}
            }
            if closing {
                return;
            }
        }
    }

    async fn send_spans(&self, collector: &Collector, instance: &str) -> Result<(), String> {
        while let Some(batch) = self.spans.take() {
            let sent = collector.send(Signal::Traces, batch.request(instance)).await;
            if let Err(why) = sent {
                self.dropped.fetch_add(batch.count as u64, Ordering::Relaxed);
                return Err(why);
            }
        }
        Ok(())
    }
}

async fn send_logs(collector: &Collector, instance: &str) -> Result<(), String> {
    let log_records = logs::take();
    if log_records.is_empty() {
        return Ok(());
    }
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records }];
    let all = ResourceLogs { resource: Some(resource(instance)), scope_logs };
    let request = LogsRequest { resource_logs: vec![all] };
    collector.send(Signal::Logs, request.encode_to_vec()).await
}
