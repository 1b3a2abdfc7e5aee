//! Signing out: here, in all browsers of the person, and at the provider.

use bytes::Bytes;
use doorward_admin::Code;
use doorward_authorization::form::Form;
use doorward_authorization::logout::{LOGOUT_FRESH, LoggedOut};
use doorward_identity::identity::browser::Proof;
use doorward_store::{EndOf, Error, now};
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::record;
use crate::respond;
use crate::site::{Sent, Site};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    /// In all browsers of the person.
    everywhere: bool,
}

fn unavailable(error: &Error) -> Response<Bytes> {
    tracing::error!(%error, "sessions cannot be ended");
    respond::problem(Code::StoreUnavailable, "sessions cannot be ended at the moment")
}

impl Site {
    /// `POST auth/logout`: where the browser ends its session at the provider, too.
    pub async fn sign_out(&self, sent: &Sent<'_>) -> Response<Bytes> {
        let Some(Wanted { everywhere }) = sent.read() else {
            return respond::problem(
                Code::InvalidRequest,
                "expected {\"everywhere\": true or false}",
            );
        };
        let mut onward = None;
        if let Ok(Some(found)) = self.signed_in(sent.peer, sent.headers).await {
            let which = match everywhere {
                true => EndOf::Principal(&found.session.principal),
                false => EndOf::Session(&found.session.id),
            };
            if let Err(error) = self.gateway.identity.browsers.end(which).await {
                return unavailable(&error);
            }
            record(&self.gateway, "logout", self.face, &found.caller);
            // Streams end before the response says so.
            self.gateway.identity.check_sessions().await;
            if let Proof::OpenId { provider, id_token, .. } = &*found.proof
                && let Some(provider) = self.logins.provider(provider)
            {
                onward = provider.logout_url(id_token.as_deref(), &self.home()).await;
            }
        }
        let mut response = respond::json(&json!({ "continue": onward }));
        self.cookies(sent.headers).remove_session(response.headers_mut());
        response
    }

    /// `POST auth/backchannel`: a provider says that somebody has logged out (OpenID Connect Back-Channel Logout 1.0).
    pub async fn signed_out_at_provider(&self, sent: &Sent<'_>) -> Response<Bytes> {
        let form = Form::read(&sent.body);
        let token = form.get("logout_token").filter(|_| form.twice().is_none());
        let Some(token) = token else {
            return respond::problem(Code::InvalidRequest, "expected one 'logout_token'");
        };
        let issuer = issuer_of(token).unwrap_or_default();
        let providers = self.logins.of_issuer(&issuer);
        let Some(provider) = providers.first().and_then(|id| self.logins.provider(id)) else {
            return respond::problem(Code::InvalidRequest, "the token's issuer is not configured");
        };
        let mut verified = provider.logged_out(token).await;
        // One issuer may know the gateway as several clients.
        for id in providers.iter().skip(1) {
            if verified.is_err()
                && let Some(provider) = self.logins.provider(id)
            {
                verified = provider.logged_out(token).await;
            }
        }
        let out = match verified {
            Ok(out) => out,
            Err(why) => {
                tracing::warn!(issuer, "a logout token was refused: {why}");
                return respond::problem(Code::InvalidRequest, "the token is not valid");
            }
        };
        match self.end_all_of(&providers, &out).await {
            Ok(()) => {
                self.gateway.identity.check_sessions().await;
                respond::empty(StatusCode::OK)
            }
            Err(error) => unavailable(&error),
        }
    }

    async fn end_all_of(&self, providers: &[String], out: &LoggedOut) -> Result<(), Error> {
        if let Some(store) = self.gateway.kept.store()
            && !store.is_first(&format!("logout {}", out.jti), now() + 2 * LOGOUT_FRESH).await?
        {
            // It was obeyed before.
            return Ok(());
        }
        for provider in providers {
            let which = match (&out.sid, &out.sub) {
                (Some(sid), _) => EndOf::ProviderSession { provider, sid },
                (None, Some(subject)) => EndOf::ProviderSubject { provider, subject },
                (None, None) => continue,
            };
            let ended = self.gateway.identity.browsers.end(which).await?;
            tracing::info!(provider, ended, "a user has logged out at the provider");
        }
        Ok(())
    }
}

/// The issuer that a token names, before it is verified.
fn issuer_of(token: &str) -> Option<String> {
    let jwt = doorward_identity::identity::jwt::Jwt::read(token).ok()?;
    jwt.text("iss").map(str::to_owned)
}
