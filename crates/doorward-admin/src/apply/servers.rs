//! Servers as resources. Applying one proposes it; where the administrator may do the rest of its life alone, the rest
//! follows once everything was applied.

use std::collections::BTreeMap;

use doorward_config::{ServerSettings, proposal};
use doorward_governance::lifecycle::{State, Step};
use doorward_policy::Action;
use doorward_store::{Error, ServerOrigin, ServerProposal, Stepping, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::desk::Desk;
use crate::problem::{Code, Problem};
use crate::service::life;

/// Where a server that was applied is in its life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedServer {
    pub name: String,
    pub state: State,
    /// Why it is no further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What the store has: proposals and what became of them, but for those that are retired.
pub async fn read(store: &Store) -> Result<BTreeMap<String, Value>, Problem> {
    let mut found = BTreeMap::new();
    for server in store.servers().await? {
        if server.origin == ServerOrigin::RunTime && server.state != State::Retired {
            let spec = serde_json::from_str(&server.spec).map_err(|error| {
                let name = server.name.escape_debug();
                Problem::new(Code::Internal, format!("server '{name}' cannot be read: {error}"))
            })?;
            found.insert(server.name, spec);
        }
    }
    Ok(found)
}

/// Refuses what cannot be proposed.
pub async fn check(desk: &Desk, name: &str, spec: &Value) -> Result<ServerSettings, Problem> {
    let named = |problem: Problem| {
        let detail = format!("servers.{}: {}", name.escape_debug(), problem.detail);
        Problem { detail, ..problem }
    };
    let wanted = proposal::proposal(spec).map_err(|problems| {
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        named(Problem::invalid(told.join("; ")).with("problems", told))
    })?;
    life::check_name(desk, name).await.map_err(named)?;
    Ok(wanted)
}

/// Requires what a change alone would require; without settings, its removal.
pub async fn permit(desk: &Desk, name: &str, spec: Option<&Value>) -> Result<(), Problem> {
    let old = life::found_server(desk, name).await?;
    if let Some((target, state)) = &old {
        match (spec, state.is_open()) {
            (None, true) => desk.require(Action::Review, target)?,
            (None, false) => desk.require(Action::Operate, target)?,
            (Some(_), is_open) => {
                desk.require(Action::Propose, target)?;
                // What is in use is taken out of use until the new settings were reviewed.
                if !is_open && *state != State::Retired {
                    desk.require(Action::Operate, target)?;
                }
            }
        }
    }
    match spec.map(proposal::proposal) {
        Some(Ok(wanted)) => desk.require(Action::Propose, &life::about(name, &wanted)),
        _ => Ok(()),
    }
}

/// Whether the administrator may take a server from its proposal into use alone.
pub fn approves(desk: &Desk, name: &str, spec: &Value) -> bool {
    let four_eyes = desk.settings().is_none_or(|settings| settings.review.four_eyes);
    let target = proposal::proposal(spec).map(|wanted| life::about(name, &wanted));
    let actions = [Action::Review, Action::Approve, Action::Operate];
    !four_eyes
        && desk.maybe_gateway().is_some()
        && target.is_ok_and(|target| actions.iter().all(|action| desk.may(*action, &target)))
}

/// Where every server is in its life, by the name in lower case.
pub async fn states(store: &Store) -> Result<BTreeMap<String, State>, Error> {
    let all = store.servers().await?.into_iter();
    Ok(all.map(|server| (server.name.to_ascii_lowercase(), server.state)).collect())
}

/// Proposes, or takes out of use, as a part of a batch. `states` were read before it began: a batch that reads needs another
/// connection than its own, for which it could wait in vain.
pub async fn carry_out(
    store: &Store,
    states: &BTreeMap<String, State>,
    name: &str,
    spec: Option<&Value>,
    why: &str,
) -> Result<(), Error> {
    let state = states.get(&name.to_ascii_lowercase());
    let stepping = || Stepping { why: why.to_owned(), ..Stepping::default() };
    match state {
        Some(State::Approved | State::Active | State::Deprecated) => {
            store.step_server(name, Step::Retire, &stepping(), None).await?;
        }
        Some(State::Proposed | State::InReview) if spec.is_none() => {
            store.step_server(name, Step::Reject, &stepping(), None).await?;
        }
        Some(State::Quarantined) => {
            let why = format!("'{name}' is in quarantine: release it before you change it");
            return Err(Error::Refused(why));
        }
        _ => {}
    }
    let Some(spec) = spec else { return Ok(()) };
    // It was checked before.
    let digest = proposal::proposal(spec).map(|wanted| wanted.approval_digest());
    let digest = digest.map_err(|_| Error::Refused(format!("'{name}' cannot be proposed")))?;
    let spec = spec.to_string();
    let proposal = ServerProposal { name, spec: &spec, digest: &digest, why };
    store.propose_server(&proposal).await.map(drop)
}
