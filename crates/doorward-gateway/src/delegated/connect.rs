//! The consent flow in the browser: a page tells the user which server they authorize and for whom,
//! redirects to the server's authorization server, and receives the code. Nothing is sent before
//! the user has agreed.

use std::sync::Arc;

use doorward_mcp::Object;
use doorward_store::now;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::gateway::Gateway;
use bytes::Bytes;
use doorward_authorization::browser::{self, Browser};
use doorward_authorization::form::Form;
use doorward_authorization::not_allowed;
use doorward_authorization::page::{self, Connecting};
use doorward_config::Secret;
use doorward_identity::delegation::discover::{Destination, callback_url, document, document_url};
use doorward_identity::delegation::link::{LINK, PURPOSE, Wanted};
use doorward_identity::delegation::{Delegations, Error, GATEWAY, Known, Tokens, UNSAID, by_hand};
use doorward_identity::oauth::{self, Client, Pkce, TokenError};
use doorward_identity::seal::{self, Sealer};
use doorward_net::outbound::Author;
use doorward_upstream::Server;
use doorward_web::body::read_within as read_body;

const HERE: &str = "connect here";
const AWAY: &str = "connect away";
const AGAIN: &str = "Close this page, and call the tool again for another link.";
/// Maximum size of a form.
const MOST: usize = 8 << 10;

/// State in a cookie while the user is at the authorization server.
#[derive(Serialize, Deserialize)]
struct Trip {
    wanted: Wanted,
    verifier: String,
    issuer: String,
    /// Its responses contain the issuer (RFC 9207).
    names_itself: bool,
    token_endpoint: Url,
    stranger: bool,
    scopes: String,
    resource: String,
    /// The gateway's client id there, unless configured by the operator.
    client: Option<String>,
}

/// Answers a browser's request to connect a server; `None` for other paths.
pub async fn answer(
    gateway: &Arc<Gateway>,
    request: &mut Option<Request<Incoming>>,
) -> Option<Response<Bytes>> {
    let path = request.as_ref()?.uri().path();
    if !["/oauth/connect", "/oauth/connected", "/oauth/client.json"].contains(&path) {
        return None;
    }
    let delegations = gateway.shared.delegations.clone();
    // Without delegations there are no such pages.
    let sealer = delegations.sealer()?;
    if !gateway.servers().iter().any(|server| server.settings.delegated.is_some()) {
        return None;
    }
    let desk = Desk { gateway, delegations: &delegations, sealer };
    let (head, body) = request.take()?.into_parts();
    let query = || Form::read(head.uri.query().unwrap_or_default().as_bytes());
    Some(match (head.uri.path(), &head.method) {
        ("/oauth/client.json", &Method::GET) => {
            doorward_authorization::public(&document(gateway.identity.resources.origin()))
        }
        ("/oauth/connect", &Method::GET) => desk.ask(&head.headers, &query()).unwrap_or_else(stays),
        ("/oauth/connect", &Method::POST) => {
            let Ok(text) = read_body(body, &gateway.shared, MOST).await else {
                return Some(stays("The form cannot be read"));
            };
            desk.send_away(&head.headers, &Form::read(&text)).await
        }
        ("/oauth/connected", &Method::GET) => desk.welcome(&head.headers, &query()).await,
        ("/oauth/connect", _) => not_allowed("GET, POST"),
        _ => not_allowed("GET"),
    })
}

/// Redirects a browser to a server's authorization server, once the user is known.
pub async fn depart(gateway: &Gateway, wanted: Wanted) -> Response<Bytes> {
    let delegations = gateway.shared.delegations.clone();
    match delegations.sealer() {
        Some(sealer) => Desk { gateway, delegations: &delegations, sealer }.away(wanted).await,
        None => stays("There is no server to connect"),
    }
}

fn stays(why: &str) -> Response<Bytes> {
    page::problem(StatusCode::BAD_REQUEST, why, AGAIN)
}

struct Desk<'a> {
    gateway: &'a Gateway,
    delegations: &'a Arc<Delegations>,
    sealer: &'a Sealer,
}

impl Desk<'_> {
    fn origin(&self) -> &str {
        self.gateway.identity.resources.origin()
    }

    /// The server to connect, unless a stop covers it or the user.
    fn server(&self, wanted: &Wanted) -> Result<(Arc<Server>, Url), &'static str> {
        if wanted.is_stopped(&self.gateway.emergency.stops) {
            return Err("This is stopped by an administrator");
        }
        let server = self.gateway.server(&wanted.server);
        let server = server.filter(|server| server.settings.delegated.is_some());
        let url = server.as_ref().and_then(|server| server.settings.address().cloned());
        server.zip(url).ok_or("The server no longer exists")
    }

    /// Asks the user for consent.
    fn ask(&self, headers: &http::HeaderMap, query: &Form) -> Result<Response<Bytes>, &str> {
        let sealed = query.get("request").unwrap_or_default();
        let wanted = self.sealer.open::<Wanted>(sealed, "", PURPOSE);
        let wanted = wanted.map_err(|_| "This link has expired or is incomplete")?;
        let (server, url) = self.server(&wanted)?;
        let browser = Browser::of(headers).map_err(|_| "The random number generator failed")?;
        let sealed = self.sealer.seal(&wanted, &browser.id, HERE, Some(LINK));
        let scopes = oauth::joined(&wanted.more);
        let question = Connecting {
            server: &server.name,
            host: url.host_str().unwrap_or_default(),
            owner: Some(&*wanted.owner).filter(|owner| *owner != GATEWAY),
            more: &scopes,
            sealed: &sealed,
        };
        Ok(browser.remembered(question.page()))
    }

    /// The user has agreed: redirects to the authorization server.
    async fn send_away(&self, headers: &http::HeaderMap, form: &Form) -> Response<Bytes> {
        if browser::is_foreign(headers, self.origin()) {
            return browser::from_elsewhere();
        }
        let opened = browser::known(headers).and_then(|browser| {
            let sealed = form.get("request").unwrap_or_default();
            self.sealer.open::<Wanted>(sealed, browser, HERE).ok()
        });
        let Some(wanted) = opened.filter(|_| form.get("decision") == Some("allow")) else {
            return stays("This page has expired, or was opened in another browser");
        };
        // If users can be identified, it must be the user for whom the link was created.
        match doorward_authorization::sign_in_for(self.gateway, &wanted).await {
            Some(response) => response,
            None => self.away(wanted).await,
        }
    }

    async fn away(&self, wanted: Wanted) -> Response<Bytes> {
        let (server, url) = match self.server(&wanted) {
            Ok(found) => found,
            Err(why) => return stays(why),
        };
        let name = server.name.clone();
        match self.depart(&server, &url, wanted).await {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(
                    server = &*name,
                    "the authorization server cannot be used: {error}"
                );
                let why = "The server's authorization server cannot be used";
                page::problem(StatusCode::BAD_GATEWAY, why, "The reason is in the gateway's log.")
            }
        }
    }

    async fn depart(
        &self,
        server: &Server,
        url: &Url,
        wanted: Wanted,
    ) -> Result<Response<Bytes>, Error> {
        let settings = server.settings.delegated.as_deref().ok_or("it does not use grants")?;
        let found = self.delegations.discover(url, settings, self.origin(), &wanted.more).await?;
        let Destination { issuer, metadata, author, client, known, scopes, resource } = found;
        let (mut to, _) = metadata.endpoint("authorization_endpoint")?;
        let (token_endpoint, token_author) = metadata.endpoint("token_endpoint")?;
        let random = || seal::random_id().map_err(|error| error.to_string());
        let pkce = Pkce::new().map_err(|error| error.to_string())?;
        let state = random()?;
        {
            let mut query = to.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &client.id)
                .append_pair("redirect_uri", &callback_url(self.origin()))
                .append_pair("state", &state)
                .append_pair("code_challenge", &pkce.challenge)
                .append_pair("code_challenge_method", "S256")
                .append_pair("resource", &resource);
            if !scopes.is_empty() {
                query.append_pair("scope", &scopes);
            }
        }
        let stranger = author == Author::Stranger || token_author == Author::Stranger;
        let trip = Trip {
            wanted,
            verifier: pkce.verifier,
            issuer,
            names_itself: metadata.says("authorization_response_iss_parameter_supported"),
            token_endpoint,
            stranger,
            scopes,
            resource,
            client: known.map(|known| known.id),
        };
        let sealed = self.sealer.seal(&trip, &state, AWAY, Some(LINK));
        Ok(browser::sent_away(to.as_str(), &state, &sealed, LINK))
    }

    /// The user returns from the authorization server.
    async fn welcome(&self, headers: &http::HeaderMap, query: &Form) -> Response<Bytes> {
        if query.twice().is_some() {
            return stays("The authorization server's response is invalid");
        }
        let state = query.get("state").unwrap_or_default();
        let opened = browser::login(headers, state)
            .and_then(|sealed| self.sealer.open::<Trip>(sealed, state, AWAY).ok());
        let Some(trip) = opened else {
            return stays(
                "This authorization has expired, is already complete, or was started in another browser",
            );
        };
        // Check the issuer first: the response may be another server's (RFC 9207 section 2.4).
        let right = match query.get("iss") {
            Some(said) => said == trip.issuer,
            None => !trip.names_itself,
        };
        if !right {
            tracing::warn!(server = trip.wanted.server, "a response came from another issuer");
            return stays("The response does not come from the server's authorization server");
        }
        let server = trip.wanted.server.clone();
        let response = match query.get("code") {
            None => {
                let word = query.get("error").unwrap_or("no error, and no code");
                tracing::info!(server, "the user did not consent: {}", word.escape_debug());
                page::problem(StatusCode::OK, "You did not consent", "You may close this page.")
            }
            Some(code) => match self.redeem(&trip, code).await {
                Ok(()) => {
                    let done = format!("{server} is connected");
                    page::problem(
                        StatusCode::OK,
                        &done,
                        "You may close this page, and go back to your program.",
                    )
                }
                Err(error) => {
                    tracing::error!(server, "an authorization failed: {error}");
                    stays("The authorization server's response cannot be used")
                }
            },
        };
        browser::came_back(response, state)
    }

    async fn redeem(&self, trip: &Trip, code: &str) -> Result<(), Error> {
        let (server, _) = self.server(&trip.wanted)?;
        let settings = server.settings.delegated.as_deref().ok_or("it does not use grants")?;
        let (store, master) = self.delegations.stored()?;
        let place = format!("{} {}", trip.issuer, self.origin());
        let known: Option<Known> = match &trip.client {
            None => None,
            Some(id) if *id == document_url(self.origin()) => Some(Known::by_document(id)),
            Some(id) => {
                let kept = store.upstream_client(master, &place).await?;
                let kept = kept.ok_or("the gateway's registration there no longer exists")?;
                let known: Known =
                    serde_json::from_str(&kept).map_err(|error| error.to_string())?;
                Some(known).filter(|known| known.id == *id)
            }
        };
        let client: Option<Client> = match &trip.client {
            None => by_hand(settings),
            Some(_) => known.as_ref().map(Known::client),
        };
        let client = client.ok_or("the gateway's client ID there is no longer valid")?;
        let redirect_uri = callback_url(self.origin());
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("code_verifier", &trip.verifier),
            ("resource", &trip.resource),
        ];
        let author = if trip.stranger { Author::Stranger } else { Author::Operator };
        let fetched = client.fetch(&trip.token_endpoint, author, &trip.issuer, &fields).await;
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                let gone =
                    matches!(&error, TokenError::Said { word, .. } if word == "invalid_client");
                if gone && trip.client.is_some() {
                    self.delegations.forget_client(&trip.issuer, self.origin()).await?;
                }
                return Err(error.to_string().into());
            }
        };
        let bearer = fetched.bearer().ok_or("the response contains no bearer token")?;
        let lifetime = i64::try_from(fetched.lifetime(UNSAID).as_secs()).unwrap_or(0);
        let tokens = Tokens {
            issuer: trip.issuer.clone(),
            token_endpoint: trip.token_endpoint.clone(),
            stranger: trip.stranger,
            access_token: Secret(bearer.to_owned()),
            refresh_token: fetched.text("refresh_token").map(|token| Secret(token.to_owned())),
            issued: now(),
            expires: now() + lifetime,
            scopes: fetched.text("scope").unwrap_or(&trip.scopes).to_owned(),
            resource: trip.resource.clone(),
            client: known,
        };
        let text = serde_json::to_string(&tokens).map_err(|error| error.to_string())?;
        let owner = &trip.wanted.owner;
        store.put_delegated(master, &server.name, owner, &zeroize::Zeroizing::new(text)).await?;
        tracing::info!(server = &*server.name, owner, "a user authorized the gateway");
        self.delegations.arrived(&server.name, owner);
        if owner == GATEWAY {
            server.look_now();
        }
        if let Some((session, id)) = &trip.wanted.told {
            let mut params = Object::new();
            params.set("elicitationId", id.as_str());
            self.gateway.sessions.tell(session, "notifications/elicitation/complete", &params);
        }
        Ok(())
    }
}
