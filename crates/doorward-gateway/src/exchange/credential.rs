//! Chooses and obtains the credential for a server on behalf of a caller.

use std::sync::Arc;
use std::time::Instant;

use doorward_mcp::error::Kind;
use doorward_store::now;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::call::{Call, Failure};
use crate::gateway::Gateway;
use doorward_config::{Assertion, Exchange};
use doorward_identity::identity::{Caller, CallerToken};
use doorward_identity::seal;
use doorward_transport::http::Own;
use doorward_upstream::Server;

impl Gateway {
    /// The credential for a server on behalf of a caller; `None` if the gateway's own applies.
    pub async fn exchanged_for(
        &self,
        call: &Call,
        server: &Server,
    ) -> Result<Option<Own>, Failure> {
        if let Some(exchange) = &server.settings.exchange {
            return self.exchanged(&call.caller, server, exchange).await.map(Some);
        }
        if let Some(assertion) = &server.settings.assertion {
            return self.asserted(&call.caller, server, assertion).map(Some);
        }
        self.given_for(server, &call.caller.principal)
    }

    /// The server rejected the credential: a new one is obtained next time.
    pub async fn exchanged_refused(&self, call: &Call, server: &Server) -> bool {
        if server.settings.exchange.is_none() {
            return false;
        }
        match self.exchanges.slot(server, &call.caller) {
            Ok(Some(slot)) => slot.lock().await.take().is_some(),
            _ => false,
        }
    }

    /// The token that the caller has presented, or the provider's token for them.
    async fn presented(&self, caller: &Caller) -> Option<Arc<CallerToken>> {
        if let Some(grant) = &caller.grant {
            let store = self.kept.store()?;
            return self.authorization.signed_in(store, grant).await.map(Arc::new);
        }
        caller.credential.clone()
    }

    async fn exchanged(
        &self,
        caller: &Caller,
        server: &Server,
        settings: &Exchange,
    ) -> Result<Own, Failure> {
        let refused =
            |why: &str| Failure { retryable: false, ..Failure::new(Kind::Unauthorized, why) };
        let none = || {
            refused(
                "The server requires a token of the caller to exchange, and you have not \
                presented one",
            )
        };
        let slot = self.exchanges.slot(server, caller)?.ok_or_else(none)?;
        let mut held = slot.lock().await;
        let name = http::header::AUTHORIZATION;
        if let Some((value, _)) = held.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Ok(Own { name, value: value.clone() });
        }
        let cannot = "Your token cannot be exchanged for one that is valid at the server";
        let exchanger = self.exchanges.exchanger(server, settings);
        let exchanger = exchanger.ok_or_else(|| refused(cannot))?;
        let presented = self.presented(caller).await.ok_or_else(none)?;
        let own = server.settings.resource();
        let resource = settings.resource.as_deref().or(own).unwrap_or_default();
        let exchanged = exchanger.exchange(&presented, resource).await;
        let (value, lifetime) = exchanged.map_err(|cause| refused(cannot).because(cause))?;
        *held = Some((value.clone(), Instant::now() + lifetime));
        Ok(Own { name, value })
    }

    /// A signed assertion of the caller's identity (JWT, RFC 7519), short-lived and for one server.
    fn asserted(
        &self,
        caller: &Caller,
        server: &Server,
        settings: &Assertion,
    ) -> Result<Own, Failure> {
        let failed = |why: &str| {
            Failure::new(
                Kind::Unauthorized,
                "The gateway cannot create a token that identifies you",
            )
            .because(why)
        };
        let principal = &caller.principal;
        let id = seal::random_id().map_err(|_| failed("the random number generator failed"))?;
        let lifetime = i64::try_from(settings.lifetime.0.as_secs()).unwrap_or(0);
        let mut claims: Map<String, Value> = Map::new();
        for (name, value) in [
            ("iss", json!(self.identity.resources.origin())),
            ("sub", json!(principal.who.id)),
            (
                "sub_kind",
                json!(doorward_identity::identity::directory::kind_of(principal.who.kind).as_str()),
            ),
            ("aud", json!(settings.audience.as_deref().or(server.settings.resource()))),
            ("iat", json!(now())),
            ("exp", json!(now() + lifetime)),
            ("jti", json!(id)),
        ] {
            claims.insert(name.into(), value);
        }
        if let Some(tenant) = &principal.who.tenant {
            claims.insert("tenant".into(), json!(tenant));
        }
        for (name, all) in [("groups", &principal.who.teams), ("roles", &principal.who.roles)] {
            if !all.is_empty() {
                claims.insert(name.into(), json!(all));
            }
        }
        // The agents that act for the user, the most recent one outermost (RFC 8693 section 4.1).
        let agents: Vec<&String> = match principal.chain.is_empty() {
            true => principal.agent.iter().collect(),
            false => principal.chain.iter().collect(),
        };
        let actor = agents.into_iter().rev().fold(None, |inner: Option<Value>, agent| {
            let mut actor = json!({ "sub": agent });
            if let Some(inner) = inner {
                actor["act"] = inner;
            }
            Some(actor)
        });
        claims.extend(actor.map(|actor| ("act".to_owned(), actor)));
        let signed = self.signing.keys().and_then(|keys| keys.sign("JWT", &claims));
        let signed = signed.ok_or_else(|| failed("there is no signing key"))?;
        let text = match &settings.scheme {
            Some(scheme) => format!("{scheme} {signed}"),
            None => signed,
        };
        let name = HeaderName::try_from(&settings.header).map_err(|_| failed("no header"))?;
        let mut value =
            HeaderValue::try_from(text).map_err(|_| failed("not a valid header value"))?;
        value.set_sensitive(true);
        Ok(Own { name, value })
    }
}
