//! The metadata of an issuer: its endpoints and capabilities.

use serde_json::{Map, Value};
use url::Url;

use doorward_config::is_trustworthy;
use doorward_net::outbound::{self, Author};

/// What an issuer publishes about itself (OpenID Connect Discovery 1.0; RFC 8414).
#[derive(Debug)]
pub struct Metadata {
    from: Url,
    author: Author,
    same_host: bool,
    members: Map<String, Value>,
}

impl Metadata {
    /// Fetches the metadata of an issuer that `author` named. The error says where and why.
    pub async fn fetch(issuer: &str, author: Author) -> Result<Self, String> {
        let mut last = format!("'{}' is not a URL", issuer.escape_debug());
        for from in metadata_urls(issuer) {
            // All of them are on one host: if that cannot be reached, the others cannot either.
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

    /// The same, where what is named may be at any port of the host.
    pub fn with_neighbours(mut self, same_host: bool) -> Self {
        self.same_host = same_host;
        self
    }

    /// One of its endpoints, and with what trust it is asked: an issuer may name its own origin, wherever
    /// that is, and public addresses.
    pub fn endpoint(&self, member: &str) -> Result<(Url, Author), String> {
        let url = self.text(member).and_then(|text| Url::parse(text).ok());
        let url = url.ok_or_else(|| format!("{}: there is no '{member}'", self.from))?;
        if !is_trustworthy(&url) {
            return Err(format!("{}: '{member}' is not an https:// URL", self.from));
        }
        let author = self.author.of_what_is_named(&url, &self.from, self.same_host);
        Ok((url, author))
    }

    pub fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member).and_then(Value::as_str)
    }

    /// Whether a list holds a value; `None` where there is no such list.
    pub fn lists(&self, member: &str, value: &str) -> Option<bool> {
        let all = self.members.get(member)?.as_array()?;
        Some(all.iter().any(|one| one.as_str() == Some(value)))
    }

    pub fn says(&self, member: &str) -> bool {
        self.members.get(member) == Some(&Value::Bool(true))
    }
}

/// Where metadata is looked for (spec 2026-07-28 basic/authorization, discovery).
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
    fn metadata_is_looked_for_where_the_specifications_say() {
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
