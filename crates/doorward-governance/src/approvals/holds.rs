//! What holds a call: policies, and other stages that require approval. A call that another stage holds runs only if the
//! policies permit it, too; if these hold it as well, the approvers of both must approve it.

use std::collections::BTreeMap;

use doorward_policy::{Decision, Facts, Hold, Verdict};

/// Facts that are shown of each kind, and their longest text in bytes.
const MOST_FACTS: usize = 32;
const LONGEST_FACT: usize = 200;

/// Adds what another stage than the policies requires to what others of them do. The error names these, if they require other
/// approvers.
pub fn join(held: &mut Option<Box<Hold>>, other: Hold) -> Result<(), String> {
    let Some(held) = held else {
        *held = Some(Box::new(other));
        return Ok(());
    };
    if held.approvers != other.approvers {
        return Err(held.policy.clone());
    }
    held.ttl = held.ttl.min(other.ttl);
    held.people = held.people.max(other.people);
    held.policy = format!("{}, {}", held.policy, other.policy);
    let reasons: Vec<String> = held.reason.take().into_iter().chain(other.reason).collect();
    held.reason = Some(reasons.join("; "));
    Ok(())
}

/// What must be approved: what policies hold, and what another stage does. Each has its own name, for votes count by it.
pub fn holds_of(decision: Option<&Decision>, held: Option<&Hold>) -> Vec<Hold> {
    let decision = decision.filter(|decision| decision.verdict == Verdict::Hold);
    let mut holds = decision.map(|decision| decision.holds.clone()).unwrap_or_default();
    if let Some(held) = held {
        let mut policy = held.policy.clone();
        while holds.iter().any(|hold| hold.policy == policy) {
            policy.insert(0, '@');
        }
        holds.push(Hold { policy, ..held.clone() });
    }
    holds
}

/// What people are shown of what was learnt of a call, bounded.
pub fn facts_shown(facts: &Facts) -> BTreeMap<String, Vec<String>> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

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
        let own = hold("inspection", "security");
        let named = |name: &str| Hold { policy: name.into(), ..own.clone() };
        assert!(holds_of(None, None).is_empty());
        assert_eq!(holds_of(None, Some(&own)), std::slice::from_ref(&own));
        let allowed = decision(Verdict::Allow, Vec::new());
        assert_eq!(holds_of(Some(&allowed), Some(&own)), std::slice::from_ref(&own));
        let both = decision(Verdict::Hold, vec![hold("p", "lead")]);
        assert_eq!(holds_of(Some(&both), Some(&own)), [hold("p", "lead"), own.clone()]);
        // A policy of the same name is another: a vote for one is none for the other.
        let same = decision(Verdict::Hold, vec![hold("inspection", "lead")]);
        let both = holds_of(Some(&same), Some(&own));
        assert_eq!(both, [hold("inspection", "lead"), named("@inspection")]);
    }

    #[test]
    fn stages_that_hold_a_call_for_the_same_approvers_are_satisfied_together() {
        let mut held = None;
        let with = |policy: &str, ttl, people| {
            let reason = Some(format!("{policy} says so"));
            Hold { reason, ttl, people, ..hold(policy, "lead") }
        };
        join(&mut held, with("inspection", 60, 1)).unwrap();
        join(&mut held, with("check:a", 30, 2)).unwrap();
        let reason = Some("inspection says so; check:a says so".to_owned());
        let joined = Hold { reason, ..with("inspection, check:a", 30, 2) };
        assert_eq!(held.as_deref(), Some(&joined));
        // Others would have to decide: nobody can tell what is enough.
        let other = join(&mut held, hold("check:b", "security"));
        assert_eq!(other, Err("inspection, check:a".to_owned()));
        assert_eq!(held.as_deref(), Some(&joined));
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
