//! The portal's API (`/portal/v1`): what a user may see and do about themselves.
//!
//! Each operation is a function over a [`Desk`], as those of the admin API are, and is served and described by the same
//! machinery. None of them needs an action of administrators: they are about what belongs to the caller ([`visit`]), and
//! what the caller may use is decided by the functions that decide about calls. What a caller may not see is absent.

mod accounts;
mod approvals;
mod endpoints;
mod keys;
mod me;
mod requests;
mod sessions;
mod tools;
mod usage;
mod visit;

use std::sync::Arc;
use std::time::Instant;

use axum::response::{IntoResponse, Response};
use doorward_admin::openapi::{self, About};
use doorward_admin::{Code, Desk, Problem, Route, Served};
use doorward_gateway::Gateway;
use doorward_identity::identity::Caller;
use doorward_limits::buckets::Buckets;
use hyper::body::Incoming;
use serde_json::Value;

/// Longest body of a request, in bytes.
const MOST: usize = 64 << 10;
/// Requests a second, how many may come at once, and callers that are remembered.
const RATE: f64 = 20.0;
const BURST: f64 = 100.0;
const CALLERS: usize = 10_000;

/// All operations, one line each.
pub fn routes() -> Vec<Route> {
    vec![
        me::SHOW.route(),
        tools::LIST.route(),
        tools::SHOW.route(),
        endpoints::LIST.route(),
        keys::LIST.route(),
        keys::CREATE.route(),
        keys::ROTATE.route(),
        keys::REVOKE.route(),
        approvals::LIST.route(),
        approvals::SHOW.route(),
        approvals::APPROVE.route(),
        approvals::REFUSE.route(),
        usage::REPORT.route(),
        sessions::LIST.route(),
        sessions::END.route(),
        accounts::LIST.route(),
        accounts::CONNECT.route(),
        accounts::PUT.route(),
        accounts::REMOVE.route(),
        requests::LIST.route(),
        requests::OPEN.route(),
        requests::WITHDRAW.route(),
    ]
}

/// The description of the API. `docs/portal-api.json` is a copy of it.
pub fn description() -> Value {
    let about = About {
        title: "Doorward portal API",
        description: "What a user may see and do about themselves. Errors are problem details (RFC 9457) with stable codes.",
        server: ("http://127.0.0.1:7300", "The listener of clients"),
        credential: "An API key, or a token for the whole gateway. In a browser, the session of the portal.",
    };
    openapi::describe(&about, &routes())
}

/// The API of a gateway.
#[derive(Debug, Clone)]
pub struct Api {
    /// For callers who have signed in with a browser, and for others.
    signed_in: Served,
    others: Served,
    rates: Arc<Buckets<Arc<str>>>,
}

impl Api {
    pub fn new(gateway: &Arc<Gateway>) -> Self {
        let served = |signed_in: bool| {
            let gateway = gateway.clone();
            let desk = move |caller| Desk::of_visitor(gateway.clone(), caller, signed_in);
            Served::new(routes(), MOST, desk, axum::Router::new())
        };
        let rates = Arc::new(Buckets::new(BURST, RATE, CALLERS));
        Self { signed_in: served(true), others: served(false), rates }
    }

    /// Answers a request of an authenticated caller. The listener's guard must have admitted it.
    pub async fn answer(
        &self,
        caller: Caller,
        signed_in: bool,
        request: http::Request<Incoming>,
    ) -> Response {
        if !self.rates.admit(&caller.principal.id, Instant::now()) {
            let why = "a user may send 20 requests a second, and 100 in a burst";
            return Problem::new(Code::TooManyRequests, why).into_response();
        }
        let served = if signed_in { &self.signed_in } else { &self.others };
        served.clone().answer(Some(caller), request).await
    }
}
