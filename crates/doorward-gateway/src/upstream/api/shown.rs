//! What an API is shown for its security schemes: each operation what it asks for, and nothing else.

use std::collections::BTreeMap;

use doorward_openapi::{Description, Place, Scheme, Tool};
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::outbound::{self, form_encoded};
use crate::settings::Secret;

/// By the schemes' names: how, and what.
pub type Credentials = BTreeMap<String, (Scheme, Secret)>;

/// What the calls of one tool are shown.
#[derive(Debug, Default)]
pub struct Shown {
    headers: Vec<(HeaderName, HeaderValue)>,
    cookies: Vec<String>,
    query: Vec<(String, Secret)>,
}

/// Finds the schemes that something was given for. The error names one that cannot be used.
pub fn credentials(
    description: &Description,
    given: &BTreeMap<String, Secret>,
) -> Result<Credentials, String> {
    let of = |(name, secret): (&String, &Secret)| {
        let scheme = description.scheme(name);
        let scheme = scheme.map_err(|why| format!("no security scheme '{name}': {why}"))?;
        if header_of(&scheme, secret).is_none() {
            return Err(format!("what is given for the security scheme '{name}' cannot be shown"));
        }
        Ok((name.clone(), (scheme, secret.clone())))
    };
    given.iter().map(of).collect()
}

/// The header that a credential makes; an empty one where it goes elsewhere. `None` if it cannot be written.
fn header_of(scheme: &Scheme, secret: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let text = secret.expose();
    match scheme {
        Scheme::Bearer => Some((AUTHORIZATION, outbound::bearer(text)?)),
        Scheme::Basic => {
            let (user, password) = text.split_once(':')?;
            Some((AUTHORIZATION, outbound::basic(user, password)?))
        }
        Scheme::Key { place, name } => {
            let name = match place {
                Place::Header => HeaderName::try_from(name).ok()?,
                _ => COOKIE,
            };
            let mut value = HeaderValue::try_from(text).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        }
    }
}

impl Shown {
    /// Of the ways that an operation may be shown who calls, the first that everything is given for.
    pub fn of(tool: &Tool, credentials: &Credentials) -> Self {
        let given = tool
            .security
            .iter()
            .find(|way| !way.is_empty() && way.iter().all(|name| credentials.contains_key(name)));
        let mut shown = Self::default();
        for (scheme, secret) in given.into_iter().flatten().filter_map(|name| credentials.get(name))
        {
            match scheme {
                Scheme::Key { place: Place::Query, name } => {
                    shown.query.push((name.clone(), secret.clone()));
                }
                Scheme::Key { place: Place::Cookie, name } => {
                    let value = form_encoded(secret.expose());
                    shown.cookies.push(format!("{}={value}", form_encoded(name)));
                }
                _ => shown.headers.extend(header_of(scheme, secret)),
            }
        }
        shown
    }

    pub fn put(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        if self.cookies.is_empty() {
            return;
        }
        let there = headers.get(COOKIE).and_then(|value| value.to_str().ok());
        let all: Vec<&str> =
            there.into_iter().chain(self.cookies.iter().map(String::as_str)).collect();
        if let Ok(mut value) = HeaderValue::try_from(all.join("; ")) {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }

    /// Writes what belongs in the query, where it is not there yet.
    pub fn put_query(&self, path_and_query: &mut String) {
        for (name, secret) in &self.query {
            let name = form_encoded(name);
            let query = path_and_query.split_once('?').map(|(_, query)| query);
            let mut pairs = query.unwrap_or_default().split('&');
            if pairs.any(|pair| pair.split('=').next() == Some(&name)) {
                continue;
            }
            path_and_query.push(if query.is_none() { '?' } else { '&' });
            path_and_query.push_str(&format!("{name}={}", form_encoded(secret.expose())));
        }
    }
}
