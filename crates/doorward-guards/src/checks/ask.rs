//! Asks one check: one request, within its time and sizes, to the URL that the operator has configured and nowhere else
//! (attack T11).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_config::{CheckForm, ExternalCheck, SendPart};
use doorward_core::collect::Gathered;
use doorward_limits::breaker::{Breaker, Ended, Turn};
use doorward_mcp::error::Kind;
use doorward_net::clients::Clients;
use doorward_net::signature::sign;
use doorward_store::now;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::readers::{ask_moderation, ask_presidio, read_moderation, read_presidio};
use super::subject::{Part, Subject, TooLong};
use super::texts::{Text, texts};
use super::verdict::{Action, Verdict, read, read_opa};

/// How long the definitions of a list wait for others to be checked.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// A word for metrics and audit records.
    pub kind: &'static str,
    /// For the operator's log.
    pub cause: String,
}

impl Failed {
    fn new(kind: &'static str, cause: impl Into<String>) -> Self {
        Self { kind, cause: cause.into() }
    }

    /// What it says of the check's health.
    fn ended(&self) -> Ended {
        match self.kind {
            "request_too_large" => Ended::Unsaid,
            _ => Ended::Failed,
        }
    }
}

impl From<TooLong> for Failed {
    fn from(TooLong: TooLong) -> Self {
        Self::new("request_too_large", "it is too long to be masked")
    }
}

/// A check that is ready to be asked.
#[derive(Debug)]
pub struct Check {
    pub name: Arc<str>,
    pub settings: ExternalCheck,
    uri: Uri,
    headers: HeaderMap,
    key: Option<zeroize::Zeroizing<Vec<u8>>>,
    http: Arc<Clients>,
    breaker: Arc<Breaker>,
    places: Semaphore,
}

/// A request, and what its answer is read by.
struct Prepared {
    body: Bytes,
    texts: Vec<Text>,
}

impl Check {
    /// `None` if the URL cannot be requested, which settings that were checked do not have.
    pub fn new(name: &str, settings: &ExternalCheck, http: &Arc<Clients>) -> Option<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let mut value = HeaderValue::try_from(value.expose()).ok()?;
            value.set_sensitive(true);
            headers.append(HeaderName::try_from(name).ok()?, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("doorward"));
        let http = match settings.public_only {
            true => Arc::new(http.public_only()),
            false => http.clone(),
        };
        Some(Self {
            name: name.into(),
            uri: settings.url.as_str().parse().ok()?,
            headers,
            key: settings.key(),
            http,
            breaker: Breaker::new(settings.breaker.clone()),
            places: Semaphore::new(settings.concurrency.min(Semaphore::MAX_PERMITS)),
            settings: settings.clone(),
        })
    }

    /// Asks the check. Returns the SHA-256 of what it was sent, if anything was, beside its verdict.
    pub async fn ask(&self, subject: &Subject<'_>) -> (Option<String>, Result<Verdict, Failed>) {
        let prepared = match self.prepare(subject) {
            Ok(Some(prepared)) => prepared,
            // There is no text in it.
            Ok(None) => return (None, Ok(Verdict::new(Action::Allow))),
            Err(failed) => return (None, Err(failed)),
        };
        let Some(_place) = self.place(subject).await else {
            let most = self.settings.concurrency;
            return (None, Err(Failed::new("overloaded", format!("{most} requests at a time"))));
        };
        let Ok(pass) = self.breaker.enter() else {
            return (None, Err(Failed::new("circuit_open", "it has failed too often")));
        };
        let digest = doorward_store::sha256_hex(&prepared.body);
        let timeout = self.settings.timeout.0;
        let answer = tokio::time::timeout(timeout, self.send(subject, &prepared)).await;
        let answer = answer.unwrap_or_else(|_| Err(timed_out(timeout)));
        let verdict = answer.and_then(|answer| self.read(subject, &prepared, &answer));
        let ended = verdict.as_ref().map_or_else(Failed::ended, |_| Ended::Well);
        match pass.leave(ended) {
            Some(Turn::Opened) => {
                tracing::warn!(check = &*self.name, "the check fails: circuit open");
            }
            Some(Turn::Closed) => {
                tracing::info!(check = &*self.name, "the check answers again: circuit closed");
            }
            None => {}
        }
        (Some(digest), verdict)
    }

    /// A place among the requests at a time. A list of definitions comes all at once, and waits for its turn.
    async fn place(&self, subject: &Subject<'_>) -> Option<SemaphorePermit<'_>> {
        match subject.part {
            Part::Definition => {
                let waiting = self.places.acquire();
                tokio::time::timeout(LONGEST_WAIT, waiting).await.ok()?.ok()
            }
            _ => self.places.try_acquire().ok(),
        }
    }

    /// What is sent; `None` if a check that reads texts has nothing to read.
    fn prepare(&self, subject: &Subject<'_>) -> Result<Option<Prepared>, Failed> {
        let send = self.settings.sends(subject.when());
        let request = match self.settings.form {
            CheckForm::Doorward => {
                Prepared { body: subject.request(send)?.to_bytes(), texts: Vec::new() }
            }
            CheckForm::Opa => {
                let mut request = doorward_mcp::Object::new();
                request.set("input", doorward_mcp::Value::Object(subject.request(send)?));
                Prepared { body: request.to_bytes(), texts: Vec::new() }
            }
            form => {
                let texts = self.texts(subject, send)?;
                if texts.is_empty() {
                    return Ok(None);
                }
                let body = match form {
                    CheckForm::Presidio => {
                        let settings = self.settings.presidio.clone().unwrap_or_default();
                        ask_presidio(&settings, &texts, subject.call)
                    }
                    _ => {
                        let settings = self.settings.moderation.clone().unwrap_or_default();
                        ask_moderation(&settings, &texts)
                    }
                };
                Prepared { body: Bytes::from(body.to_string()), texts }
            }
        };
        let most = self.settings.max_request.0;
        if request.body.len() > most {
            let cause = format!("{} bytes; the maximum is {most}", request.body.len());
            return Err(Failed::new("request_too_large", cause));
        }
        Ok(Some(request))
    }

    fn texts(&self, subject: &Subject<'_>, send: SendPart) -> Result<Vec<Text>, Failed> {
        let value = subject.part(send)?.unwrap_or_default();
        texts(&value, &subject.media())
            .map_err(|_| Failed::new("request_too_large", "there are too many texts"))
    }

    async fn send(&self, subject: &Subject<'_>, prepared: &Prepared) -> Result<Bytes, Failed> {
        let mut headers = self.headers.clone();
        if let Some(key) = &self.key {
            let id = format!("{}.{}", subject.call, self.name);
            sign(&mut headers, key, &id, now(), &prepared.body)
                .ok_or_else(|| Failed::new("unreachable", "the request cannot be signed"))?;
        }
        let mut request = Request::new(Full::new(prepared.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        let response = self.http.send(request).await.map_err(|failure| {
            let kind = match failure.kind {
                Kind::Unreachable => "unreachable",
                _ => "stream_ended",
            };
            Failed::new(kind, failure.cause.unwrap_or(failure.message))
        })?;
        let (head, mut body) = response.into_parts();
        // A redirect is an answer like any other that is not the verdict.
        if head.status != StatusCode::OK {
            return Err(Failed::new("http_status", format!("HTTP {}", head.status.as_u16())));
        }
        if !is_json(&head.headers) {
            return Err(Failed::new("content_type", "the answer is not application/json"));
        }
        let most = self.settings.max_answer.0;
        let too_large = || Failed::new("too_large", format!("more than {most} bytes"));
        let expected = body.size_hint().exact().unwrap_or_default();
        if usize::try_from(expected).is_ok_and(|expected| expected > most) {
            return Err(too_large());
        }
        let mut gathered = Gathered::expecting(expected);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failed::new("stream_ended", error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            gathered.add(data, most).map_err(|_| too_large())?;
        }
        Ok(gathered.take())
    }

    fn read(
        &self,
        subject: &Subject<'_>,
        prepared: &Prepared,
        answer: &Bytes,
    ) -> Result<Verdict, Failed> {
        let texts = &prepared.texts;
        let verdict = match self.settings.form {
            CheckForm::Doorward => read(answer),
            CheckForm::Opa => read_opa(answer),
            CheckForm::Presidio => {
                let settings = self.settings.presidio.clone().unwrap_or_default();
                read_presidio(&settings, texts, answer)
            }
            CheckForm::Moderation => {
                let settings = self.settings.moderation.clone().unwrap_or_default();
                read_moderation(&settings, texts, answer)
            }
        };
        let verdict = verdict.and_then(|verdict| self.completed(subject, verdict));
        verdict.map_err(|why| Failed::new("invalid_answer", why))
    }

    /// The verdict with the approvers of the settings, where the answer names none.
    fn completed(&self, subject: &Subject<'_>, mut verdict: Verdict) -> Result<Verdict, String> {
        if subject.part == Part::Definition {
            return match verdict.action {
                Action::Change => Err("'change' of a definition, which is not possible".into()),
                // By whoever may accept definitions.
                _ => Ok(verdict),
            };
        }
        if verdict.action != Action::Hold {
            return Ok(verdict);
        }
        if subject.when() == doorward_config::CheckWhen::After {
            // It has happened, and what came of it is not shown.
            verdict.action = Action::Refuse;
            return Ok(verdict);
        }
        if verdict.approval.is_none() {
            let settings = self.settings.approval.as_ref();
            let settings =
                settings.ok_or("'hold' without 'approvers', and no 'approval' is set")?;
            verdict.approval = Some(settings.clone());
        }
        Ok(verdict)
    }
}

fn timed_out(timeout: Duration) -> Failed {
    Failed::new("timeout", format!("no answer within {timeout:?}"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}
