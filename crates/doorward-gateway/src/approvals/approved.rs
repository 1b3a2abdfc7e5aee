//! A held call that was let through: it gives its approval back if its server was never asked, and may continue when its
//! server asks for input.

use std::fmt::Display;

use doorward_core::Failure;
use doorward_core::news::News;
use doorward_governance::approvals::Approval;
use doorward_identity::seal::fingerprint;
use doorward_mcp::error::Kind;
use doorward_mcp::{Object, interaction};
use doorward_store::{Store, now};
use doorward_upstream::call_error::CallError;
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
    /// It continues from a state that its server has given it, empty where the server needs none; with the ID of the
    /// approval that it has begun with, if it has one.
    Continued(String, String),
}

/// The client's answer to the gateway's own request for approval.
#[derive(Debug)]
pub struct Answered {
    /// The call that it is about.
    pub(super) call: String,
    /// Whether the client has opened the page.
    pub(super) accepts: bool,
}

/// What lets a held call go on.
#[derive(Debug)]
pub struct Approved {
    state: State,
    tasks: TaskTracker,
    news: News,
    /// The store knows that it is sent.
    is_marked: bool,
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
        news: News,
        pass: Pass,
        principal: &str,
        digest: String,
    ) -> Self {
        let state = State { store, pass, principal: principal.into(), digest };
        Self { state, tasks, news, is_marked: false, is_sent: false, is_settled: false }
    }

    /// The ID of the approval; `remembered` or `continued` for what needs none of its own.
    pub fn id(&self) -> &str {
        match &self.state.pass {
            Pass::Taken(approval, _) => &approval.id,
            Pass::Remembered => "remembered",
            Pass::Continued(..) => "continued",
        }
    }

    /// Notes in the store that the call is about to be sent, before its first byte is. It must not be sent if that fails:
    /// the approval may have been given back, and another may have it.
    pub async fn send(&mut self) -> Result<(), CallError> {
        if let (Pass::Taken(approval, call), false) = (&self.state.pass, self.is_marked) {
            let sent = self.state.store.send_approval(&approval.id, call).await;
            if !sent.map_err(unavailable)? {
                let why = "The call took too long after its approval. Make it again";
                return Err(Failure { retryable: true, ..Failure::new(Kind::Denied, why) }.into());
            }
            self.is_marked = true;
            self.news.tell(&approval.id);
        }
        self.is_sent = true;
        Ok(())
    }

    /// Notes that the server has not executed the call, although it was sent.
    pub fn note_unseen(&mut self) {
        self.is_sent = false;
    }

    /// Notes that the call has its answer, from the server or from the cache.
    pub async fn note_answered(&mut self) {
        if self.send().await.is_err() {
            tracing::warn!(approval = self.id(), "an approval is answered that is no longer taken");
            self.is_sent = true;
        }
    }

    /// Ends the approval, which cannot be used: the call would not be permitted as it was edited.
    pub async fn end(&mut self, why: &str) {
        let Pass::Taken(approval, call) = &self.state.pass else { return };
        let store = &self.state.store;
        let ended = async {
            store.return_approval(approval, call, now()).await?;
            store.end_approval(approval, why).await
        };
        if let Err(error) = ended.await {
            tracing::warn!(%error, approval = approval.id, "an approval cannot be ended");
        }
        self.is_settled = true;
    }

    /// The call has ended: it may continue from a state, or gives back what it has not used.
    pub async fn settle(&mut self, continues_from: Option<&str>, outcome: &str) {
        self.is_settled = true;
        if self.is_sent {
            self.state.note_outcome(outcome).await;
        }
        match continues_from {
            Some(from) => self.state.goes_on(from).await,
            None if !self.is_sent => self.give_back().await,
            None => {}
        }
    }

    async fn give_back(&self) {
        self.state.give_back().await;
        self.news.tell(self.id());
    }
}

impl Drop for Approved {
    /// The client has gone while the call was on its way.
    fn drop(&mut self) {
        if self.is_settled || self.is_sent || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (state, news, id) = (self.state.clone(), self.news.clone(), self.id().to_owned());
        self.tasks.spawn(async move {
            state.give_back().await;
            news.tell(&id);
        });
    }
}

impl State {
    /// The ID of the approval that the call has begun with; empty if it has none.
    fn began_with(&self) -> &str {
        match &self.pass {
            Pass::Taken(approval, _) => &approval.id,
            Pass::Continued(_, approval) => approval,
            Pass::Remembered => "",
        }
    }

    async fn note_outcome(&self, outcome: &str) {
        let id = self.began_with();
        if !id.is_empty()
            && let Err(error) = self.store.note_outcome(id, outcome).await
        {
            tracing::warn!(%error, approval = id, "the outcome of an approved call is lost");
        }
    }

    async fn goes_on(&self, from: &str) {
        let id = self.began_with();
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
            Pass::Continued(from, _) => self.goes_on(from).await,
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

/// The store cannot be asked: nothing is let through.
pub(super) fn unavailable(error: impl Display) -> CallError {
    let why = "It requires approval, and the database of approvals is unavailable";
    let failure = Failure { retryable: true, ..Failure::new(Kind::Denied, why) }.because(error);
    CallError::Refused { failure, status: 503 }
}
