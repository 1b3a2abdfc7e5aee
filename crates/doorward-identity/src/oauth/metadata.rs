//! The metadata of an issuer: its endpoints and capabilities.

use serde_json::{Map, Value};
use url::Url;

use doorward_config::is_trustworthy;
use doorward_net::outbound::{self, Author};

/// An issuer's metadata (OpenID Connect Discovery 1.0; RFC 8414).
#[derive(Debug)]
pub struct Metadata {
    from: Url,
    author: Author,
    same_host: bool,
    members: Map<String, Value>,
}

impl Metadata {
    /// Fetches the metadata of an issuer whose URL was chosen by `author`. The error names the URL and the reason.
    pub async fn fetch(issuer: &str, author: Author) -> Result<Self, String> {
        let mut last = format!("'{}' is not a URL", issuer.escape_debug());
        for from in metadata_urls(issuer) {
            // All URLs are on one host: if it is unavailable, the others are, too.
            let answer = outbound::get(&from, author).await;
            let answer = answer.map_err(|error| format!("{from}: {error}"))?;
            let members = match answer.object() {
                Ok(members) => members,
                Err(error) => {
                    last = format!("{from}: {error}");
                    continue;
                }
            };
            let said = members.get("issuer").and_then(Value::as_str).unwrap_or_default();
            if said != issuer {
                return Err(format!("{from}: it is the metadata of '{}'", said.escape_debug()));
            }
            return Ok(Self { from, author, same_host: false, members });
        }
        Err(last)
    }

    /// With `same_host`, other ports of the host are trusted as the issuer itself.
    pub fn with_same_host(mut self, same_host: bool) -> Self {
        self.same_host = same_host;
        self
    }

    /// The URL of an endpoint, and the trust in it. An issuer may name its own origin, wherever that is, and public
    /// addresses.
    pub fn endpoint(&self, member: &str) -> Result<(Url, Author), String> {
        let url = self.text(member).and_then(|text| Url::parse(text).ok());
        let url = url.ok_or_else(|| format!("{}: there is no '{member}'", self.from))?;
        if !is_trustworthy(&url) {
            return Err(format!("{}: '{member}' is not an https:// URL", self.from));
        }
        let author = self.author.for_linked_url(&url, &self.from, self.same_host);
        Ok((url, author))
    }

    pub fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member).and_then(Value::as_str)
    }

    /// Whether a list contains a value; `None` if there is no such list.
    pub fn lists(&self, member: &str, value: &str) -> Option<bool> {
        let all = self.members.get(member)?.as_array()?;
        Some(all.iter().any(|one| one.as_str() == Some(value)))
    }

    pub fn says(&self, member: &str) -> bool {
        self.members.get(member) == Some(&Value::Bool(true))
    }
}

/// The URLs to try for metadata (spec 2026-07-28 basic/authorization, discovery).
fn metadata_urls(issuer: &str) -> Vec<Url> {
    let Ok(base) = Url::parse(issuer) else { return Vec::new() };
    let path = base.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut url = base.clone();
        url.set_path(&path);
        url
    };
    let mut all = vec![
        at(format!("/.well-known/oauth-authorization-server{path}")),
        at(format!("/.well-known/openid-configuration{path}")),
    ];
    if !path.is_empty() {
        all.push(at(format!("{path}/.well-known/openid-configuration")));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_urls_are_those_of_the_specifications() {
        let urls = |issuer| metadata_urls(issuer).iter().map(Url::to_string).collect::<Vec<_>>();
        assert_eq!(
            urls("https://id.example"),
            [
                "https://id.example/.well-known/oauth-authorization-server",
                "https://id.example/.well-known/openid-configuration"
            ]
        );
        assert_eq!(
            urls("https://id.example/realms/a/"),
            [
                "https://id.example/.well-known/oauth-authorization-server/realms/a",
                "https://id.example/.well-known/openid-configuration/realms/a",
                "https://id.example/realms/a/.well-known/openid-configuration"
            ]
        );
    }
}
