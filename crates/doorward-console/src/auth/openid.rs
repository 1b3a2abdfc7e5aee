//! Signing in at an OpenID provider: the browser leaves for the provider, and comes back with a code (OpenID Connect Core
//! 1.0 section 3.1, with PKCE). What belongs to the login is encrypted in a cookie of the browser that began it.

use std::time::Duration;

use bytes::Bytes;
use doorward_authorization::form::Form;
use doorward_authorization::page;
use doorward_authorization::provider::Person;
use doorward_identity::identity::browser::{Face, Proof};
use doorward_identity::identity::{Caller, Lease, Refused};
use doorward_identity::oauth::Pkce;
use doorward_identity::seal;
use http::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::record_refusal;
use crate::respond;
use crate::site::{Sent, Site};

/// How long a login may take.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// Longest path to return to.
const LONGEST: usize = 1_024;
const START_AGAIN: &str = "Close this page, and sign in again.";

/// A login in progress.
#[derive(Serialize, Deserialize)]
struct Trip {
    provider: String,
    /// The provider's issuer, as it was when the login began.
    issuer: String,
    nonce: String,
    verifier: String,
    /// Where the browser goes afterwards.
    to: String,
}

fn purpose(face: Face) -> String {
    format!("login at {}", face.as_str())
}

impl Site {
    /// `GET auth/openid/{id}`: sends the browser to a provider.
    pub async fn leave_for(&self, sent: &Sent<'_>, id: &str) -> Response<Bytes> {
        let Some(provider) = self.logins.provider(id) else {
            return page::problem(StatusCode::NOT_FOUND, "There is no such identity provider", "");
        };
        if !self.is_at_origin(sent.headers) {
            // The provider sends the browser back to the configured URL, where it must have the cookie.
            let path = sent.uri.path_and_query().map_or("", |path| path.as_str());
            return respond::redirect(&format!("{}{path}", self.origin()));
        }
        let query = Form::read(sent.uri.query().unwrap_or_default().as_bytes());
        let (Ok(state), Ok(nonce), Ok(pkce)) = (seal::random_id(), seal::random_id(), Pkce::new())
        else {
            let why = "The random number generator failed";
            return page::problem(StatusCode::SERVICE_UNAVAILABLE, why, START_AGAIN);
        };
        let away = provider.login_url(&self.redirect_uri(), &state, &nonce, &pkce.challenge).await;
        let away = match away {
            Ok(away) => away,
            Err(error) => {
                tracing::error!(provider = id, "users cannot sign in: {error}");
                let why = "The identity provider cannot be reached";
                return page::problem(StatusCode::BAD_GATEWAY, why, START_AGAIN);
            }
        };
        let trip = Trip {
            provider: id.to_owned(),
            issuer: provider.issuer().to_owned(),
            nonce,
            verifier: pkce.verifier,
            to: self.own_path(query.get("return")),
        };
        let sealed = self.logins.sealer.seal(&trip, &state, &purpose(self.face), Some(PATIENCE));
        let mut response = respond::redirect(away.as_str());
        let cookies = self.cookies(sent.headers);
        cookies.set_login(response.headers_mut(), &state, &sealed, PATIENCE);
        response
    }

    /// The redirect URI that is registered at the provider.
    fn redirect_uri(&self) -> String {
        format!("{}{}/auth/callback", self.origin(), self.base)
    }

    /// A path of the application; its first page for everything else, such as a URL of another site.
    fn own_path(&self, wanted: Option<&str>) -> String {
        own_path(&self.origin(), self.base, wanted.unwrap_or_default())
    }

    /// `GET auth/callback`: the browser comes back from the provider.
    pub async fn come_back(&self, sent: &Sent<'_>) -> Response<Bytes> {
        let query = Form::read(sent.uri.query().unwrap_or_default().as_bytes());
        let error_page = |why: &str| page::problem(StatusCode::BAD_REQUEST, why, START_AGAIN);
        if query.twice().is_some() {
            return error_page("The identity provider's response is invalid");
        }
        let state = query.get("state").unwrap_or_default();
        let cookies = self.cookies(sent.headers);
        let trip = cookies.login(sent.headers, state).and_then(|sealed| {
            self.logins.sealer.open::<Trip>(sealed, state, &purpose(self.face)).ok()
        });
        let Some(trip) = trip else {
            return error_page(
                "This sign-in has expired, is already complete, or was started in another browser",
            );
        };
        let mut response = self.finish(sent, &trip, &query, state).await;
        cookies.remove_login(response.headers_mut(), state);
        response
    }

    async fn finish(
        &self,
        sent: &Sent<'_>,
        trip: &Trip,
        query: &Form,
        state: &str,
    ) -> Response<Bytes> {
        let error_page = |why: &str| page::problem(StatusCode::BAD_REQUEST, why, START_AGAIN);
        let provider = self.logins.provider(&trip.provider);
        let Some(provider) = provider.filter(|provider| provider.issuer() == trip.issuer) else {
            return error_page("The identity provider is no longer configured");
        };
        // Before anything else that the response says: it may come from another provider (RFC 9207 section 2.4).
        if !provider.is_response_from(query.get("iss")).await {
            tracing::warn!("the response to a sign-in came from another issuer");
            return error_page("The response does not come from the identity provider");
        }
        let Some(code) = query.get("code") else {
            let word = query.get("error").unwrap_or("no error, and no code");
            tracing::info!(provider = trip.provider, "a sign-in failed: {}", word.escape_debug());
            return error_page("You are not signed in");
        };
        if let Some(store) = self.gateway.kept.store() {
            let until = doorward_store::now() + i64::try_from(PATIENCE.as_secs()).unwrap_or(0);
            match store.is_first(&format!("browser login {state}"), until).await {
                Ok(true) => {}
                Ok(false) => return error_page("This sign-in is already complete"),
                Err(error) => {
                    tracing::error!(%error, "the store failed");
                    let why = "The store cannot be used";
                    return page::problem(StatusCode::SERVICE_UNAVAILABLE, why, START_AGAIN);
                }
            }
        }
        let redeemed =
            provider.redeem(code, &trip.verifier, &self.redirect_uri(), &trip.nonce).await;
        match redeemed {
            Ok(person) => self.welcome(sent, trip, person).await,
            Err(error) => {
                tracing::error!(provider = trip.provider, "a sign-in failed: {error}");
                let why = "The identity provider's response cannot be used";
                page::problem(StatusCode::BAD_GATEWAY, why, START_AGAIN)
            }
        }
    }

    /// Opens a session for somebody whom the provider has named.
    async fn welcome(&self, sent: &Sent<'_>, trip: &Trip, person: Person) -> Response<Bytes> {
        let mut claims = person.claims;
        claims.insert("sub".into(), Value::String(person.subject));
        let principal = match self.gateway.identity.by_login(&trip.provider, &claims) {
            Ok(principal) => principal,
            Err(refused) => return self.turned_away(sent, &refused),
        };
        if let Some(stop) = self.gateway.identity.stopped(&principal) {
            return self.turned_away(sent, &Refused::Stopped(stop));
        }
        let caller = Caller {
            principal,
            lease: Lease::forever(),
            address: Some(sent.peer.address),
            credential: None,
            grant: None,
        };
        let proof = Proof::OpenId {
            provider: trip.provider.clone(),
            claims,
            id_token: person.secret.id_token,
        };
        let mut headers = HeaderMap::new();
        match self.open(sent, &caller, proof, (person.sub, person.sid), &mut headers).await {
            Ok(()) => {
                let mut response = respond::redirect(&trip.to);
                response.headers_mut().extend(headers);
                response
            }
            Err(refused) => refused,
        }
    }

    fn turned_away(&self, sent: &Sent<'_>, refused: &Refused) -> Response<Bytes> {
        record_refusal(&self.gateway, self.face, sent.peer, refused.reason());
        let why = match refused {
            Refused::Stopped(_) => "An administrator has stopped your access",
            _ => "Your account cannot be used here",
        };
        page::problem(StatusCode::FORBIDDEN, why, "Ask an administrator.")
    }
}

fn own_path(origin: &str, base: &str, wanted: &str) -> String {
    let home = format!("{base}/");
    if wanted.len() > LONGEST || !wanted.starts_with(&home) {
        return home;
    }
    let Ok(root) = Url::parse(origin) else { return home };
    // As a browser reads it: without `..`, in whatever form it is written.
    let read = root.join(wanted).ok().filter(|url| url.origin() == root.origin());
    let inside = read.filter(|url| {
        let rest = url.path().strip_prefix(&home);
        rest.is_some_and(|rest| !rest.starts_with("auth/") && !rest.starts_with("mcp/"))
    });
    inside.map_or(home, |url| url[url::Position::BeforePath..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn a_browser_returns_to_a_page_of_the_application_only() {
        for (wanted, to) in [
            ("/console/servers?state=up#x", "/console/servers?state=up#x"),
            ("/console/", "/console/"),
            ("", "/console/"),
            ("/", "/console/"),
            ("//evil.example/console/", "/console/"),
            ("https://evil.example/console/", "/console/"),
            ("/console/../portal/", "/console/"),
            ("/console/%2e%2e/oauth/authorize", "/console/"),
            ("/console/..\\..\\evil", "/console/"),
            ("/console/auth/openid/corp", "/console/"),
            ("/console/x/../auth/callback?code=1", "/console/"),
            ("/consoleevil/", "/console/"),
            ("\\/evil.example", "/console/"),
            ("/console//evil.example", "/console//evil.example"),
            ("javascript:alert(1)", "/console/"),
        ] {
            assert_eq!(own_path("https://gw.example", "/console", wanted), to, "{wanted}");
        }
    }
}
