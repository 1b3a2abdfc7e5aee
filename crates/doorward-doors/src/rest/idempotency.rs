//! `Idempotency-Key`: a request with a key is carried out once, however often it is sent, and whatever breaks in between.
//!
//! The key is taken in the store before the call is made. The call then runs to its end, whether or not its client waits,
//! and its lease is renewed meanwhile. What was not sent to a server gives its key back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use doorward_gateway::call::CallId;
use doorward_gateway::gateway::Gateway;
use doorward_identity::identity::Caller;
use doorward_store::{Begun, NewOutcome, Store, now, random_id, sha256_hex};
use http::header::{HeaderName, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::answer::{Answer, REQUEST_ID};
use super::problem::Problem;
use crate::entry::owner;

pub const KEY: &str = "idempotency-key";
const REPLAYED: &str = "idempotency-replayed";
/// Longest key, in characters.
const LONGEST: usize = 255;
/// How long a call counts as running without a sign of life, in seconds.
const LEASE: i64 = 6;
const RENEW: Duration = Duration::from_secs(2);
/// How long a repeated request waits for the first one, and how often it looks.
const WAIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);
/// How long storing an outcome is tried again.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);
/// Headers that are stored with a response.
static STORED: [HeaderName; 3] = [LOCATION, RETRY_AFTER, HeaderName::from_static(REQUEST_ID)];

/// A response as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(rename = "s")]
    status: u16,
    #[serde(rename = "h")]
    headers: Vec<(String, String)>,
    #[serde(rename = "b")]
    body: String,
}

impl Stored {
    fn of(answer: &Answer) -> Self {
        let value = |name: &HeaderName| {
            let value = answer.headers.get(name)?.to_str().ok()?;
            Some((name.to_string(), value.to_owned()))
        };
        Self {
            status: answer.status.as_u16(),
            headers: STORED.iter().filter_map(value).collect(),
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        }
    }

    fn answer(self) -> Option<Answer> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            let name = STORED.iter().find(|known| **known == *name)?;
            headers.insert(name.clone(), HeaderValue::try_from(value).ok()?);
        }
        headers.insert(HeaderName::from_static(REPLAYED), HeaderValue::from_static("true"));
        let status = StatusCode::from_u16(self.status).ok()?;
        Some(Answer { status, headers, body: self.body.into(), is_sent: true })
    }
}

/// The key of a request, in its header or its body.
pub fn key(headers: &HeaderMap, in_body: Option<&str>) -> Result<Option<String>, Box<Problem>> {
    let wrong = |why: &str| Box::new(Problem::invalid(why));
    let mut all = headers.get_all(KEY).iter();
    let header = all.next().map(HeaderValue::to_str);
    if all.next().is_some() {
        return Err(wrong("'Idempotency-Key' appears twice"));
    }
    let header = match header {
        None => None,
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => return Err(wrong("'Idempotency-Key' must be ASCII text")),
    };
    if header.is_some() && in_body.is_some() && header != in_body {
        return Err(wrong("'Idempotency-Key' and 'idempotency_key' are not the same"));
    }
    let Some(key) = header.or(in_body) else { return Ok(None) };
    let is_valid =
        (1..=LONGEST).contains(&key.len()) && key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    match is_valid {
        true => Ok(Some(key.to_owned())),
        false => Err(wrong("An idempotency key has 1 to 255 printable ASCII characters")),
    }
}

/// Carries a request out, unless it was, or is being, carried out with the same key.
pub async fn once(
    gateway: Arc<Gateway>,
    caller: Caller,
    key: String,
    digest: String,
    run: impl Future<Output = Answer> + Send + 'static,
) -> Answer {
    let request = CallId::next().to_string();
    let conflict = |code: &str, why: &str| Problem::new(StatusCode::CONFLICT, code, why);
    let away = || {
        Problem::unavailable("store_unavailable", "The database of idempotency keys is unavailable")
    };
    let Some(store) = gateway.kept.store().cloned() else {
        let why = "This gateway has no store ('store: none'), and cannot remember idempotency keys";
        let problem = Problem::new(StatusCode::NOT_IMPLEMENTED, "no_store", why);
        return problem.answer(&request);
    };
    let Ok(holder) = random_id::<16>() else { return away().answer(&request) };
    let owner = owner("idempotency", &caller);
    let mut new = NewOutcome { owner, name: sha256_hex(key.as_bytes()), digest, holder, lease: 0 };
    let end = Instant::now() + WAIT;
    loop {
        new.lease = now() + LEASE;
        let begun = match store.begin_outcome(&new, now()).await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!(%error, "an idempotency key cannot be read");
                return away().answer(&request);
            }
        };
        let problem = match begun {
            Begun::New => break,
            Begun::Running if Instant::now() < end => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Begun::Running => {
                let why = "The request with this idempotency key is still being carried out";
                conflict("in_progress", why).again_in(5)
            }
            Begun::Other => {
                let why = "This idempotency key was used for another request";
                conflict("idempotency_conflict", why)
            }
            Begun::Done(sealed) => match sealed.and_then(|it| opened(&gateway, &new, &it)) {
                Some(answer) => return answer,
                None => {
                    let why = "The request with this idempotency key was carried out, and its result is \
                        not stored. It is not carried out again";
                    conflict("outcome_not_stored", why)
                }
            },
            Begun::Unknown => {
                let why = "A gateway ended while it carried out the request with this idempotency key: \
                    the tool may have been executed. It is not executed again. Find out whether it was, \
                    then use another key";
                conflict("outcome_unknown", why)
            }
            Begun::TooMany => {
                let why = "Too many idempotency keys were used within a day";
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_keys", why)
            }
        };
        return problem.answer(&request);
    }
    let keeping = {
        let (gateway, store) = (gateway.clone(), store.clone());
        async move {
            let renewing = renew(&store, &new);
            let answer = tokio::select! {
                answer = run => answer,
                () = renewing => return None,
            };
            keep(&gateway, &store, &new, &answer).await;
            Some(answer)
        }
    };
    // Its end does not depend on whether somebody waits for it.
    match gateway.shared.tasks.spawn(keeping).await {
        Ok(Some(answer)) => answer,
        _ => {
            let why = "The call ended without a result";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "outcome_unknown", why).answer(&request)
        }
    }
}

/// Renews the lease for as long as it is polled.
async fn renew(store: &Store, of: &NewOutcome) {
    loop {
        tokio::time::sleep(RENEW).await;
        // If it fails, the call counts as lost until its outcome is stored.
        if let Err(error) = store.renew_outcome(of, now() + LEASE).await {
            tracing::debug!(%error, "the lease of an idempotency key was not renewed");
        }
    }
}

fn purpose(of: &NewOutcome) -> String {
    format!("idempotency:{}:{}", of.name, of.digest)
}

fn opened(gateway: &Gateway, of: &NewOutcome, sealed: &str) -> Option<Answer> {
    let stored: Stored = gateway.shared.sealer.open(sealed, &of.owner, &purpose(of)).ok()?;
    stored.answer()
}

/// Stores what came of a call, or gives its key back.
async fn keep(gateway: &Gateway, store: &Store, of: &NewOutcome, answer: &Answer) {
    let sealed = answer
        .is_sent
        .then(|| gateway.shared.sealer.seal(&Stored::of(answer), &of.owner, &purpose(of), None));
    let end = Instant::now() + PATIENCE;
    loop {
        let done = match &sealed {
            Some(sealed) => store.end_outcome(of, sealed).await,
            None => store.forget_outcome(of).await,
        };
        match done {
            Ok(()) => return,
            Err(error) if Instant::now() >= end => {
                tracing::warn!(%error, "the outcome of a call with an idempotency key is lost");
                return;
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_printable_and_given_once() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(KEY, HeaderValue::from_str(value).unwrap());
            }
            headers
        };
        let long = "x".repeat(256);
        for (headers, body, found) in [
            (with(&[]), None, Ok(None)),
            (with(&["a"]), None, Ok(Some("a"))),
            (with(&[]), Some("b"), Ok(Some("b"))),
            (with(&["a"]), Some("a"), Ok(Some("a"))),
            (with(&["a"]), Some("b"), Err(())),
            (with(&["a", "a"]), None, Err(())),
            (with(&[""]), None, Err(())),
            (with(&[&long]), None, Err(())),
            (with(&[]), Some("é"), Err(())),
        ] {
            let read = key(&headers, body).map_err(|_| ());
            assert_eq!(read, found.map(|key| key.map(str::to_owned)), "{headers:?} {body:?}");
        }
    }

    #[test]
    fn a_stored_response_comes_back_as_it_was() {
        let answer = Answer::of(StatusCode::OK, &"x").header(LOCATION, "/here").sent(true);
        let back = Stored::of(&answer).answer().unwrap();
        assert_eq!((back.status, &back.body), (answer.status, &answer.body));
        assert_eq!(back.headers.get(LOCATION).unwrap(), "/here");
        assert_eq!(back.headers.get(REPLAYED).unwrap(), "true");
    }
}
