//! Alerts when credit is running out: once per account and percentage, until new credit is granted.

use std::sync::Arc;
use std::time::Duration;

use doorward_store::{Account, Amount, Error, Store};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::json;

use crate::gateway::Gateway;
use doorward_config::AlertSettings;
use doorward_net::outbound::{self, Author};
use doorward_upstream::Shared;

const EVERY: Duration = Duration::from_secs(2);

/// An account's usage, its total, and the round of credit.
struct Level {
    used: Amount,
    of: Amount,
    round: String,
}

fn level(account: &Account) -> Level {
    match (account.allowance, &account.current) {
        (Some(of), Some(current)) => {
            let left = account.balance.plus(account.held);
            Level { used: Amount(of.0 - left.0), of, round: current.clone() }
        }
        _ => {
            let of = account.balance.plus(account.held).plus(account.spent);
            Level { used: account.spent, of, round: of.to_string() }
        }
    }
}

impl Gateway {
    /// Checks the accounts periodically until the gateway closes, and releases unused credit.
    pub(crate) async fn watch_credit(self: Arc<Self>) {
        let Some(store) = self.kept.store() else { return };
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.closing.run_until_cancelled(ticks.tick()).await.is_some() {
            if !self.has_prices() {
                continue;
            }
            self.ledger.give_back(store).await;
            let settings = self.settings();
            let alerts = &settings.billing.alerts;
            if let Err(error) = alert(store, alerts, &self.shared).await {
                tracing::debug!(%error, "the accounts cannot be read");
            }
        }
    }
}

async fn alert(store: &Store, settings: &AlertSettings, shared: &Shared) -> Result<(), Error> {
    for account in store.credit_accounts().await? {
        let Level { used, of, round } = level(&account);
        if of.0 <= 0 {
            continue;
        }
        let percent = i128::from(used.0) * 100 / i128::from(of.0);
        for at in settings.at.iter().copied().filter(|at| percent >= i128::from(*at)) {
            if store.note_alert(&account.id, &round, i64::from(at)).await? {
                shared.metrics.credit_alerts.inc();
                shared.audit.event("credit.alert", |members| {
                    members.text("account", &account.id).number("percent", i64::from(at));
                    members.text("used", &used.to_string()).text("of", &of.to_string());
                    members.maybe("tenant", account.id.strip_prefix("tenant/"));
                });
                tracing::warn!(account = account.id, percent = at, %used, %of, "credit is running out");
            }
        }
    }
    for (account, round, percent, at) in store.unsent_alerts().await? {
        if let Some(url) = &settings.webhook {
            let body = json!({
                "event": "credit.alert", "account": account, "percent": percent, "round": round, "at": at,
            });
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let token = settings.token.as_ref().and_then(|token| outbound::bearer(token.expose()));
            headers.extend(token.map(|token| (AUTHORIZATION, token)));
            let posted =
                outbound::post(url, Author::OperatorsNetwork, headers, body.to_string().into())
                    .await;
            match posted {
                Ok(answer) if answer.status.is_success() => {}
                Ok(answer) => {
                    tracing::warn!(status = answer.status.as_u16(), "an alert was rejected");
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(%error, "an alert was not delivered");
                    return Ok(());
                }
            }
        }
        store.alert_sent(&account, &round, percent).await?;
    }
    Ok(())
}
