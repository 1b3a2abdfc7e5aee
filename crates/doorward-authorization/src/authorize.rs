//! The authorization endpoint: validates a client's request and asks its user for consent (OAuth 2.1 section
//! 4.1.1). Only then is the browser redirected to the provider, with a cookie that binds it to the consent
//! (attack T7).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::browser::{self, Browser, START_AGAIN};
use super::clients::{Client, Unknown};
use super::form::Form;
use super::page::{self, Question};
use super::{RequestContext, Server};
use bytes::Bytes;
use doorward_config::redirect_uri::is_loopback;
use doorward_identity::delegation;
use doorward_identity::oauth::Pkce;
use doorward_identity::seal;

/// Time limit for consent, and then for the login.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// Maximum size of a sealed request in a cookie, and of a client's `state`, in bytes.
const MOST_SEALED: usize = 3800;
const MOST_STATE: usize = 1024;

/// What a client reads that is stopped, or whose user is.
pub const STOPPED: &str = "access is stopped by an administrator";

/// A validated authorization request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wanted {
    #[serde(rename = "c")]
    pub client: String,
    #[serde(rename = "n")]
    pub client_name: String,
    #[serde(rename = "u")]
    pub redirect_uri: String,
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(rename = "o")]
    pub scopes: BTreeSet<String>,
    #[serde(rename = "r")]
    pub resource: String,
    #[serde(rename = "p")]
    pub challenge: String,
}

/// The purpose of a login.
#[derive(Debug, Serialize, Deserialize)]
pub enum Purpose {
    /// A client acts on behalf of the user.
    #[serde(rename = "c")]
    Client(Wanted),
    /// The gateway acts on behalf of the user at a server: whoever opens the link must be that user.
    #[serde(rename = "s")]
    Connect(delegation::link::Wanted),
    /// The user decides about the approval with this ID.
    #[serde(rename = "a")]
    Approve(String),
}

/// A login in progress: its purpose, and the values to verify the provider's response.
#[derive(Debug, Serialize, Deserialize)]
pub struct Login {
    #[serde(rename = "w")]
    pub purpose: Purpose,
    #[serde(rename = "n")]
    pub nonce: String,
    #[serde(rename = "v")]
    pub verifier: String,
}

/// An error to return to the client through the browser: code and description.
struct ErrorForClient(&'static str, String);

impl RequestContext<'_> {
    pub async fn authorize(&self, headers: &HeaderMap, query: &Form) -> Response<Bytes> {
        // Until the redirect URI is validated, the browser is not redirected.
        let error_page = |why: &str| page::problem(StatusCode::BAD_REQUEST, why, START_AGAIN);
        if let Some(name @ ("client_id" | "redirect_uri")) = query.twice() {
            return error_page(&format!("'{name}' appears twice"));
        }
        let Some(id) = query.get("client_id") else { return error_page("'client_id' is missing") };
        let client = match self.server.clients.find(id, self.store, self.address).await {
            Ok(client) => client,
            Err(Unknown::Wrong(why)) => return error_page(&why),
            Err(Unknown::Unavailable(why)) => {
                return page::problem(
                    StatusCode::SERVICE_UNAVAILABLE,
                    &why,
                    "Try again in a while.",
                );
            }
        };
        let Some(uri) = query.get("redirect_uri") else {
            return error_page("'redirect_uri' is missing");
        };
        if !client.has_redirect_uri(uri) {
            tracing::info!(client = client.id, uri, "a redirect URI was refused");
            return error_page("The program's redirect URI is not registered ('redirect_uri')");
        }
        let state = query.get("state").filter(|state| state.len() <= MOST_STATE);
        if self.server.is_stopped(self.host.stops(), &client.id, None) {
            return self.tell(&client, uri, state, "access_denied", STOPPED);
        }
        let wanted = match self.check(&client, uri, state, query) {
            Ok(wanted) => wanted,
            Err(ErrorForClient(word, why)) => {
                let state = state.filter(|_| query.twice() != Some("state"));
                return self.tell(&client, uri, state, word, &why);
            }
        };
        self.ask(headers, &client, &wanted)
    }

    /// Returns an error to the client. For clients that the operator has not declared, the user decides whether to
    /// follow the redirect: otherwise the gateway would be an open redirector (OAuth 2.1 section 7.12.2).
    fn tell(
        &self,
        client: &Client,
        uri: &str,
        state: Option<&str>,
        word: &str,
        why: &str,
    ) -> Response<Bytes> {
        let back = back(self.server, uri, state, word, why);
        let to = back.headers().get(http::header::LOCATION).and_then(|to| to.to_str().ok());
        match to {
            Some(to) if !client.is_declared => page::error_with_link(why, to, &destination(uri)),
            _ => back,
        }
    }

    /// Validates the parameters whose errors are returned to the client.
    fn check(
        &self,
        client: &Arc<Client>,
        uri: &str,
        state: Option<&str>,
        query: &Form,
    ) -> Result<Wanted, ErrorForClient> {
        let invalid = |why: &str| ErrorForClient("invalid_request", why.into());
        match query.twice() {
            Some("resource") => {
                return Err(ErrorForClient(
                    "invalid_target",
                    "only one 'resource' is allowed".into(),
                ));
            }
            Some(name) => return Err(invalid(&format!("'{}' appears twice", name.escape_debug()))),
            None => {}
        }
        if query.get("state") != state {
            return Err(invalid("'state' is too long"));
        }
        match query.get("response_type") {
            Some("code") => {}
            None => return Err(invalid("'response_type' is missing")),
            Some(_) => {
                let why = "'response_type' must be 'code'";
                return Err(ErrorForClient("unsupported_response_type", why.into()));
            }
        }
        for (name, word) in
            [("request", "request_not_supported"), ("request_uri", "request_uri_not_supported")]
        {
            if query.get(name).is_some() {
                return Err(ErrorForClient(word, format!("'{name}' is not supported")));
            }
        }
        if query.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(invalid("'response_mode' must be 'query'"));
        }
        if query.get("prompt") == Some("none") {
            return Err(ErrorForClient(
                "interaction_required",
                "'prompt' cannot be 'none': users must always consent".into(),
            ));
        }
        let challenge = query.get("code_challenge");
        let challenge = challenge.ok_or_else(|| invalid("'code_challenge' is missing (PKCE)"))?;
        if query.get("code_challenge_method") != Some("S256") {
            return Err(invalid("'code_challenge_method' must be 'S256'"));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if challenge.len() != 43 || !challenge.bytes().all(plain) {
            return Err(invalid("'code_challenge' is not a SHA-256 hash in base64url"));
        }
        let resource = self.resource(query.get("resource"));
        let resource = resource.ok_or_else(|| {
            let why = "'resource' is not the URL of one of this gateway's endpoints";
            ErrorForClient("invalid_target", why.into())
        })?;
        // Unknown scopes are not granted; the token response contains the granted ones.
        let known = self.host.all_scopes();
        let asked = query.get("scope").unwrap_or_default().split(' ');
        let scopes = asked.filter(|scope| known.contains(*scope)).map(str::to_owned).collect();
        Ok(Wanted {
            client: client.id.clone(),
            client_name: client.name.clone(),
            redirect_uri: uri.to_owned(),
            state: state.map(str::to_owned),
            scopes,
            resource,
            challenge: challenge.to_owned(),
        })
    }

    /// The resource of a token: the whole gateway, unless specified (RFC 8707).
    pub fn resource(&self, asked: Option<&str>) -> Option<String> {
        let own = &self.server.issuer;
        let Some(asked) = asked else { return Some(own.clone()) };
        let path = asked.strip_prefix(own.as_str())?;
        let whole = path.is_empty() || path == "/";
        (whole || self.host.has_endpoint(path)).then(|| asked.to_owned())
    }

    /// Returns the consent page.
    fn ask(&self, headers: &HeaderMap, client: &Client, wanted: &Wanted) -> Response<Bytes> {
        let Ok(browser) = Browser::of(headers) else {
            return page::problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "The random number generator failed",
                "",
            );
        };
        let sealed = self.server.sealer.seal(wanted, &browser.id, CONSENT, Some(PATIENCE));
        if sealed.len() > MOST_SEALED {
            let (uri, state) = (&wanted.redirect_uri, wanted.state.as_deref());
            return self.tell(client, uri, state, "invalid_request", "the request is too long");
        }
        let uri = &wanted.redirect_uri;
        let question = Question {
            client: &client.name,
            vouched: client.host.as_deref(),
            is_declared: client.is_declared,
            destination: &destination(uri),
            local: Url::parse(uri).is_ok_and(|url| is_loopback(&url)),
            scopes: &wanted.scopes,
            resource: &wanted.resource,
            sealed: &sealed,
        };
        browser.remembered(question.page())
    }

    /// Handles the user's decision.
    pub async fn consent(&self, headers: &HeaderMap, form: &Form) -> Response<Bytes> {
        let error_page = |why: &str| page::problem(StatusCode::BAD_REQUEST, why, START_AGAIN);
        if browser::is_foreign(headers, &self.server.issuer) {
            return browser::from_elsewhere();
        }
        let opened = browser::known(headers).and_then(|browser| {
            let sealed = form.get("request").unwrap_or_default();
            self.server.sealer.open::<Wanted>(sealed, browser, CONSENT).ok()
        });
        let Some(wanted) = opened else {
            return error_page("This page has expired, or was opened in another browser");
        };
        let (uri, state) = (wanted.redirect_uri.clone(), wanted.state.clone());
        match form.get("decision") {
            Some("allow") => {}
            Some("deny") => {
                let why = "the user did not consent";
                return back(self.server, &uri, state.as_deref(), "access_denied", why);
            }
            _ => return error_page("Choose 'Allow' or 'Cancel'"),
        }
        if self.server.is_stopped(self.host.stops(), &wanted.client, None) {
            return back(self.server, &uri, state.as_deref(), "access_denied", STOPPED);
        }
        match self.send_to_provider(Purpose::Client(wanted)).await {
            Ok(response) => response,
            Err(why) => {
                tracing::error!("users cannot sign in: {why}");
                let why = "the identity provider cannot be reached";
                back(self.server, &uri, state.as_deref(), "temporarily_unavailable", why)
            }
        }
    }

    pub async fn send_to_provider(&self, purpose: Purpose) -> Result<Response<Bytes>, String> {
        let random = || seal::random_id().map_err(|error| error.to_string());
        let pkce = Pkce::new().map_err(|error| error.to_string())?;
        let (state, nonce) = (random()?, random()?);
        let redirect_uri = self.server.endpoint("callback");
        let url =
            self.server.provider.login_url(&redirect_uri, &state, &nonce, &pkce.challenge).await?;
        let login = Login { purpose, nonce, verifier: pkce.verifier };
        let sealed = self.server.sealer.seal(&login, &state, SIGN_IN, Some(PATIENCE));
        Ok(browser::sent_away(url.as_str(), &state, &sealed, PATIENCE))
    }

    /// The login that a state belongs to, if this browser started it and it has not expired.
    pub fn login(&self, headers: &HeaderMap, state: &str) -> Option<Login> {
        let sealed = browser::login(headers, state)?;
        self.server.sealer.open(sealed, state, SIGN_IN).ok()
    }
}

/// The redirect target as presented to the user.
fn destination(uri: &str) -> String {
    let Ok(url) = Url::parse(uri) else { return String::new() };
    match url.host_str() {
        Some(host) if matches!(url.scheme(), "http" | "https") => host.to_owned(),
        _ => format!("{}: (a program on this device)", url.scheme()),
    }
}

const CONSENT: &str = "oauth consent";
const SIGN_IN: &str = "oauth sign-in";

/// Redirects a browser to a client with these parameters (RFC 6749 section 4.1.2, RFC 9207).
pub fn back_with(
    server: &Server,
    uri: &str,
    state: Option<&str>,
    parameters: &[(&str, &str)],
) -> Response<Bytes> {
    let Ok(mut url) = Url::parse(uri) else {
        return page::problem(
            StatusCode::BAD_REQUEST,
            "The program cannot be reached",
            START_AGAIN,
        );
    };
    {
        let mut query = url.query_pairs_mut();
        query.extend_pairs(parameters);
        if let Some(state) = state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &server.issuer);
    }
    browser::redirect(url.as_str())
}

pub fn back(
    server: &Server,
    uri: &str,
    state: Option<&str>,
    word: &str,
    why: &str,
) -> Response<Bytes> {
    back_with(server, uri, state, &[("error", word), ("error_description", why)])
}
