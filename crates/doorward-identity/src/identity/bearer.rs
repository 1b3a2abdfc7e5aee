//! The principal of a token, by its claims and the directory.

use super::directory::{People, Said};
use super::token::{Checked, claim, scopes, texts};
use doorward_core::pattern::Pattern;
use doorward_policy::PrincipalKind;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::principal::{Grant, Principal};
use super::{Identity, Refused, token};

/// Maximum number of actors read from a token (RFC 8693 section 4.1).
const MOST_ACTORS: usize = 8;

/// The claims of a token that are combined with the directory.
#[derive(Debug)]
pub struct Bearer {
    pub said: Said,
    /// All agents that it names.
    pub agents: Vec<String>,
}

impl Bearer {
    pub fn is_disabled(&self, people: &People) -> bool {
        self.agents.iter().any(|agent| people.is_agent_disabled(agent))
    }
}

impl Identity {
    /// The principal of a token, by the claims that the operator configured.
    pub(super) fn principal(&self, checked: &Checked) -> Result<(Arc<Principal>, Bearer), Refused> {
        let settings = &checked.issuer.settings;
        let (claims, name) = (&checked.claims, &checked.issuer.name);
        let text =
            |path: &str| claim(claims, path).and_then(Value::as_str).filter(|it| !it.is_empty());
        let unverified = |_| Refused::Token("its e-mail address is not verified");
        let named =
            |path: &str| token::named(claims, path, settings.trust_email).map_err(unverified);
        let user = named(&settings.claims.user)?;
        let own = |said: &str| format!("{name}:{said}");
        let chain: Vec<String> = actors(claims).iter().map(|actor| own(actor)).collect();
        let mut agents = chain.clone();
        for path in &settings.claims.agent {
            agents.extend(named(path)?.map(own));
        }
        let agent = agents.first().cloned();
        // A client acting for itself is an agent, whatever its subject is.
        let itself =
            agent.is_some() && chain.is_empty() && user.is_none_or(|user| agent == Some(own(user)));
        // An issuer's team, role and tenant names are its own, like its users.
        let (issuers, logins) = (self.issuers.load(), self.logins.load());
        let known_as = |trusted: &BTreeSet<Pattern>, said: &str| {
            // A pattern cannot match names of another issuer.
            let foreign = said.split_once(':').is_some_and(|(before, _)| {
                issuers.iter().chain(&**logins).any(|it| it.name == before)
            });
            match !foreign && trusted.iter().any(|pattern| pattern.matches(said)) {
                true => said.to_owned(),
                false => format!("{name}:{said}"),
            }
        };
        let all = |trusted: &BTreeSet<Pattern>, path: &str| {
            texts(claim(claims, path)).iter().map(|said| known_as(trusted, said)).collect()
        };
        let trusted = &settings.trusted_for;
        let tenant = settings.claims.tenant.as_deref().and_then(text);
        let tenant = tenant.map(|said| known_as(&trusted.tenants, said));
        let said = Said {
            tenant: settings.tenant.clone().or(tenant),
            teams: all(&trusted.teams, &settings.claims.teams),
            roles: all(&trusted.roles, &settings.claims.roles),
        };
        let grant = Grant::Token {
            issuer: name.clone(),
            scopes: settings
                .claims
                .scopes
                .iter()
                .map(|path| scopes(claim(claims, path)))
                .find(|scopes| !scopes.is_empty())
                .unwrap_or_default()
                .into_iter()
                .filter(|scope| trusted.has_scope(scope))
                .collect(),
        };
        let people = self.people.load();
        let disabled = || Refused::Token("its user is disabled");
        let bearer = Bearer { said, agents };
        // If one of the agents in a chain is disabled, the token is rejected.
        if bearer.is_disabled(&people) {
            return Err(disabled());
        }
        if let (true, Some(agent)) = (itself, &agent) {
            let who = people.find(PrincipalKind::Agent, agent, bearer.said.clone());
            return Ok((Principal::new(who.ok_or_else(disabled)?, None, chain, grant), bearer));
        }
        let user = user.ok_or(Refused::Token("it does not identify a user"))?;
        let who = people.find(PrincipalKind::User, &own(user), bearer.said.clone());
        Ok((Principal::new(who.ok_or_else(disabled)?, agent, chain, grant), bearer))
    }
}

/// All actors, the current one first.
fn actors(claims: &Map<String, Value>) -> Vec<String> {
    let mut actors = Vec::new();
    let mut next = claims.get("act");
    while let Some(Value::Object(actor)) = next {
        let Some(name) = ["sub", "client_id"].iter().find_map(|of| actor.get(*of)?.as_str()) else {
            break;
        };
        actors.push(name.to_owned());
        if actors.len() >= MOST_ACTORS {
            break;
        }
        next = actor.get("act");
    }
    actors
}
