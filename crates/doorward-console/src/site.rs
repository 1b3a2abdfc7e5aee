//! One face of the application, below its path: its files, and signing in.

use std::sync::Arc;

use bytes::Bytes;
use doorward_admin::Code;
use doorward_gateway::Gateway;
use doorward_identity::identity::browser::{Face, SignedIn};
use doorward_identity::identity::{Caller, Peer, Refused};
use doorward_web::body::read_within;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use url::Url;

use crate::cookie::Cookies;
use crate::logins::Logins;
use crate::{files, headers, respond};

/// Longest body of a request here, in bytes.
const MOST: usize = 16 << 10;

/// The console or the portal.
#[derive(Debug, Clone)]
pub struct Site {
    pub face: Face,
    /// `/console` or `/portal`.
    pub base: &'static str,
    pub gateway: Arc<Gateway>,
    pub logins: Arc<Logins>,
    /// The URL of the admin listener by its address; `None` where there is none.
    pub admin: Option<Arc<str>>,
}

/// A request to a face.
pub struct Sent<'a> {
    pub peer: &'a Peer,
    pub headers: &'a HeaderMap,
    pub uri: &'a Uri,
    pub body: Bytes,
}

impl Site {
    /// The URL under which browsers reach this face, without a path. It comes from the configuration, never from a request.
    pub fn origin(&self) -> String {
        match self.face {
            Face::Console => self.console_origin().unwrap_or_default(),
            Face::Portal | Face::Token => self.gateway.identity.resources.origin().to_owned(),
        }
    }

    /// The URL under which browsers reach the console, without a path.
    pub fn console_origin(&self) -> Option<String> {
        let configured = self.gateway.settings().console.url.as_ref().map(Url::origin);
        let configured = configured.map(|origin| origin.ascii_serialization());
        let admin = self.admin.as_deref()?;
        Some(configured.unwrap_or_else(|| admin.to_owned()))
    }

    /// The page of the portal or console itself.
    pub fn home(&self) -> String {
        format!("{}{}/", self.origin(), self.base)
    }

    /// The cookies of a browser that has sent a request.
    pub fn cookies(&self, sent: &HeaderMap) -> Cookies {
        // Behind a proxy with TLS of which the configuration does not know, the browser says that there is one.
        let by_browser = sent.get(ORIGIN).is_some_and(|it| it.as_bytes().starts_with(b"https://"));
        Cookies { face: self.face, is_secure: by_browser || self.origin().starts_with("https://") }
    }

    /// Whether nobody on the network can read what this browser sends.
    pub fn is_private(&self, sent: &Sent<'_>) -> bool {
        self.cookies(sent.headers).is_secure || sent.peer.address.is_loopback()
    }

    /// The secret of the session that a browser has sent.
    pub fn secret<'a>(&self, sent: &'a HeaderMap) -> Option<&'a str> {
        let cookies = self.cookies(sent);
        let secure = Cookies { is_secure: true, ..cookies };
        cookies.session(sent).or_else(|| secure.session(sent))
    }

    /// Who has signed in, as of now.
    pub async fn signed_in(
        &self,
        peer: &Peer,
        sent: &HeaderMap,
    ) -> Result<Option<SignedIn>, Refused> {
        let Some(secret) = self.secret(sent) else { return Ok(None) };
        self.gateway.identity.by_session(self.face, secret, peer.address).await
    }

    /// Who needs no session: everybody on loopback while nothing is configured, and who presents a certificate.
    pub async fn without_session(&self, peer: &Peer) -> Option<Caller> {
        let uri = Uri::from_static("/");
        self.gateway.identity.identify(peer, &HeaderMap::new(), &uri, None).await.ok()
    }

    /// Whether a request was sent to the host of this face's URL, so that its cookies come back from a provider.
    pub fn is_at_origin(&self, sent: &HeaderMap) -> bool {
        let origin = self.origin();
        let (_, authority) = origin.split_once("://").unwrap_or_default();
        sent.get(HOST)
            .is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()))
    }

    /// Answers a request below the path of this face. The listener's guard must have admitted it.
    pub async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().strip_prefix(self.base).unwrap_or_default().to_owned();
        let mut response = match path.strip_prefix("/auth/") {
            Some(rest) => self.authenticate(peer, &head, body, rest).await,
            None if !matches!(head.method, Method::GET | Method::HEAD) => {
                respond::not_allowed("GET, HEAD")
            }
            None if path.is_empty() => respond::redirect(&format!("{}/", self.base)),
            None => {
                let name = path.strip_prefix('/').unwrap_or_default();
                match files::file(name, &head.headers) {
                    Some(response) => response,
                    None if name.starts_with("assets/") => {
                        respond::problem(Code::NotFound, "the application has no such file")
                    }
                    None => files::page(self.base, &head.headers),
                }
            }
        };
        if self.cookies(&head.headers).is_secure {
            headers::require_tls(response.headers_mut());
        }
        response
    }

    async fn authenticate(
        &self,
        peer: &Peer,
        head: &Parts,
        body: Incoming,
        rest: &str,
    ) -> Response<Bytes> {
        let posts = matches!(rest, "key" | "logout" | "token" | "backchannel");
        let wanted = if posts { Method::POST } else { Method::GET };
        if head.method != wanted {
            return respond::not_allowed(if posts { "POST" } else { "GET" });
        }
        // A provider sends its message from a server, and signs it.
        if posts && rest != "backchannel" && !headers::is_from_own_page(&head.headers) {
            return respond::foreign();
        }
        let body = match posts {
            true => match read_within(body, &self.gateway.shared, MOST).await {
                Ok(body) => body,
                Err((status, why)) => {
                    let mut response = respond::problem(Code::InvalidRequest, why);
                    *response.status_mut() = status;
                    return response;
                }
            },
            false => Bytes::new(),
        };
        let sent = Sent { peer, headers: &head.headers, uri: &head.uri, body };
        match rest.split_once('/') {
            None => match rest {
                "session" => self.session(&sent).await,
                "key" => self.sign_in_by_key(&sent).await,
                "logout" => self.sign_out(&sent).await,
                "token" => self.token(&sent).await,
                "callback" => self.come_back(&sent).await,
                "backchannel" => self.signed_out_at_provider(&sent).await,
                _ => respond::problem(Code::NotFound, "there is nothing here"),
            },
            Some(("openid", id)) => self.leave_for(&sent, id).await,
            Some(_) => respond::problem(Code::NotFound, "there is nothing here"),
        }
    }
}

impl Sent<'_> {
    /// The body as JSON; an empty one has no members.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let text = if self.body.is_empty() { &b"{}"[..] } else { &self.body };
        serde_json::from_slice(text).ok()
    }
}
