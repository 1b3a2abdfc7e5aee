//! What an approval is bound to: anything else asks again.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{Context, SHA256};
use doorward_policy::{Hold, Remember};

use crate::pins::Hash;

/// Everything that is approved with a call.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// The caller's stable ID.
    pub principal: &'a str,
    pub agent: Option<&'a str>,
    pub chain: &'a [String],
    /// The ID of the API key, where the caller has one: a revoked key ends its approvals.
    pub credential: &'a str,
    pub portal: &'a str,
    pub server: &'a str,
    /// The MCP method.
    pub method: &'a str,
    /// The server's own name of the tool or prompt, or the URI.
    pub name: &'a str,
    /// The hash of the definition; `None` for resources and prompts.
    pub definition: Option<Hash>,
    /// The version of the policies.
    pub policies: &'a str,
    /// The labels that the caller carries, as people see them.
    pub labels: &'a BTreeSet<String>,
}

impl Bound<'_> {
    /// The digest of a call with these parameters (in canonical JSON), and what it continues with, that is held for these: by
    /// what, why, and who decides.
    pub fn digest(&self, params: &[u8], continues: &[u8], holds: &[Hold]) -> Hash {
        let mut context = self.context("approval");
        put(&mut context, params);
        put(&mut context, continues);
        context.update(&(self.labels.len() as u64).to_be_bytes());
        for label in self.labels {
            put(&mut context, label.as_bytes());
        }
        for hold in holds {
            for part in [&hold.policy, &hold.reason.clone().unwrap_or_default()] {
                put(&mut context, part.as_bytes());
            }
            context.update(&(hold.approvers.len() as u64).to_be_bytes());
            for approver in &hold.approvers {
                put(&mut context, approver.to_string().as_bytes());
            }
            context.update(&[hold.people, u8::from(hold.by_self)]);
        }
        finish(context)
    }

    /// Under what a decision is remembered for a policy. `None` if it is not: the policy does not say so, or the client has
    /// no session to remember it for. A decision is remembered whatever the caller carries.
    pub fn memory(&self, hold: &Hold, session: Option<&str>) -> Option<Hash> {
        let (word, session) = match (hold.remember?, session) {
            (Remember::Session, None) => return None,
            (Remember::Session, Some(session)) => ("session", session),
            (Remember::Seconds(_) | Remember::Tool, _) => ("any", ""),
        };
        let mut context = self.context("memory");
        for part in [&*hold.policy, word, session] {
            put(&mut context, part.as_bytes());
        }
        Some(finish(context))
    }

    fn context(&self, purpose: &str) -> Context {
        let mut context = Context::new(&SHA256);
        let definition = self.definition.map(|hash| hash.to_string()).unwrap_or_default();
        let agent = self.agent.map(|agent| format!("agent {agent}")).unwrap_or_default();
        for part in [
            purpose,
            self.principal,
            &agent,
            self.credential,
            self.portal,
            self.server,
            self.method,
            self.name,
            &definition,
            self.policies,
        ] {
            put(&mut context, part.as_bytes());
        }
        context.update(&(self.chain.len() as u64).to_be_bytes());
        for actor in self.chain {
            put(&mut context, actor.as_bytes());
        }
        context
    }
}

/// With its length, so that no two lists of parts are the same bytes.
pub(super) fn put(context: &mut Context, part: &[u8]) {
    context.update(&(part.len() as u64).to_be_bytes());
    context.update(part);
}

pub(super) fn finish(context: Context) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Hash(hash)
}
