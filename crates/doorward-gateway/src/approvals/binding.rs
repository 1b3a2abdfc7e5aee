//! What the approval of a call is bound to.

use std::borrow::Cow;
use std::collections::BTreeSet;

use doorward_governance::approvals::{Bound, Edits, edited};
use doorward_governance::pins::{Definition, Hash};
use doorward_identity::identity::Grant;
use doorward_identity::seal::meaning;
use doorward_mcp::{Object, interaction, method};
use doorward_observability::audit::mask::masked_value;
use doorward_policy::Hold;
use doorward_upstream::Server;
use doorward_upstream::catalog::{PROMPTS, TOOLS};

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
    /// What the call continues with: the client's answers, and the server's state.
    continues: Vec<u8>,
    /// The labels that the caller carries, and those that the call will bring.
    labels: BTreeSet<String>,
}

impl Binding {
    pub fn of(gateway: &Gateway, call: &Call, labels: BTreeSet<String>) -> Self {
        let principal = &call.caller.principal;
        let server = call.route.as_ref().map(|route| &route.server);
        let name = record::subject(call).unwrap_or_default().into_owned();
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
            continues: continues(call),
            labels,
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
            labels: &self.labels,
        }
    }

    pub fn digest(&self, holds: &[Hold]) -> Hash {
        self.bound().digest(&self.params, &self.continues, holds)
    }

    /// The digest of the call, whatever holds it and whatever it continues with.
    pub fn continuation(&self) -> Hash {
        self.bound().digest(&self.params, b"", &[])
    }

    /// Whether the caller carries labels that are not bound.
    pub fn lacks(&self, labels: &BTreeSet<String>) -> bool {
        !labels.is_subset(&self.labels)
    }

    pub fn labels(&self) -> &BTreeSet<String> {
        &self.labels
    }

    /// The digest of a call with edited arguments.
    pub fn edited(&self, call: &Call, edits: &Edits, holds: &[Hold]) -> Hash {
        let mut params = call.params.clone();
        edited::apply(&mut params, edits);
        self.bound().digest(&meaning(&params), &self.continues, holds)
    }
}

fn kind_of(of: &str) -> Option<usize> {
    match of {
        method::TOOLS_CALL | method::TASKS_UPDATE => Some(TOOLS),
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

/// What a call continues with. A client of the handshake era makes its call again from the beginning: what is approved is the
/// call.
fn continues(call: &Call) -> Vec<u8> {
    let Some(retry) = call.retry.as_ref().filter(|_| call.revision.is_modern()) else {
        return Vec::new();
    };
    let mut params = Object::new();
    retry.put(&mut params);
    meaning(&params)
}

/// The arguments as people see them, masked as in audit records; `None` if they are too long.
pub fn arguments(gateway: &Gateway, call: &Call) -> Option<String> {
    match &call.notes.task {
        Some(task) => match &task.of.arguments {
            Some(arguments) => shown(gateway, arguments),
            None => Some("{}".into()),
        },
        None => shown(gateway, &call.params.object("arguments").unwrap_or_default()),
    }
}

/// What the client answers to the server, likewise: an empty text if it answers nothing.
pub fn answers(gateway: &Gateway, call: &Call) -> Option<String> {
    let of_task = call.params.object(interaction::INPUT_RESPONSES);
    let of_task = of_task.filter(|_| *call.method == *method::TASKS_UPDATE);
    let of_call = call.retry.as_ref().map(|retry| Cow::Borrowed(&retry.responses));
    match of_task.or(of_call).filter(|answers| !answers.is_empty()) {
        Some(answers) => shown(gateway, &answers),
        None => Some(String::new()),
    }
}

fn shown(gateway: &Gateway, object: &Object) -> Option<String> {
    if object.size_hint() > MOST_SHOWN {
        return None;
    }
    let masked = masked_value(&gateway.shared.audit.settings(), object.to_serde());
    masked.filter(|text| text.len() <= MOST_SHOWN)
}
