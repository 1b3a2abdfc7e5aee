//! Who has signed in, and the token for calls.

use std::collections::BTreeMap;

use bytes::Bytes;
use doorward_admin::{Code, Desk};
use doorward_identity::identity::browser::{Face, Proof};
use doorward_identity::identity::{Caller, Grant, Refused};
use doorward_web::guard;
use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::kind_of;
use crate::respond;
use crate::site::{Sent, Site};

impl Site {
    /// `GET auth/session`: who has signed in, what they may do, and how others can.
    pub async fn session(&self, sent: &Sent<'_>) -> Response<Bytes> {
        if !crate::headers::may_read(sent.headers) {
            return respond::foreign();
        }
        let found = match self.signed_in(sent.peer, sent.headers).await {
            Ok(found) => found,
            Err(Refused::Unavailable) => {
                return respond::problem(Code::StoreUnavailable, "sessions cannot be read");
            }
            Err(_) => None,
        };
        let mut state = match &found {
            Some(found) => {
                let (method, provider) = match &*found.proof {
                    Proof::Key(_) => ("key", None),
                    Proof::OpenId { provider, .. } => ("openid", Some(provider.as_str())),
                };
                let mut state = self.about(&found.caller, method, provider);
                let expires = Timestamp::from_second(found.session.expires).ok();
                state["expires_at"] = json!(expires.map(|at| at.to_string()));
                state["idle_seconds"] = json!(found.session.idle);
                state
            }
            None => match self.without_session(sent.peer).await {
                Some(caller) => {
                    let open = caller.principal.grant == Grant::Open;
                    self.about(&caller, if open { "open" } else { "certificate" }, None)
                }
                None => {
                    json!({ "signed_in": false, "principal": null, "method": null, "provider": null, "may": [], "may_on": {} })
                }
            },
        };
        for missing in ["expires_at", "idle_seconds"] {
            state[missing] = state[missing].take();
        }
        let is_known = state["signed_in"] == true;
        state["face"] = json!(self.face.as_str());
        state["ways"] = self.ways(sent);
        state["gateway"] = self.gateway_for(is_known);
        let mut response = respond::json(&state);
        if found.is_none() && self.secret(sent.headers).is_some() {
            self.cookies(sent.headers).remove_session(response.headers_mut());
        }
        response
    }

    fn about(&self, caller: &Caller, method: &str, provider: Option<&str>) -> Value {
        let principal = &caller.principal;
        let may_on = match self.face {
            Face::Console => {
                Desk::of_caller(self.gateway.clone(), caller.clone(), None).actions_on()
            }
            Face::Portal | Face::Token => BTreeMap::new(),
        };
        json!({
            "signed_in": true,
            "principal": {
                "id": principal.id,
                "name": principal.who.id,
                "kind": kind_of(principal),
                "tenant": principal.who.tenant,
                "teams": principal.who.teams,
                "roles": principal.who.roles,
            },
            "method": method,
            "provider": provider,
            "may": may_on.keys().collect::<Vec<_>>(),
            // The kinds of things of which each may be done to at least one.
            "may_on": may_on,
        })
    }

    /// How one can sign in here.
    fn ways(&self, sent: &Sent<'_>) -> Value {
        let mut ways: Vec<Value> = self
            .logins
            .offered()
            .into_iter()
            .map(|(id, name)| json!({ "kind": "openid", "id": id, "name": name }))
            .collect();
        if self.is_private(sent) {
            ways.push(json!({ "kind": "key" }));
        }
        Value::Array(ways)
    }

    /// What is said of the gateway: nothing to somebody who has not signed in, but its address.
    fn gateway_for(&self, is_known: bool) -> Value {
        let settings = self.gateway.settings();
        let origin = self.gateway.identity.resources.origin();
        let console = self.console_origin().filter(|_| settings.console.enabled);
        json!({
            "version": if is_known { env!("CARGO_PKG_VERSION") } else { "" },
            "origin": origin,
            "console": console.filter(|_| is_known).map(|origin| format!("{origin}/console/")),
            "portal": (settings.portal.enabled && is_known).then(|| format!("{origin}/portal/")),
        })
    }

    /// `POST auth/token`: a short-lived token with which the application calls tools as any client does.
    pub async fn token(&self, sent: &Sent<'_>) -> Response<Bytes> {
        if !sent.headers.contains_key(guard::OPERATOR) {
            let why = "the request requires the header 'Doorward-Admin: 1'";
            return respond::problem(Code::Forbidden, why);
        }
        match self.signed_in(sent.peer, sent.headers).await {
            Ok(Some(found)) => match self.gateway.identity.session_token(&found).await {
                Ok((token, lifetime)) => {
                    respond::json(&json!({ "token": token, "expires_in": lifetime }))
                }
                Err(_) => respond::problem(Code::StoreUnavailable, "the token cannot be stored"),
            },
            // Where nobody has to authenticate, calls need no token.
            Ok(None) if self.gateway.identity.is_open() => {
                respond::json(&json!({ "token": null, "expires_in": 300 }))
            }
            refused => respond::refusal(refused.err()),
        }
    }
}
