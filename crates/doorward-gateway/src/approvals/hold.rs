//! A call that policies hold: let through if it was approved, answered otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use doorward_governance::approvals::{Approval, Asker, Edits, State, Subject};
use doorward_mcp::error::Kind;
use doorward_policy::{Decision, Facts, Hold, Verdict};
use doorward_store::{Asking, Store, now, random_id};
use tokio::time::Instant;

use super::answer::{self, denied, told};
use super::approved::{Approved, Pass, continuation, unavailable};
use super::binding::{Binding, answers, arguments};
use super::editing;
use crate::call::{Call, CallError, Failure, Held, Reply};
use crate::delegated::is_consent;
use crate::gateway::Gateway;
use doorward_upstream::state;

/// How long a call waits for its decision once its client has opened the page; shorter than clients wait for a call.
const WAIT: Duration = Duration::from_secs(45);
/// How often it looks meanwhile what others have decided, on other replicas or on the machine.
const PAUSE: Duration = Duration::from_secs(1);

/// Facts that are shown of each kind, and their longest text in bytes.
const MOST_FACTS: usize = 32;
const LONGEST_FACT: usize = 200;

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
        if let Some(own) = found.filter(|own| own.state == State::Approved) {
            let id = call.id.to_string();
            if store.take_approval(&own, &id, None, now()).await.map_err(unavailable)? {
                store.send_approval(&own.id, &id).await.map_err(unavailable)?;
            }
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
            _ => return told(gateway, call, &approval),
        }
    }
}

/// What must be approved: what policies hold, and what another stage does. Each has its own name, for votes count by it.
fn holds_of(decision: Option<&Decision>, held: Option<&Held>) -> Vec<Hold> {
    let decision = decision.filter(|decision| decision.verdict == Verdict::Hold);
    let mut holds = decision.map(|decision| decision.holds.clone()).unwrap_or_default();
    if let Some(Held { hold, reason, by }) = held {
        let mut policy = by.clone();
        while holds.iter().any(|hold| hold.policy == policy) {
            policy.insert(0, '@');
        }
        holds.push(Hold { policy, reason: Some(reason.clone()), ..hold.clone() });
    }
    holds
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

/// What people are shown of what was learnt of a call, bounded.
fn facts_shown(facts: &Facts) -> BTreeMap<String, Vec<String>> {
    [("findings", &facts.findings), ("data", &facts.data), ("flow", &facts.flow)]
        .into_iter()
        .filter(|(_, items)| !items.is_empty())
        .map(|(name, items)| {
            let shown = items
                .iter()
                .take(MOST_FACTS)
                .map(|item| item[..item.floor_char_boundary(LONGEST_FACT)].to_owned());
            (name.to_owned(), shown.collect())
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_policy::{Approver, Code};

    fn hold(policy: &str, role: &str) -> Hold {
        Hold {
            policy: policy.into(),
            reason: None,
            approvers: vec![Approver::Role(role.into())],
            ttl: 60,
            people: 1,
            remember: None,
            by_self: false,
            edit: Vec::new(),
        }
    }

    fn decision(verdict: Verdict, holds: Vec<Hold>) -> Decision {
        Decision { verdict, holds, ..Decision::denied(Code::ApprovalRequired) }
    }

    #[test]
    fn what_policies_and_what_other_stages_hold_must_all_be_approved() {
        let held = Held {
            hold: hold("", "security"),
            reason: "It contains a secret".into(),
            by: "inspection".into(),
        };
        let names = |holds: &[Hold]| -> Vec<(String, Option<String>, String)> {
            holds
                .iter()
                .map(|it| (it.policy.clone(), it.reason.clone(), it.approvers[0].to_string()))
                .collect()
        };
        let own = |name: &str| {
            let why = Some("It contains a secret".to_owned());
            (name.to_owned(), why, "role:security".to_owned())
        };
        assert!(holds_of(None, None).is_empty());
        assert_eq!(names(&holds_of(None, Some(&held))), [own("inspection")]);
        let allowed = decision(Verdict::Allow, Vec::new());
        assert_eq!(names(&holds_of(Some(&allowed), Some(&held))), [own("inspection")]);
        let both = decision(Verdict::Hold, vec![hold("p", "lead")]);
        let lead = ("p".to_owned(), None, "role:lead".to_owned());
        assert_eq!(names(&holds_of(Some(&both), Some(&held))), [lead, own("inspection")]);
        // A policy of the same name is another: a vote for one is none for the other.
        let same = decision(Verdict::Hold, vec![hold("inspection", "lead")]);
        let both = holds_of(Some(&same), Some(&held));
        assert_eq!((&*both[0].policy, &*both[1].policy), ("inspection", "@inspection"));
    }

    #[test]
    fn what_is_shown_of_facts_is_bounded() {
        let mut facts = Facts::default();
        assert!(facts_shown(&facts).is_empty());
        facts.flow.extend((0..100).map(|at| format!("{at:03}{}", "é".repeat(200))));
        let shown = facts_shown(&facts);
        assert_eq!(shown["flow"].len(), MOST_FACTS);
        assert!(shown["flow"].iter().all(|item| item.len() <= LONGEST_FACT));
    }
}
