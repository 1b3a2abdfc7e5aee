//! One attempt to deliver an event, signed according to Standard Webhooks
//! (<https://www.standardwebhooks.com>), so that receivers can verify it with existing libraries.
//! The id is the same for every attempt; the timestamp is that of the attempt, so that receivers
//! can reject replays.

use std::time::Duration;

use bytes::Bytes;
use doorward_store::{Attempt, Delivery, now_ms};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};

use doorward_config::{Period, Settings, WebhookFormat, WebhookSettings};
use doorward_net::outbound::{self, Author};
use doorward_net::signature::sign;

use super::message::Message;
use super::{EMAIL, mail};

/// Maximum delay between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Sends an event to its webhook or address. Returns the outcome and the time of the next attempt.
/// `origin` is the gateway's URL for browsers.
pub async fn attempt(settings: &Settings, delivery: &Delivery, origin: &str) -> Attempt {
    if let Some(webhook) = settings.webhooks.get(&delivery.webhook) {
        let (status, error) = match post(webhook, delivery, origin).await {
            Ok(status) if status.is_success() => {
                return Attempt { status: Some(status.as_u16()), error: None, again: None };
            }
            Ok(status) => (Some(status), format!("HTTP {}", status.as_u16())),
            Err(why) => (None, why),
        };
        return failed(status, error, delivery, webhook.retry_pause, webhook.retry_for);
    }
    match (delivery.webhook.strip_prefix(EMAIL), &settings.email) {
        (Some(address), Some(email)) => match mail::send(email, address, delivery, origin).await {
            Ok(()) => Attempt { status: None, error: None, again: None },
            Err(why) => failed(None, why, delivery, email.retry_pause, email.retry_for),
        },
        _ => {
            let error = "the webhook is not in the configuration any more".to_owned();
            Attempt { status: None, error: Some(error), again: None }
        }
    }
}

fn failed(
    status: Option<StatusCode>,
    error: String,
    delivery: &Delivery,
    retry_pause: Period,
    retry_for: Period,
) -> Attempt {
    // HTTP 410 Gone ends the deliveries.
    let over = status == Some(StatusCode::GONE) || {
        let age = now_ms().saturating_sub(delivery.created);
        u128::try_from(age).is_ok_and(|age| age >= retry_for.0.as_millis())
    };
    let pause = jittered(pause(retry_pause.0, delivery.attempts));
    let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    let again = (!over).then(|| now_ms().saturating_add(pause));
    Attempt { status: status.map(|status| status.as_u16()), error: Some(error), again }
}

async fn post(
    webhook: &WebhookSettings,
    delivery: &Delivery,
    origin: &str,
) -> Result<StatusCode, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static("doorward"));
    let message = || Message::of(&delivery.kind, &delivery.body, origin);
    let body = match webhook.format {
        WebhookFormat::Json => {
            let key = webhook.key().ok_or("the secret cannot be used")?;
            let (id, body) = (&delivery.id, &delivery.body);
            sign(&mut headers, &key, id, now_ms() / 1_000, body.as_bytes())
                .ok_or("not a valid header value")?;
            body.clone()
        }
        WebhookFormat::Slack => message().slack().to_string(),
        WebhookFormat::Teams => message().teams().to_string(),
    };
    let body = Bytes::from(body);
    // The operator wrote the URL: it may be in their own network.
    let posted = outbound::post(&webhook.url, Author::OperatorsNetwork, headers, body).await;
    posted.map(|answer| answer.status).map_err(|error| error.to_string())
}

/// The delay after this many attempts; doubles each time.
fn pause(first: Duration, attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    first.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

/// Jitter: half to three halves of the delay.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let first = Duration::from_secs(5);
        for (attempts, seconds) in [(1, 5), (2, 10), (5, 80), (30, 3_600), (i64::MAX, 3_600)] {
            assert_eq!(pause(first, attempts).as_secs(), seconds, "{attempts}");
        }
    }
}
