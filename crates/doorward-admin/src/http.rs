//! Requests to the admin API: one handler for all routes. It reads the input, honours the conditions and the idempotency
//! key, calls the service function and writes its output.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_store::{Claim, Error, sha256_hex};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::desk::Desk;
use crate::operation::Route;
use crate::problem::{Code, Problem};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const REPLAYED: &str = "idempotent-replayed";
/// Longest idempotency key.
const LONGEST_KEY: usize = 255;
/// How often a change is tried again when something else was changed between the check of its condition and itself.
const ATTEMPTS: usize = 8;

/// A request to a route that was found.
pub struct Request {
    pub desk: Desk,
    pub route: Arc<Route>,
    /// The route that reads what this one changes, for `If-Match`.
    pub reads: Option<Arc<Route>>,
    /// Parameters of the path, decoded.
    pub path: Vec<(String, String)>,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    pub async fn answer(self) -> Response {
        match self.carry_out().await {
            Ok(response) => response,
            Err(problem) => problem.into_response(),
        }
    }

    async fn carry_out(mut self) -> Result<Response, Problem> {
        let mut input = Map::new();
        for (name, text) in &self.path {
            self.route.kinds.put(&mut input, name, text)?;
        }
        for (name, text) in query(&self.uri)? {
            if name == "dry_run" && self.route.changes() {
                match text.as_str() {
                    "true" => self.desk = self.desk.rehearsing(),
                    "false" => {}
                    _ => return Err(Problem::invalid("'dry_run' must be true or false")),
                }
                continue;
            }
            self.route.kinds.put(&mut input, &name, &text)?;
        }
        self.route.kinds.put_body(&mut input, &self.body)?;
        if !self.route.changes() {
            let output = (self.route.call)(self.desk.clone(), Value::Object(input)).await?;
            return Ok(self.read(&output));
        }
        match self.idempotency_key()? {
            Some(key) if !self.desk.is_rehearsal() => self.once(&key, input).await,
            _ => {
                let output = self.change(&input, None).await?;
                Ok(written(self.route.status(), &output))
            }
        }
    }

    /// The response to a request that changes nothing, with its entity tag (RFC 9110 section 8.8.3).
    fn read(&self, output: &Value) -> Response {
        let tag = tag_of(output);
        let known = self.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let mut response = match known.is_some_and(|known| lists(known, &tag)) {
            true => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            }
            false => written(StatusCode::OK, output),
        };
        if let Ok(tag) = HeaderValue::try_from(tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }

    fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        let mut keys = self.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(key) = keys.next() else { return Ok(None) };
        let key = key
            .to_str()
            .ok()
            .filter(|key| keys.next().is_none() && !key.is_empty() && key.len() <= LONGEST_KEY);
        let why = "'Idempotency-Key' must be one text of 1 to 255 visible ASCII characters";
        key.map(|key| Some(key.to_owned())).ok_or_else(|| Problem::invalid(why))
    }

    /// Carries the request out, unless one with this key was before: then its response is repeated.
    async fn once(self, key: &str, input: Map<String, Value>) -> Result<Response, Problem> {
        let actor = self.desk.name();
        let digest = digest_of(&self.route, &input);
        if let Some(response) = self.repeated(&actor, key, &digest).await? {
            return Ok(response);
        }
        let claim = || Claim::new(actor.clone(), key.to_owned(), digest.clone());
        let output = match self.change(&input, Some(&claim)).await {
            // It came twice at the same time.
            Err(problem) if problem.code == Code::OutcomeUnknown => {
                return match self.repeated(&actor, key, &digest).await? {
                    Some(response) => Ok(response),
                    None => Err(problem),
                };
            }
            output => output?,
        };
        let mut without_secret = output.clone();
        if let Some(members) = without_secret.as_object_mut() {
            members.remove(SECRET);
        }
        let status = self.route.status();
        let stored = self
            .desk
            .store()?
            .answer_claim(&claim(), status.as_u16(), &without_secret.to_string())
            .await;
        if let Err(error) = stored {
            tracing::warn!(%error, "the response to an idempotency key could not be stored");
        }
        Ok(written(status, &output))
    }

    async fn repeated(
        &self,
        actor: &str,
        key: &str,
        digest: &str,
    ) -> Result<Option<Response>, Problem> {
        let Some(claimed) = self.desk.store()?.claimed(actor, key).await? else { return Ok(None) };
        if claimed.digest != digest {
            let why = "this 'Idempotency-Key' was sent with another request within the last day";
            return Err(Problem::new(Code::IdempotencyKeyReused, why));
        }
        let Some((status, body)) = claimed.response else {
            let why = "look at what there is before you send it with another key";
            return Err(Problem::new(Code::OutcomeUnknown, why));
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let mut response = written(status, &serde_json::from_str(&body).unwrap_or_default());
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(Some(response))
    }

    /// Carries a change out, if what it changes is still what `If-Match` says.
    async fn change(
        &self,
        input: &Map<String, Value>,
        claim: Option<&(dyn Fn() -> Claim + Sync)>,
    ) -> Result<Value, Problem> {
        let claimed = |desk: Desk| match claim {
            Some(claim) => desk.with_store(|store| store.claiming(claim())),
            None => desk,
        };
        let mut conditions = self.headers.get_all(header::IF_MATCH).iter();
        let Some(wanted) = conditions.next() else {
            let desk = claimed(self.desk.clone());
            return (self.route.call)(desk, Value::Object(input.clone())).await;
        };
        if conditions.next().is_some() {
            return Err(Problem::invalid("'If-Match' must appear once"));
        }
        let wanted = wanted.to_str().unwrap_or_default();
        let Some(reads) = &self.reads else {
            return Err(Problem::invalid("'If-Match' is not supported for this request"));
        };
        for _ in 0..ATTEMPTS {
            let revision = self.desk.store()?.revision().await?;
            let mut named = Map::new();
            for (name, text) in &self.path {
                if reads.path_parameters().any(|it| it == name) {
                    reads.kinds.put(&mut named, name, text)?;
                }
            }
            let current = (reads.call)(self.desk.clone(), Value::Object(named)).await;
            let current = match current {
                Err(problem) if problem.code != Code::NotFound => return Err(problem),
                current => current.ok(),
            };
            let matches = current.is_some_and(|current| lists(wanted, &tag_of(&current)));
            if !matches {
                return Err(Error::Moved.into());
            }
            let desk = claimed(self.desk.clone()).with_store(|store| store.at_revision(revision));
            match (self.route.call)(desk, Value::Object(input.clone())).await {
                // Perhaps it was something else that has changed.
                Err(problem) if problem.code == Code::PreconditionFailed => {}
                done => return done,
            }
        }
        Err(Error::Moved.into())
    }
}

/// The member of an output that is shown once and stored nowhere.
pub const SECRET: &str = "secret";

fn written(status: StatusCode, output: &Value) -> Response {
    let mut response = Response::new(Body::from(output.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn tag_of(output: &Value) -> String {
    let digest = digest::digest(&digest::SHA256, output.to_string().as_bytes());
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]))
}

/// Whether a list of entity tags has this one, or is `*`.
fn lists(tags: &str, tag: &str) -> bool {
    tags.split(',').map(str::trim).any(|one| one == "*" || one == tag)
}

fn digest_of(route: &Route, input: &Map<String, Value>) -> String {
    let text = format!("{} {} {}", route.method, route.path, Value::Object(input.clone()));
    sha256_hex(text.as_bytes())
}

/// The parameters of a query, decoded.
fn query(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let parts = uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty());
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let text = percent_decode_str(&text).decode_utf8().map(std::borrow::Cow::into_owned);
        text.map_err(|_| Problem::invalid("the query must be UTF-8"))
    };
    parts
        .map(|part| {
            let (name, text) = part.split_once('=').unwrap_or((part, ""));
            Ok((decoded(name)?, decoded(text)?))
        })
        .collect()
}

/// The methods under which paths are served.
pub fn filter(method: &Method) -> axum::routing::MethodFilter {
    use axum::routing::MethodFilter;
    match *method {
        Method::POST => MethodFilter::POST,
        Method::PUT => MethodFilter::PUT,
        Method::PATCH => MethodFilter::PATCH,
        Method::DELETE => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_once() {
        let uri = Uri::from_static("/x?a=1%202&b=%2525&c&d=e+f&");
        let expected = [("a", "1 2"), ("b", "%25"), ("c", ""), ("d", "e f")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(query(&uri).unwrap(), expected);
        assert!(query(&Uri::from_static("/x?a=%ff")).is_err());
    }

    #[test]
    fn a_tag_is_of_what_was_read() {
        let tag = tag_of(&serde_json::json!({ "a": 1 }));
        assert_ne!(tag, tag_of(&serde_json::json!({ "a": 2 })));
        assert!(lists("*", &tag) && lists(&format!("\"x\", {tag}"), &tag));
        assert!(!lists(&format!("W/{tag}"), &tag) && !lists("", &tag));
    }
}
