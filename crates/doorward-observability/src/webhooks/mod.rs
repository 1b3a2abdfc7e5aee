//! Webhooks: sends events to the endpoints that operators configure.
//!
//! Acts of all actors are read from their chain in the store; events noticed by a process come from
//! its [`Feed`]. Both are queued in the store, which survives restarts. Each event is sent by one
//! gateway at a time until its receiver has accepted it.

mod events;
mod feed;
mod mail;
mod message;
mod send;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use doorward_config::Settings;
use doorward_store::{Attempt, Delivery, Error, NewDelivery, Store, now_ms, written_at};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::events::kind_of_event;
pub use self::feed::{Feed, Noticed};

use self::events::{Event, state_of};
use self::feed::REFUSALS_EVERY;

/// The prefix of email receivers, among the names of webhooks.
pub const EMAIL: &str = "email:";
/// How often the store is polled.
const EVERY: Duration = Duration::from_millis(500);
/// How long an attempt may take before another gateway may send the event: longer than any request.
const CLAIM: i64 = 10_000;
/// Maximum number of concurrent deliveries.
const AT_A_TIME: usize = 16;
/// How often the log is pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);

/// Sends events until cancelled. `settings` returns the current settings, `origin` is the gateway's
/// URL for browsers.
pub async fn run(
    feed: Arc<Feed>,
    store: Store,
    settings: impl Fn() -> Arc<Settings>,
    origin: impl Fn() -> String,
    closing: CancellationToken,
) {
    let (pruned, sending) = (Instant::now(), JoinSet::new());
    let mut sender = Sender { feed, store, acts: -1, pruned, sending, refusals: 0 };
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = sender.feed.some.notified() => {}
            () = closing.cancelled() => break,
        }
        let settings = settings();
        sender.feed.turn(has_receivers(&settings));
        let failed = sender.round(&settings, &origin).await.err();
        if let (Some(error), false) = (&failed, failing) {
            tracing::warn!(%error, "events cannot be queued for webhooks");
        }
        failing = failed.is_some();
    }
    // Pending deliveries that do not complete within a moment are sent again by the next gateway.
    let ended = async { while sender.sending.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), ended).await;
}

struct Sender {
    feed: Arc<Feed>,
    store: Store,
    /// The last act that was converted to events.
    acts: i64,
    pruned: Instant,
    sending: JoinSet<()>,
    /// When a burst of refusals was last reported.
    refusals: i64,
}

impl Sender {
    async fn round(
        &mut self,
        settings: &Arc<Settings>,
        origin: &impl Fn() -> String,
    ) -> Result<(), Error> {
        if self.acts < 0 || self.store.last_act().await? > self.acts {
            let events_of = |line: &str| match Event::of_act(line) {
                Some(event) => event.deliveries(settings),
                None => Vec::new(),
            };
            self.acts = self.store.queue_acts(events_of).await?;
        }
        if !has_receivers(settings) {
            self.feed.done(usize::MAX);
            return Ok(());
        }
        self.watch_refusals(settings);
        self.queue_noticed(settings).await?;
        self.send(settings, origin).await?;
        if self.pruned.elapsed() > PRUNE_EVERY {
            self.pruned = Instant::now();
            self.store.prune_deliveries().await?;
        }
        Ok(())
    }

    fn watch_refusals(&mut self, settings: &Settings) {
        let most = u64::from(settings.events.refusals_per_minute);
        let refused = self.feed.refusals();
        if most == 0 || refused < most {
            return;
        }
        let window = now_ms() / i64::try_from(REFUSALS_EVERY.as_millis()).unwrap_or(i64::MAX);
        if std::mem::replace(&mut self.refusals, window) == window {
            return;
        }
        let at = written_at(now_ms() * 1_000);
        let members = json!({ "at": at, "refused": refused, "window": window.to_string() });
        let members = members.to_string();
        self.feed.notice("refusals.high", &members[1..members.len() - 1]);
    }

    /// Queues noticed events. A state is reported if it differs from the last reported one; a
    /// server is reported up only if it was reported down before.
    async fn queue_noticed(&self, settings: &Settings) -> Result<(), Error> {
        let noticed = self.feed.first(AT_A_TIME);
        for one in &noticed {
            if let Some(event) = Event::of_noticed(one) {
                let deliveries = event.deliveries(settings);
                match state_of(&event) {
                    Some((name, value)) => {
                        let well = matches!(event.kind, "server.up" | "export.recovered");
                        self.store.report_state(&name, &value, well, &deliveries).await?;
                    }
                    None => self.queue(&deliveries).await?,
                }
            }
            self.feed.done(1);
        }
        Ok(())
    }

    async fn queue(&self, deliveries: &[NewDelivery]) -> Result<(), Error> {
        let dropped = self.store.queue_deliveries(deliveries).await?;
        self.feed.dropped.fetch_add(dropped, Ordering::Relaxed);
        Ok(())
    }

    /// Sends due events concurrently.
    async fn send(
        &mut self,
        settings: &Arc<Settings>,
        origin: &impl Fn() -> String,
    ) -> Result<(), Error> {
        while self.sending.try_join_next().is_some() {}
        let room = AT_A_TIME.saturating_sub(self.sending.len());
        if room == 0 {
            return Ok(());
        }
        let most = i64::try_from(room).unwrap_or(0);
        for delivery in self.store.claim_deliveries(now_ms() + CLAIM, most).await? {
            let (settings, origin) = (settings.clone(), origin());
            let (store, feed) = (self.store.clone(), self.feed.clone());
            self.sending.spawn(async move {
                let attempt = send::attempt(&settings, &delivery, &origin).await;
                feed.failed.fetch_add(u64::from(attempt.error.is_some()), Ordering::Relaxed);
                tell(&delivery, &attempt);
                // If this fails the event is sent again, under the same id.
                if let Err(error) = store.end_attempt(&delivery.id, &attempt).await {
                    tracing::warn!(id = delivery.id, %error, "the end of a delivery cannot be stored");
                }
            });
        }
        Ok(())
    }
}

fn has_receivers(settings: &Settings) -> bool {
    !settings.webhooks.is_empty() || settings.email.is_some()
}

fn tell(delivery: &Delivery, attempt: &Attempt) {
    let Delivery { id, webhook, kind, attempts, .. } = delivery;
    match (&attempt.error, attempt.again) {
        (None, _) => tracing::debug!(id, webhook, kind, attempts, "an event was delivered"),
        (Some(error), Some(_)) => {
            tracing::info!(id, webhook, kind, attempts, "an event was not delivered yet: {error}");
        }
        (Some(error), None) => {
            tracing::error!(id, webhook, kind, attempts, "an event was given up: {error}");
        }
    }
}

/// A test event for a webhook.
pub fn test_event(webhook: &str) -> NewDelivery {
    let at = written_at(now_ms() * 1_000);
    let body = json!({ "type": "webhook.test", "timestamp": at, "data": { "webhook": webhook } });
    NewDelivery { webhook: webhook.into(), kind: "webhook.test".into(), body: body.to_string() }
}
