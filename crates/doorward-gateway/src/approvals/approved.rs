//! A held call that was let through: it gives its approval back if its server was never asked, and may continue when its
//! server asks for input.

use doorward_governance::approvals::Approval;
use doorward_identity::seal::fingerprint;
use doorward_mcp::{Object, interaction};
use doorward_store::{Store, now};
use tokio_util::task::TaskTracker;

/// How long input may take, in seconds.
const PATIENCE: i64 = 3_600;

/// What a call was let through by.
#[derive(Debug, Clone)]
pub enum Pass {
    /// An approval of its own, which it has taken under its call ID.
    Taken(Box<Approval>, String),
    /// A decision that is remembered.
    Remembered,
    /// It continues from a state that its server has given it; empty where the server needs none.
    Continued(String),
}

/// What lets a held call go on.
#[derive(Debug)]
pub struct Approved {
    state: State,
    tasks: TaskTracker,
    /// The server may have executed the call.
    is_sent: bool,
    is_settled: bool,
}

#[derive(Debug, Clone)]
struct State {
    store: Store,
    pass: Pass,
    principal: String,
    /// Of the call with its parameters.
    digest: String,
}

impl Approved {
    /// `digest` is of the call with its parameters.
    pub(super) fn new(
        store: Store,
        tasks: TaskTracker,
        pass: Pass,
        principal: &str,
        digest: String,
    ) -> Self {
        let state = State { store, pass, principal: principal.into(), digest };
        Self { state, tasks, is_sent: false, is_settled: false }
    }

    /// The ID of the approval; `remembered` or `continued` for what needs none of its own.
    pub fn id(&self) -> &str {
        match &self.state.pass {
            Pass::Taken(approval, _) => &approval.id,
            Pass::Remembered => "remembered",
            Pass::Continued(_) => "continued",
        }
    }

    /// Notes whether the server may have executed the call.
    pub fn note_sent(&mut self, is_sent: bool) {
        self.is_sent = is_sent;
    }

    /// The call has ended: it may continue from a state, or gives back what it has not used.
    pub async fn settle(&mut self, continues_from: Option<&str>) {
        self.is_settled = true;
        match continues_from {
            Some(from) => self.state.goes_on(from).await,
            None if !self.is_sent => self.state.give_back().await,
            None => {}
        }
    }
}

impl Drop for Approved {
    /// The client has gone while the call was on its way.
    fn drop(&mut self) {
        if self.is_settled || self.is_sent || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let state = self.state.clone();
        self.tasks.spawn(async move { state.give_back().await });
    }
}

impl State {
    async fn goes_on(&self, from: &str) {
        let id = match &self.pass {
            Pass::Taken(approval, _) => &*approval.id,
            Pass::Remembered | Pass::Continued(_) => "",
        };
        let hash = continuation(&self.digest, from);
        let kept = self.store.continue_approval(&self.principal, id, &hash, now() + PATIENCE).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "an approved call cannot continue without another approval");
        }
    }

    async fn give_back(&self) {
        match &self.pass {
            Pass::Taken(approval, call) => {
                if let Err(error) = self.store.return_approval(approval, call, now()).await {
                    tracing::warn!(%error, approval = approval.id, "an unused approval is lost");
                }
            }
            Pass::Continued(from) => self.goes_on(from).await,
            Pass::Remembered => {}
        }
    }
}

/// Under what it is kept that the call with this digest may continue from a state that its server has given it.
pub(super) fn continuation(digest: &str, from: &str) -> String {
    fingerprint(&[b"continue", digest.as_bytes(), from.as_bytes()])
}

/// The state in a result that asks for input; empty where the server needs none.
pub fn continues_from(result: &Object) -> Option<String> {
    if interaction::result_type(result) != "input_required" {
        return None;
    }
    Some(result.string("requestState").unwrap_or_default().into_owned())
}
