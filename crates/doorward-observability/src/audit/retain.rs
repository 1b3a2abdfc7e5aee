//! Removes expired records periodically.

use std::sync::Arc;
use std::time::Duration;

use doorward_store::{AuditKey, Retention, Rule, Store, now_ms};

use super::Audit;
use doorward_config::{Period, RecordClass, RetentionSettings};

const EVERY: Duration = Duration::from_secs(60 * 60);
/// Time after start, so that a gateway that restarts often removes records, too.
const FIRST: Duration = Duration::from_secs(60);

pub(super) async fn run(audit: Arc<Audit>, store: Store, key: Option<Arc<AuditKey>>) {
    let mut looks = tokio::time::interval_at(tokio::time::Instant::now() + FIRST, EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = audit.ending.cancelled() => return,
        }
        let retention = retention(&audit.settings.load().retention, now_ms());
        if retention.rules.is_empty() {
            continue;
        }
        let Some(key) = &key else {
            // An unsigned removal could not be told from an intruder's.
            tracing::error!(
                "old audit records are not removed, because there is no key to sign their \
                    removal: set 'store_key' or 'audit.key_file'"
            );
            continue;
        };
        match store.retain_audit(&retention, key).await {
            Ok(done) if done.removed > 0 => {
                tracing::info!(
                    removed = done.removed,
                    held = done.held,
                    "removed old audit records"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "old audit records were not removed"),
        }
    }
}

/// Converts the configured retention to points in time. `now` is in milliseconds since 1970.
pub fn retention(settings: &RetentionSettings, now: i64) -> Retention {
    let before = |period: &Period| {
        now.saturating_sub(i64::try_from(period.0.as_millis()).unwrap_or(i64::MAX))
    };
    let rule = |class: Option<&RecordClass>, tenant: Option<&String>, period: &Period| Rule {
        class: class.map(|class| class.as_str().to_owned()),
        tenant: tenant.cloned(),
        before: before(period),
    };
    let mut rules = Vec::new();
    rules.extend(settings.keep.iter().map(|period| rule(None, None, period)));
    rules.extend(settings.classes.iter().map(|(class, period)| rule(Some(class), None, period)));
    for (tenant, own) in &settings.tenants {
        rules.extend(own.keep.iter().map(|period| rule(None, Some(tenant), period)));
        let classes = own.classes.iter();
        rules.extend(classes.map(|(class, period)| rule(Some(class), Some(tenant), period)));
    }
    Retention { rules }
}
