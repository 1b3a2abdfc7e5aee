//! What comes next of a task whose call waits, or whose runner has not renewed its lease: a pure function.

use doorward_config::Explain;
use doorward_governance::approvals::{Approval, State};
use doorward_store::{ApprovalTask, TaskState};

const UNUSED: &str =
    "The approval of this call was used by another, or has ended. Call the tool again";
const LOST: &str = "The gateway that ran this call has ended. The tool may have been executed";

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Stays,
    Runs,
    /// Its runner has ended before its call was sent.
    Waits,
    Fails(String),
}

pub fn next(task: &ApprovalTask, approval: Option<&Approval>, explain: Explain, now: i64) -> Next {
    let runs = task.state == TaskState::Running;
    match approval.map(|approval| (approval, approval.state_at(now))) {
        // What was not sent is given back first.
        Some((_, State::Waiting | State::Approved)) if runs => Next::Waits,
        Some((_, State::Taken | State::Waiting)) => Next::Stays,
        Some((_, State::Approved)) => Next::Runs,
        Some((_, State::Used)) | None if runs => Next::Fails(LOST.into()),
        Some((_, State::Used | State::Ended)) | None => Next::Fails(UNUSED.into()),
        Some((_, State::Expired)) => {
            Next::Fails("This call was not approved in time, or not made in time after that".into())
        }
        Some((approval, State::Refused)) => {
            let vote = approval.votes.iter().find(|vote| !vote.approves);
            let reason = vote.and_then(|vote| vote.reason.as_deref());
            let reason = reason.filter(|_| explain != Explain::Nothing);
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            Next::Fails(format!("An approver has refused this call{reason}"))
        }
    }
}
