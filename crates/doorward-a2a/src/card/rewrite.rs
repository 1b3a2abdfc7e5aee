//! The card of an agent as the gateway presents it.

use doorward_mcp::json::Value;

use super::{AgentCard, Interface};
use crate::fields::Other;
use crate::revision::{Binding, Revision};

/// What the gateway offers in the place of an agent.
#[derive(Debug, Clone)]
pub struct Face<'a> {
    /// One URL for all revisions and bindings. It is presented as it is given; the door answers with and without a slash
    /// at its end.
    pub url: &'a str,
    /// Revisions and bindings; the first is preferred.
    pub interfaces: &'a [Offered],
    /// What the door carries. What the agent does not declare stays undeclared.
    pub streaming: bool,
    pub push_notifications: bool,
    pub extended_card: bool,
    /// How clients authenticate to the gateway: security schemes and requirements in the form of 1.0.
    pub security_schemes: Option<Value>,
    pub security: Vec<Value>,
}

/// A revision in a binding.
pub type Offered = (Revision, Binding);

impl Face<'_> {
    /// Everything that this crate carries: 1.0 before 0.3, JSON-RPC before HTTP+JSON.
    pub const ALL: [Offered; 4] = [
        (Revision::V1_0, Binding::JsonRpc),
        (Revision::V1_0, Binding::HttpJson),
        (Revision::V0_3, Binding::JsonRpc),
        (Revision::V0_3, Binding::HttpJson),
    ];

    /// Makes an agent's card the gateway's: its interfaces and its security are the gateway's; capabilities and extensions
    /// that the gateway does not carry, and members that it does not know, are dropped; signatures are taken off, for they
    /// would not match any more.
    ///
    /// `carries` says of the URI of an extension whether the door carries it. One that is required and not carried leaves
    /// the agent without clients, so ask [`AgentCard::required_extensions`] before an agent is accepted.
    pub fn put_on(&self, card: &mut AgentCard, carries: impl Fn(&str) -> bool) {
        card.interfaces = self
            .interfaces
            .iter()
            .map(|(revision, binding)| Interface::new(self.url, *binding, *revision))
            .collect();
        let capabilities = &mut card.capabilities;
        let both = |agent: Option<bool>, door: bool| Some(agent == Some(true) && door);
        capabilities.streaming = both(capabilities.streaming, self.streaming);
        capabilities.push_notifications =
            both(capabilities.push_notifications, self.push_notifications);
        capabilities.extended_card = both(capabilities.extended_card, self.extended_card);
        capabilities.extensions.retain(|extension| carries(&extension.uri));
        capabilities.other = Other::default();
        card.security_schemes.clone_from(&self.security_schemes);
        card.security.clone_from(&self.security);
        for skill in &mut card.skills {
            // They name schemes of the agent.
            skill.security.clear();
            skill.other = Other::default();
        }
        card.signatures.clear();
        card.other = Other::default();
    }
}
