//! What is not under `/admin/v1`: whether the gateway lives and is ready, for probes, and its metrics, for Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use doorward_gateway::Gateway;
use doorward_observability::metrics::prometheus;
use doorward_policy::Action;
use http::{HeaderValue, StatusCode, header};

use crate::desk::{self, Desk};
use crate::served::caller;

/// What may be asked without a credential.
pub const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// All of them.
pub const PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(gateway)
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
        format!("starting: {} servers\n", waiting.len())
    };
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// In the form that is asked for: OpenMetrics, or that of Prometheus.
async fn metrics(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let Some(caller) = caller(&request) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    if let Err(problem) =
        Desk::of_caller(gateway.clone(), caller, None).require(Action::View, &desk::gateway())
    {
        return problem.into_response();
    }
    let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
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
