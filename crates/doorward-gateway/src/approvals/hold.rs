//! A call that policies hold: let through if it was approved, answered otherwise.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_governance::approvals::{
    Approval, Asker, Edits, State, Subject, facts_shown, holds_of,
};
use doorward_mcp::error::Kind;
use doorward_policy::Hold;
use doorward_store::{Asking, Store, now, random_id};
use tokio::time::Instant;

use super::answer::{self, denied, told};
use super::approved::{Approved, Pass, continuation, unavailable};
use super::binding::{Binding, answers, arguments};
use super::editing;
use crate::call::{Call, CallError, Failure, Reply};
use crate::delegated::is_consent;
use crate::gateway::Gateway;
use doorward_upstream::state;

/// How long a call waits for its decision once its client has opened the page; shorter than clients wait for a call.
const WAIT: Duration = Duration::from_secs(45);
/// How often it looks meanwhile what others have decided, on other replicas or on the machine.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a task does not run.
pub const ANOTHER: &str =
    "What was approved is not this call any more, or was used. Call the tool again";

/// Lets an approved call through, once; answers any other. It brings these labels when it is sent.
pub async fn hold(
    gateway: &Arc<Gateway>,
    call: &mut Call,
    brings: BTreeSet<String>,
) -> Result<Option<Reply>, CallError> {
    let Some(store) = gateway.kept.store() else {
        return Err(denied(
            call,
            "It requires approval, and this gateway has no store for approvals",
        ));
    };
    let holds = holds_of(call.notes.decision.as_deref(), call.notes.held.as_deref());
    // With those that the call itself brings: what was not sent may be sent again.
    let mut labels = brings;
    labels.extend(call.notes.facts.iter().flat_map(|facts| facts.flow.iter().cloned()));
    let binding = Binding::of(gateway, call, labels);
    let let_through = |pass: Pass| {
        let (principal, digest) = (binding.bound().principal, binding.continuation().to_string());
        let (tasks, news) = (gateway.shared.tasks.clone(), gateway.approvals.clone());
        Some(Box::new(Approved::new(store.clone(), tasks, news, pass, principal, digest)))
    };
    if let Some((pass, edits)) = continued(store, call, &binding).await? {
        call.notes.approval = let_through(pass);
        if let Some(edits) = edits {
            editing::put(call, &edits);
        }
        return Ok(None);
    }
    let awaits = answer::taken(call)?;
    check_state(gateway, call)?;
    let whole = binding.digest(&holds).to_string();
    let holds = not_remembered(store, call, &binding, holds).await?;
    if holds.is_empty() {
        // The call itself may be what was approved: it is not left for another one.
        let found = store.open_approval(&whole, now()).await.map_err(unavailable)?;
        let mut is_taken = false;
        if let Some(own) = found.filter(|own| own.state == State::Approved && is_own(call, own)) {
            let id = call.id.to_string();
            if store.take_approval(&own, &id, None, now()).await.map_err(unavailable)? {
                is_taken = store.send_approval(&own.id, &id).await.map_err(unavailable)?;
            }
        }
        if call.notes.runs.is_some() && !is_taken {
            return Err(denied(call, ANOTHER));
        }
        call.notes.approval = let_through(Pass::Remembered);
        return Ok(None);
    }
    let digest = binding.digest(&holds).to_string();
    let end = Instant::now() + WAIT;
    let mut is_first = true;
    let mut news = gateway.approvals.follow();
    loop {
        let found = store.open_approval(&digest, now()).await.map_err(unavailable)?;
        let found = found.filter(|found| is_own(call, found));
        if found.is_none() && call.notes.runs.is_some() {
            return Err(denied(call, ANOTHER));
        }
        let approval = match found {
            Some(found) => found,
            None => {
                if !is_first {
                    still_stands(gateway, call, &binding)?;
                }
                ask(gateway, store, call, &binding, &digest, &holds).await?
            }
        };
        is_first = false;
        match approval.state {
            State::Approved => {
                still_stands(gateway, call, &binding)?;
                carries_no_more(gateway, call, &binding).await?;
                let id = call.id.to_string();
                let edits = approval.edits().cloned();
                let edited = edits.as_ref().map(|edits| binding.edited(call, edits, &holds));
                let edited = edited.map(|digest| digest.to_string());
                let taking = store.take_approval(&approval, &id, edited.as_deref(), now());
                if taking.await.map_err(unavailable)? {
                    tracing::info!(approval = approval.id, "an approved call goes on");
                    call.notes.approval = let_through(Pass::Taken(Box::new(approval), id));
                    if let Some(edits) = edits {
                        editing::put(call, &edits);
                    }
                    return Ok(None);
                }
                // Another was faster, or its time has passed: this one finds out.
                if Instant::now() >= end {
                    return Err(denied(call, "Its approval was used by another call"));
                }
            }
            // Another has it, and may give it back; it is sent or given back within its lease.
            State::Taken if Instant::now() < end => news.wait(&approval.id, PAUSE).await,
            State::Taken => return Err(denied(call, "Its approval was used by another call")),
            State::Refused => return Err(answer::refused(gateway, call, &approval)),
            _ if awaits && Instant::now() < end => {
                tokio::select! {
                    () = news.wait(&approval.id, PAUSE) => {}
                    () = gateway.closing.cancelled() => {
                        return Err(Failure::new(Kind::Closing, "The gateway is shutting down").into());
                    }
                    () = call.caller.lease.token().cancelled() => still_stands(gateway, call, &binding)?,
                }
            }
            _ if call.notes.runs.is_some() => return Err(denied(call, ANOTHER)),
            _ => return told(gateway, call, &approval),
        }
    }
}

/// Whether a call may use an approval: a task uses the one that it was told of.
fn is_own(call: &Call, approval: &Approval) -> bool {
    call.notes.runs.as_deref().is_none_or(|id| *id == *approval.id)
}

/// A call that a server has asked for input for, which comes back with it.
async fn continued(
    store: &Store,
    call: &Call,
    binding: &Binding,
) -> Result<Option<(Pass, Option<Edits>)>, CallError> {
    let Some(retry) = &call.retry else { return Ok(None) };
    let from = retry.state.as_deref().unwrap_or_default();
    let hash = continuation(&binding.continuation().to_string(), from);
    let taken = store.take_continuation(&hash, now()).await.map_err(unavailable)?;
    let Some(id) = taken else { return Ok(None) };
    let approval = match &*id {
        "" => None,
        id => store.approval(id).await.map_err(unavailable)?,
    };
    let edits = approval.and_then(|approval| approval.edits().cloned());
    Ok(Some((Pass::Continued(from.to_owned(), id), edits)))
}

/// What must be approved that is not remembered.
async fn not_remembered(
    store: &Store,
    call: &Call,
    binding: &Binding,
    holds: Vec<Hold>,
) -> Result<Vec<Hold>, CallError> {
    let mut open = Vec::new();
    for hold in holds {
        let memory = binding.bound().memory(&hold, call.session.as_deref());
        let is_remembered = match memory {
            None => false,
            Some(hash) => {
                store.is_remembered(&hash.to_string(), now()).await.map_err(unavailable)?
            }
        };
        if !is_remembered {
            open.push(hold);
        }
    }
    Ok(open)
}

/// What was approved may have changed while the call has waited for its approval.
fn still_stands(gateway: &Gateway, call: &Call, binding: &Binding) -> Result<(), CallError> {
    if call.caller.lease.is_over() {
        return Err(denied(call, "The caller's credential is no longer valid"));
    }
    if *binding != Binding::of(gateway, call, binding.labels().clone()) {
        return Err(denied(call, "The tool or the policies have changed since the call was made"));
    }
    Ok(())
}

/// Nobody decides about a call that continues from a state that nobody has given it.
fn check_state(gateway: &Gateway, call: &Call) -> Result<(), CallError> {
    let (Some(route), Some(_)) = (&call.route, &call.retry) else { return Ok(()) };
    let server = &route.server;
    match server.knows_state(&call.asked(server)) || is_consent(gateway, call, server) {
        true => Ok(()),
        false => Err(state::refused().into()),
    }
}

/// The caller may have learnt something while the call has waited, which its approvers have not seen.
async fn carries_no_more(
    gateway: &Gateway,
    call: &Call,
    binding: &Binding,
) -> Result<(), CallError> {
    let Some(conversing) = call.notes.conversing.as_ref().filter(|_| gateway.flow.is_on()) else {
        return Ok(());
    };
    let carried = gateway.flow.carried(&conversing.carrier).await;
    if binding.lacks(&carried.labels) {
        let why = "The caller has learnt something since the call was made. Make it again";
        return Err(Failure { retryable: true, ..Failure::new(Kind::Denied, why) }.into());
    }
    Ok(())
}

async fn ask(
    gateway: &Gateway,
    store: &Store,
    call: &Call,
    binding: &Binding,
    digest: &str,
    holds: &[Hold],
) -> Result<Approval, CallError> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Kind::Denied, "The approval cannot be requested").because(error)
    };
    let id = random_id::<16>().map_err(|error| failed(&error))?;
    let principal = &call.caller.principal;
    let too_long = || denied(call, "It requires approval, and its arguments are too long to show");
    let arguments = arguments(gateway, call).ok_or_else(too_long)?;
    let answers = answers(gateway, call).ok_or_else(too_long)?;
    let bound = binding.bound();
    let memories = holds.iter().filter_map(|hold| {
        let memory = bound.memory(hold, call.session.as_deref())?;
        Some((hold.policy.clone(), memory.to_string()))
    });
    let mut new = Approval {
        id,
        digest: digest.to_owned(),
        asker: Asker {
            kind: principal.who.kind,
            id: principal.who.id.clone(),
            tenant: principal.who.tenant.clone(),
            agent: principal.agent.clone(),
            chain: principal.chain.clone(),
        },
        subject: Subject {
            portal: bound.portal.to_owned(),
            server: bound.server.to_owned(),
            method: bound.method.to_owned(),
            name: bound.name.to_owned(),
            arguments,
            answers: Some(answers).filter(|answers| !answers.is_empty()),
            definition: bound.definition.map(|hash| hash.to_string()),
            policies: bound.policies.to_owned(),
            facts: call.notes.facts.as_deref().map(facts_shown).unwrap_or_default(),
        },
        holds: holds.to_vec(),
        memories: memories.collect(),
        state: State::Waiting,
        created: now(),
        expires: 0,
        votes: Vec::new(),
    };
    new.expires = new.created + new.ttl();
    match store.ask_approval(&principal.id, &new, new.created).await.map_err(unavailable)? {
        Asking::Created => {
            tracing::info!(
                approval = new.id,
                principal = &*principal.id,
                "a call requires approval"
            );
            Ok(new)
        }
        Asking::Found(found) => Ok(*found),
        Asking::TooMany(most) => {
            let why = format!("{most} calls are waiting for approval, the maximum");
            Err(Failure::new(Kind::Overloaded, why).into())
        }
    }
}
