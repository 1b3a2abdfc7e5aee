//! A table of operations, as a listener serves it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use doorward_identity::identity::Caller;
use http::{StatusCode, Uri, header};
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::desk::Desk;
use crate::http::filter;
use crate::operation::Route;
use crate::problem::{Code, Problem};
use crate::routes;

/// Who asks, as the routes get it.
#[derive(Debug, Clone)]
struct Asking(Caller);

/// The routes of an API. Whoever serves it has authenticated the caller.
#[derive(Debug, Clone)]
pub struct Served(Router);

impl Served {
    /// `most` is the longest body of a request, in bytes; `desk` makes the desk of a caller; `more` are routes that are no
    /// operations.
    pub fn new(
        all: Vec<Route>,
        most: usize,
        desk: impl Fn(Caller) -> Desk + Clone + Send + Sync + 'static,
        more: Router,
    ) -> Self {
        let all: Vec<Arc<Route>> = all.into_iter().map(Arc::new).collect();
        let mut router = more;
        for route in &all {
            let reads = all.iter().find(|other| routes::reads(other, route)).cloned();
            let (desk, served) = (desk.clone(), route.clone());
            let handler = move |path: RawPathParams, request: Request| {
                let desk = caller(&request).map(&desk);
                answered(desk, most, served.clone(), reads.clone(), path, request)
            };
            router = router.route(route.path, on(filter(&route.method), handler));
        }
        let router = router
            .fallback(|uri: Uri| async move { Problem::absent("path", uri.path()).into_response() })
            .layer(DefaultBodyLimit::max(most));
        Self(router)
    }

    /// Answers a request. What is open to everybody needs no caller.
    pub async fn answer(
        self,
        caller: Option<Caller>,
        mut request: http::Request<Incoming>,
    ) -> Response {
        if let Some(caller) = caller {
            request.extensions_mut().insert(Asking(caller));
        }
        let Ok(response) = self.0.oneshot(request).await;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let why = "see the 'Allow' header, and the description of the API";
            let mut problem = Problem::new(Code::MethodNotAllowed, why).into_response();
            let allowed = response.headers().get(header::ALLOW).cloned();
            problem.headers_mut().extend(allowed.map(|value| (header::ALLOW, value)));
            return problem;
        }
        response
    }
}

/// Who sent a request to a route.
pub fn caller(request: &Request) -> Option<Caller> {
    request.extensions().get::<Asking>().map(|Asking(caller)| caller.clone())
}

async fn answered(
    desk: Option<Desk>,
    most: usize,
    route: Arc<Route>,
    reads: Option<Arc<Route>>,
    path: RawPathParams,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Some(desk) = desk else {
        return Problem::new(Code::Unauthenticated, "there is no caller").into_response();
    };
    let patience = desk.settings().map(|settings| settings.timeouts.body.0).unwrap_or_default();
    let body = match tokio::time::timeout(patience, axum::body::to_bytes(body, most)).await {
        Err(_) => {
            let why = "the body was not received in time ('timeouts.body')";
            let mut response = Problem::invalid(why).into_response();
            *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
            return response;
        }
        Ok(Ok(body)) => body,
        Ok(Err(error)) => {
            let why =
                format!("the body could not be read, or is larger than {most} bytes: {error}");
            return Problem::new(Code::TooLarge, why).into_response();
        }
    };
    let path = path.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    let (uri, headers) = (parts.uri, parts.headers);
    crate::http::Request { desk, route, reads, path, uri, headers, body }.answer().await
}
