//! The admin listener: guarded like the other listeners, authenticated, and limited by administrator, before any route is
//! looked for.

use std::sync::Arc;
use std::time::Instant;

use axum::response::{IntoResponse, Response};
use doorward_gateway::Gateway;
use doorward_gateway::record;
use doorward_identity::identity::{Caller, Grant, Peer, Refused};
use doorward_policy::Action;
use doorward_web::{challenge, guard};
use http::{StatusCode, header};
use hyper::body::Incoming;

use crate::desk::{Desk, Reload};
use crate::problem::{Code, Problem};
use crate::rates::{Rates, rates};
use crate::served::Served;
use crate::{health, routes};

/// Longest body of a request, in bytes: a set of policies or a folder of resources is the largest.
const MOST: usize = 4 << 20;

/// The admin API of a gateway.
#[derive(Debug, Clone)]
pub struct Admin {
    gateway: Arc<Gateway>,
    served: Served,
    rates: Arc<Rates>,
}

impl Admin {
    /// `reloader` reads the configuration file, where there is one.
    pub fn new(gateway: Arc<Gateway>, reloader: Option<&Arc<dyn Reload>>) -> Self {
        let more = health::router(gateway.clone()).merge(crate::events::router(gateway.clone()));
        let (known, reloader) = (gateway.clone(), reloader.cloned());
        let desk = move |caller| Desk::of_caller(known.clone(), caller, reloader.clone());
        let served = Served::new(routes::all(), MOST, desk, more);
        Self { served, gateway, rates: Arc::new(rates()) }
    }

    /// Answers one request. Other hosts and origins are refused (attack T10), and so is, once callers have to
    /// authenticate, everybody without a credential; what they may do, each route decides.
    pub async fn answer(self, peer: Peer, request: http::Request<Incoming>) -> Response {
        let gateway = &self.gateway;
        if let Err((status, why)) = guard::check_operator(&gateway.settings(), peer.local, &request)
        {
            return refused(status, why);
        }
        let path = request.uri().path();
        let is_open = health::OPEN.contains(&path);
        if is_open && !request.headers().contains_key(header::AUTHORIZATION) {
            return self.served.answer(None, request).await;
        }
        let identified =
            gateway.identity.identify(&peer, request.headers(), request.uri(), None).await;
        let caller = match identified {
            Ok(caller) => caller,
            Err(Refused::Stopped(stop)) => {
                gateway.shared.audit.refused(|members| {
                    members.text("address", &peer.address.to_string()).text("protocol", "admin");
                    members.text("path", path).text("error", "stopped");
                });
                return Problem::new(Code::Forbidden, stop.message()).into_response();
            }
            Err(refused) => {
                gateway.shared.audit.refused(|members| {
                    members.text("address", &peer.address.to_string()).text("protocol", "admin");
                    members.text("path", path).text("error", refused.reason());
                });
                let hints = gateway.identity.hints("", Default::default());
                return unauthenticated(&challenge::response(&refused, &hints));
            }
        };
        let has_header = guard::has_operators_header(request.headers());
        self.authorized(caller, has_header, request).await
    }

    /// Answers a request of somebody who has signed in with a browser. The listener's guard must have admitted it, and its
    /// origin must be the listener's own. A change requires the header that no form can send.
    pub async fn answer_signed_in(
        self,
        caller: Caller,
        request: http::Request<Incoming>,
    ) -> Response {
        let has_header = request.headers().contains_key(guard::OPERATOR);
        self.authorized(caller, has_header, request).await
    }

    async fn authorized(
        self,
        caller: Caller,
        has_header: bool,
        request: http::Request<Incoming>,
    ) -> Response {
        let gateway = &self.gateway;
        let path = request.uri().path();
        if !self.rates.admit(&caller.principal.id, Instant::now()) {
            let why = "an administrator may send 50 requests a second, and 200 in a burst";
            return Problem::new(Code::TooManyRequests, why).into_response();
        }
        let is_for_calls = matches!(&caller.principal.grant,
            Grant::Key { scopes, .. } if !scopes.admin && !scopes.administer);
        if is_for_calls && !health::OPEN.contains(&path) {
            let action = if request.method().is_safe() { Action::View } else { Action::Operate };
            record::administration_refused(gateway, &caller, action.as_str(), path);
            let why = "the key has neither the scope 'admin' nor 'administer'";
            return Problem::new(Code::Forbidden, why).into_response();
        }
        if !request.method().is_safe() {
            if !has_header {
                let why = "a change requires a key or token, or the header 'Doorward-Admin: 1'";
                return Problem::new(Code::Forbidden, why).into_response();
            }
            if caller.principal.grant == Grant::Open && routes::closes(path) {
                let why = "authentication is not configured yet, and this change would configure \
                    it: create the first key on the gateway's machine with 'doorward keys create --admin'";
                return Problem::new(Code::Forbidden, why).into_response();
            }
        }
        self.served.answer(Some(caller), request).await
    }
}

/// What the guard refuses, as a problem.
pub fn refused(status: StatusCode, why: &str) -> Response {
    let code = match status {
        StatusCode::FORBIDDEN => Code::Forbidden,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        _ => Code::InvalidRequest,
    };
    let mut response = Problem::new(code, why).into_response();
    *response.status_mut() = status;
    response
}

/// The challenge of the gateway, with a problem as its body.
fn unauthenticated<B>(challenge: &http::Response<B>) -> Response {
    let (code, why) = match challenge.status() {
        StatusCode::UNAUTHORIZED => {
            (Code::Unauthenticated, "send a valid key or token as 'Authorization: Bearer …'")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            (Code::StoreUnavailable, "the token cannot be checked at the moment")
        }
        StatusCode::FORBIDDEN => (Code::Forbidden, "the token lacks a required scope"),
        _ => (Code::InvalidRequest, "the credential is malformed"),
    };
    let mut response = Problem::new(code, why).into_response();
    *response.status_mut() = challenge.status();
    for name in [header::WWW_AUTHENTICATE, header::RETRY_AFTER] {
        if let Some(value) = challenge.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}
