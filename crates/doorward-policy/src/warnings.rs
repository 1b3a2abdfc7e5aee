//! Policies that match the schema, but probably do not do what is expected.

use std::collections::BTreeMap;

use cedar_policy::{ActionConstraint, PrincipalConstraint, ResourceConstraint};

use crate::compile::{About, Compiled};
use crate::decide::Effect;
use crate::entities::{action_uid, administer};
use crate::findings::Finding;
use crate::request::Action;

/// Checks each policy separately.
pub(crate) fn of(all: &[Compiled], about: &BTreeMap<String, About>) -> Vec<Finding> {
    let mut found = Vec::new();
    for one in all.iter().filter(|one| one.deciding.effect == Effect::Permit) {
        let id = &one.deciding.id;
        let Some(about) = about.get(id) else { continue };
        let mut warn = |problem: String| {
            found.push(Finding::warning(&about.file, about.line, problem));
        };
        match one.policy.action_constraint() {
            ActionConstraint::Any if may_be_about_the_gateway(one) => warn(format!(
                "'{id}' permits every action, which does not include administration: write \
                    'action in Action::\"use\"' for everything that callers do, and 'action in \
                    Action::\"administer\"' for operators"
            )),
            constraint if administers(&constraint) && is_for_everybody(one) => warn(format!(
                "'{id}' makes every authenticated caller an operator: restrict its principal"
            )),
            _ => {}
        }
    }
    found.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    found
}

/// Whether somebody may have written it for operators, too.
fn may_be_about_the_gateway(one: &Compiled) -> bool {
    match one.policy.resource_constraint() {
        ResourceConstraint::Any => true,
        ResourceConstraint::Is(kind) | ResourceConstraint::IsIn(kind, _) => {
            kind.to_string() == "Gateway"
        }
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => {
            uid.type_name().to_string() == "Gateway"
        }
    }
}

fn administers(constraint: &ActionConstraint) -> bool {
    let mut known = vec![administer()];
    known.extend(Action::ADMINISTER.into_iter().map(action_uid));
    match constraint {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(named) => known.contains(named),
        ActionConstraint::In(named) => named.iter().any(|named| known.contains(named)),
    }
}

fn is_for_everybody(one: &Compiled) -> bool {
    let anybody = matches!(
        one.policy.principal_constraint(),
        PrincipalConstraint::Any | PrincipalConstraint::Is(_)
    );
    anybody && !one.policy.has_non_scope_constraint()
}
