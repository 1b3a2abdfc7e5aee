//! Signing in with an API key.

use std::time::{Duration, Instant};

use bytes::Bytes;
use doorward_admin::Code;
use doorward_config::Secret;
use doorward_identity::identity::browser::{NewSession, Proof};
use doorward_identity::identity::{Caller, Grant, Refused};
use doorward_store::EndOf;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Deserialize;

use super::{record, record_refusal};
use crate::respond;
use crate::site::{Sent, Site};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    key: Secret,
}

impl Site {
    /// `POST auth/key`.
    pub async fn sign_in_by_key(&self, sent: &Sent<'_>) -> Response<Bytes> {
        if !self.is_private(sent) {
            return respond::problem(Code::Forbidden, "signing in with a key requires HTTPS");
        }
        let Some(input) = sent.read::<Input>() else {
            return respond::problem(Code::InvalidRequest, "expected {\"key\": \"…\"}");
        };
        if !self.logins.attempts.admit(sent.peer.address, Instant::now()) {
            let why = "too many wrong keys from this address; try again in a minute";
            return respond::problem(Code::TooManyRequests, why);
        }
        let (caller, id) = match self.caller_of(sent, input.key.expose().trim()).await {
            Ok(found) => found,
            Err(refused) => {
                record_refusal(&self.gateway, self.face, sent.peer, refused.reason());
                return match refused {
                    Refused::Stopped(_) => respond::refusal(Some(refused)),
                    _ => respond::problem(Code::Unauthenticated, "the key is not valid"),
                };
            }
        };
        self.logins.attempts.succeeded(sent.peer.address);
        let mut response = respond::empty(StatusCode::NO_CONTENT);
        match self.open(sent, &caller, Proof::Key(id), (None, None), response.headers_mut()).await {
            Ok(()) => response,
            Err(refused) => refused,
        }
    }

    async fn caller_of(
        &self,
        sent: &Sent<'_>,
        key: &str,
    ) -> Result<(Caller, doorward_store::KeyId), Refused> {
        let wrong = || Refused::Token("it is not a key");
        if !key.starts_with("dwk_") {
            return Err(wrong());
        }
        let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| wrong())?;
        value.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let uri = http::Uri::from_static("/");
        let caller = self.gateway.identity.identify(sent.peer, &headers, &uri, None).await?;
        match &caller.principal.grant {
            Grant::Key { id, .. } => {
                let id = id.clone();
                Ok((caller, id))
            }
            _ => Err(wrong()),
        }
    }

    /// Opens a session with a new ID, and ends the one that the browser had (session fixation).
    pub(super) async fn open(
        &self,
        sent: &Sent<'_>,
        caller: &Caller,
        proof: Proof,
        (subject, sid): (Option<String>, Option<String>),
        headers: &mut HeaderMap,
    ) -> Result<(), Response<Bytes>> {
        let identity = &self.gateway.identity;
        if let Ok(Some(before)) = self.signed_in(sent.peer, sent.headers).await
            && let Err(error) = identity.browsers.end(EndOf::Session(&before.session.id)).await
        {
            tracing::warn!(%error, "the session before could not be ended");
        }
        let (lifetime, idle) = {
            let settings = self.gateway.settings();
            (settings.identity.login.lifetime.0, settings.identity.login.idle.0)
        };
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let new = NewSession {
            face: self.face,
            principal: &caller.principal,
            proof,
            subject,
            sid,
            address: Some(sent.peer.address.to_string()),
            lifetime: seconds(lifetime),
            idle: seconds(idle),
        };
        let Ok(secret) = identity.open_session(&new).await else {
            return Err(respond::problem(Code::StoreUnavailable, "the session cannot be stored"));
        };
        self.cookies(sent.headers).set_session(headers, &secret, lifetime);
        record(&self.gateway, "login", self.face, caller);
        Ok(())
    }
}
