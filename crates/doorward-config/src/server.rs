//! The settings of a server and of its tools.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults::is_default;
use super::headers::is_owned_header;
use super::{
    Affinity, ArgumentSettings, Assertion, CacheRule, ClientCapabilities, Confinement,
    CredentialSettings, Delegation, Exchange, FlowDefaults, Launch, Lifecycle, LostSession,
    OpenApiSettings, PackageSettings, Period, Personal, PinSettings, ReliabilitySettings,
    ReplicaSettings, ResultSettings, Secret, ServerTls, Settings, Start, ToolSettings, problem_of,
};
use doorward_core::pattern::Pattern;

const MAX_PRESTART: usize = 64;

/// One server: a URL, replicas, a command, or a package.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// The server's endpoint. Streamable HTTP or HTTP+SSE is detected when it first connects. With `replicas`,
    /// which receive the requests instead, the resource that tokens for the server are issued for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<url::Url>,
    /// Replicas of the server: each call goes to one of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaSettings>,
    /// What happens when a caller's session with the server is lost.
    #[serde(skip_serializing_if = "is_default")]
    pub lost_session: LostSession,
    /// Connect to public addresses only: never to this machine, private networks or cloud metadata services,
    /// whatever the server's name resolves to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub public_only: bool,
    /// Headers to send with every request, such as a static credential. Write secrets as `${env:NAME}` or
    /// `${file:PATH}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// How the gateway authenticates to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialSettings>,
    /// User-provided credentials: callers store their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
    /// Delegation: users authorize the gateway to call the server on their behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegated: Option<Box<Delegation>>,
    /// Token exchange: callers' tokens are exchanged for tokens that are valid at the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Box<Exchange>>,
    /// Identify the caller to the server in a token that the gateway signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assertion: Option<Assertion>,
    /// Client certificate for the server, and the certificate authorities to trust there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// Program to start; it communicates over standard input and output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Package to run instead of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<Box<PackageSettings>>,
    /// How the package is run.
    #[serde(skip)]
    pub launch: Option<Launch>,
    /// Arguments of the program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables of the program. From the gateway's own environment, it receives only HOME, LANG,
    /// LOGNAME, PATH, SHELL, TERM, TMPDIR and USER.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Secret>,
    /// Working directory of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Number of programs to start in advance, so that new sessions need not wait for one.
    #[serde(skip_serializing_if = "is_default")]
    pub prestart: usize,
    /// Sandbox of the program. Default: a command has the same permissions as the gateway; a package can read itself
    /// and what programs need to run, and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confine: Option<Confinement>,
    /// The server is an HTTP API whose operations become tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openapi: Option<OpenApiSettings>,
    /// The built-in sample server.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sample: bool,
    /// Keep the entry, but do not use the server.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// When to connect, or start the program.
    #[serde(skip_serializing_if = "is_default")]
    pub start: Start,
    /// Who may share a session of a server that has sessions.
    #[serde(skip_serializing_if = "is_default")]
    pub affinity: Affinity,
    /// Whether clients that declare different capabilities may share a session of a server of 2025-11-25 or earlier.
    #[serde(skip_serializing_if = "is_default")]
    pub client_capabilities: ClientCapabilities,
    /// How long a call may take without progress. Default: `timeouts.call`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// Timeouts of single tools, by the server's names for them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tool_timeouts: BTreeMap<String, Period>,
    /// How long lists are cached if the server neither specifies it nor announces changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_ttl: Option<Period>,
    /// How arguments and results of all tools of the server are validated.
    #[serde(skip_serializing_if = "is_default")]
    pub arguments: ArgumentSettings,
    #[serde(skip_serializing_if = "is_default")]
    pub results: ResultSettings,
    /// Caching of results of read-only tools and of resources of the server.
    #[serde(skip_serializing_if = "is_default")]
    pub cache: CacheRule,
    /// What to do when the server is slow or fails.
    #[serde(skip_serializing_if = "is_default")]
    pub reliability: ReliabilitySettings,
    /// Pinning of the definitions of the server's tools, prompts and resource templates.
    #[serde(skip_serializing_if = "is_default")]
    pub pins: PinSettings,
    /// Attributes for policies: where the server runs, who owns it, how much harm it can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Where the server processes data, such as `eu`: an attribute for policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Classes of data that may be sent to the server, as patterns such as `public` or `email`. A call with any other class
    /// is refused. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_classes: Option<BTreeSet<Pattern>>,
    /// Classes of data that calls of the server carry, whatever is found in them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub data: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Labels of what tools, prompts and resources of the server return, such as `untrusted` or `pii`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub brings: BTreeSet<String>,
    /// Labels of the server's definitions and instructions, which clients read in lists.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub lists_bring: BTreeSet<String>,
    /// Whether its tools send, write, pay or publish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<bool>,
    /// Whether it interacts with systems of others. Default: what its tools say of themselves (`openWorldHint`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
    #[serde(skip)]
    pub flow_defaults: FlowDefaults,
    /// Whom to ask about the server, such as an e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Day on which the server is to be reviewed again, such as `2027-01-31`. Once it has passed, a metric, an event in
    /// the audit log and an alert report it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_by: Option<String>,
    /// Notes for reviewers and operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// `reviewed`: serve the server only once it was approved, although `lifecycle` of the gateway is `trusted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// OAuth scopes that a token must have to use the server.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
    /// Settings for tools, prompts and resources, by patterns of the server's names for them. If several match,
    /// the longest pattern takes precedence.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<Pattern, ToolSettings>,
}

impl ServerSettings {
    /// Whether the server is a local program: a command, or a package.
    pub fn is_program(&self) -> bool {
        self.command.is_some() || self.package.is_some()
    }

    /// The settings with the program that is to be started: for a package, that of its launch.
    ///
    /// # Errors
    /// Why the package cannot be run.
    pub fn launched(&self) -> Result<Cow<'_, Self>, String> {
        if self.package.is_none() {
            return Ok(Cow::Borrowed(self));
        }
        match &self.launch {
            Some(Launch::Ready(program)) => {
                let super::Program { command, args, env, confine } = (**program).clone();
                let command = Some(command);
                Ok(Cow::Owned(Self { command, args, env, confine, ..self.clone() }))
            }
            Some(Launch::Failed(why)) => Err(why.clone()),
            None => Err("its package has not been prepared".into()),
        }
    }

    pub fn sample() -> Self {
        Self { sample: true, ..Self::default() }
    }

    /// These settings, with absent ones inherited from those of all servers.
    pub fn with_defaults(&self, of_all: &Settings) -> Self {
        Self {
            arguments: self.arguments.or(&of_all.arguments),
            results: self.results.or(&of_all.results),
            reliability: self.reliability.or(&of_all.reliability),
            pins: self.pins.or(&of_all.pins, of_all.is_reviewed(self)),
            flow_defaults: FlowDefaults {
                untrusted: of_all.flow.untrusted,
                sinks: of_all.flow.sinks,
            },
            ..self.clone()
        }
    }

    /// The settings of a tool, the most specific first.
    pub fn said_of<'a>(&'a self, tool: &str) -> Vec<&'a ToolSettings> {
        let mut said: Vec<_> =
            self.tools.iter().filter(|(pattern, _)| pattern.matches(tool)).collect();
        said.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.0.len()));
        said.into_iter().map(|(_, settings)| settings).collect()
    }

    /// How a tool's arguments and results are validated.
    pub fn checks_of(&self, tool: &str) -> (ArgumentSettings, ResultSettings) {
        let none = (ArgumentSettings::default(), ResultSettings::default());
        let said = self.said_of(tool).into_iter().fold(none, |(arguments, results), said| {
            (arguments.or(&said.arguments), results.or(&said.results))
        });
        (said.0.or(&self.arguments), said.1.or(&self.results))
    }

    /// Whether the results of a tool or resource are cached.
    pub fn cache_of(&self, name: &str) -> CacheRule {
        let said = self.said_of(name).into_iter();
        said.fold(CacheRule::default(), |rule, said| rule.or(&said.cache)).or(&self.cache)
    }

    /// The server's URL; for one with replicas and no URL, the first URL of its replicas.
    pub fn address(&self) -> Option<&url::Url> {
        let of_replica =
            |replica: &'_ ReplicaSettings| replica.url.is_some() || replica.dns.is_some();
        let first = self.replicas.iter().find(|replica| of_replica(replica));
        self.url
            .as_ref()
            .or_else(|| first.and_then(|first| first.url.as_ref().or(first.dns.as_ref())))
    }

    /// Default resource of tokens for the server: its URL (RFC 8707).
    pub fn resource(&self) -> Option<&str> {
        self.address().map(|url| url.as_str().trim_end_matches('/'))
    }

    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let has_replicas = !self.replicas.is_empty();
        let (command, package) = (self.command.is_some(), self.package.is_some());
        let kinds = [self.url.is_some() || has_replicas, command, package, self.sample];
        match kinds.iter().filter(|set| **set).count() {
            1 => {}
            0 => {
                problems.push(("url", "expected 'url', 'replicas', 'command' or 'package'".into()));
            }
            _ if package => {
                let why = "takes the place of 'url', 'replicas', 'command' and 'sample'";
                problems.push(("package", why.into()));
            }
            _ if has_replicas => {
                problems.push(("replicas", "expected one of 'replicas' and 'command'".into()));
            }
            _ => problems.push(("url", "expected one of 'url' and 'command', not both".into())),
        }
        let whys = self.package.iter().flat_map(|package| package.problems());
        problems.extend(whys.map(|why| ("package", why)));
        if package && !cfg!(target_os = "linux") {
            problems.push(("package", "packages run sandboxed, which requires Linux".into()));
        }
        let whys = self.replicas.iter().filter_map(|replica| replica.problem(self.public_only));
        problems.extend(whys.map(|why| ("replicas", why)));
        if has_replicas && self.address().is_none() {
            let why = "'url' is required if all replicas are in files";
            problems.push(("url", why.into()));
        }
        if self.lost_session != LostSession::default() && !kinds[0] && !self.is_program() {
            problems.push(("lost_session", "the built-in server has no sessions".into()));
        }
        let why = self.url.as_ref().and_then(|url| problem_of(url, self.public_only));
        problems.extend(why.map(|why| ("url", why)));
        if let Some(openapi) = &self.openapi {
            let whys = openapi.problems(self.address().is_some()).into_iter();
            problems.extend(whys.map(|why| ("openapi", why)));
        }
        if self.public_only && self.address().is_none() {
            problems.push(("public_only", "only servers with 'url' have addresses".into()));
        }
        if self.command.as_ref().is_some_and(|command| command.trim().is_empty()) {
            problems.push(("command", "must not be empty".into()));
        }
        for (name, value) in &self.headers {
            if http::HeaderName::try_from(name).is_err() {
                problems.push(("headers", format!("'{name}' is not a valid header name")));
            } else if is_owned_header(name) {
                problems.push(("headers", format!("'{name}' is set by the gateway itself")));
            }
            if http::HeaderValue::try_from(value.expose()).is_err() {
                problems.push((
                    "headers",
                    format!("the value of '{name}' is not a valid header value"),
                ));
            }
        }
        if let Some(credential) = &self.credential {
            problems.extend(credential.problems().into_iter().map(|why| ("credential", why)));
            if self.address().is_none() {
                problems
                    .push(("credential", "only servers with 'url' can have a credential".into()));
            }
            if self.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")) {
                problems.push(("credential", "'headers' already contains Authorization".into()));
            }
        }
        let behalf = [
            ("personal", self.personal.is_some()),
            ("delegated", self.delegated.is_some()),
            ("exchange", self.exchange.is_some()),
            ("assertion", self.assertion.is_some()),
        ];
        let mut behalf = behalf.into_iter().filter(|(_, set)| *set);
        if let (Some((first, _)), Some((second, _))) = (behalf.next(), behalf.next()) {
            problems.push((second, format!("cannot be combined with '{first}'")));
        }
        if let Some(exchange) = &self.exchange {
            if self.address().is_none() {
                problems.push(("exchange", "only servers with 'url' accept tokens".into()));
            }
            problems.extend(exchange.problems().into_iter().map(|why| ("exchange", why)));
        }
        if let Some(assertion) = &self.assertion {
            let header = &assertion.header;
            if http::HeaderName::try_from(header).is_err() || is_owned_header(header) {
                problems
                    .push(("assertion", format!("'{header}' is not a header that can be used")));
            }
            if self.address().is_none() {
                problems.push(("assertion", "only servers with 'url' accept headers".into()));
            }
            let most = std::time::Duration::from_secs(600);
            if assertion.lifetime.0 > most || assertion.lifetime.0.is_zero() {
                problems.push(("assertion", "'lifetime' must be at most ten minutes".into()));
            }
        }
        if let Some(tls) = &self.tls {
            if self.address().is_none_or(|url| url.scheme() != "https") {
                problems.push(("tls", "only servers with an https:// URL have TLS".into()));
            }
            if let Err(why) = tls.client_config(rustls::RootCertStore::empty) {
                problems.push(("tls", why));
            }
        }
        if let Some(delegated) = &self.delegated {
            if self.address().is_none() {
                problems.push(("delegated", "only servers with 'url' accept tokens".into()));
            }
            problems.extend(delegated.problems().into_iter().map(|why| ("delegated", why)));
        }
        if let Some(personal) = &self.personal {
            if http::HeaderName::try_from(&personal.header).is_err()
                || is_owned_header(&personal.header)
            {
                problems.push((
                    "personal",
                    format!("'{}' is not a header that can be used", personal.header),
                ));
            }
            if self.address().is_none() {
                problems.push(("personal", "only servers with 'url' accept credentials".into()));
            }
        }
        if let Some(confine) = &self.confine {
            if !self.is_program() {
                let why = "only servers with 'command' or 'package' can be confined";
                problems.push(("confine", why.into()));
            }
            if confine.package.is_some() {
                problems.push(("confine", "'package' is set by the gateway itself".into()));
            }
            if !cfg!(target_os = "linux") {
                problems.push(("confine", "programs can be confined on Linux only".into()));
            }
            problems.extend(confine.problems().into_iter().map(|why| ("confine", why)));
        }
        if self.prestart > 0 && !self.is_program() {
            let why = "only servers with 'command' or 'package' can be prestarted";
            problems.push(("prestart", why.into()));
        }
        if self.prestart > MAX_PRESTART {
            problems.push(("prestart", format!("must be at most {MAX_PRESTART}")));
        }
        problems.extend(self.problems_of_life());
        for (key, why) in self.reliability.problems() {
            problems.push(("reliability", format!("{key}: {why}")));
        }
        if self.address().is_none() && !self.headers.is_empty() {
            problems.push(("headers", "only servers with 'url' accept headers".into()));
        }
        problems
    }
}

mod data;
#[cfg(test)]
mod tests;
