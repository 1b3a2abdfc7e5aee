//! Client authentication at the token endpoint, by exactly one method (RFC 6749 section 2.3, RFC 7523).

use std::sync::Arc;

use aws_lc_rs::constant_time;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward_store::{hash_of, now};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::answer::OAuthError;
use super::clients::{Authentication, Client, Unknown};
use super::form::Form;
use super::{RequestContext, Server};
use doorward_identity::identity::jwt::{Jwt, audiences, seconds};

/// The only supported assertion type.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Maximum lifetime of an assertion, and tolerance for clock skew, in seconds.
const LONGEST: i64 = 10 * 60;
const LEEWAY: i64 = 30;

/// The credential that a client presents.
enum Credential<'a> {
    Nothing,
    Secret(String),
    Assertion(&'a str),
}

/// Identifies and authenticates the client.
pub async fn authenticate(
    at: &RequestContext<'_>,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Arc<Client>, OAuthError> {
    let by_header = basic(headers)?;
    let tried_header = by_header.is_some();
    let refused = |why: &'static str| OAuthError::client(why, tried_header);
    let (mut id, mut ways) = (form.get("client_id").map(str::to_owned), 0);
    let mut presented = Credential::Nothing;
    if let Some((user, password)) = by_header {
        if id.as_ref().is_some_and(|id| *id != user) {
            return Err(refused("The header and 'client_id' name different clients"));
        }
        id = Some(user);
        if !password.is_empty() {
            ways += 1;
            presented = Credential::Secret(password);
        }
    }
    if let Some(secret) = form.get("client_secret") {
        ways += 1;
        presented = Credential::Secret(secret.to_owned());
    }
    if let Some(assertion) = form.get("client_assertion") {
        if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
            return Err(refused("'client_assertion_type' is not known"));
        }
        ways += 1;
        presented = Credential::Assertion(assertion);
        if id.is_none() {
            id = Jwt::read(assertion).ok().and_then(|jwt| jwt.text("sub").map(str::to_owned));
        }
    }
    if ways > 1 {
        return Err(refused("The client uses more than one authentication method"));
    }
    let id = id.ok_or_else(|| refused("The client is not identified"))?;
    let client = at.server.clients.find(&id, at.store, at.address).await;
    let client = client.map_err(|unknown| match unknown {
        Unknown::Wrong(_) => refused("The client is unknown, or its credential is invalid"),
        Unknown::Unavailable(_) => OAuthError::unavailable(),
    })?;
    let good = match (&client.authentication, presented) {
        (Authentication::Nothing, Credential::Nothing) => true,
        (Authentication::Secret(hash), Credential::Secret(secret)) => {
            let (known, presented) = (hash.as_bytes(), hash_of(&secret));
            constant_time::verify_slices_are_equal(known, presented.as_bytes()).is_ok()
        }
        (Authentication::Key(keys), Credential::Assertion(assertion)) => {
            let jwt = Jwt::read(assertion).ok().filter(|jwt| jwt.is_signed_by(keys));
            match jwt.as_ref().and_then(|jwt| check(at.server, &client, jwt)) {
                Some((once, until)) => at.store.is_first(&once, until).await.map_err(|error| {
                    tracing::error!(%error, "the store failed");
                    OAuthError::unavailable()
                })?,
                None => false,
            }
        }
        _ => false,
    };
    if good {
        return Ok(client);
    }
    tracing::info!(client = client.id, "a client was refused");
    Err(refused("The client is unknown, or its credential is invalid"))
}

/// Checks the claims of an assertion (RFC 7523 section 3). Returns a key to detect its reuse, and how long to
/// store that key.
fn check(server: &Server, client: &Client, jwt: &Jwt<'_>) -> Option<(String, i64)> {
    let now = now();
    let expires = seconds(jwt.claims.get("exp"))?;
    let begins = jwt.claims.get("nbf").map_or(Some(0), |time| seconds(Some(time)))?;
    let own = [server.issuer.clone(), server.endpoint("token")];
    let good = jwt.text("iss") == Some(&client.id)
        && jwt.text("sub") == Some(&client.id)
        && audiences(&jwt.claims).iter().any(|audience| own.iter().any(|own| own == audience))
        && (now - LEEWAY < expires && expires <= now + LONGEST)
        && begins <= now + LEEWAY;
    let id = jwt.text("jti").filter(|id| !id.is_empty())?;
    good.then(|| (format!("assertion {:?} {id:?}", client.id), expires + LEEWAY))
}

/// The client id and secret in the `Authorization` header, if present (RFC 6749 section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, OAuthError> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let malformed = || OAuthError::client("'Authorization' must be one 'Basic' credential", true);
    if all.next().is_some() {
        return Err(malformed());
    }
    let text = value.to_str().map_err(|_| malformed())?;
    let (scheme, rest) = text.split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let both = STANDARD.decode(rest.trim()).map_err(|_| malformed())?;
    let both = String::from_utf8(both).map_err(|_| malformed())?;
    let (id, secret) = both.split_once(':').ok_or_else(malformed)?;
    let decoded = |text: &str| {
        let whole = format!("x={text}");
        let value = url::form_urlencoded::parse(whole.as_bytes()).next();
        value.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    Ok(Some((decoded(id), decoded(secret))))
}
