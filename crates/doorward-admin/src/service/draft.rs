//! Drafts a rule from a call: as narrow as it can be, and shown with all files, so that it can be compared, tried and applied.

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{Action, Case, Decision, PolicySet, PrincipalKind, Request, TargetKind};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::audit::{self, records::joined};
use super::policies::{Policy, active_files, invalid, policy_of};
use super::simulate::request_of;
use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::problem::Problem;

pub const DRAFT: Operation<Wish, Draft> = Operation::new(
    "policies.draft",
    (Verb::Post, "/admin/v1/policies/draft"),
    "Draft a rule that permits or forbids what a recorded call did; nothing is applied",
    (Action::View, On::Gateway),
    |desk, input| Box::pin(async move { draft(&desk, input).await }),
);

/// The file that drafts are added to.
const FILE: &str = "drafted.cedar";

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// The id of a recorded call. Requires `read_audit` for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Or a request, in the form of a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<Value>,
    /// Default: the opposite of what was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// One of the draft's `who`. Default: the caller alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// One of the draft's `what`. Default: the tool, prompt or resource alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Permit,
    Forbid,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Draft {
    pub id: String,
    /// The file that it is added to.
    pub file: String,
    /// The rule, in Cedar.
    pub text: String,
    pub effect: Effect,
    /// Whom the rule could be about, the narrowest first: `user:ada`, `team:support`, `role:clerk`.
    pub who: Vec<String>,
    /// What the rule could be about, the narrowest first: `tool:mail/send`, `server:mail`.
    pub what: Vec<String>,
    /// How the call is decided now.
    pub before: Verdict,
    /// How it would be decided with the rule.
    pub after: Verdict,
    /// The rule changes the decision as wished. If not, see which policies decide `after`: a policy that forbids prevails
    /// over every one that permits.
    pub helps: bool,
    /// All policy files with the rule, for `diff`, `simulate` and `apply`.
    pub files: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    pub allowed: bool,
    /// The reason that the caller would see.
    pub reason: String,
    /// The policies that decide.
    pub policies: Vec<Policy>,
}

async fn draft(desk: &Desk, wish: Wish) -> Result<Draft, Problem> {
    let request = request(desk, &wish).await?;
    let mut files = active_files(desk).await?.unwrap_or_default();
    let compile =
        |files: &BTreeMap<_, _>| PolicySet::compile(files).map_err(|findings| invalid(&findings));
    let set = compile(&files)?;
    if set.is_empty() {
        let why = "no policies are active, so that everything is permitted, and with one rule nothing else would be: \
                   apply policies that permit what is to be permitted first";
        return Err(Problem::invalid(why));
    }
    let before = set.decide(&request);
    let effect = wish.effect.unwrap_or_else(|| match before.is_allowed() {
        true => Effect::Forbid,
        false => Effect::Permit,
    });
    let (who, what) = (who(&request), what(&request));
    let about = |wish: Option<String>, of: &[String], name: &str| match wish {
        None => Ok(of[0].clone()),
        Some(wish) if of.contains(&wish) => Ok(wish),
        Some(_) => Err(Problem::invalid(format!("'{name}' must be one of {}", of.join(", ")))),
    };
    let principal = about(wish.who, &who, "who")?;
    let resource = about(wish.what, &what, "what")?;
    let id = name(&set);
    let text = rule(&id, effect, &principal, &resource, &request);
    let whole = files.entry(FILE.to_owned()).or_default();
    if !whole.is_empty() {
        whole.push('\n');
    }
    whole.push_str(&text);
    let new = compile(&files)?;
    let after = new.decide(&request);
    Ok(Draft {
        helps: after.is_allowed() == (effect == Effect::Permit),
        id,
        file: FILE.into(),
        text,
        effect,
        who,
        what,
        before: verdict(&set, &before),
        after: verdict(&new, &after),
        files,
    })
}

fn verdict(set: &PolicySet, decision: &Decision) -> Verdict {
    Verdict {
        allowed: decision.is_allowed(),
        reason: decision.reason(),
        policies: decision.policies.iter().map(|one| policy_of(set, &one.id)).collect(),
    }
}

/// What was asked.
async fn request(desk: &Desk, wish: &Wish) -> Result<Request, Problem> {
    match (&wish.record, &wish.case) {
        (Some(id), None) => {
            let records = audit::show(desk, id).await?.records;
            let record = records.into_iter().reduce(joined).unwrap_or_default();
            request_of(record, &TimeZone::UTC).ok_or_else(|| {
                Problem::invalid("the record is not of a call that policies decide: of a tool, prompt or resource")
            })
        }
        (None, Some(case)) => {
            let case: Case = serde_json::from_value(case.clone())
                .map_err(|error| Problem::invalid(format!("case: {error}")))?;
            let request = case.request().map_err(|why| Problem::invalid(format!("case: {why}")))?;
            match request.target.kind {
                TargetKind::Tool | TargetKind::Prompt | TargetKind::Resource => Ok(request),
                _ => Err(Problem::invalid("case: set 'tool', 'prompt' or 'resource'")),
            }
        }
        _ => Err(Problem::invalid("set 'record' or 'case'")),
    }
}

/// Whom a rule about a request could be about, the narrowest first.
fn who(request: &Request) -> Vec<String> {
    let principal = &request.principal;
    let kind = match principal.kind {
        PrincipalKind::User => "user",
        PrincipalKind::Agent => "agent",
        PrincipalKind::ServiceAccount => "service_account",
    };
    let mut all = vec![format!("{kind}:{}", principal.id)];
    all.extend(principal.teams.iter().map(|team| format!("team:{team}")));
    all.extend(principal.roles.iter().map(|role| format!("role:{role}")));
    all
}

/// What a rule about a request could be about, the narrowest first.
fn what(request: &Request) -> Vec<String> {
    let target = &request.target;
    let kind = match target.kind {
        TargetKind::Prompt => "prompt",
        TargetKind::Resource => "resource",
        _ => "tool",
    };
    vec![format!("{kind}:{}", target.id()), format!("server:{}", target.server)]
}

/// An id that no policy has yet.
fn name(set: &PolicySet) -> String {
    let taken: BTreeSet<&str> = set.policies().map(|(id, _)| id).collect();
    let mut names = (1..=taken.len() + 1).map(|number| format!("drafted-{number}"));
    names.find(|name| !taken.contains(name.as_str())).unwrap_or_default()
}

fn rule(id: &str, effect: Effect, who: &str, what: &str, request: &Request) -> String {
    let entity = |of: &str| {
        let (kind, name) = of.split_once(':').unwrap_or((of, ""));
        let (word, kind) = match kind {
            "user" => ("==", "User"),
            "agent" => ("==", "Agent"),
            "service_account" => ("==", "ServiceAccount"),
            "team" => ("in", "Team"),
            "role" => ("in", "Role"),
            "prompt" => ("==", "Prompt"),
            "resource" => ("==", "Resource"),
            "server" => ("in", "Server"),
            _ => ("==", "Tool"),
        };
        format!("{word} {kind}::{}", quoted(name))
    };
    let effect = match effect {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
    };
    let action = quoted(request.action.as_str());
    let mut text = format!(
        "@id({})\n{effect} (\n    principal {},\n    action == Action::{action},\n    resource {}\n)",
        quoted(id),
        entity(who),
        entity(what)
    );
    // An agent that acts for a user has made the call: a rule about the user alone would permit it to every other one.
    let agent = request.context.agent.as_deref().filter(|_| effect == "permit");
    if let Some(agent) = agent {
        let agent = quoted(agent);
        text.push_str("\nwhen { context has agent && context.agent == Agent::");
        text.push_str(&agent);
        text.push_str(" }");
    }
    text.push_str(";\n");
    text
}

/// A string as Cedar writes it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn request(case: Value) -> Request {
        serde_json::from_value::<Case>(case).unwrap().request().unwrap()
    }

    #[test]
    fn a_rule_is_about_what_was_asked_and_nothing_else() {
        let names = [
            "ada",
            "a\"; permit(principal, action, resource); //",
            "back\\slash",
            "日本\n\u{202e}",
        ];
        for name in names {
            let tool = format!("mail/{name}");
            let asked =
                request(json!({ "user": name, "agent": name, "tool": tool, "teams": ["a\"b"] }));
            for (at, who) in who(&asked).iter().enumerate() {
                for what in what(&asked) {
                    let text = rule("drafted-1", Effect::Permit, who, &what, &asked);
                    let set =
                        PolicySet::compile(&[(FILE.to_owned(), text.clone())].into()).unwrap();
                    assert_eq!(set.len(), 1, "{text}");
                    assert!(set.decide(&asked).is_allowed(), "{text}");
                    let other = request(json!({ "user": "eve", "agent": name, "tool": tool }));
                    assert!(!set.decide(&other).is_allowed(), "{text}");
                    let other = request(
                        json!({ "user": name, "agent": "eve", "tool": tool, "teams": ["a\"b"] }),
                    );
                    assert!(!set.decide(&other).is_allowed(), "{text}");
                    let other = request(
                        json!({ "user": name, "agent": name, "tool": "mail/other", "teams": ["a\"b"] }),
                    );
                    assert_eq!(
                        set.decide(&other).is_allowed(),
                        what.starts_with("server:"),
                        "{at}: {text}"
                    );
                }
            }
        }
    }
}
