//! The admin listener: health, metrics, and the state of the servers. On loopback only, and guarded like the other
//! listeners.

mod stored;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Json, Router};
use doorward_policy::Action;
use doorward_store::Actor;
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::gateway::Gateway;
use crate::protocol::guard;
use crate::record;
use doorward_identity::identity::{Grant, Peer};
use doorward_observability::metrics::prometheus;
use doorward_observability::telemetry::metrics::as_json;

/// Longest body of a request to the operator's listener.
const MOST: usize = 256 << 10;

/// Calls that are told of those being answered.
const MOST_LIVE: usize = 1_000;

/// Every route: what serves a path is also what is told of it.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<Gateway>>)> {
    vec![
        ("/healthz", get(async || "ok\n")),
        ("/readyz", get(ready)),
        ("/metrics", get(metrics)),
        ("/top", get(top)),
        ("/servers", get(async |State(gateway): State<Arc<Gateway>>| Json(gateway.states()))),
        ("/servers/{name}/connect", post(stored::connect)),
        ("/keys", get(stored::keys).post(stored::create_key)),
        ("/keys/{id}", delete(stored::revoke_key)),
        ("/keys/{id}/rotate", post(stored::rotate_key)),
        ("/principals", get(stored::principals).put(stored::put_principal)),
        ("/principals/{kind}/{name}", delete(stored::remove_principal)),
        ("/grants", get(stored::grants)),
        ("/grants/{id}", delete(stored::revoke_grant)),
        ("/clients", get(stored::clients)),
        ("/clients/{id}", delete(stored::remove_client)),
        ("/policies", get(stored::policies).put(stored::apply_policies)),
        ("/policies/rollback", post(stored::roll_back_policies)),
        ("/portals", get(stored::portals)),
        ("/portals/{name}", put(stored::put_portal).delete(stored::remove_portal)),
    ]
}

/// The paths of the operator's listener.
pub fn paths() -> Vec<&'static str> {
    routes().into_iter().map(|(path, _)| path).collect()
}

pub fn router(gateway: Arc<Gateway>) -> Router {
    let router = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, serves)| router.route(path, serves));
    router.layer(DefaultBodyLimit::max(MOST)).with_state(gateway)
}

/// What may be asked without showing anything: whether the gateway lives.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// What shuts out everybody who has nothing to show, or gives somebody rights for the time after. The first time, it is
/// done where the store can be written, and not by whoever can reach the listener: a web page in a browser on this
/// machine can (attack T10).
const CLOSING: [&str; 4] = ["/keys", "/policies", "/policies/rollback", "/principals"];

/// Answers one request. Foreign hosts and all other origins are refused (attack T10), and so is everybody who is no
/// operator once callers have to authenticate.
pub async fn answer(
    gateway: Arc<Gateway>,
    router: Router,
    peer: Peer,
    request: Request<Incoming>,
) -> Response {
    if let Err((status, why)) = guard::check_operator(&gateway.settings(), peer.local, &request) {
        return (status, format!("{why}\n")).into_response();
    }
    let mut request = request;
    let shown = request.headers().contains_key(header::AUTHORIZATION);
    if shown || !OPEN.contains(&request.uri().path()) {
        match gateway.identity.identify(&peer, request.headers(), request.uri(), None).await {
            Ok(caller) => {
                let action = if request.method().is_safe() { Action::View } else { Action::Change };
                if !OPEN.contains(&request.uri().path()) && !gateway.is_operator(&caller, action) {
                    let why = "The key or token does not give access to the admin listener\n";
                    gateway.shared.audit.refused(|members| {
                        record::caller(members, &caller);
                        members.text("protocol", "admin").text("path", request.uri().path());
                        members.text("error", "no_operator");
                    });
                    return (StatusCode::FORBIDDEN, why).into_response();
                }
                let path = request.uri().path();
                if action == Action::Change && !guard::has_operators_header(request.headers()) {
                    let why = "A change requires a key, or the header 'Doorward-Admin: 1'\n";
                    return (StatusCode::FORBIDDEN, why).into_response();
                }
                if action == Action::Change
                    && caller.principal.grant == Grant::Open
                    && CLOSING.contains(&path.trim_end_matches('/'))
                {
                    let why = "authentication is not configured yet, and this change would \
                        configure it: create the first key on the gateway's machine with \
                        'doorward keys create --admin'";
                    let told = Json(serde_json::json!({ "error": why }));
                    return (StatusCode::FORBIDDEN, told).into_response();
                }
                request.extensions_mut().insert(Actor {
                    via: "admin",
                    name: caller.principal.id.to_string(),
                    address: caller.address.map(|address| address.to_string()),
                });
            }
            Err(refused) => {
                gateway.shared.audit.refused(|members| {
                    members.text("address", &peer.address.to_string()).text("protocol", "admin");
                    members.text("path", request.uri().path()).text("error", refused.reason());
                });
                let hints = gateway.identity.hints("", Default::default());
                return crate::protocol::challenge::response(&refused, &hints)
                    .map(|body| Body::from(body.into_bytes()));
            }
        }
    }
    let Ok(response) = router.oneshot(request).await;
    response
}

async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let states = gateway.states();
    let waiting: Vec<_> = states.iter().filter(|state| state.state == "starting").collect();
    let short = gateway.shared.memory.is_short();
    let unreadable = gateway.kept.is_unreadable();
    let unavailable = gateway.shared.audit.trouble();
    if gateway.is_ready() && !short && !unreadable && unavailable.is_none() {
        return "ready\n".into_response();
    }
    let names: Vec<_> = waiting.iter().map(|state| state.name.as_str()).collect();
    let text = if gateway.closing.is_cancelled() {
        "shutting down\n".to_owned()
    } else if short {
        "memory limit reached\n".to_owned()
    } else if unreadable {
        "the store cannot be read\n".to_owned()
    } else if unavailable.is_some() {
        // Why, the log says: anybody may ask.
        "the audit log cannot be written\n".to_owned()
    } else {
        format!("starting: {}\n", names.join(", "))
    };
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// What is measured, and the calls that are being answered, for `doorward top`.
async fn top(State(gateway): State<Arc<Gateway>>) -> Json<serde_json::Value> {
    let measures = as_json(&gateway.metrics());
    Json(serde_json::json!({ "measures": measures, "calls": gateway.live.list(MOST_LIVE) }))
}

/// In the form that is asked for: OpenMetrics, or that of Prometheus.
async fn metrics(State(gateway): State<Arc<Gateway>>, sent: HeaderMap) -> Response<Body> {
    let accepted = sent.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let open = accepted.is_some_and(|text| text.contains("application/openmetrics-text"));
    let (text, kind) = if open {
        (gateway.metrics(), "application/openmetrics-text; version=1.0.0; charset=utf-8")
    } else {
        (prometheus(&gateway.metrics()), "text/plain; version=0.0.4; charset=utf-8")
    };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
