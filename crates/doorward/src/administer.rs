//! Administration from the command line: through the admin API of a running gateway if
//! `--admin-url` is given, else by the same service functions on the store.

use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use doorward_admin::{Code, Desk, MOST_ITEMS, Operation, Page, Problem, Verb};
use doorward_config::{Secret, Settings};
use doorward_web::guard;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::cli::{Kept, Operator, Sealing};
use crate::client::{Error, endpoint};
use crate::commands::{Exit, Failed, open};
use crate::config;

/// Maximum size of an admin API response.
const MOST: usize = 64 << 20;
/// Maximum number of pages read of a list.
const PAGES: usize = 10_000;

/// Where a command is executed.
#[derive(Debug)]
pub enum Place {
    /// On this machine, on the store.
    Machine(Box<Desk>),
    /// By a running gateway.
    Gateway(Operator),
}

/// Chosen by `--admin-url`, `--config` and `--store`.
pub async fn place(kept: &Kept) -> Result<Place, Failed> {
    if let Some(admin_url) = &kept.admin_url {
        let operator =
            Operator { admin_url: admin_url.clone(), credential: kept.credential.clone() };
        return Ok(Place::Gateway(operator));
    }
    let settings = settings(kept)?;
    Ok(Place::Machine(Box::new(Desk::of_machine(open(kept).await?, settings))))
}

/// The same. On this machine, secrets in the database are decrypted with the given master key; a
/// running gateway uses its own.
pub async fn place_with_key(kept: &Kept, sealing: &Sealing) -> Result<Place, Failed> {
    let Some(key) = sealing.store_key.as_ref().filter(|_| kept.admin_url.is_none()) else {
        return place(kept).await;
    };
    let store_key = Some(Secret(key.clone()));
    let settings = Settings { store_key, ..settings(kept)?.unwrap_or_default() };
    Ok(Place::Machine(Box::new(Desk::of_machine(open(kept).await?, Some(settings)))))
}

/// The settings of the configuration file, if given. Paths in it are relative to its folder.
fn settings(kept: &Kept) -> Result<Option<Settings>, Failed> {
    let Some(path) = &kept.config else { return Ok(None) };
    let mut settings = config::load(path).map_err(|report| Failed::report(&report))?.settings;
    let folder = path.parent().unwrap_or(Path::new(""));
    let audit = &mut settings.audit;
    for file in audit.key_file.iter_mut().chain(&mut audit.anchor) {
        *file = folder.join(&*file);
    }
    Ok(Some(settings))
}

impl Place {
    /// Executes an operation.
    pub async fn call<I, O>(&self, operation: &Operation<I, O>, input: I) -> Result<O, Failed>
    where
        I: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
    {
        self.try_out(operation, input, false).await
    }

    /// The same; a dry run checks everything and changes nothing.
    pub async fn try_out<I, O>(
        &self,
        operation: &Operation<I, O>,
        input: I,
        dry_run: bool,
    ) -> Result<O, Failed>
    where
        I: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
    {
        match self {
            Self::Machine(desk) => {
                let desk = Desk::clone(desk);
                let desk = if dry_run { desk.rehearsing() } else { desk };
                operation.call(desk, input).await.map_err(on_the_machine)
            }
            Self::Gateway(operator) => {
                let input = serde_json::to_value(input).unwrap_or_default();
                let place = (operation.verb, operation.path);
                read(send(operator, place, input, dry_run).await?)
            }
        }
    }

    /// The first items of a list, up to a limit.
    pub async fn first<I, T>(
        &self,
        operation: &Operation<I, Page<T>>,
        input: &I,
        most: usize,
    ) -> Result<Vec<T>, Failed>
    where
        I: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
        T: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
    {
        let input = serde_json::to_value(input).unwrap_or_default();
        let size = if self.has_large_pages() { most.max(1) } else { MOST_ITEMS };
        pages(input, (size, most), async |wanted| {
            let wanted = serde_json::from_value(wanted)
                .map_err(|error| Failed::new(Exit::Failure, error.to_string()))?;
            self.call(operation, wanted).await
        })
        .await
    }

    /// Whether pages may have any size the operation allows.
    fn has_large_pages(&self) -> bool {
        matches!(self, Self::Machine(_))
    }

    /// All items of a list, page by page.
    pub async fn list<I, T>(
        &self,
        operation: &Operation<I, Page<T>>,
        input: &I,
    ) -> Result<Vec<T>, Failed>
    where
        I: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
        T: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
    {
        let input = serde_json::to_value(input).unwrap_or_default();
        pages(input, (MOST_ITEMS, usize::MAX), async |wanted| {
            let wanted = serde_json::from_value(wanted)
                .map_err(|error| Failed::new(Exit::Failure, error.to_string()))?;
            self.call(operation, wanted).await
        })
        .await
    }
}

/// All items of a running gateway's list, page by page, as JSON.
pub async fn items(operator: &Operator, path: &str) -> Result<Vec<Value>, Failed> {
    let none = Value::Object(Map::new());
    pages(none, (MOST_ITEMS, usize::MAX), async |wanted| {
        read(ask(operator, Verb::Get, path, wanted).await?)
    })
    .await
}

/// Fetches pages of a given size until enough items are there.
async fn pages<T>(
    mut input: Value,
    (size, most): (usize, usize),
    fetch: impl AsyncFn(Value) -> Result<Page<T>, Failed>,
) -> Result<Vec<T>, Failed> {
    let mut all = Vec::new();
    for _ in 0..PAGES {
        input["limit"] = size.min(most - all.len()).into();
        let page = fetch(input.clone()).await?;
        all.extend(page.items);
        match page.next_cursor {
            Some(cursor) if all.len() < most => input["cursor"] = cursor.into(),
            _ => return Ok(all),
        }
    }
    Err(Failed::new(Exit::Failure, "the list has too many pages"))
}

/// Sends a request to the admin API. Members of the input that are not in the path are sent in the
/// query, or in the body if the operation changes something.
pub async fn ask(
    operator: &Operator,
    verb: Verb,
    path: &str,
    input: Value,
) -> Result<Value, Failed> {
    send(operator, (verb, path), input, false).await
}

fn read<O: DeserializeOwned>(output: Value) -> Result<O, Failed> {
    serde_json::from_value(output).map_err(|error| {
        let why = format!("the gateway's response cannot be read: {error}");
        Failed::new(Exit::Unreachable, why)
    })
}

async fn send(
    operator: &Operator,
    (verb, path): (Verb, &str),
    input: Value,
    dry_run: bool,
) -> Result<Value, Failed> {
    let mut members = match input {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let mut target = operator.admin_url.clone();
    {
        let wrong = || Failed::new(Exit::Usage, format!("{} cannot be used", operator.admin_url));
        target.set_query(None);
        let mut segments = target.path_segments_mut().map_err(|()| wrong())?;
        segments.pop_if_empty();
        for part in path.split('/').skip(1) {
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) => segments.push(&text(&members.remove(name).unwrap_or_default())),
                None => segments.push(part),
            };
        }
    }
    if dry_run {
        target.query_pairs_mut().append_pair("dry_run", "true");
    }
    let mut headers = HeaderMap::new();
    let mut body = Bytes::new();
    match verb {
        Verb::Get | Verb::Delete => {
            for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                match value {
                    Value::Array(all) => {
                        for one in all {
                            target.query_pairs_mut().append_pair(name, &text(one));
                        }
                    }
                    one => drop(target.query_pairs_mut().append_pair(name, &text(one))),
                }
            }
        }
        Verb::Post | Verb::Put => body = Bytes::from(Value::Object(members).to_string()),
    }
    if verb != Verb::Get {
        let name = HeaderName::from_static(guard::OPERATOR);
        headers.insert(name, HeaderValue::from_static("1"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let endpoint = endpoint(&target, &[], &operator.credential)?;
    let response = endpoint.call(verb.method(), headers, body).await.map_err(Error::from)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|error| {
        Failed::new(Exit::Unreachable, format!("the gateway's response was interrupted: {error}"))
    })?;
    let body: Value = serde_json::from_slice(&body.to_bytes()).map_err(|error| {
        let why = format!("{target} is not the admin API of a gateway: {error}");
        Failed::new(Exit::Unreachable, why)
    })?;
    if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn refused(status: StatusCode, body: &Value) -> Failed {
    let mut why = format!("the gateway answered with HTTP {status}");
    if let Some(detail) = body["detail"].as_str() {
        let _ = write!(why, ": {detail}");
    }
    if status == StatusCode::UNAUTHORIZED {
        why.push_str("; pass an admin key with --key or DOORWARD_KEY");
    }
    for finding in body["findings"].as_array().into_iter().flatten() {
        let _ = write!(why, "\n  {finding}");
    }
    Failed::new(Exit::Refused, why)
}

fn on_the_machine(problem: Problem) -> Failed {
    let exit = match problem.code {
        Code::InvalidRequest => Exit::Usage,
        Code::InvalidPolicies => Exit::Config,
        Code::Forbidden => Exit::Refused,
        _ => Exit::Failure,
    };
    Failed::new(exit, problem.detail)
}
