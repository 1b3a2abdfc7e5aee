//! The admin API for what is created at run time: the same as `doorward keys` and `doorward principals`, over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use doorward_policy::PolicySet;
use doorward_store::{Actor, Entry, Error, KeyId, Kind, NewKey, Scopes, Store, now};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use doorward_config::PortalSettings;
use doorward_identity::delegation;
use doorward_identity::identity::directory::declared_entries;

type At = State<Arc<Gateway>>;

/// A key to be made, in seconds from now where it has a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    owner: Entry,
    #[serde(default)]
    label: String,
    #[serde(default)]
    scopes: Scopes,
    expires_in: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Seconds for which the old key stays good.
    #[serde(default = "a_day")]
    overlap: i64,
}

fn a_day() -> i64 {
    24 * 60 * 60
}

/// Why something was not done, as an answer.
pub struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Absent { .. } => StatusCode::NOT_FOUND,
            Error::Refused(_) => StatusCode::CONFLICT,
            Error::Database(_) | Error::Row(_) | Error::Randomness(_) | Error::Sealed(_) => {
                tracing::error!(%error, "the store failed");
                return Self(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be used".into());
            }
        };
        Self(status, error.to_string())
    }
}

/// The store in the hands of whoever asks: what they change is recorded as done by them.
pub struct Hands(Store);

impl FromRequestParts<Arc<Gateway>> for Hands {
    type Rejection = Refused;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Refused> {
        let none = || Refused(StatusCode::CONFLICT, "there is no store ('store: none')".into());
        let store = gateway.kept.store().ok_or_else(none)?;
        // Put there before any route is looked for.
        let nobody = || Refused(StatusCode::FORBIDDEN, "there is no caller".into());
        let actor = parts.extensions.get::<Actor>().cloned().ok_or_else(nobody)?;
        Ok(Self(store.acting(actor)))
    }
}

/// Reads a body, and says what is wrong with it.
fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body)
        .map_err(|error| Refused(StatusCode::BAD_REQUEST, format!("the body: {error}")))
}

/// What was changed holds before it is told that it was.
async fn done(gateway: &Gateway) -> Result<(), Refused> {
    Ok(gateway.look_at_store(false).await?)
}

pub async fn keys(State(gateway): At) -> Result<Json<Value>, Refused> {
    let keys = match gateway.kept.store() {
        Some(store) => store.keys().await?,
        None => Vec::new(),
    };
    Ok(Json(json!(keys)))
}

pub async fn create_key(
    State(gateway): At,
    hands: Hands,
    body: axum::body::Bytes,
) -> Result<Response, Refused> {
    let wanted: Wanted = read(&body)?;
    let new = NewKey {
        label: wanted.label,
        owner: wanted.owner,
        scopes: wanted.scopes,
        expires: wanted.expires_in.map(|seconds| now().saturating_add(seconds)),
    };
    let (key, text) = hands.0.create_key(&new).await?;
    done(&gateway).await?;
    Ok(shown_once(&key, &text))
}

pub async fn rotate_key(
    State(gateway): At,
    hands: Hands,
    Path(id): Path<String>,
    body: axum::body::Bytes,
) -> Result<Response, Refused> {
    let rotation: Rotation =
        if body.is_empty() { Rotation { overlap: a_day() } } else { read(&body)? };
    if rotation.overlap < 0 {
        return Err(Refused(StatusCode::BAD_REQUEST, "'overlap' must not be negative".into()));
    }
    let (key, text) = hands.0.rotate_key(&KeyId(id), rotation.overlap).await?;
    done(&gateway).await?;
    Ok(shown_once(&key, &text))
}

fn shown_once(key: &doorward_store::Key, text: &str) -> Response {
    let mut told = json!(key);
    told["key"] = text.into();
    let no_store = [(axum::http::header::CACHE_CONTROL, "no-store")];
    (StatusCode::CREATED, no_store, Json(told)).into_response()
}

pub async fn revoke_key(
    State(gateway): At,
    hands: Hands,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    let key = hands.0.revoke_key(&KeyId(id)).await?;
    done(&gateway).await?;
    Ok(Json(json!(key)))
}

/// A link under which somebody lets the gateway itself use a server.
pub async fn connect(
    State(gateway): At,
    _: Hands,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    let server = gateway.server(&name).ok_or_else(|| {
        Refused(StatusCode::NOT_FOUND, format!("there is no server '{}'", name.escape_debug()))
    })?;
    if server.settings.delegated.is_none() {
        let why = format!("'{}' does not use grants: it is not 'delegated'", server.name);
        return Err(Refused(StatusCode::CONFLICT, why));
    }
    let (server, owner) = (server.name.to_string(), delegation::GATEWAY.to_owned());
    let wanted = delegation::link::Wanted { server, owner, more: BTreeSet::new(), told: None };
    let link = gateway.shared.delegations.link(gateway.identity.resources.origin(), &wanted);
    let link = link.map_err(|error| Refused(StatusCode::CONFLICT, error.to_string()))?;
    Ok(Json(json!({ "url": link })))
}

/// Who has let which client act for them.
pub async fn grants(State(gateway): At) -> Result<Json<Value>, Refused> {
    let grants = match gateway.kept.store() {
        Some(store) => store.grants(true).await?,
        None => Vec::new(),
    };
    Ok(Json(json!(grants)))
}

pub async fn revoke_grant(
    State(gateway): At,
    hands: Hands,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    let grant = hands.0.revoke_grant(&id).await?;
    done(&gateway).await?;
    Ok(Json(json!(grant)))
}

/// Clients that have registered themselves.
pub async fn clients(State(gateway): At) -> Result<Json<Value>, Refused> {
    let clients = match gateway.kept.store() {
        Some(store) => store.clients().await?,
        None => Vec::new(),
    };
    Ok(Json(json!(clients)))
}

pub async fn remove_client(
    State(gateway): At,
    hands: Hands,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    hands.0.remove_client(&id).await?;
    done(&gateway).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Everybody, those of the configuration marked so: they cannot be changed here.
pub async fn principals(State(gateway): At) -> Result<Json<Value>, Refused> {
    let declared = declared_entries(&gateway.settings().directory);
    let kept = match gateway.kept.store() {
        Some(store) => store.principals().await?,
        None => Vec::new(),
    };
    let marked = |entry: &Entry, from: &str| {
        let mut told = json!(entry);
        told["source"] = from.into();
        told
    };
    let is_declared =
        |entry: &Entry| declared.iter().any(|it| it.kind == entry.kind && it.name == entry.name);
    let mut all: Vec<Value> = declared.iter().map(|entry| marked(entry, "configuration")).collect();
    all.extend(kept.iter().filter(|entry| !is_declared(entry)).map(|entry| marked(entry, "store")));
    Ok(Json(json!(all)))
}

pub async fn put_principal(
    State(gateway): At,
    hands: Hands,
    body: axum::body::Bytes,
) -> Result<Json<Value>, Refused> {
    let entry: Entry = read(&body)?;
    refuse_declared(&gateway, entry.kind, &entry.name)?;
    hands.0.put_principal(&entry).await?;
    done(&gateway).await?;
    Ok(Json(json!(entry)))
}

pub async fn remove_principal(
    State(gateway): At,
    hands: Hands,
    Path((kind, name)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let kind: Kind = kind.parse().map_err(|why| Refused(StatusCode::BAD_REQUEST, why))?;
    refuse_declared(&gateway, kind, &name)?;
    hands.0.remove_principal(kind, &name).await?;
    done(&gateway).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn refuse_declared(gateway: &Gateway, kind: Kind, name: &str) -> Result<(), Refused> {
    let declared = declared_entries(&gateway.settings().directory);
    if declared.iter().any(|entry| entry.kind == kind && entry.name == name) {
        let why = format!("{kind} '{name}' is defined in the configuration: change it there");
        return Err(Refused(StatusCode::CONFLICT, why));
    }
    Ok(())
}

/// The policies in force: where they come from, and each with its text.
pub async fn policies(State(gateway): At) -> Json<Value> {
    let policies = gateway.policies();
    let all: Vec<Value> = policies.set.iter().flat_map(|set| set.policies()).map(|(id, about)| {
        json!({ "id": id, "file": about.file, "line": about.line, "reason": about.reason, "text": about.text })
    }).collect();
    Json(json!({ "version": policies.version, "zone": policies.zone_name, "policies": all }))
}

/// Policies to be put in force.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// Names and texts.
    files: BTreeMap<String, String>,
    #[serde(default)]
    note: String,
}

/// Puts policies in force; those that do not fit are told with file and line, and change nothing.
pub async fn apply_policies(
    State(gateway): At,
    hands: Hands,
    body: axum::body::Bytes,
) -> Result<Response, Refused> {
    let applied: Applied = read(&body)?;
    refuse_declared_policies(&gateway)?;
    if let Err(findings) = PolicySet::compile(&applied.files) {
        let told = json!({ "error": "the policies are invalid", "findings": findings });
        return Ok((StatusCode::BAD_REQUEST, Json(told)).into_response());
    }
    let version = hands.0.apply_policies(&applied.files, &applied.note).await?;
    done(&gateway).await?;
    Ok(Json(json!({ "version": version })).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rollback {
    to: Option<i64>,
}

/// Puts an earlier version in force again.
pub async fn roll_back_policies(
    State(gateway): At,
    hands: Hands,
    body: axum::body::Bytes,
) -> Result<Json<Value>, Refused> {
    let rollback: Rollback = if body.is_empty() { Rollback::default() } else { read(&body)? };
    refuse_declared_policies(&gateway)?;
    let version = hands.0.roll_back_policies(rollback.to).await?;
    done(&gateway).await?;
    Ok(Json(json!({ "version": version })))
}

fn refuse_declared_policies(gateway: &Gateway) -> Result<(), Refused> {
    if gateway.settings().policy.files.is_empty() {
        return Ok(());
    }
    let why = "policies are loaded from files of the configuration: change them there";
    Err(Refused(StatusCode::CONFLICT, why.into()))
}

/// All portals, those of the configuration marked so, and the servers, which are portals, too.
pub async fn portals(State(gateway): At) -> Json<Value> {
    let made = gateway.portals();
    let made = made.values().map(|(name, portal)| {
        let source = if portal.declared { "configuration" } else { "store" };
        json!({ "name": name, "url": url(&gateway, name), "source": source, "portal": portal.settings })
    });
    let servers = gateway.servers();
    let servers = servers.iter().map(|server| {
        json!({ "name": server.name, "url": url(&gateway, &server.name), "source": "server" })
    });
    Json(made.chain(servers).collect())
}

fn url(gateway: &Gateway, name: &str) -> String {
    format!("{}/mcp/{name}", gateway.identity.resources.origin())
}

pub async fn put_portal(
    State(gateway): At,
    hands: Hands,
    Path(name): Path<String>,
    body: axum::body::Bytes,
) -> Result<Json<Value>, Refused> {
    let portal: PortalSettings = read(&body)?;
    if let Some((key, problem)) = portal.problems(&name).first() {
        return Err(Refused(StatusCode::BAD_REQUEST, format!("{key}: {problem}")));
    }
    let taken = gateway.server(&name).is_some()
        || gateway.portal(&name).is_some_and(|portal| portal.declared);
    if taken {
        let why = format!("'{name}' is defined in the configuration: change it there");
        return Err(Refused(StatusCode::CONFLICT, why));
    }
    let text = serde_json::to_string(&portal).unwrap_or_default();
    hands.0.put_portal(&name, &text).await?;
    done(&gateway).await?;
    Ok(Json(json!(portal)))
}

pub async fn remove_portal(
    State(gateway): At,
    hands: Hands,
    Path(name): Path<String>,
) -> Result<StatusCode, Refused> {
    hands.0.remove_portal(&name).await?;
    done(&gateway).await?;
    Ok(StatusCode::NO_CONTENT)
}
