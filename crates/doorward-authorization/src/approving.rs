//! Users who sign in to decide about the approval of a call: the identity provider says who they are, and the gateway gets a
//! token of its own for them.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use doorward_store::now;
use http::{HeaderMap, Response, StatusCode};
use serde_json::json;

use super::authorize::{Login, Purpose};
use super::form::Form;
use super::page;
use super::{Host, RequestContext};

/// How long somebody stays signed in, in seconds.
const APPROVER: i64 = 3_600;

/// Sends a browser to the identity provider whose user decides about an approval; `None` if there is no provider.
pub async fn sign_in_to_approve(host: &dyn Host, id: &str) -> Option<Response<Bytes>> {
    let (server, store) = (host.authorization().server.load_full()?, host.store()?);
    // No client is looked up for this request.
    let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let at = RequestContext { host, server: &server, store, address };
    let sent = at.send_to_provider(Purpose::Approve(id.to_owned())).await;
    Some(sent.unwrap_or_else(|why| {
        tracing::error!("users cannot sign in: {why}");
        let why = "The identity provider cannot be reached";
        page::problem(StatusCode::BAD_GATEWAY, why, "Try again in a while.")
    }))
}

impl RequestContext<'_> {
    /// Continues for a user who decides about a call: with a token for the gateway itself, which does not leave it in
    /// readable form.
    pub(super) async fn continue_approving(
        &self,
        id: &str,
        headers: &HeaderMap,
        login: &Login,
        query: &Form,
    ) -> Response<Bytes> {
        let person = match self.signed_in_for(None, login, query).await {
            Ok(person) => person,
            Err(page) => return *page,
        };
        let mut claims = person.claims;
        let origin = &self.server.issuer;
        for (name, value) in [
            ("iss", json!(origin)),
            ("sub", json!(person.subject)),
            ("aud", json!(origin)),
            ("iat", json!(now())),
            ("exp", json!(now() + APPROVER)),
        ] {
            claims.insert(name.into(), value);
        }
        let token = self.host.signing().keys().and_then(|keys| keys.sign("at+jwt", &claims));
        match token {
            Some(token) => self.host.approver(id, headers, &token),
            None => {
                let why = "There is no key to sign with";
                page::problem(StatusCode::SERVICE_UNAVAILABLE, why, "Try again in a while.")
            }
        }
    }
}
