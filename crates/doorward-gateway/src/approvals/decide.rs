//! Decisions of people, at the page and at the admin API.

use doorward_governance::approvals::{Approval, Ballot, Refused, State, Voter};
use doorward_store::{Store, now};

use super::binding::current;
use super::editing;
use crate::gateway::Gateway;

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the store failed: {0}")]
    Store(#[from] doorward_store::Error),
    /// Edited arguments do not fit the tool, or nothing can validate them.
    #[error("{0}")]
    Invalid(String),
}

const NO_GATEWAY: &str = "arguments can only be edited through a running gateway, which validates them: \
    repeat the command with --admin-url and the key of an approver, or use the page";

/// Takes the vote of somebody. `store` acts in their name. Where there is a gateway, an approval of what has changed since is
/// ended instead.
pub async fn decide(
    gateway: Option<&Gateway>,
    store: &Store,
    voter: Voter<'_>,
    id: &str,
    ballot: &Ballot<'_>,
) -> Result<Approval, Undecided> {
    let found = store.approval(id).await?.ok_or(Refused::NotAllowed)?;
    // Whoever may not decide learns nothing, and changes nothing.
    if found.policies_of(voter).is_empty() {
        return Err(Refused::NotAllowed.into());
    }
    if let Some(why) = gateway.and_then(|gateway| changed(gateway, &found))
        && matches!(found.state_at(now()), State::Waiting | State::Approved)
    {
        store.end_approval(&found, why).await?;
        return Err(Refused::Over(State::Ended).into());
    }
    match gateway {
        Some(gateway) => {
            editing::check(gateway, &found, &ballot.edits).map_err(Undecided::Invalid)?;
        }
        None if !ballot.edits.is_empty() => return Err(Undecided::Invalid(NO_GATEWAY.into())),
        None => {}
    }
    let decided = store.vote_approval(id, voter, ballot, now()).await??;
    if let Some(gateway) = gateway {
        gateway.approvals.tell(id);
    }
    Ok(decided)
}

/// What has changed of what would be approved.
pub fn changed(gateway: &Gateway, approval: &Approval) -> Option<&'static str> {
    let subject = &approval.subject;
    if gateway.policies().version != subject.policies {
        return Some("the policies have changed");
    }
    let server = gateway.server(&subject.server)?;
    let known = current(&server, &subject.method, &subject.name);
    let is_other = |hash: &doorward_governance::pins::Hash| {
        subject.definition.as_deref() != Some(&*hash.to_string())
    };
    (!known.is_empty() && known.iter().all(is_other)).then_some("its definition has changed")
}
