//! A call that may run, and its continuation when its server asks for input.

use doorward_identity::seal::fingerprint;
use doorward_mcp::{Object, interaction};
use doorward_store::{Store, now};

/// How long input may take, in seconds.
const PATIENCE: i64 = 3_600;

/// What lets a held call go on.
#[derive(Debug)]
pub struct Approved {
    store: Store,
    /// The ID of the approval; `remembered` or `continued` for what needs none of its own.
    id: String,
    principal: String,
    /// Of the call with its parameters.
    digest: String,
}

impl Approved {
    /// `digest` is of the call with its parameters.
    pub(super) fn new(store: Store, id: &str, principal: &str, digest: String) -> Self {
        Self { store, id: id.into(), principal: principal.into(), digest }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Under what it is kept that the call may go on from a state that its server has given it.
    pub(super) fn continuation(&self, state: &str) -> String {
        fingerprint(&[b"continue", self.digest.as_bytes(), state.as_bytes()])
    }

    /// Lets the call come back once with what its server has asked for. If that cannot be stored, it is asked for again.
    pub async fn goes_on(&self, state: &str) {
        let (hash, until) = (self.continuation(state), now() + PATIENCE);
        let kept = self.store.continue_approval(&self.principal, &self.id, &hash, until).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "an approved call cannot go on without another approval");
        }
    }
}

/// The state in a result that asks for input; empty where the server needs none.
pub fn continues_from(result: &Object) -> Option<String> {
    if interaction::result_type(result) != "input_required" {
        return None;
    }
    Some(result.string("requestState").unwrap_or_default().into_owned())
}
