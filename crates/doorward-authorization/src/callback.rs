//! The redirect URI for the provider: which user has signed in, and the code that the client receives.

use doorward_store::{Error, NewGrant, NewTicket, TicketKind, now};
use http::{HeaderMap, Response, StatusCode};

use super::RequestContext;
use super::authorize::{Login, Purpose, STOPPED, Wanted, back, back_with};
use super::browser::{self, START_AGAIN};
use super::form::Form;
use super::page;
use super::provider::{Person, ProviderError};
use bytes::Bytes;
use doorward_identity::delegation;
use doorward_identity::seal;

/// Lifetime of an authorization code, in seconds.
const CODE: i64 = 60;

impl RequestContext<'_> {
    pub async fn callback(&self, headers: &HeaderMap, query: &Form) -> Response<Bytes> {
        let error_page = |why: &str| page::problem(StatusCode::BAD_REQUEST, why, START_AGAIN);
        if query.twice().is_some() {
            return error_page("The identity provider's response is invalid");
        }
        let state = query.get("state").unwrap_or_default();
        let Some(login) = self.login(headers, state) else {
            return error_page(
                "This sign-in has expired, is already complete, or was started in another browser",
            );
        };
        // Checked first, because the response may come from another provider (RFC 9207 section 2.4).
        if !self.server.provider.is_response_from(query.get("iss")).await {
            tracing::warn!("the response to a sign-in came from another issuer");
            return error_page("The response does not come from the identity provider");
        }
        let response = match &login.purpose {
            Purpose::Client(wanted) => self.finish(state, wanted, &login, query).await,
            Purpose::Connect(wanted) => self.continue_connecting(wanted, &login, query).await,
            Purpose::Approve(id) => self.continue_approving(id, headers, &login, query).await,
        };
        browser::came_back(response, state)
    }

    /// Continues for a user who opened a link, if the link was created for that user.
    async fn continue_connecting(
        &self,
        wanted: &delegation::link::Wanted,
        login: &Login,
        query: &Form,
    ) -> Response<Bytes> {
        let person = match self.signed_in_for(Some(&wanted.server), login, query).await {
            Ok(person) => person,
            Err(page) => return *page,
        };
        if self.server.owner_of(&person.subject) != wanted.owner {
            let (user, owner) = (&person.subject, &wanted.owner);
            tracing::warn!(
                server = wanted.server,
                user,
                owner,
                "a link was opened by another user"
            );
            let why = "This link was created for another user";
            return page::problem(StatusCode::FORBIDDEN, why, "Nothing was connected.");
        }
        let claims = serde_json::Value::Object(person.claims).to_string();
        if self.server.is_stopped(self.host.stops(), "", Some((&person.subject, &claims))) {
            return page::problem(StatusCode::FORBIDDEN, STOPPED, "Nothing was connected.");
        }
        self.host.connect(wanted.clone()).await
    }

    /// Who has signed in, or the page for a person who has not. `server` is for the log.
    pub(super) async fn signed_in_for(
        &self,
        server: Option<&str>,
        login: &Login,
        query: &Form,
    ) -> Result<Person, Box<Response<Bytes>>> {
        let Some(code) = query.get("code") else {
            let why = "You are not signed in";
            let page = page::problem(StatusCode::BAD_REQUEST, why, "You may close this page.");
            return Err(Box::new(page));
        };
        self.signed_in(login, code).await.map_err(|error| {
            tracing::error!(server, "a sign-in failed: {error}");
            let why = "The identity provider's response cannot be used";
            Box::new(page::problem(StatusCode::BAD_GATEWAY, why, START_AGAIN))
        })
    }

    async fn signed_in(&self, login: &Login, code: &str) -> Result<Person, ProviderError> {
        let redirect_uri = self.server.endpoint("callback");
        let provider = &self.server.provider;
        provider.redeem(code, &login.verifier, &redirect_uri, &login.nonce).await
    }

    async fn finish(
        &self,
        state: &str,
        wanted: &Wanted,
        login: &Login,
        query: &Form,
    ) -> Response<Bytes> {
        let back = |word: &str, why: &str| {
            back(self.server, &wanted.redirect_uri, wanted.state.as_deref(), word, why)
        };
        let Some(code) = query.get("code") else {
            let word = query.get("error").unwrap_or("no error, and no code");
            tracing::info!(
                client = wanted.client,
                "sign-in failed at the identity provider: {}",
                word.escape_debug()
            );
            return back("access_denied", "the user did not sign in");
        };
        let person = match self.signed_in(login, code).await {
            Ok(person) => person,
            Err(error) => {
                tracing::error!(client = wanted.client, "a sign-in failed: {error}");
                return back("server_error", "the identity provider's response cannot be used");
            }
        };
        let (Ok(id), Ok(code)) = (seal::random_id(), seal::random_secret()) else {
            return back("server_error", "the random number generator failed");
        };
        let secret = serde_json::to_string(&person.secret).map(zeroize::Zeroizing::new).ok();
        let claims = serde_json::Value::Object(person.claims).to_string();
        let user = Some((person.subject.as_str(), claims.as_str()));
        if self.server.is_stopped(self.host.stops(), &wanted.client, user) {
            return back("access_denied", STOPPED);
        }
        let sessions = i64::try_from(self.server.settings.sessions.0.as_secs()).unwrap_or(0);
        let grant = NewGrant {
            id: &id,
            client: &wanted.client,
            client_name: &wanted.client_name,
            subject: &person.subject,
            claims: &claims,
            resource: &wanted.resource,
            scopes: &wanted.scopes,
            secret: secret.as_ref().map(|secret| secret.as_str()),
            expires: now() + sessions,
        };
        let ticket = NewTicket {
            kind: TicketKind::Code,
            secret: &code,
            redirect_uri: Some(&wanted.redirect_uri),
            challenge: Some(&wanted.challenge),
            expires: now() + CODE,
        };
        match self.store.put_grant(&self.server.master, state, &grant, &ticket).await {
            Ok(()) => {}
            Err(Error::Refused(_)) => {
                let why = "This sign-in is already complete";
                return page::problem(StatusCode::BAD_REQUEST, why, START_AGAIN);
            }
            Err(error) => {
                tracing::error!(%error, "the store failed");
                return back("server_error", "the store cannot be used");
            }
        }
        tracing::info!(
            grant = id,
            client = wanted.client,
            user = person.subject,
            resource = wanted.resource,
            "a user has consented and signed in"
        );
        let parameters = [("code", &*code)];
        back_with(self.server, &wanted.redirect_uri, wanted.state.as_deref(), &parameters)
    }
}
