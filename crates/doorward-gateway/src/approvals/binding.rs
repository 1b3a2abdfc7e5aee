//! What the approval of a call is bound to.

use doorward_governance::approvals::{Bound, Edits};
use doorward_governance::pins::{Definition, Hash};
use doorward_identity::identity::Grant;
use doorward_identity::seal::meaning;
use doorward_mcp::method;
use doorward_observability::audit::mask::masked_value;
use doorward_policy::Hold;
use doorward_upstream::Server;
use doorward_upstream::catalog::{PROMPTS, TOOLS};

use super::editing;
use crate::call::Call;
use crate::gateway::Gateway;
use crate::record;

/// Arguments that are longer, in bytes, cannot be shown to a person, and are not approved.
const MOST_SHOWN: usize = 64 << 10;

/// Everything that is approved with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    principal: String,
    agent: Option<String>,
    chain: Vec<String>,
    credential: String,
    portal: String,
    server: String,
    method: String,
    name: String,
    definition: Option<Hash>,
    policies: String,
    params: Vec<u8>,
}

impl Binding {
    pub fn of(gateway: &Gateway, call: &Call) -> Self {
        let principal = &call.caller.principal;
        let server = call.route.as_ref().map(|route| &route.server);
        let name = record::target(call).unwrap_or_default().into_owned();
        let view = server.and_then(|server| {
            let kind = kind_of(&call.method)?;
            server.catalog.known(server, &call.client.capabilities, kind).map(|view| (view, kind))
        });
        let definition = view.and_then(|(view, kind)| definition(&view.lists[kind].items, &name));
        Self {
            principal: principal.id.to_string(),
            agent: principal.agent.clone(),
            chain: principal.chain.clone(),
            credential: match &principal.grant {
                Grant::Key { id, .. } => id.to_string(),
                Grant::Open | Grant::Token { .. } | Grant::Certificate => String::new(),
            },
            portal: call.portal.name().to_owned(),
            server: server.map(|server| server.name.to_string()).unwrap_or_default(),
            method: call.method.to_string(),
            name,
            definition,
            policies: gateway.policies().version.clone(),
            params: meaning(&call.params),
        }
    }

    pub fn bound(&self) -> Bound<'_> {
        Bound {
            principal: &self.principal,
            agent: self.agent.as_deref(),
            chain: &self.chain,
            credential: &self.credential,
            portal: &self.portal,
            server: &self.server,
            method: &self.method,
            name: &self.name,
            definition: self.definition,
            policies: &self.policies,
        }
    }

    pub fn digest(&self, holds: &[Hold]) -> Hash {
        self.bound().digest(&self.params, holds)
    }

    /// The digest of a call with edited arguments.
    pub fn edited(&self, call: &Call, edits: &Edits, holds: &[Hold]) -> Hash {
        let mut params = call.params.clone();
        editing::apply(&mut params, edits);
        self.bound().digest(&meaning(&params), holds)
    }
}

fn kind_of(of: &str) -> Option<usize> {
    match of {
        method::TOOLS_CALL => Some(TOOLS),
        method::PROMPTS_GET => Some(PROMPTS),
        _ => None,
    }
}

fn definition(items: &[doorward_upstream::catalog::Item], name: &str) -> Option<Hash> {
    let item = items.iter().find(|item| *item.key == *name)?;
    Some(Definition::of(&item.definition).core)
}

/// The hashes of what a server says of a tool or prompt now, to those for whom it was asked.
pub fn current(server: &Server, of: &str, name: &str) -> Vec<Hash> {
    let Some(kind) = kind_of(of) else { return Vec::new() };
    let all = server.definitions(kind, name);
    all.iter().map(|definition| Definition::of(definition).core).collect()
}

/// The arguments as people see them, masked as in audit records; `None` if they are too long.
pub fn arguments(gateway: &Gateway, call: &Call) -> Option<String> {
    let arguments = call.params.object("arguments").unwrap_or_default();
    if arguments.size_hint() > MOST_SHOWN {
        return None;
    }
    let masked = masked_value(&gateway.shared.audit.settings(), arguments.to_serde());
    masked.filter(|text| text.len() <= MOST_SHOWN)
}
