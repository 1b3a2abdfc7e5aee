//! The token endpoint, revocation and introspection (OAuth 2.1 section 4.1.3 and 4.3; RFC 7009, RFC 7662). If a code or
//! token is used twice, everything issued from it is revoked.

use std::collections::BTreeSet;

use aws_lc_rs::constant_time;
use doorward_store::{NewTicket, OAuthGrant, Ticket, TicketKind, now};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::RequestContext;
use super::answer::OAuthError;
use super::authenticate::authenticate;
use super::authorize::STOPPED;
use super::clients::{Authentication, Client};
use super::form::Form;
use super::provider::{ProviderError, Secrets};
use doorward_identity::identity::jwt::{Jwt, seconds};
use doorward_identity::identity::token::is_same_resource;
use doorward_identity::oauth::{self, challenge_of};
use doorward_identity::seal;

/// Concurrent refreshes are not treated as theft: if a token was first used at most this many seconds ago, a
/// second use is refused without revoking the grant.
const RACE: i64 = 2;

impl RequestContext<'_> {
    pub async fn token(&self, headers: &HeaderMap, form: &Form) -> Result<Value, OAuthError> {
        let client = self.authenticated_client(headers, form).await?;
        match form.get("grant_type") {
            Some("authorization_code") => self.redeem(&client, form).await,
            Some("refresh_token") => self.refresh(&client, form).await,
            None => Err(OAuthError::new("invalid_request", "'grant_type' is missing")),
            Some(_) => {
                let why = "'grant_type' must be authorization_code or refresh_token";
                Err(OAuthError::new("unsupported_grant_type", why))
            }
        }
    }

    async fn authenticated_client(
        &self,
        headers: &HeaderMap,
        form: &Form,
    ) -> Result<std::sync::Arc<Client>, OAuthError> {
        match form.twice() {
            Some("resource") => {
                Err(OAuthError::new("invalid_target", "only one 'resource' is allowed"))
            }
            Some(name) => {
                let why = format!("'{}' appears twice", name.escape_debug());
                Err(OAuthError::new("invalid_request", why))
            }
            None => authenticate(self, headers, form).await,
        }
    }

    async fn redeem(&self, client: &Client, form: &Form) -> Result<Value, OAuthError> {
        let missing = |name| OAuthError::new("invalid_request", format!("'{name}' is missing"));
        let code = form.get("code").ok_or_else(|| missing("code"))?;
        let ticket = self.ticket(TicketKind::Code, code).await?.ok_or_else(OAuthError::grant)?;
        let Ticket { grant, .. } = &ticket;
        self.check_stops(grant)?;
        if ticket.used.is_some() {
            return Err(self.end(grant, "a code was used twice").await);
        }
        if !self.store.use_ticket(code).await.map_err(|error| failed(&error))? {
            return Err(self.end(grant, "a code was used twice").await);
        }
        // From here on the code is used up, whatever the outcome.
        let verifier = form.get("code_verifier").unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let proven = (43..=128).contains(&verifier.len())
            && verifier.bytes().all(plain)
            && ticket.challenge.as_deref().is_some_and(|challenge| {
                let presented = challenge_of(verifier);
                let (known, presented) = (challenge.as_bytes(), presented.as_bytes());
                constant_time::verify_slices_are_equal(known, presented).is_ok()
            });
        // OAuth 2.1 has removed the parameter. If it is sent, it is checked (RFC 6749 section 4.1.3).
        let uri = form.get("redirect_uri");
        let uri_fits = uri.is_none_or(|uri| ticket.redirect_uri.as_deref() == Some(uri));
        if !proven || !uri_fits || grant.client != client.id {
            return Err(self.end(grant, "a code was presented by another client").await);
        }
        if ticket.expires <= now() || !grant.is_good_at(now()) {
            return Err(OAuthError::grant());
        }
        self.fits_resource(grant, form)?;
        self.issue(grant, &grant.scopes).await
    }

    async fn refresh(&self, client: &Client, form: &Form) -> Result<Value, OAuthError> {
        let Some(presented) = form.get("refresh_token") else {
            return Err(OAuthError::new("invalid_request", "'refresh_token' is missing"));
        };
        let ticket =
            self.ticket(TicketKind::Refresh, presented).await?.ok_or_else(OAuthError::grant)?;
        let grant = &ticket.grant;
        self.check_stops(grant)?;
        if grant.client != client.id {
            return Err(self.end(grant, "a refresh token was presented by another client").await);
        }
        if let Some(used) = ticket.used {
            return Err(self.used_before(grant, used).await);
        }
        if ticket.expires <= now() || !grant.is_good_at(now()) {
            return Err(OAuthError::grant());
        }
        self.fits_resource(grant, form)?;
        let scopes = match form.get("scope") {
            None => grant.scopes.clone(),
            Some(scopes) => {
                let asked: BTreeSet<String> = scopes.split(' ').map(str::to_owned).collect();
                if !asked.is_subset(&grant.scopes) {
                    let why = "more scopes than the user has consented to";
                    return Err(OAuthError::new("invalid_scope", why));
                }
                asked
            }
        };
        if !self.store.use_ticket(presented).await.map_err(|error| failed(&error))? {
            return Err(self.used_before(grant, now()).await);
        }
        self.ask_provider(grant).await?;
        let current = self.store.grant(&grant.id).await.map_err(|error| failed(&error))?;
        let current = current.filter(|grant| grant.is_good_at(now()));
        self.issue(&current.ok_or_else(OAuthError::grant)?, &scopes).await
    }

    /// Refuses whoever is stopped. Nothing is used up: what they have holds again once the stop is undone.
    fn check_stops(&self, grant: &OAuthGrant) -> Result<(), OAuthError> {
        let user = Some((grant.subject.as_str(), grant.claims.as_str()));
        if !self.server.is_stopped(self.host.stops(), &grant.client, user) {
            return Ok(());
        }
        Err(OAuthError::with_status(StatusCode::FORBIDDEN, "access_denied", STOPPED))
    }

    /// Checks with the provider whether the user is still valid, if possible.
    async fn ask_provider(&self, grant: &OAuthGrant) -> Result<(), OAuthError> {
        let master = &self.server.master;
        let stored = match grant.secret(master) {
            Ok(Some(stored)) => serde_json::from_str::<Secrets>(&stored).ok(),
            Ok(None) => None,
            Err(error) => {
                tracing::error!(
                    grant = grant.id,
                    "the provider's tokens cannot be decrypted: {error}"
                );
                return Err(OAuthError::unavailable());
            }
        };
        let Some(stored) = stored else { return Ok(()) };
        match self.server.provider.renew(&grant.subject, stored).await {
            Ok(None) => Ok(()),
            Ok(Some(person)) => {
                let claims = Value::Object(person.claims).to_string();
                let secret =
                    serde_json::to_string(&person.secret).map(zeroize::Zeroizing::new).ok();
                let secret = secret.as_ref().map(|secret| secret.as_str());
                self.store
                    .renew_grant(master, &grant.id, &claims, secret)
                    .await
                    .map_err(|error| failed(&error))
            }
            Err(ProviderError::Refused(why)) => {
                tracing::info!(grant = grant.id, "the provider: {why}");
                Err(self.end(grant, "the provider no longer accepts the user").await)
            }
            // An unavailable provider does not log users out.
            Err(ProviderError::Failed(why)) => {
                tracing::warn!(
                    grant = grant.id,
                    "the provider cannot be reached to check a user: {why}"
                );
                Ok(())
            }
        }
    }

    async fn used_before(&self, grant: &OAuthGrant, used: i64) -> OAuthError {
        if now() - used <= RACE {
            return OAuthError::grant();
        }
        self.end(grant, "a refresh token was used twice").await
    }

    /// Revokes a grant and everything issued from it.
    async fn end(&self, grant: &OAuthGrant, why: &str) -> OAuthError {
        tracing::warn!(
            grant = grant.id,
            client = grant.client,
            user = grant.subject,
            "revoked: {why}"
        );
        match self.store.revoke_grant(&grant.id).await {
            Ok(_) => OAuthError::grant(),
            Err(error) => failed(&error),
        }
    }

    async fn ticket(&self, kind: TicketKind, secret: &str) -> Result<Option<Ticket>, OAuthError> {
        self.store.ticket(kind, secret).await.map_err(|error| failed(&error))
    }

    fn fits_resource(&self, grant: &OAuthGrant, form: &Form) -> Result<(), OAuthError> {
        let asked = form.get("resource");
        if asked.is_none_or(|asked| is_same_resource(&grant.resource, asked)) {
            return Ok(());
        }
        Err(OAuthError::new("invalid_target", "'resource' is not what the user has consented to"))
    }

    /// Issues an access token, and the next refresh token.
    async fn issue(
        &self,
        grant: &OAuthGrant,
        scopes: &BTreeSet<String>,
    ) -> Result<Value, OAuthError> {
        let settings = &self.server.settings;
        let lifetime = i64::try_from(settings.access_tokens.0.as_secs()).unwrap_or(0);
        let now = now();
        let lifetime = lifetime.min(grant.expires - now);
        let scopes = oauth::joined(scopes);
        let random = |_| OAuthError::unavailable();
        let mut claims: Map<String, Value> =
            serde_json::from_str(&grant.claims).map_err(|_| OAuthError::unavailable())?;
        for (name, value) in [
            ("iss", json!(self.server.issuer)),
            ("sub", json!(grant.subject)),
            ("aud", json!(grant.resource)),
            ("client_id", json!(grant.client)),
            ("scope", json!(scopes)),
            ("iat", json!(now)),
            ("exp", json!(now + lifetime)),
            ("jti", json!(seal::random_id().map_err(random)?)),
            ("grant", json!(grant.id)),
        ] {
            claims.insert(name.into(), value);
        }
        let signed = self.host.signing().keys().and_then(|keys| keys.sign("at+jwt", &claims));
        let access_token = signed.ok_or_else(|| {
            tracing::error!("there is no key to sign tokens");
            OAuthError::unavailable()
        })?;
        let refresh_token = seal::random_secret().map_err(random)?;
        let ticket = NewTicket {
            kind: TicketKind::Refresh,
            secret: &refresh_token,
            redirect_uri: None,
            challenge: None,
            expires: grant.expires,
        };
        self.store.put_ticket(&grant.id, &ticket).await.map_err(|error| failed(&error))?;
        Ok(json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": lifetime,
            "refresh_token": refresh_token,
            "scope": scopes,
        }))
    }

    pub async fn revoke(&self, headers: &HeaderMap, form: &Form) -> Result<Value, OAuthError> {
        let client = self.authenticated_client(headers, form).await?;
        let Some(token) = form.get("token") else {
            return Err(OAuthError::new("invalid_request", "'token' is missing"));
        };
        // An unknown token is treated as revoked (RFC 7009 section 2.2).
        let Some((grant, _)) = self.grant_of(token).await? else { return Ok(json!({})) };
        if grant.client != client.id {
            let why = "the token belongs to another client";
            return Err(OAuthError::new("unauthorized_client", why));
        }
        tracing::info!(grant = grant.id, client = client.id, "a client has revoked its grant");
        self.store.revoke_grant(&grant.id).await.map_err(|error| failed(&error))?;
        // The revocation takes effect in this process before it is acknowledged.
        self.host.reread_store().await.map_err(|error| failed(&error))?;
        Ok(json!({}))
    }

    pub async fn introspect(&self, headers: &HeaderMap, form: &Form) -> Result<Value, OAuthError> {
        let client = self.authenticated_client(headers, form).await?;
        if matches!(client.authentication, Authentication::Nothing) {
            return Err(OAuthError::client(
                "Token introspection requires client authentication",
                false,
            ));
        }
        let Some(token) = form.get("token") else {
            return Err(OAuthError::new("invalid_request", "'token' is missing"));
        };
        let found = self.grant_of(token).await?;
        // Declared clients may introspect all tokens, others only their own.
        let found = found.filter(|(grant, _)| {
            grant.is_good_at(now()) && (client.is_declared || grant.client == client.id)
        });
        let Some((grant, claims)) = found else { return Ok(json!({ "active": false })) };
        let mut response = claims.unwrap_or_default();
        response.entry("exp").or_insert(json!(grant.expires));
        for (name, value) in [
            ("active", json!(true)),
            ("iss", json!(self.server.issuer)),
            ("sub", json!(grant.subject)),
            ("aud", json!(grant.resource)),
            ("client_id", json!(grant.client)),
        ] {
            response.insert(name.into(), value);
        }
        response.entry("scope").or_insert_with(|| oauth::joined(&grant.scopes).into());
        Ok(Value::Object(response))
    }

    /// The grant of an access or refresh token, and the claims of an access token. `None` if the token is unknown or
    /// has expired.
    async fn grant_of(
        &self,
        token: &str,
    ) -> Result<Option<(OAuthGrant, Option<Map<String, Value>>)>, OAuthError> {
        if let Ok(jwt) = Jwt::read(token) {
            let keys = self.host.signing().keys().ok_or_else(OAuthError::unavailable)?;
            let expires = seconds(jwt.claims.get("exp")).unwrap_or(0);
            let id = jwt.text("grant").unwrap_or_default();
            if !jwt.is_signed_by(&keys.set) || expires <= now() {
                return Ok(None);
            }
            let grant = self.store.grant(id).await.map_err(|error| failed(&error))?;
            return Ok(grant.map(|grant| (grant, Some(jwt.claims))));
        }
        let ticket = self.ticket(TicketKind::Refresh, token).await?;
        let ticket = ticket.filter(|ticket| ticket.used.is_none() && ticket.expires > now());
        Ok(ticket.map(|ticket| (ticket.grant, None)))
    }
}

fn failed(error: &doorward_store::Error) -> OAuthError {
    tracing::error!(%error, "the store failed");
    OAuthError::unavailable()
}
