//! Credentials for the security schemes of an API: each operation receives those that it requires, and no others.

use std::collections::BTreeMap;

use doorward_openapi::{Description, Place, Scheme, Tool, is_same_slot};
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use doorward_config::Secret;
use doorward_net::outbound::{self, form_encoded};

/// By the schemes' names: the scheme and its secret.
pub type Credentials = BTreeMap<String, (Scheme, Secret)>;

/// The credentials presented by calls of one tool.
#[derive(Debug, Default)]
pub struct Presented {
    headers: Vec<(HeaderName, HeaderValue)>,
    cookies: Vec<String>,
    query: Vec<(String, Secret)>,
}

/// Matches the configured credentials with security schemes. The error names one that cannot be
/// used.
pub fn credentials(
    description: &Description,
    given: &BTreeMap<String, Secret>,
) -> Result<Credentials, String> {
    let of = |(name, secret): (&String, &Secret)| {
        let scheme = description.scheme(name);
        let scheme = scheme.map_err(|why| format!("no security scheme '{name}': {why}"))?;
        if header_of(&scheme, secret).is_none() {
            return Err(format!("the credential for the security scheme '{name}' cannot be sent"));
        }
        Ok((name.clone(), (scheme, secret.clone())))
    };
    given.iter().map(of).collect()
}

/// The header of a credential; empty if it is sent elsewhere. `None` if it is not a valid header.
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

impl Presented {
    /// The first of an operation's alternatives for which all credentials are configured.
    pub fn of(tool: &Tool, credentials: &Credentials) -> Self {
        let given = tool
            .security
            .iter()
            .find(|way| !way.is_empty() && way.iter().all(|name| credentials.contains_key(name)));
        let mut presented = Self::default();
        for (scheme, secret) in given.into_iter().flatten().filter_map(|name| credentials.get(name))
        {
            match scheme {
                Scheme::Key { place: Place::Query, name } => {
                    presented.query.push((name.clone(), secret.clone()));
                }
                Scheme::Key { place: Place::Cookie, name } => {
                    let value = form_encoded(secret.expose());
                    presented.cookies.push(format!("{}={value}", form_encoded(name)));
                }
                _ => presented.headers.extend(header_of(scheme, secret)),
            }
        }
        presented
    }

    /// The credential that a member of a body could be mistaken for, by a server that treats query
    /// and body parameters alike.
    pub fn taken_by(&self, member: &str) -> bool {
        self.query.iter().any(|(name, _)| is_same_slot(member, name))
    }

    pub fn put(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            let theirs =
                headers.keys().filter(|theirs| is_same_slot(theirs.as_str(), name.as_str()));
            for theirs in theirs.cloned().collect::<Vec<_>>() {
                headers.remove(theirs);
            }
            headers.insert(name, value.clone());
        }
        if self.cookies.is_empty() {
            return;
        }
        let there = headers.get(COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let own: Vec<String> = self.cookies.iter().map(|pair| name_of(pair)).collect();
        let theirs = there.split(';').map(str::trim).filter(|pair| !pair.is_empty());
        let theirs = theirs.filter(|pair| !own.iter().any(|name| is_named(pair, name)));
        let all: Vec<&str> = theirs.chain(self.cookies.iter().map(String::as_str)).collect();
        if let Ok(mut value) = HeaderValue::try_from(all.join("; ")) {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }

    /// Adds credentials to the query. They replace arguments of the same name, or of a name that a
    /// server could mistake for it.
    pub fn put_query(&self, path_and_query: &mut String) {
        for (name, secret) in &self.query {
            let (path, query) = match path_and_query.split_once('?') {
                Some((path, query)) => (path, query),
                None => (path_and_query.as_str(), ""),
            };
            let theirs = query.split('&').filter(|pair| !pair.is_empty() && !is_named(pair, name));
            let own = format!("{}={}", form_encoded(name), form_encoded(secret.expose()));
            let all: Vec<&str> = theirs.chain([own.as_str()]).collect();
            *path_and_query = format!("{path}?{}", all.join("&"));
        }
    }
}

/// The decoded name of a query parameter.
fn name_of(pair: &str) -> String {
    let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
    percent_encoding::percent_decode_str(&name).decode_utf8_lossy().into_owned()
}

fn is_named(pair: &str, name: &str) -> bool {
    is_same_slot(&name_of(pair), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_takes_the_place_of_a_credential() {
        let presented = Presented {
            headers: vec![(HeaderName::from_static("x-api-key"), HeaderValue::from_static("ours"))],
            cookies: vec!["session=ours".into()],
            query: vec![("api_key".into(), Secret("ours".into()))],
        };
        for given in [
            "/a?api_key=mine&x=1",
            "/a?API_KEY=mine&x=1",
            "/a?api%5Fkey=mine&x=1",
            "/a?api_key%5B0%5D=mine&api_key[]=mine&x=1",
            "/a?api_%E2%84%AAey=mine&x=1",
            "/a?api_key&x=1",
            "/a?api.key=mine&api-key=mine&api+key=mine&x=1",
            "/a?api_key%00=mine&api_key+=mine&+api_key=mine&x=1",
        ] {
            let mut query = given.to_owned();
            presented.put_query(&mut query);
            assert_eq!(query, "/a?x=1&api_key=ours", "{given}");
        }
        let mut plain = "/a".to_owned();
        presented.put_query(&mut plain);
        assert_eq!(plain, "/a?api_key=ours");
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("Session=mine; a=1; sess%69on=mine"));
        headers.insert(HeaderName::from_static("x_api_key"), HeaderValue::from_static("mine"));
        presented.put(&mut headers);
        assert_eq!(headers.get("x-api-key").unwrap(), "ours");
        assert!(!headers.contains_key("x_api_key"));
        assert!(
            presented.taken_by("API_KEY")
                && presented.taken_by("api_key[]")
                && !presented.taken_by("key")
        );
        assert_eq!(headers.get(COOKIE).unwrap(), "a=1; session=ours");
    }
}
