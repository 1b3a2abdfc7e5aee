//! Who decides at the page for approvers: their credential is sealed in a cookie of their browser, and verified with each
//! request.

use std::time::Duration;

use bytes::Bytes;
use doorward_authorization::{browser, page};
use http::{HeaderMap, Response, StatusCode};

use crate::gateway::Gateway;

/// The page of an approval, before its ID.
pub const PREFIX: &str = "/approvals/";
/// What the credential is sealed for.
pub const CREDENTIAL: &str = "approver";
/// How long somebody stays signed in.
const SIGNED_IN: Duration = Duration::from_secs(3_600);

/// Continues for a user who has signed in at the identity provider.
pub fn signed_in(gateway: &Gateway, id: &str, headers: &HeaderMap, token: &str) -> Response<Bytes> {
    match browser::known(headers) {
        Some(browser) => with_credential(gateway, id, browser, token),
        None => {
            page::problem(StatusCode::BAD_REQUEST, "This page was opened in another browser", "")
        }
    }
}

/// Sends the browser to the page, with its credential: sealed for this browser, and checked with each request.
pub fn with_credential(gateway: &Gateway, id: &str, browser: &str, token: &str) -> Response<Bytes> {
    let mut response = browser::redirect(&format!("{PREFIX}{id}"));
    let sealer = &gateway.shared.sealer;
    let sealed = sealer.seal(&token.to_owned(), browser, CREDENTIAL, Some(SIGNED_IN));
    browser::set_approver(&mut response, &sealed, SIGNED_IN);
    response
}
