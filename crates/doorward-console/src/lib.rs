//! The web application in its two faces, and the sessions of the browsers that use it.
//!
//! The *console* is at `/console/` of the admin listener. A session there is a credential for the admin API, and for
//! nothing else. The *portal* is at `/portal/` of the listener of clients; a session there is a credential for its own API.
//! For calls, the application gets a short-lived token for a session, and speaks MCP as any client does.

mod attempts;
mod auth;
mod cookie;
mod files;
mod headers;
mod logins;
mod respond;
mod site;

use std::sync::Arc;

use axum::body::Body as AdminBody;
use bytes::Bytes;
use doorward_admin::{Admin, Code};
use doorward_gateway::Gateway;
use doorward_identity::identity::browser::Face;
use doorward_identity::identity::{Caller, Peer};
use doorward_mcp::RpcError;
use doorward_web::response::error_response;
use doorward_web::{Body, guard};
use futures_util::future::Either;
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, ORIGIN};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;

use self::auth::record_refusal;
use self::logins::Logins;
use self::site::Site;

const CONSOLE: &str = "/console";
const PORTAL: &str = "/portal";

/// Whether a path is at or below another one.
fn is_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a browser opens a page.
fn is_page<B>(request: &Request<B>) -> bool {
    let kinds = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    request.method() == Method::GET && kinds.is_some_and(|kinds| kinds.contains("text/html"))
}

/// Both faces.
#[derive(Debug, Clone)]
pub struct Faces {
    pub console: Console,
    pub portal: Portal,
}

impl Faces {
    /// `admin_url` is that of the admin listener by its address, if there is one. Fails when the system has no randomness.
    pub fn new(gateway: &Arc<Gateway>, admin_url: Option<&str>) -> Result<Self, getrandom::Error> {
        let logins = Arc::new(Logins::new(gateway)?);
        let site = |face, base| Site {
            face,
            base,
            gateway: gateway.clone(),
            logins: logins.clone(),
            admin: admin_url.map(Into::into),
        };
        let console = Console(Arc::new(site(Face::Console, CONSOLE)));
        let api = doorward_portal::Api::new(gateway);
        let portal = Portal { site: Arc::new(site(Face::Portal, PORTAL)), api };
        Ok(Self { console, portal })
    }
}

/// The console, in front of the admin API.
#[derive(Debug, Clone)]
pub struct Console(Arc<Site>);

impl Console {
    /// Answers one request to the admin listener.
    pub async fn answer(
        self,
        admin: Admin,
        peer: Peer,
        request: Request<Incoming>,
    ) -> Response<AdminBody> {
        let site = &self.0;
        let path = request.uri().path();
        if !site.gateway.settings().console.enabled {
            return admin.answer(peer, request).await;
        }
        if path == "/" && is_page(&request) {
            return match guard::check_operator(&site.gateway.settings(), peer.local, &request) {
                Ok(()) => respond::redirect("/console/").map(AdminBody::from),
                Err((status, why)) => doorward_admin::refused(status, why),
            };
        }
        if is_below(path, CONSOLE) {
            return self.page(peer, request).await;
        }
        let has_session = !request.headers().contains_key(AUTHORIZATION)
            && site.secret(request.headers()).is_some();
        if is_below(path, "/admin") && has_session {
            return self.administer(admin, peer, request).await;
        }
        admin.answer(peer, request).await
    }

    async fn page(&self, peer: Peer, request: Request<Incoming>) -> Response<AdminBody> {
        let site = &self.0;
        let settings = site.gateway.settings().clone();
        // The provider's message comes from no browser, and is a form.
        let by_provider = request.uri().path() == "/console/auth/backchannel";
        let admitted = match by_provider {
            true => guard::check(&settings, peer.local, &request).map(|_| ()),
            false => guard::check_operator(&settings, peer.local, &request),
        };
        if let Err((status, why)) = admitted {
            return doorward_admin::refused(status, why);
        }
        match request.uri().path().strip_prefix("/console/mcp/").map(|rest| format!("/{rest}")) {
            Some(endpoint) => self.call(peer, request, &endpoint).await,
            None => Box::pin(site.answer(&peer, request)).await.map(AdminBody::from),
        }
    }

    /// Answers a request to the admin API from a browser that has signed in.
    async fn administer(
        &self,
        admin: Admin,
        peer: Peer,
        request: Request<Incoming>,
    ) -> Response<AdminBody> {
        let (site, sent) = (&self.0, request.headers());
        let admitted = guard::check_operator(&site.gateway.settings(), peer.local, &request);
        if let Err((status, why)) = admitted {
            return doorward_admin::refused(status, why);
        }
        let from_own_page = match request.method().is_safe() {
            true => headers::may_read(sent),
            false => headers::is_from_own_page(sent),
        };
        if !from_own_page {
            return respond::foreign().map(AdminBody::from);
        }
        match site.signed_in(&peer, sent).await {
            Ok(Some(found)) => admin.answer_signed_in(found.caller, request).await,
            // The session is over: what is open to everybody stays so.
            Ok(None) => admin.answer(peer, request).await,
            Err(refused) => respond::refusal(Some(refused)).map(AdminBody::from),
        }
    }

    /// Passes a call to the endpoint of clients, as if it had come there. The browser's session is no credential for it.
    async fn call(
        &self,
        peer: Peer,
        mut request: Request<Incoming>,
        endpoint: &str,
    ) -> Response<AdminBody> {
        let gateway = &self.0.gateway;
        if !doorward_doors::mcp::is_path(endpoint) {
            let why = "only endpoints for calls can be reached here, such as /console/mcp/mcp";
            return respond::problem(Code::NotFound, why).map(AdminBody::from);
        }
        if headers::is_foreign(request.headers()) {
            return respond::foreign().map(AdminBody::from);
        }
        if !request.headers().contains_key(AUTHORIZATION) && !gateway.identity.is_open() {
            return respond::refusal(None).map(AdminBody::from);
        }
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let Ok(path) = PathAndQuery::try_from(format!("{endpoint}{query}")) else {
            return respond::problem(Code::InvalidRequest, "the path is invalid")
                .map(AdminBody::from);
        };
        *request.uri_mut() = Uri::from(path);
        // The origin was checked, by the rules of this listener.
        request.headers_mut().remove(ORIGIN);
        request.headers_mut().remove(COOKIE);
        Box::pin(doorward_doors::handle(gateway.clone(), peer, request)).await.map(AdminBody::new)
    }
}

/// The portal, in front of the endpoints of clients.
#[derive(Debug, Clone)]
pub struct Portal {
    site: Arc<Site>,
    api: doorward_portal::Api,
}

impl Portal {
    /// Answers one request to the listener of clients.
    pub fn handle(
        &self,
        peer: Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        let site = &self.site;
        let path = request.uri().path();
        let is_here = is_below(path, PORTAL) || (path == "/" && is_page(&request));
        if is_here && site.gateway.settings().portal.enabled {
            return Either::Left(Box::pin(self.clone().answer(peer, request)));
        }
        Either::Right(doorward_doors::handle(site.gateway.clone(), peer, request))
    }

    async fn answer(self, peer: Peer, request: Request<Incoming>) -> Response<Body> {
        let site = &self.site;
        let path = request.uri().path();
        if is_below(path, "/portal/v1") {
            return self.about_oneself(&peer, request).await;
        }
        let checked = guard::check(&site.gateway.settings(), peer.local, &request);
        if let Err((status, why)) = checked {
            return error_response(status, None, &RpcError::invalid_request(why));
        }
        let response = match path {
            "/" => respond::redirect("/portal/"),
            _ => site.answer(&peer, request).await,
        };
        response.map(Body::full)
    }

    /// Answers a request to the portal's API: of a browser that has signed in, or with a key or token.
    async fn about_oneself(&self, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
        let (site, sent) = (&self.site, request.headers());
        let admitted = guard::check_operator(&site.gateway.settings(), peer.local, &request);
        if let Err((status, why)) = admitted {
            return held(doorward_admin::refused(status, why)).await;
        }
        let (caller, signed_in) =
            match self.caller(peer, sent, request.uri(), request.method()).await {
                Ok(known) => known,
                Err(refused) => return refused.map(Body::full),
            };
        let is_secure = site.cookies(sent).is_secure;
        let mut response = held(self.api.answer(caller, signed_in, request).await).await;
        headers::protect_data(response.headers_mut());
        if is_secure {
            headers::require_tls(response.headers_mut());
        }
        response
    }

    /// Who sends a request, and whether they have signed in with a browser.
    async fn caller(
        &self,
        peer: &Peer,
        sent: &HeaderMap,
        uri: &Uri,
        method: &Method,
    ) -> Result<(Caller, bool), Response<Bytes>> {
        let site = &self.site;
        if sent.contains_key(AUTHORIZATION) {
            let identified = site.gateway.identity.identify(peer, sent, uri, None).await;
            return match identified {
                Ok(caller) => Ok((caller, false)),
                Err(refused) => {
                    record_refusal(&site.gateway, Face::Portal, peer, refused.reason());
                    Err(respond::refusal(Some(refused)))
                }
            };
        }
        let has_session = site.secret(sent).is_some();
        // A browser sends its session by itself, whichever page has made it send the request.
        let admitted = match (method.is_safe(), has_session) {
            (true, _) => headers::may_read(sent),
            (false, true) => headers::is_from_own_page(sent) && sent.contains_key(guard::OPERATOR),
            (false, false) => !headers::is_foreign(sent) && sent.contains_key(guard::OPERATOR),
        };
        if !admitted {
            return Err(respond::foreign());
        }
        match site.signed_in(peer, sent).await {
            Ok(Some(found)) => Ok((found.caller, true)),
            Ok(None) => match site.without_session(peer).await {
                Some(caller) => Ok((caller, false)),
                None => Err(respond::refusal(None)),
            },
            Err(refused) => Err(respond::refusal(Some(refused))),
        }
    }
}

/// A response of the API, whose bodies are whole.
async fn held(response: Response<AdminBody>) -> Response<Body> {
    let (head, body) = response.into_parts();
    // It is in memory already.
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    Response::from_parts(head, Body::full(body))
}
