//! Who may use the gateway: token issuers, and the directory of principals.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{AuthorizationServerSettings, LoginSettings, Period, Secret};
use doorward_core::pattern::Pattern;

/// How callers authenticate, in addition to API keys, which need no configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdentitySettings {
    /// Token issuers, by name. A user of an issuer is `<name>:<subject>`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub issuers: BTreeMap<String, IssuerSettings>,
    /// OAuth scopes that clients are asked to request when they log in, in addition to those that servers, tools
    /// and portals require. Some providers grant no access without any.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
    /// The gateway's built-in authorization server. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_server: Option<Box<AuthorizationServerSettings>>,
    #[serde(skip_serializing_if = "LoginSettings::is_default")]
    pub login: LoginSettings,
}

/// An OpenID provider or OAuth authorization server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// Issuer identifier: exactly the value of `iss` in its tokens.
    pub issuer: String,
    /// URL of its keys (JWKS). Default: discovered from its metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<Url>,
    /// Accepted values of `aud`, in addition to the gateway's URLs: for providers that cannot issue tokens for a
    /// URL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Accepted signature algorithms.
    #[serde(default = "algorithms")]
    pub algorithms: BTreeSet<Algorithm>,
    /// Allowed clock difference; at most one minute.
    #[serde(default = "leeway")]
    pub leeway: Period,
    /// Require the type `at+jwt` (RFC 9068), so that no other token of the issuer is accepted.
    #[serde(default)]
    pub require_at_jwt: bool,
    /// Claims that identify the user and agent.
    #[serde(default)]
    pub claims: Claims,
    /// Tenant of all users of this issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Teams, roles and tenants that this issuer may assign. All other names in its tokens are prefixed:
    /// `<name>:<team>`.
    #[serde(default, skip_serializing_if = "TrustedFor::is_empty")]
    pub trusted_for: TrustedFor,
    /// Accept e-mail addresses as user names even if the token does not say that they are verified. Only for
    /// issuers at which users cannot choose their address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trust_email: bool,
    /// Introspection endpoint for tokens that are not JWTs (RFC 7662).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection: Option<Introspection>,
}

impl IssuerSettings {
    /// An issuer with all settings at their defaults.
    pub fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            jwks_uri: None,
            audiences: Vec::new(),
            algorithms: algorithms(),
            leeway: leeway(),
            require_at_jwt: false,
            claims: Claims::default(),
            tenant: None,
            trusted_for: TrustedFor::default(),
            trust_email: false,
            introspection: None,
        }
    }
}

fn algorithms() -> BTreeSet<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA].into()
}

fn leeway() -> Period {
    Period(std::time::Duration::from_secs(30))
}

/// Public-key signature algorithms; shared-secret algorithms are never accepted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// Claims of a token that identify the caller. A dot selects a member of an object: `realm_access.roles`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Claims {
    pub user: String,
    /// Claims for the agent; the first that is present is used. `act` (RFC 8693) takes precedence over all of
    /// them.
    pub agent: Vec<String>,
    pub teams: String,
    pub roles: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Claims for the scopes: a space-separated text, or a list.
    pub scopes: Vec<String>,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            user: "sub".into(),
            agent: vec!["azp".into(), "client_id".into()],
            teams: "groups".into(),
            roles: "roles".into(),
            tenant: None,
            scopes: vec!["scope".into(), "scp".into()],
        }
    }
}

/// The gateway's teams, roles and tenants that an issuer may assign, by name or by prefix: `eng-*`, `*`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrustedFor {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<Pattern>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<Pattern>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tenants: BTreeSet<Pattern>,
    /// OAuth scopes of its tokens that are accepted. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<Pattern>>,
}

impl TrustedFor {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a scope in one of its tokens is accepted.
    pub fn has_scope(&self, scope: &str) -> bool {
        let known = |scopes: &BTreeSet<Pattern>| scopes.iter().any(|one| one.matches(scope));
        self.scopes.as_ref().is_none_or(known)
    }

    fn lists(&self) -> [(&'static str, &BTreeSet<Pattern>); 3] {
        [("teams", &self.teams), ("roles", &self.roles), ("tenants", &self.tenants)]
    }

    /// The problem, and the list that contains it.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let wrong =
            |name: &&str| name.is_empty() || name.strip_suffix('*').unwrap_or(name).contains('*');
        let problem = |(list, names): (&'static str, &BTreeSet<Pattern>)| {
            let name = names.iter().map(|Pattern(name)| name.as_str()).find(wrong)?;
            let why = "must be a name, or a prefix that ends with '*'";
            Some((list, format!("'{}': {why}", name.escape_debug())))
        };
        let scopes = self.scopes.iter().map(|scopes| ("scopes", scopes));
        self.lists().into_iter().chain(scopes).filter_map(problem).collect()
    }

    /// What both may assign, as text.
    fn shared_with(&self, other: &Self) -> Option<String> {
        let both = self.lists().into_iter().zip(other.lists());
        both.into_iter().find_map(|((list, ours), (_, theirs))| {
            let reaches =
                |one: &Pattern, other: &Pattern| one.matches(other.0.trim_end_matches('*'));
            let overlaps =
                |one: &Pattern, other: &Pattern| reaches(one, other) || reaches(other, one);
            let one = ours.iter().find(|one| theirs.iter().any(|other| overlaps(one, other)))?;
            Some(format!("{list} '{one}'"))
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Introspection {
    /// Introspection endpoint. Default: discovered from the issuer's metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Url>,
    pub client_id: String,
    pub client_secret: Secret,
    /// How long an answer is cached. A revoked token stays valid for as long.
    #[serde(default = "introspected")]
    pub cache: Period,
}

fn introspected() -> Period {
    Period(std::time::Duration::from_secs(30))
}

/// Users, agents, service accounts, teams and tenants.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Directory {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, Member>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<String, Member>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub service_accounts: BTreeMap<String, Member>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub teams: BTreeMap<String, Group>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<String, Group>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Member {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<String>,
    /// Refuse all credentials of this principal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Group {
    /// Refuse all credentials of its members.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

impl IdentitySettings {
    /// Allowed, but probably unintended: two issuers that assign the same teams, roles or tenants.
    pub fn warnings(&self) -> Vec<String> {
        let own = self.authorization_server.as_ref();
        let own = own.map(|own| (own.name.as_str(), &own.provider.trusted_for));
        let others = self.issuers.iter().map(|(name, issuer)| (name.as_str(), &issuer.trusted_for));
        let all: Vec<(&str, &TrustedFor)> = own.into_iter().chain(others).collect();
        let mut warnings = Vec::new();
        for (at, (name, ours)) in all.iter().enumerate() {
            for (other, theirs) in &all[at + 1..] {
                // The gateway in front of a provider has the users of that provider.
                if name != other
                    && let Some(shared) = ours.shared_with(theirs)
                {
                    warnings.push(format!(
                        "the issuers '{name}' and '{other}' both put people into the {shared}: whoever \
                         manages groups at one has what was meant for the other"
                    ));
                }
            }
        }
        warnings
    }

    /// Problems, with the path below `identity`.
    pub(super) fn problems(&self) -> Vec<(Vec<String>, String)> {
        let mut problems = Vec::new();
        if let Some(own) = &self.authorization_server {
            let below =
                |path: Vec<String>| [vec!["authorization_server".to_owned()], path].concat();
            problems.extend(own.problems().into_iter().map(|(path, why)| (below(path), why)));
        }
        let own = self.authorization_server.as_ref();
        let own = own.map(|own| (own.name.as_str(), own.provider.issuer.as_str()));
        for (path, why) in self.login.problems(&self.issuers, own) {
            problems.push(([vec!["login".to_owned()], path].concat(), why));
        }
        let mut issuers: BTreeMap<&str, &str> = BTreeMap::new();
        let introspecting =
            self.issuers.iter().filter(|(_, issuer)| issuer.introspection.is_some());
        if let Some((name, _)) = introspecting.skip(1).last() {
            let path = ["issuers", name, "introspection"].map(str::to_owned).to_vec();
            let why = "another issuer uses it already: a token must not be sent to two issuers";
            problems.push((path, why.into()));
        }
        if let Some(own) = &self.authorization_server
            && let Some(other) = self.issuers.get(&own.name)
            && other.issuer != own.provider.issuer
        {
            let path = ["authorization_server", "name"].map(str::to_owned).to_vec();
            let why = "is also the name of an issuer, so their users would have the same names";
            problems.push((path, why.into()));
        }
        for (name, issuer) in &self.issuers {
            let mut wrong = |key: &str, problem: String| {
                let path = ["issuers", name, key].map(str::to_owned);
                problems
                    .push((path.into_iter().filter(|part| !part.is_empty()).collect(), problem));
            };
            if name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            {
                wrong("", "an issuer's name must consist of letters, digits and '-'".into());
            }
            if let Some(why) = issuer_problem(&issuer.issuer) {
                wrong("issuer", why.into());
            }
            if let Some(other) = issuers.insert(&issuer.issuer, name) {
                wrong("issuer", format!("is also the issuer of '{other}'"));
            }
            let introspection = issuer.introspection.as_ref().and_then(|it| it.endpoint.as_ref());
            for (key, url) in
                [("jwks_uri", issuer.jwks_uri.as_ref()), ("introspection", introspection)]
            {
                if url.is_some_and(|url| !is_trustworthy(url)) {
                    wrong(key, "expected an https:// URL (http:// on loopback only)".into());
                }
            }
            if issuer.algorithms.is_empty() {
                wrong("algorithms", "must contain at least one".into());
            }
            if issuer.leeway.0 > std::time::Duration::from_secs(60) {
                wrong("leeway", "must be at most one minute".into());
            }
            if issuer.audiences.iter().any(|audience| audience.trim().is_empty()) {
                wrong("audiences", "must not be empty".into());
            }
            if issuer.claims.user.is_empty() {
                wrong("claims", "'user' must name a claim".into());
            }
            for (list, why) in issuer.trusted_for.problems() {
                wrong("trusted_for", format!("{list}: {why}"));
            }
        }
        problems
    }
}

/// The problem with the identifier of an OpenID provider.
pub(super) fn issuer_problem(issuer: &str) -> Option<&'static str> {
    let good = |url: &Url| is_trustworthy(url) && url.query().is_none() && url.fragment().is_none();
    let why =
        "expected an https:// URL (http:// on loopback only), as the provider writes it in 'iss'";
    (!Url::parse(issuer).is_ok_and(|url| good(&url))).then_some(why)
}

/// Whether a URL is safe from eavesdropping and tampering.
pub fn is_trustworthy(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    url.username().is_empty()
        && url.password().is_none()
        && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
}
