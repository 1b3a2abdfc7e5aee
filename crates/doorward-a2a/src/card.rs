//! Agent cards (spec 1.0 §4.4, §8; 0.3 §5).

mod rewrite;
mod security;
mod wire;

pub use rewrite::{Face, Offered};

use bytes::Bytes;
use doorward_mcp::json::{Limits, Value, scan_object};

use crate::error::Invalid;
use crate::fields::Other;
use crate::out::Out;
use crate::revision::{Binding, Form, Revision};

/// Where clients find the card of an agent (spec 1.0 §8.2, §14.3).
pub const WELL_KNOWN_PATH: &str = "/.well-known/agent-card.json";

/// What an agent is, can do, and where.
#[derive(Debug, Clone, Default)]
pub struct AgentCard {
    pub name: String,
    pub description: String,
    /// Of the agent, not of the protocol.
    pub version: String,
    /// The first is preferred.
    pub interfaces: Vec<Interface>,
    /// An object.
    pub provider: Option<Value>,
    pub documentation_url: Option<String>,
    pub icon_url: Option<String>,
    pub capabilities: Capabilities,
    /// An object: names and schemes in the form of 1.0.
    pub security_schemes: Option<Value>,
    /// Objects in the form of 1.0: one of them must be met.
    pub security: Vec<Value>,
    /// Media types.
    pub default_input_modes: Vec<String>,
    pub default_output_modes: Vec<String>,
    pub skills: Vec<Skill>,
    /// JSON Web Signatures: objects.
    pub signatures: Vec<Value>,
    pub other: Other,
}

/// A URL at which an agent speaks one revision in one binding.
#[derive(Debug, Clone)]
pub struct Interface {
    pub url: String,
    /// See [`Binding::of_name`].
    pub binding: String,
    /// See [`Revision::of_version`].
    pub version: String,
    /// To be sent with each request. 1.0 only.
    pub tenant: Option<String>,
    pub other: Other,
}

/// What an agent can do of what is optional. What is not declared must be refused (spec 1.0 §3.3.4).
#[derive(Debug, Clone, Default)]
pub struct Capabilities {
    pub streaming: Option<bool>,
    pub push_notifications: Option<bool>,
    pub extended_card: Option<bool>,
    pub extensions: Vec<Extension>,
    pub other: Other,
}

/// An extension of the protocol that an agent declares (spec 1.0 §4.6).
#[derive(Debug, Clone)]
pub struct Extension {
    pub uri: String,
    /// Clients that do not support it are refused.
    pub required: bool,
    /// All of it: an object.
    pub value: Value,
}

/// Something that an agent can do.
#[derive(Debug, Clone, Default)]
pub struct Skill {
    pub id: String,
    pub name: String,
    pub description: String,
    pub tags: Vec<String>,
    pub examples: Vec<String>,
    pub input_modes: Vec<String>,
    pub output_modes: Vec<String>,
    /// Objects in the form of 1.0.
    pub security: Vec<Value>,
    pub other: Other,
}

impl AgentCard {
    /// Reads the card of an agent, of either revision: one of 1.0 lists its interfaces, one of 0.3 has a URL.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub fn read(text: &Bytes, limits: Limits) -> Result<Self, Invalid> {
        let object = scan_object(text, limits).map_err(|fault| Invalid::new(fault.to_string()))?;
        Self::read_value(&Value::Object(object))
    }

    /// The card in one revision; in 0.3 the one that JSON-RPC and the well-known path return. `None` if no interface is of
    /// the revision, for a card of 0.3 without a URL is none.
    pub fn to_bytes(&self, revision: Revision) -> Option<Bytes> {
        self.speaks(revision)
            .then(|| Out::of(Form::of(revision, Binding::JsonRpc), |out| self.write(out)))
    }

    /// One card for clients of both revisions: that of 1.0 with the members of 0.3 beside. Clients that fetch a card do
    /// not yet say which revision they speak.
    pub fn to_bytes_of_both(&self) -> Bytes {
        Out::of(Form::V1, |out| self.write_v1(out, self.speaks(Revision::V0_3)))
    }

    fn speaks(&self, revision: Revision) -> bool {
        self.interfaces.iter().any(|interface| interface.revision() == Some(revision))
    }

    /// The first of the agent's interfaces that is among the supported ones (spec 1.0 §8.3.2).
    pub fn choose(
        &self,
        supported: &[(Revision, Binding)],
    ) -> Option<(&Interface, Revision, Binding)> {
        self.interfaces.iter().find_map(|interface| {
            let (revision, binding) = (interface.revision()?, interface.known_binding()?);
            supported.contains(&(revision, binding)).then_some((interface, revision, binding))
        })
    }

    /// The extensions without which the agent refuses a request.
    pub fn required_extensions(&self) -> impl Iterator<Item = &str> {
        let extensions = self.capabilities.extensions.iter();
        extensions.filter(|extension| extension.required).map(|extension| &*extension.uri)
    }
}

impl Interface {
    pub fn new(url: impl Into<String>, binding: Binding, revision: Revision) -> Self {
        Self {
            url: url.into(),
            binding: binding.as_str().to_owned(),
            version: revision.as_str().to_owned(),
            tenant: None,
            other: Other::default(),
        }
    }

    pub fn revision(&self) -> Option<Revision> {
        Revision::of_version(&self.version)
    }

    pub fn known_binding(&self) -> Option<Binding> {
        Binding::of_name(&self.binding)
    }
}
