//! All settings together, and the checks that concern several of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use doorward_governance::names;
use doorward_mcp::names::{is_server_name, server_name_from};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::*;

/// The configuration of a gateway: `doorward.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address that clients connect to. Without authentication, only loopback addresses are accepted.
    pub listen: SocketAddr,
    /// URL under which clients reach the gateway, without a path. It is the resource that tokens are issued for,
    /// and is announced to clients. Default: the address of `listen`.
    pub public_url: Option<url::Url>,
    /// Address of the admin listener (health, metrics, admin API); `null` disables it. An address that is not loopback
    /// requires `admin_tls`.
    pub admin: Option<SocketAddr>,
    /// TLS for the admin listener. Default: no TLS.
    pub admin_tls: Option<TlsFiles>,
    /// TLS for clients. Default: no TLS.
    pub tls: Option<TlsFiles>,
    /// Host names, in addition to loopback ones, under which clients may address the gateway.
    pub allowed_hosts: Vec<String>,
    /// Web origins, in addition to loopback ones, whose pages may call the gateway, such as
    /// `https://app.example.com`.
    pub allowed_origins: Vec<String>,
    /// Database for everything created at run time: `sqlite:PATH`, `postgres://…`, or `none`. Default: a file in
    /// the data folder of the current user.
    pub store: Option<Secret>,
    /// A secret of at least 32 characters that encrypts secrets in the store.
    pub store_key: Option<Secret>,
    pub identity: IdentitySettings,
    pub directory: Directory,
    /// Where the data of tenants may go, and which classes it has, by name of the tenant.
    pub tenants: Tenants,
    pub console: ConsoleSettings,
    /// The web application for users; `portals` are what clients connect to.
    pub portal: UserPortalSettings,
    pub policy: PolicySettings,
    pub audit: AuditSettings,
    pub rate_limits: RateSettings,
    pub billing: BillingSettings,
    pub telemetry: TelemetrySettings,
    /// Receivers of events such as stops, servers that are down, or proposals that wait, by name.
    pub webhooks: Webhooks,
    /// Events by e-mail.
    pub email: Option<EmailSettings>,
    pub events: EventSettings,
    /// External checks of calls and of what servers answer, by name.
    pub checks: ExternalChecks,
    /// How arguments of all servers' tools are validated.
    pub arguments: ArgumentSettings,
    /// How results of all servers' tools are validated.
    pub results: ResultSettings,
    pub cache: CacheSettings,
    /// What to do when a server is slow or fails, for all servers.
    pub reliability: ReliabilitySettings,
    pub pins: AllPinSettings,
    /// Inspection of calls, of what servers return, and of definitions: invisible characters, suspicious texts, secrets and
    /// personal data. Default: nothing is inspected.
    pub inspection: Option<InspectionSettings>,
    pub flow: FlowSettings,
    pub conversations: ConversationSettings,
    /// The servers behind the gateway, by name. A name begins with a letter and has letters, digits, `-` and `.`.
    pub servers: BTreeMap<String, ServerSettings>,
    /// Whether servers of the configuration file are served at once (`trusted`), or only once somebody has approved and
    /// activated them (`reviewed`). What is proposed at run time is always reviewed.
    pub lifecycle: Lifecycle,
    pub review: ReviewSettings,
    pub registry: OwnRegistrySettings,
    pub rest: RestSettings,
    pub a2a: A2aSettings,
    /// Registries whose entries are proposed as servers, by name.
    pub registries: Registries,
    /// Portals, by name. Every server is also a portal of the same name.
    pub portals: BTreeMap<String, PortalSettings>,
    pub names: NameSettings,
    /// Emergency stops.
    pub stops: StopSettings,
    pub packages: PackagesSettings,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// A secret of at least 32 characters that encrypts `requestState`, so that a call can continue after a
    /// restart. Default: a new one at each start.
    pub state_key: Option<Secret>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7300)),
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 7301))),
            admin_tls: None,
            public_url: None,
            tls: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            store: None,
            store_key: None,
            identity: IdentitySettings::default(),
            directory: Directory::default(),
            tenants: Tenants::new(),
            console: ConsoleSettings::default(),
            portal: UserPortalSettings::default(),
            policy: PolicySettings::default(),
            audit: AuditSettings::default(),
            rate_limits: RateSettings::default(),
            billing: BillingSettings::default(),
            telemetry: TelemetrySettings::default(),
            webhooks: Webhooks::new(),
            email: None,
            events: EventSettings::default(),
            checks: ExternalChecks::new(),
            arguments: ArgumentSettings::default(),
            results: ResultSettings::default(),
            cache: CacheSettings::default(),
            reliability: ReliabilitySettings::default(),
            pins: AllPinSettings::default(),
            inspection: None,
            flow: FlowSettings::default(),
            conversations: ConversationSettings::default(),
            servers: BTreeMap::new(),
            lifecycle: Lifecycle::default(),
            review: ReviewSettings::default(),
            registry: OwnRegistrySettings::default(),
            rest: RestSettings::default(),
            a2a: A2aSettings::default(),
            registries: Registries::new(),
            portals: BTreeMap::new(),
            names: NameSettings::default(),
            stops: StopSettings::default(),
            packages: PackagesSettings::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            state_key: None,
        }
    }
}

/// A problem with a value that has the right type: the path of the key, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.join("."))]
pub struct Problem {
    pub path: Vec<String>,
    pub problem: String,
}

impl Settings {
    /// Checks what types cannot express. An empty list means that the settings are valid.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |path: &[&str], problem: String| {
            let path = path.iter().map(|part| (*part).to_owned()).collect();
            problems.push(Problem { path, problem });
        };
        if let Some(url) = &self.public_url {
            let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            if !is_trustworthy(url) || !bare {
                let why = "expected an https:// URL without a path (http:// on loopback only)";
                wrong(&["public_url"], why.into());
            }
        }
        if let Some(store) = &self.store
            && store.expose() != "none"
            && let Err(why) = store.expose().parse::<doorward_store::Location>()
        {
            wrong(&["store"], format!("{why}, or none"));
        }
        let has_store = self.store.as_ref().is_none_or(|store| store.expose() != "none");
        for (key, problem) in self.audit.problems(has_store) {
            wrong(&[&["audit"], key.as_slice()].concat(), problem);
        }
        if self.limits.caller_share == 0 {
            wrong(&["limits", "caller_share"], "must be at least 1".into());
        }
        for (face, key, problem) in crate::console::problems(&self.console, &self.portal) {
            wrong(&[face, key], problem);
        }
        for (section, problems) in [
            ("reliability", self.reliability.problems()),
            ("flow", self.flow.problems()),
            ("conversations", self.conversations.problems()),
            ("rest", self.rest.problems()),
            ("names", self.names.problems()),
            ("telemetry", self.telemetry.problems()),
        ] {
            for (key, problem) in problems {
                wrong(&[section, key], problem);
            }
        }
        for (key, problem) in self.cache.problems(self.state_key.is_some()) {
            wrong(&["cache", key], problem);
        }
        if let Some(why) = self.problem_of_labels() {
            wrong(&["flow", "labels"], why);
        }
        for (key, problem) in self.packages.problems() {
            wrong(&["packages", key], problem);
        }
        for (key, problem) in self.billing.problems(has_store) {
            wrong(&[&["billing"], key.as_slice()].concat(), problem);
        }
        if !has_store && !self.webhooks.is_empty() {
            wrong(&["webhooks"], "require a 'store', where events wait to be sent".into());
        }
        if !has_store && self.email.is_some() {
            wrong(&["email"], "requires a 'store', where mails wait to be sent".into());
        }
        if !has_store && !self.registries.is_empty() {
            wrong(&["registries"], "require a 'store', which has the proposals".into());
        }
        for (name, registry) in &self.registries {
            if !is_server_name(name) {
                let why =
                    "a registry's name is 1 to 64 letters, digits, '-' and '.', a letter first";
                wrong(&["registries", name], why.into());
            }
            for (key, problem) in registry.problems() {
                wrong(&["registries", name, key], problem);
            }
        }
        for (name, webhook) in &self.webhooks {
            if name.contains(':') {
                wrong(&["webhooks", name], "a webhook's name has no ':'".into());
            }
            for (key, problem) in webhook.problems() {
                wrong(&["webhooks", name, key], problem);
            }
        }
        let checks = crate::external_checks::problems_of(&self.checks);
        for (path, problem) in checks.into_iter().chain(crate::tenants::problems_of(&self.tenants))
        {
            wrong(&path, problem);
        }
        for (path, problem) in self.inspection.iter().flat_map(|it| it.problems(has_store)) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            wrong(&[&["inspection"], &path[..]].concat(), problem);
        }
        for (key, problem) in self.email.iter().flat_map(EmailSettings::problems) {
            wrong(&["email", key], problem);
        }
        for (key, problem) in self.rate_limits.problems() {
            let key = key.into_iter().filter(|part| !part.is_empty());
            wrong(&["rate_limits"].into_iter().chain(key).collect::<Vec<_>>(), problem);
        }
        if self.identity.authorization_server.is_some() {
            let at = ["identity", "authorization_server"];
            if self.store.as_ref().is_some_and(|store| store.expose() == "none") {
                wrong(&at, "requires a 'store' for logins".into());
            }
            if self.store_key.is_none() {
                wrong(&at, "requires a 'store_key', which encrypts its keys".into());
            }
            if self.public_url.is_none() && !self.listen.ip().is_loopback() {
                wrong(&at, "requires 'public_url', which is its issuer identifier".into());
            }
        }
        for (name, server) in &self.servers {
            let key = match server {
                server if server.delegated.is_some() => "delegated",
                server if server.assertion.is_some() => "assertion",
                _ => continue,
            };
            let at = ["servers", name, key];
            if self.store.as_ref().is_some_and(|store| store.expose() == "none") {
                wrong(&at, "needs a 'store'".into());
            }
            if self.store_key.is_none() {
                wrong(&at, "requires a 'store_key', which encrypts its tokens".into());
            }
        }
        for (name, server) in &self.servers {
            let at = ["servers", name, "lifecycle"];
            if server.lifecycle.is_some_and(|own| own < self.lifecycle) {
                wrong(
                    &at,
                    "cannot be 'trusted' where 'lifecycle' of the gateway is 'reviewed'".into(),
                );
            }
            if !has_store && self.is_reviewed(server) {
                let at = if server.lifecycle.is_some() { &at[..] } else { &["lifecycle"] };
                wrong(at, "'reviewed' needs a 'store', which has the approvals".into());
            }
        }
        for (path, problem) in self.identity.problems() {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            wrong(&[&["identity"], &path[..]].concat(), problem);
        }
        if jiff::tz::TimeZone::get(&self.policy.zone).is_err() {
            let why =
                format!("'{}' is not a time zone; write it as Europe/Berlin", self.policy.zone);
            wrong(&["policy", "zone"], why);
        }
        if self.admin.is_some_and(|admin| admin == self.listen && admin.port() != 0) {
            wrong(&["admin"], "must not be the address of 'listen'".into());
        }
        let is_far = |address: SocketAddr| !address.ip().is_loopback();
        if self.admin.is_some_and(is_far) && self.admin_tls.is_none() {
            let why = "an address that is not loopback requires 'admin_tls'";
            wrong(&["admin"], why.into());
        }
        for (name, key) in [("state_key", &self.state_key), ("store_key", &self.store_key)] {
            if key.as_ref().is_some_and(|key| key.expose().len() < 32) {
                wrong(&[name], "must have at least 32 characters".into());
            }
        }
        for (path, secret) in self.secrets() {
            if secret.is_placeholder() {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                wrong(&path, "is a placeholder, not a secret".into());
            }
        }
        for origin in &self.allowed_origins {
            let valid = url::Url::parse(origin)
                .is_ok_and(|url| url.origin().ascii_serialization() == *origin);
            if !valid {
                wrong(
                    &["allowed_origins"],
                    format!("'{origin}' is not an origin; write it as https://host[:port]"),
                );
            }
        }
        let mut seen = BTreeMap::new();
        for (name, server) in &self.servers {
            let path = ["servers", name.as_str()];
            if !is_server_name(name) {
                wrong(
                    &path,
                    format!(
                        "a server's name is 1 to 64 letters, digits, '-' and '.', a letter first; \
                         try '{}'",
                        server_name_from(name)
                    ),
                );
            }
            seen.insert(name.to_ascii_lowercase(), name);
            let pins = server.pins.or(&self.pins, self.is_reviewed(server));
            if let Some(why) = self.pins.problem(&pins, has_store) {
                wrong(&["servers", name, "pins"], why.into());
            }
            for (key, problem) in server.problems() {
                wrong(&["servers", name, key], problem);
            }
        }
        for (_, pair) in names::conflicts(self.servers.keys().map(String::as_str)) {
            wrong(&["servers", &pair.name], format!("{pair}; use names that nobody confuses"));
        }
        for (name, portal) in &self.portals {
            let path = ["portals", name.as_str()];
            if let Some(other) = seen.insert(name.to_ascii_lowercase(), name) {
                wrong(&path, format!("'{other}' is already the name of a server or portal"));
            }
            for (key, problem) in portal.problems(name) {
                let whole = ["portals", name, key];
                wrong(if key.is_empty() { &path } else { &whole }, problem);
            }
            if let Some(unknown) =
                portal.servers.iter().find(|name| !self.servers.contains_key(*name))
            {
                wrong(&["portals", name, "servers"], format!("there is no server '{unknown}'"));
            }
        }
        problems
    }

    /// Every secret that must not be guessable, with its path.
    fn secrets(&self) -> Vec<(Vec<String>, &Secret)> {
        let path = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
        let mut all: Vec<(Vec<String>, &Secret)> =
            self.state_key.iter().map(|key| (path(&["state_key"]), key)).collect();
        for (name, issuer) in &self.identity.issuers {
            if let Some(it) = &issuer.introspection {
                let at = ["identity", "issuers", name, "introspection", "client_secret"];
                all.push((path(&at), &it.client_secret));
            }
        }
        if let Some(own) = &self.identity.authorization_server {
            let at = ["identity", "authorization_server", "provider", "client_secret"];
            all.extend(own.provider.client_secret.iter().map(|secret| (path(&at), secret)));
            for (id, client) in &own.clients {
                let at = ["identity", "authorization_server", "clients", id, "secret"];
                all.extend(client.secret.iter().map(|secret| (path(&at), secret)));
            }
        }
        let alerts = &self.billing.alerts;
        all.extend(alerts.token.iter().map(|token| (path(&["billing", "alerts", "token"]), token)));
        for (name, export) in &self.audit.exports {
            let at = ["audit", "exports", name, "http", "token"];
            let token = export.http.as_ref().and_then(|http| http.token.as_ref());
            all.extend(token.map(|token| (path(&at), token)));
        }
        for (name, webhook) in &self.webhooks {
            let at = ["webhooks", name, "secret"];
            all.extend(webhook.secret.iter().map(|secret| (path(&at), secret)));
        }
        for (name, check) in &self.checks {
            let secret = check.secret.as_ref();
            all.extend(secret.map(|secret| (path(&["checks", name, "secret"]), secret)));
        }
        let password = self.email.as_ref().and_then(|email| email.password.as_ref());
        all.extend(password.map(|password| (path(&["email", "password"]), password)));
        for (name, server) in &self.servers {
            let secret = match &server.credential {
                Some(CredentialSettings::Basic(basic)) => Some(&basic.password),
                Some(CredentialSettings::Client(client)) => client.client_secret.as_ref(),
                None => None,
            };
            all.extend(secret.map(|secret| (path(&["servers", name, "credential"]), secret)));
        }
        all
    }

    /// All settings as JSON, without secrets.
    pub fn shown(&self) -> serde_json::Value {
        crate::secret::redacted(self)
    }

    /// Addresses that other machines can reach.
    pub fn exposed(&self) -> Option<SocketAddr> {
        let addresses = [Some(self.listen), self.admin];
        addresses.into_iter().flatten().find(|address| !address.ip().is_loopback())
    }

    /// Whether a server is reviewed before it is served: a server can only be stricter than the gateway.
    pub fn is_reviewed(&self, server: &ServerSettings) -> bool {
        server.lifecycle.unwrap_or_default().max(self.lifecycle) == Lifecycle::Reviewed
    }

    /// The servers in use.
    pub fn active(&self) -> impl Iterator<Item = (&String, &ServerSettings)> {
        self.servers.iter().filter(|(_, server)| !server.disabled)
    }
}
