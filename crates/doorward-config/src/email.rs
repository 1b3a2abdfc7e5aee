//! E-mail: events sent by SMTP to people who have no webhook.

use std::collections::BTreeMap;
use std::time::Duration;

use doorward_core::pattern::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::{Choice, a_day, first_pause};
use super::{Period, Secret};

/// Most addresses in all.
const MOST_ADDRESSES: usize = 200;

/// How the connection to the SMTP server is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmailTls {
    /// It begins in the clear and is encrypted before anything is said (STARTTLS). A server that does not offer it is not
    /// used. Port 587.
    #[default]
    Starttls,
    /// Encrypted from the first byte. Port 465.
    Implicit,
    /// Not encrypted: for a relay on the same machine or in the same pod. Allows no password. Port 25.
    None,
}

/// Plain text mails for events, one to each address. They wait in the store like events for webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailSettings {
    /// The SMTP server, without a port. Its certificate must be for this name.
    pub server: String,
    /// Default: 587, 465 or 25, by `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default)]
    pub tls: EmailTls,
    /// Log in to the server as this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The address that mails are from.
    pub from: String,
    /// Addresses that are sent events, but for approvals of people whose address is in `approvers`.
    #[serde(default)]
    pub to: Vec<String>,
    /// Addresses of approvers, by `role:NAME`, `team:NAME` or `user:NAME` as policies name them: they are sent the approvals
    /// that they can decide.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub approvers: BTreeMap<String, Vec<String>>,
    /// Kinds of events, as patterns. Default: `approval.*`.
    #[serde(default = "approvals")]
    pub kinds: Vec<Pattern>,
    /// Only events of these tenants, as patterns, and events of no tenant. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Pattern>,
    /// Only events of these servers, as patterns, and events of no server. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<Pattern>,
    /// Pause after the first failed attempt. It doubles with each further one, up to an hour.
    #[serde(default = "first_pause")]
    pub retry_pause: Period,
    /// How long an event is tried before it is given up.
    #[serde(default = "a_day")]
    pub retry_for: Period,
}

fn approvals() -> Vec<Pattern> {
    vec![Pattern("approval.*".into())]
}

/// What an address looks like; the mail server knows the rest.
fn is_address(text: &str) -> bool {
    let strange = |letter: char| {
        letter.is_whitespace()
            || letter.is_control()
            || matches!(letter, '<' | '>' | ',' | ';' | '"')
    };
    text.len() <= 254
        && !text.contains(strange)
        && text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
}

/// What is wrong with the name of the server.
fn problem_of_host(host: &str) -> Option<String> {
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    if let Some((name, port)) = host.rsplit_once(':').filter(|_| !is_address)
        && port.parse::<u16>().is_ok()
    {
        return Some(format!(
            "expected a host name without a port; write 'server: {}' and 'port: {port}'",
            name.trim_matches(['[', ']'])
        ));
    }
    let strange = |it: char| it.is_whitespace() || matches!(it, '/' | '@' | ':' | '[' | ']');
    let is_wrong = host.is_empty() || !is_address && host.contains(strange);
    is_wrong.then(|| "expected a host name, such as smtp.example.com".into())
}

impl EmailSettings {
    /// Whether anybody wants an event by mail. What belongs to no tenant or server is for all.
    pub fn wants(&self, kind: &str, tenant: Option<&str>, server: Option<&str>) -> bool {
        self.choice().wants(kind, tenant, server)
    }

    fn choice(&self) -> Choice<'_> {
        Choice {
            kinds: &self.kinds,
            tenants: &self.tenants,
            servers: &self.servers,
            retry_pause: self.retry_pause,
            retry_for: self.retry_for,
        }
    }

    /// The port of the server.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            EmailTls::Starttls => 587,
            EmailTls::Implicit => 465,
            EmailTls::None => 25,
        })
    }

    /// Who is sent an event: the approvers who have an address, else the addresses in `to`. `approvers` are those who may
    /// decide an approval, and none for other events.
    pub fn receivers(&self, approvers: &[&str]) -> Vec<&str> {
        let known = approvers.iter().filter_map(|name| self.approvers.get(*name)).flatten();
        let mut all: Vec<&str> = known.map(String::as_str).collect();
        if all.is_empty() {
            all = self.to.iter().map(String::as_str).collect();
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether an address is sent any event.
    pub fn knows(&self, address: &str) -> bool {
        self.to.iter().chain(self.approvers.values().flatten()).any(|known| known == address)
    }

    /// Problems, by key.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        problems.extend(problem_of_host(&self.server).map(|why| ("server", why)));
        if self.user.is_some() != self.password.is_some() {
            problems.push(("password", "'user' and 'password' belong together".into()));
        }
        if self.tls == EmailTls::None && self.password.is_some() {
            problems.push(("tls", "a password is not sent unencrypted".into()));
        }
        if !is_address(&self.from) {
            problems.push(("from", format!("'{}' is not an e-mail address", self.from)));
        }
        for (key, address) in self
            .to
            .iter()
            .map(|address| ("to", address))
            .chain(self.approvers.values().flatten().map(|address| ("approvers", address)))
        {
            if !is_address(address) {
                problems.push((key, format!("'{address}' is not an e-mail address")));
            }
        }
        for name in self.approvers.keys() {
            let (kind, named) = name.split_once(':').unwrap_or_default();
            if !matches!(kind, "role" | "team" | "user")
                || named.trim() != named
                || named.is_empty()
            {
                let why = format!("'{name}': expected 'role:NAME', 'team:NAME' or 'user:NAME'");
                problems.push(("approvers", why));
            }
        }
        let count = self.to.len() + self.approvers.values().map(Vec::len).sum::<usize>();
        if count == 0 || count > MOST_ADDRESSES {
            problems.push(("to", format!("expected 1 to {MOST_ADDRESSES} addresses")));
        }
        problems.extend(self.choice().problems());
        problems
    }
}

/// How long an attempt to send a mail may take.
pub const MAIL_PATIENCE: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    fn email(more: &str) -> EmailSettings {
        let text = format!(
            r#"{{"server": "smtp.example.com", "from": "doorward@example.com", "to": ["ops@example.com"] {more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn approvers_are_sent_what_they_can_decide_and_others_the_rest() {
        let it = email(
            r#", "approvers": {"role:lead": ["a@x.org", "b@x.org"], "user:dana": ["a@x.org"]}"#,
        );
        assert!(it.problems().is_empty(), "{:?}", it.problems());
        assert_eq!(it.receivers(&["role:lead", "user:dana"]), ["a@x.org", "b@x.org"]);
        assert_eq!(it.receivers(&["role:other"]), ["ops@example.com"]);
        assert_eq!(it.receivers(&[]), ["ops@example.com"]);
        assert!(it.knows("b@x.org") && it.knows("ops@example.com") && !it.knows("c@x.org"));
        assert!(it.wants("approval.waiting", None, None) && !it.wants("stop.set", None, None));
        assert_eq!((it.port(), email(r#", "tls": "implicit""#).port()), (587, 465));
    }

    #[test]
    fn the_server_is_a_name_or_an_address_and_has_its_port_apart() {
        for (host, said) in [
            ("smtp.example.com", ""),
            ("10.0.0.1", ""),
            ("::1", ""),
            ("smtp.example.com:587", "'server: smtp.example.com' and 'port: 587'"),
            ("[::1]:25", "'port: 25'"),
            ("", "expected a host name, such as"),
            ("smtp://x", "expected a host name, such as"),
            ("a:b", "expected a host name, such as"),
            ("a b", "expected a host name, such as"),
        ] {
            let it = EmailSettings { server: host.into(), ..email("") };
            let problems = it.problems();
            assert_eq!(problems.is_empty(), said.is_empty(), "{host}: {problems:?}");
            assert!(problems.iter().all(|(key, why)| *key == "server" && why.contains(said)));
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (more, key) in [
            (r#", "user": "x""#, "password"),
            (r#", "tls": "none", "user": "x", "password": "y""#, "tls"),
            (r#", "approvers": {"lead": ["a@x.org"]}"#, "approvers"),
            (r#", "approvers": {"role:lead": ["a"]}"#, "approvers"),
            (r#", "kinds": ["approvals"]"#, "kinds"),
            (r#", "kinds": []"#, "kinds"),
            (r#", "retry_pause": "1ms""#, "retry_pause"),
        ] {
            let found: Vec<_> = email(more).problems().into_iter().map(|(key, _)| key).collect();
            assert_eq!(found, [key], "{more}");
        }
        for address in ["a b@x.org", "a@x.org\r\nbcc: b@x.org", "a@b@c", "@x.org", "a", "<a@x.org>"]
        {
            assert!(!is_address(address), "{address}");
        }
    }
}
