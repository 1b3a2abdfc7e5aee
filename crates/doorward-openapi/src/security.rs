//! Credentials of an API (OpenAPI security schemes).

use std::fmt;

use serde_json::Value;

use crate::description::Description;
use crate::request::is_own_header;
use crate::tool::Place;

/// A supported security scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer`, also for the tokens of OAuth and OpenID Connect.
    Bearer,
    /// `Authorization: Basic` with `user:password`.
    Basic,
    Key {
        place: Place,
        name: String,
    },
}

/// Why a scheme cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoScheme {
    Unknown(Vec<String>),
    Unusable(String),
}

impl fmt::Display for NoScheme {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(there) if there.is_empty() => {
                write!(out, "the document has no security schemes")
            }
            Self::Unknown(there) => write!(out, "the document defines {}", there.join(", ")),
            Self::Unusable(why) => out.write_str(why),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => out.write_str("a token"),
            Self::Basic => out.write_str("user:password"),
            Self::Key { place, name } => write!(out, "a key in {} {name}", place.word()),
        }
    }
}

impl Description {
    /// All schemes, by name.
    pub fn schemes(&self) -> Vec<(&str, Result<Scheme, NoScheme>)> {
        let names = self.security_schemes().into_iter().flat_map(|all| all.keys());
        names.map(|name| (name.as_str(), self.scheme(name))).collect()
    }

    /// The scheme with this name.
    pub fn scheme(&self, name: &str) -> Result<Scheme, NoScheme> {
        let all = self.security_schemes();
        let unknown = || {
            let names = all.into_iter().flat_map(|all| all.keys().cloned()).collect();
            NoScheme::Unknown(names)
        };
        let scheme = all.and_then(|all| all.get(name)).ok_or_else(unknown)?;
        let scheme = self.resolved(scheme).map_err(NoScheme::Unusable)?;
        let text = |member: &str| scheme.get(member).and_then(Value::as_str).unwrap_or_default();
        match (text("type"), text("scheme").to_ascii_lowercase().as_str()) {
            ("http", "bearer") | ("oauth2" | "openIdConnect", _) => Ok(Scheme::Bearer),
            ("http", "basic") => Ok(Scheme::Basic),
            ("http", other) => Err(NoScheme::Unusable(format!(
                "'{other}' is not a supported location of a credential"
            ))),
            ("apiKey", _) => {
                let name = text("name").to_owned();
                let place = match text("in") {
                    "query" => Place::Query,
                    "cookie" => Place::Cookie,
                    // An API key may be sent in `Authorization`, an argument may not.
                    "header" if name.eq_ignore_ascii_case("authorization") => Place::Header,
                    "header" if !is_own_header(&name) => Place::Header,
                    "header" => {
                        let why = format!("the header '{name}' is set by the gateway");
                        return Err(NoScheme::Unusable(why));
                    }
                    _ => {
                        return Err(NoScheme::Unusable(
                            "it does not say where the key is sent".into(),
                        ));
                    }
                };
                match name.is_empty() {
                    true => Err(NoScheme::Unusable("its key has no name".into())),
                    false => Ok(Scheme::Key { place, name }),
                }
            }
            (other, _) => Err(NoScheme::Unusable(format!("its type '{other}' is not supported"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_read_from_the_document() {
        let description = Description::parse(
            r##"{"openapi": "3.1.0", "components": {"securitySchemes": {
                "token": {"type": "http", "scheme": "Bearer"},
                "user": {"type": "http", "scheme": "basic"},
                "digest": {"type": "http", "scheme": "digest"},
                "login": {"type": "oauth2", "flows": {}},
                "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
                "query": {"type": "apiKey", "in": "query", "name": "key"},
                "same": {"$ref": "#/components/securitySchemes/query"},
                "host": {"type": "apiKey", "in": "header", "name": "Host"},
                "mutual": {"type": "mutualTLS"}
            }}}"##,
        )
        .expect("a description");
        let key = |place, name: &str| Scheme::Key { place, name: name.into() };
        for (name, scheme) in [
            ("token", Scheme::Bearer),
            ("login", Scheme::Bearer),
            ("user", Scheme::Basic),
            ("key", key(Place::Header, "X-Key")),
            ("query", key(Place::Query, "key")),
            ("same", key(Place::Query, "key")),
        ] {
            assert_eq!(description.scheme(name), Ok(scheme), "{name}");
        }
        for name in ["digest", "host", "mutual"] {
            assert!(matches!(description.scheme(name), Err(NoScheme::Unusable(_))), "{name}");
        }
        let unknown = description.scheme("other").expect_err("none");
        let text = unknown.to_string();
        assert!(text.starts_with("the document defines ") && text.contains("token"), "{text}");
    }
}
