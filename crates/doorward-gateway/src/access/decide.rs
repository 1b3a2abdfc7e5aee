//! Access decisions about a caller and a target.

use std::collections::BTreeSet;

use doorward_mcp::json::may_be_read_as;
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, Revision, method};
use doorward_policy::Principal as Who;
use doorward_policy::{
    Action, Arguments, Code, Context, Decision, Facts, Looks, Member, Request, Target, Time,
};
use doorward_store::Scopes;

use super::Policies;
use super::targets::credential_mode;
use crate::call::{Call, Portal, Protocol};
use crate::gateway::Gateway;
use doorward_config::ServerSettings;
use doorward_identity::identity::{Caller, Grant, Principal};
use doorward_identity::scopes::in_scope;

/// The caller and the circumstances of a request: everything in a decision but the target.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub caller: &'a Caller,
    pub client: &'a Client,
    pub revision: Revision,
    pub protocol: Protocol,
    pub portal: &'a Portal,
    /// Facts that earlier stages have established about the call.
    pub facts: Option<&'a Facts>,
}

impl Call {
    pub fn asking(&self) -> Asking<'_> {
        Asking {
            caller: &self.caller,
            client: &self.client,
            revision: self.revision,
            protocol: self.protocol,
            portal: &self.portal,
            facts: self.notes.facts.as_deref(),
        }
    }
}

impl Asking<'_> {
    /// The context of the request, as far as policies use it.
    pub(super) fn context(
        &self,
        policies: &Policies,
        looks: Looks,
        arguments: Arguments,
    ) -> Context {
        let principal = &self.caller.principal;
        let text = |member: Member, text: &str| match looks.at(member) {
            true => text.to_owned(),
            false => String::new(),
        };
        Context {
            arguments,
            time: if looks.at(Member::Time) { policies.now() } else { Time::default() },
            agent: principal.agent.clone(),
            chain: if looks.at(Member::Chain) { principal.chain.clone() } else { Vec::new() },
            address: self.caller.address.filter(|_| looks.at(Member::Address)),
            client: if looks.at(Member::Client) { self.told_client() } else { Default::default() },
            revision: text(Member::Revision, self.revision.as_str()),
            protocol: text(Member::Protocol, self.protocol.as_str()),
            portal: text(Member::Portal, self.portal.name()),
            authentication: text(Member::Authentication, principal.grant.authentication()),
            credential: String::new(),
            facts: self.facts.filter(|_| looks.at_facts()).cloned().unwrap_or_default(),
        }
    }

    /// The client's self-description.
    fn told_client(&self) -> doorward_policy::Client {
        let info = self.client.info.as_ref().and_then(doorward_mcp::Value::as_object);
        let said = |member: &str| {
            let info = info.as_ref()?;
            info.string(member).map(std::borrow::Cow::into_owned)
        };
        doorward_policy::Client {
            name: said("name").unwrap_or_default(),
            version: said("version").unwrap_or_default(),
        }
    }
}

impl Gateway {
    /// Whether the caller may use everything at a portal, so that no decision is needed.
    pub fn is_unrestricted(&self, principal: &Principal, portal: &Portal) -> bool {
        !matches!(portal, Portal::Named(_)) && self.is_trusted(principal)
    }

    /// Whether neither a policy nor a key's scopes restrict this caller.
    pub fn is_trusted(&self, principal: &Principal) -> bool {
        self.policies().set.is_none()
            && match &principal.grant {
                Grant::Open => true,
                Grant::Key { scopes, .. } => {
                    let Scopes { admin, administer, .. } = *scopes;
                    *scopes == Scopes { admin, administer, ..Scopes::default() }
                }
                Grant::Token { .. } | Grant::Certificate => false,
            }
    }

    /// Decides. A pure function of the request, the key's scopes and the policies.
    pub fn decide(
        &self,
        asking: &Asking<'_>,
        action: Action,
        target: &Target,
        arguments: Arguments,
    ) -> Decision {
        if let Portal::Named(name) = asking.portal
            && !self.portal(name).is_some_and(|portal| portal.offers(target))
        {
            return Decision::denied(Code::NotPermitted);
        }
        if let Grant::Key { scopes, .. } = &asking.caller.principal.grant
            && !in_scope(scopes, asking.portal, action, target)
        {
            return Decision::denied(Code::KeyScope);
        }
        let policies = self.policies();
        let Some(set) = &policies.set else {
            // Without policies, a key of the operator grants access; a login elsewhere does not.
            return match &asking.caller.principal.grant {
                Grant::Open => Decision::allowed(),
                Grant::Key { scopes, .. } if scopes.admin || !action.is_administrative() => {
                    Decision::allowed()
                }
                Grant::Key { .. } | Grant::Token { .. } | Grant::Certificate => {
                    Decision::denied(Code::NotPermitted)
                }
            };
        };
        let looks = set.looks();
        let mut context = asking.context(&policies, looks, arguments);
        if looks.at(Member::Credential) {
            let server = self.server(&target.server);
            context.credential =
                server.map_or("none", |server| credential_mode(&server.settings)).into();
        }
        set.decide(&Request {
            principal: asking.caller.principal.who.clone(),
            action,
            target: target.clone(),
            context,
        })
    }

    /// Decides for a principal without a request: with an API key, at the merged endpoint, now,
    /// with the given arguments. `None` if there are no policies.
    pub fn decide_for(
        &self,
        who: &Who,
        action: Action,
        target: &Target,
        settings: &ServerSettings,
    ) -> Option<Decision> {
        let policies = self.policies();
        let set = policies.set.as_ref()?;
        let context = Context {
            arguments: Arguments::Any,
            time: policies.now(),
            revision: Revision::NEWEST.as_str().into(),
            protocol: Protocol::Mcp.as_str().into(),
            portal: Portal::Merged.name().into(),
            authentication: "key".into(),
            credential: credential_mode(settings).into(),
            ..Context::default()
        };
        let (principal, target) = (who.clone(), target.clone());
        Some(set.decide(&Request { principal, action, target, context }))
    }

    /// Whether some arguments exist with which the caller may do this.
    pub fn may(&self, asking: &Asking<'_>, action: Action, target: &Target) -> bool {
        self.is_unrestricted(&asking.caller.principal, asking.portal)
            || self.decide(asking, action, target, Arguments::Any).is_possible()
    }

    /// Whether a caller may perform an operation of the admin API. A key with the scope `admin`
    /// suffices unless a policy forbids it.
    pub fn may_administer(&self, caller: &Caller, action: Action, target: &Target) -> bool {
        let client = Client::default();
        let asking = Asking {
            caller,
            client: &client,
            revision: Revision::NEWEST,
            protocol: Protocol::Admin,
            portal: &Portal::Merged,
            facts: None,
        };
        let decision = self.decide(&asking, action, target, Arguments::default());
        let by_key = matches!(&caller.principal.grant, Grant::Key { scopes, .. } if scopes.admin);
        decision.is_allowed() || (by_key && decision.code == Code::NotPermitted)
    }

    /// Whether policies permit an absent principal to administer something.
    pub fn would_administer(
        &self,
        who: &doorward_policy::Principal,
        action: Action,
        target: &Target,
    ) -> bool {
        let policies = self.policies();
        let Some(set) = &policies.set else { return false };
        let context = Context {
            time: policies.now(),
            protocol: Protocol::Admin.as_str().into(),
            revision: Revision::NEWEST.as_str().into(),
            authentication: "key".into(),
            ..Context::default()
        };
        let request = Request { principal: who.clone(), action, target: target.clone(), context };
        set.decide(&request).is_allowed()
    }

    /// The arguments of a call, as far as policies use them.
    pub fn arguments(&self, params: &Object) -> Arguments {
        let policies = self.policies();
        let mut known = serde_json::Map::new();
        let looking = policies.set.as_ref().filter(|set| !set.arguments().is_empty());
        if let Some(set) = looking
            && let Some(arguments) = params.object("arguments")
        {
            for member in arguments.members() {
                // Includes names that a server may mistake for one of these: policies refuse them.
                let name = String::from_utf8_lossy(&member.name);
                if set
                    .arguments()
                    .iter()
                    .any(|wanted| may_be_read_as(&member.name, wanted.as_bytes()))
                {
                    let text = member.value.to_bytes();
                    // A number out of range is not an absent argument.
                    let value = serde_json::from_slice(&text)
                        .unwrap_or_else(|_| String::from_utf8_lossy(&text).into_owned().into());
                    known.insert(name.into_owned(), value);
                }
            }
        }
        Arguments::Known(known)
    }
}

impl Gateway {
    /// The OAuth scopes that a call requires of its token. Empty if the target is invisible to the
    /// caller.
    pub fn needed_scopes(&self, call: &Call) -> BTreeSet<String> {
        let mut needed = self.first_scopes(&call.portal);
        let member = match &*call.method {
            method::TOOLS_CALL | method::PROMPTS_GET => "name",
            method::RESOURCES_READ | method::RESOURCES_SUBSCRIBE => "uri",
            _ => return needed,
        };
        let Some(name) = call.params.string(member) else { return needed };
        let Some((server, own)) = self.named(&call.portal, member == "uri", &name) else {
            return needed;
        };
        let mut more = server.settings.scopes.clone();
        for (pattern, known) in &server.settings.tools {
            if pattern.matches(&own) {
                more.extend(known.scopes.iter().cloned());
            }
        }
        if !more.is_subset(&needed) && self.sees(call, &server) {
            needed.extend(more);
        }
        needed
    }

    /// The scopes that a client should request at login. The same everywhere, because further
    /// scopes of a server or portal would reveal that it exists; those are named with the first
    /// refusal, to callers who may know.
    pub fn asked_scopes(&self) -> BTreeSet<String> {
        self.settings().identity.scopes.clone()
    }

    /// All scopes in use.
    pub fn every_scope(&self) -> BTreeSet<String> {
        let settings = self.settings();
        let mut scopes = settings.identity.scopes.clone();
        for server in self.servers() {
            let server = &server.settings;
            scopes.extend(server.scopes.iter().cloned());
            scopes.extend(server.tools.values().flat_map(|tool| tool.scopes.iter().cloned()));
        }
        let portals = self.portals();
        scopes.extend(portals.values().flat_map(|(_, one)| one.settings.scopes.iter().cloned()));
        scopes
    }

    /// The scopes that are required for everything at a portal.
    pub fn first_scopes(&self, portal: &Portal) -> BTreeSet<String> {
        match portal {
            Portal::Merged => BTreeSet::new(),
            Portal::Named(name) => {
                self.portal(name).map(|portal| portal.settings.scopes.clone()).unwrap_or_default()
            }
            Portal::Server(name) => {
                self.server(name).map(|server| server.settings.scopes.clone()).unwrap_or_default()
            }
        }
    }
}
