//! The operator's listener: health, measures, and the state of the servers. On loopback only, and
//! guarded like the other doors.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::facade::guard;
use crate::gateway::Gateway;

pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/servers", get(async |State(gateway): State<Arc<Gateway>>| Json(gateway.states())))
        .with_state(gateway)
}

/// Answers one request. Foreign hosts and origins are refused, as at the other doors (attack T10).
pub async fn answer(
    gateway: Arc<Gateway>,
    router: Router,
    local: SocketAddr,
    request: Request<Incoming>,
) -> Response {
    if let Err(why) = guard::check(&gateway.settings(), local, request.headers()) {
        return (StatusCode::FORBIDDEN, format!("{why}\n")).into_response();
    }
    let Ok(response) = router.oneshot(request).await;
    response
}

async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let states = gateway.states();
    let waiting: Vec<_> = states.iter().filter(|state| state.state == "starting").collect();
    let short = gateway.shared.memory.is_short();
    if gateway.is_ready() && !short {
        return "ready\n".into_response();
    }
    let names: Vec<_> = waiting.iter().map(|state| state.name.as_str()).collect();
    let text = if gateway.closing.is_cancelled() {
        "shutting down\n".to_owned()
    } else if short {
        "short of memory\n".to_owned()
    } else {
        format!("starting: {}\n", names.join(", "))
    };
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    let mut response = Response::new(Body::from(gateway.metrics()));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
