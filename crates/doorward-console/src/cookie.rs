//! Cookies of the console and the portal.
//!
//! Over HTTPS they have the prefix `__Host-`, so that no other host and no plain connection can set them. Not all browsers
//! accept that from a gateway on loopback without TLS; there, their names have no prefix.

use std::time::Duration;

use doorward_identity::identity::browser::Face;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

const PREFIX: &str = "__Host-";
/// Letters of a login's state in the name of its cookie.
const LETTERS: usize = 8;

/// The cookies of one face.
#[derive(Debug, Clone, Copy)]
pub struct Cookies {
    pub face: Face,
    /// Browsers use HTTPS.
    pub is_secure: bool,
}

impl Cookies {
    fn name(self, rest: &str) -> String {
        let prefix = if self.is_secure { PREFIX } else { "" };
        format!("{prefix}doorward-{}{rest}", self.face.as_str())
    }

    fn login_name(self, state: &str) -> String {
        let letters = state.chars().filter(char::is_ascii_alphanumeric).take(LETTERS);
        self.name(&format!("-login-{}", letters.collect::<String>()))
    }

    /// The secret of a browser's session.
    pub fn session(self, sent: &HeaderMap) -> Option<&str> {
        cookie(sent, &self.name(""))
    }

    /// Sets the secret of a session. It is sent with no request that another site has started.
    pub fn set_session(self, headers: &mut HeaderMap, secret: &str, lifetime: Duration) {
        self.set(headers, &self.name(""), secret, "Strict", lifetime);
    }

    pub fn remove_session(self, headers: &mut HeaderMap) {
        self.set_session(headers, "", Duration::ZERO);
    }

    /// A login in progress, by its state.
    pub fn login<'a>(self, sent: &'a HeaderMap, state: &str) -> Option<&'a str> {
        cookie(sent, &self.login_name(state))
    }

    /// Sets a login in progress. It must be sent when the provider sends the browser back.
    pub fn set_login(self, headers: &mut HeaderMap, state: &str, sealed: &str, time: Duration) {
        self.set(headers, &self.login_name(state), sealed, "Lax", time);
    }

    pub fn remove_login(self, headers: &mut HeaderMap, state: &str) {
        self.set_login(headers, state, "", Duration::ZERO);
    }

    fn set(self, headers: &mut HeaderMap, name: &str, value: &str, site: &str, time: Duration) {
        let secure = if self.is_secure { " Secure;" } else { "" };
        let age = time.as_secs();
        let text =
            format!("{name}={value}; Path=/;{secure} HttpOnly; SameSite={site}; Max-Age={age}");
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(SET_COOKIE, value);
        }
    }
}

/// A cookie. `None` if it occurs twice, since one of them may have been set by someone else.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = all.flat_map(|text| text.split(';')).filter_map(|pair| {
        let (this, value) = pair.trim().split_once('=')?;
        (this == name).then_some(value)
    });
    let first = found.next().filter(|value| !value.is_empty())?;
    found.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_comes_twice_counts_as_none() {
        let cookies = Cookies { face: Face::Console, is_secure: true };
        let sent =
            |text: &'static str| HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(text))]);
        let known = sent("a=b; __Host-doorward-console=x; doorward-console=y");
        assert_eq!(cookies.session(&known), Some("x"));
        let twice = sent("__Host-doorward-console=x; __Host-doorward-console=y");
        assert_eq!(cookies.session(&twice), None);
        assert_eq!(Cookies { is_secure: false, ..cookies }.session(&known), Some("y"));
        assert_eq!(Cookies { face: Face::Portal, ..cookies }.session(&known), None);
    }

    #[test]
    fn a_session_is_for_this_host_and_not_for_scripts_or_other_sites() {
        let mut headers = HeaderMap::new();
        let cookies = Cookies { face: Face::Portal, is_secure: true };
        cookies.set_session(&mut headers, "x", Duration::from_secs(60));
        assert_eq!(
            headers[SET_COOKIE],
            "__Host-doorward-portal=x; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=60"
        );
    }
}
