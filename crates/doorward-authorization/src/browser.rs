//! Cookies: a login continues in the browser that started it, and in no other (attack T7).

use std::time::Duration;

use http::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::page;
use bytes::Bytes;
use doorward_identity::seal;

/// Tells one browser from another.
const BROWSER: &str = "__Host-doorward-browser";
/// Carries a login from the consent to the callback; the first letters of its state come behind.
const LOGIN: &str = "__Host-doorward-login-";
const LETTERS: usize = 8;

pub const START_AGAIN: &str = "Close this page, and start again from the program.";

/// A browser, by the name that was given to it.
pub struct Browser {
    pub id: String,
    is_new: bool,
}

impl Browser {
    pub fn of(headers: &HeaderMap) -> Result<Self, getrandom::Error> {
        match known(headers) {
            Some(id) => Ok(Self { id: id.to_owned(), is_new: false }),
            None => Ok(Self { id: seal::random_id()?, is_new: true }),
        }
    }

    /// An answer after which the browser is known.
    pub fn remembered(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        if self.is_new {
            set_cookie(&mut response, BROWSER, &self.id, None);
        }
        response
    }
}

/// The name of a browser that has been here before.
pub fn known(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, BROWSER).filter(|id| id.len() == 32)
}

/// Whether a form was sent from another page than the gateway's own: other origins that may call the gateway
/// may not consent for its users.
pub fn is_foreign(headers: &HeaderMap, origin: &str) -> bool {
    headers.get(ORIGIN).is_some_and(|said| *said != *origin)
        || headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin")
}

pub fn from_elsewhere() -> Response<Bytes> {
    page::problem(StatusCode::FORBIDDEN, "The request comes from another site", START_AGAIN)
}

/// Sends a browser away to sign in, and has it carry what its return is checked with.
pub fn sent_away(to: &str, state: &str, sealed: &str, patience: Duration) -> Response<Bytes> {
    let mut response = redirect(to);
    set_cookie(&mut response, &login_cookie(state), sealed, Some(patience));
    response
}

/// What a browser carries for a state.
pub fn login<'a>(headers: &'a HeaderMap, state: &str) -> Option<&'a str> {
    cookie(headers, &login_cookie(state))
}

/// The login is over: nothing of it stays in the browser.
pub fn came_back(mut response: Response<Bytes>, state: &str) -> Response<Bytes> {
    set_cookie(&mut response, &login_cookie(state), "", Some(Duration::ZERO));
    response
}

/// The cookie of a login.
fn login_cookie(state: &str) -> String {
    let letters: String = state.chars().filter(char::is_ascii_alphanumeric).take(LETTERS).collect();
    format!("{LOGIN}{letters}")
}

/// One cookie. If it stands twice, none: somebody else may have set one of them.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = all.flat_map(|text| text.split(';')).filter_map(|pair| {
        let (this, value) = pair.trim().split_once('=')?;
        (this == name).then_some(value)
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Sets a cookie for this host alone, over TLS alone, out of reach of scripts; for as long as the browser
/// is open where no time is said.
fn set_cookie(response: &mut Response<Bytes>, name: &str, value: &str, time: Option<Duration>) {
    let mut text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax");
    if let Some(time) = time {
        text.push_str(&format!("; Max-Age={}", time.as_secs()));
    }
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// Sends a browser on.
pub fn redirect(to: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    page::protect(&mut response);
    response
}
