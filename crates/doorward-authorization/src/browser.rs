//! Cookies: a login continues in the browser that started it, and in no other (attack T7).

use std::time::Duration;

use http::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::page;
use bytes::Bytes;
use doorward_identity::seal;

/// Identifies a browser.
const BROWSER: &str = "__Host-doorward-browser";
/// Stores a login between consent and callback. The first letters of its state are appended to the name.
const LOGIN: &str = "__Host-doorward-login-";
const LETTERS: usize = 8;
/// Who has signed in to decide about calls.
const APPROVER: &str = "__Host-doorward-approver";

pub const START_AGAIN: &str = "Close this page, and start again from the program.";

/// A browser, by the id in its cookie.
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

    /// Adds the cookie for a new browser to a response.
    pub fn remembered(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        if self.is_new {
            set_cookie(&mut response, BROWSER, &self.id, None);
        }
        response
    }
}

/// The id of a known browser.
pub fn known(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, BROWSER).filter(|id| id.len() == 32)
}

/// Whether a form was sent by a page of another origin. Such pages may call the gateway, but cannot consent for
/// its users.
pub fn is_foreign(headers: &HeaderMap, origin: &str) -> bool {
    headers.get(ORIGIN).is_some_and(|said| *said != *origin)
        || headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin")
}

pub fn from_elsewhere() -> Response<Bytes> {
    page::problem(StatusCode::FORBIDDEN, "The request comes from another site", START_AGAIN)
}

/// Redirects a browser to the login, with a cookie that its return is verified against.
pub fn sent_away(to: &str, state: &str, sealed: &str, patience: Duration) -> Response<Bytes> {
    let mut response = redirect(to);
    set_cookie(&mut response, &login_cookie(state), sealed, Some(patience));
    response
}

/// The sealed login that a browser has for a state.
pub fn login<'a>(headers: &'a HeaderMap, state: &str) -> Option<&'a str> {
    cookie(headers, &login_cookie(state))
}

/// Removes the cookie of a finished login.
pub fn came_back(mut response: Response<Bytes>, state: &str) -> Response<Bytes> {
    set_cookie(&mut response, &login_cookie(state), "", Some(Duration::ZERO));
    response
}

/// The sealed credential of somebody who has signed in to decide about calls.
pub fn approver(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, APPROVER)
}

/// Adds the cookie of somebody who has signed in to decide about calls; removes it if `sealed` is empty.
pub fn set_approver(response: &mut Response<Bytes>, sealed: &str, time: Duration) {
    let time = if sealed.is_empty() { Duration::ZERO } else { time };
    set_cookie(response, APPROVER, sealed, Some(time));
}

/// The name of a login's cookie.
fn login_cookie(state: &str) -> String {
    let letters: String = state.chars().filter(char::is_ascii_alphanumeric).take(LETTERS).collect();
    format!("{LOGIN}{letters}")
}

/// A cookie. `None` if it occurs twice, since one of them may have been set by someone else.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = all.flat_map(|text| text.split(';')).filter_map(|pair| {
        let (this, value) = pair.trim().split_once('=')?;
        (this == name).then_some(value)
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Sets a cookie for this host only, over TLS only, and inaccessible to scripts. Without `time`, it lasts until
/// the browser is closed.
fn set_cookie(response: &mut Response<Bytes>, name: &str, value: &str, time: Option<Duration>) {
    let mut text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax");
    if let Some(time) = time {
        text.push_str(&format!("; Max-Age={}", time.as_secs()));
    }
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// Redirects a browser.
pub fn redirect(to: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    page::protect(&mut response);
    response
}
