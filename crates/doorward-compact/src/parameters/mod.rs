//! Parameters of a tool by a portal's rules: fixed, hidden, with a default, or described anew.
//!
//! [`check`] adapts the input schema once. [`Adapted::arguments`] turns a caller's arguments into those of the tool, or
//! refuses them. A caller cannot set what is fixed or hidden, whatever the schema accepts: the arguments themselves are
//! searched for it, in every spelling that some server may read as the name. What is composed (`allOf`, `anyOf`,
//! `patternProperties` and the like) around such a parameter is refused as a [`Problem`] instead of being guessed at.
//!
//! The caller's arguments are still to be validated by [`Adapted::schema`], and what comes of them by the tool's own
//! schema: neither is done here.

mod apply;
mod edit;
mod fits;
mod names;
mod open;
mod plan;

use doorward_mcp::{Object, Value};

use crate::Path;
use crate::node::Node;
use crate::path::Step;
use crate::schemas::{MOST_BYTES, References, drop_unused};
use plan::Plan;

/// Most rules for one tool.
const MOST_RULES: usize = 128;
/// Longest value of a rule, in bytes.
const MOST_VALUE_BYTES: usize = 64 << 10;

/// What happens to a parameter.
#[derive(Debug, Clone)]
pub enum Action {
    /// It has this value in every call, and the caller must not set it. Objects around it are created where the caller
    /// leaves them out; within arrays, it is set in each item.
    Fix(Value),
    /// The caller must not set it, and no value is sent.
    Hide,
    /// It has this value where the caller leaves it out. Objects around it are created for it, unless the caller must
    /// set something else in them.
    Default(Value),
    /// It has this description.
    Describe(String),
}

impl Action {
    /// Whether the caller must not set the parameter.
    fn is_closed(&self) -> bool {
        matches!(self, Self::Fix(_) | Self::Hide)
    }

    fn value(&self) -> Option<&Value> {
        match self {
            Self::Fix(value) | Self::Default(value) => Some(value),
            Self::Hide | Self::Describe(_) => None,
        }
    }
}

/// A rule for one parameter.
#[derive(Debug, Clone)]
pub struct Rule {
    pub path: Path,
    pub action: Action,
}

/// Why a rule cannot be applied to a schema. Without a path, it concerns the schema or all rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub path: Option<Path>,
    pub why: String,
}

/// Why a caller's arguments are refused. The path has the numbers of array items: `list[3].name`. It is spelled as the
/// rule spells it, not as the caller did; it is empty for the arguments as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub path: String,
    pub why: &'static str,
}

/// A tool's input schema by the rules of a portal.
#[derive(Debug, Clone)]
pub struct Adapted {
    schema: Value,
    plan: Plan,
}

impl Adapted {
    /// The schema for callers: without what is fixed or hidden.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// The tool's arguments from those of a caller. What the rules do not concern stays as it was written, byte for
    /// byte. Arguments that are nested too deeply or repeat a name are refused.
    pub fn arguments(&self, sent: &Object) -> Result<Object, Refused> {
        apply::arguments(&self.plan, sent)
    }
}

/// Adapts an input schema. Without rules, it is unchanged. All problems are returned, each with its path.
pub fn check(schema: &Value, rules: &[Rule]) -> Result<Adapted, Vec<Problem>> {
    if rules.is_empty() {
        return Ok(Adapted { schema: schema.clone(), plan: Plan::default() });
    }
    let whole = |why: &str| vec![Problem { path: None, why: why.to_owned() }];
    if rules.len() > MOST_RULES {
        return Err(whole("there are more than 128 rules for one tool"));
    }
    let text = schema.to_bytes();
    let read = if text.len() <= MOST_BYTES { Node::read(&text) } else { None };
    let Some(original) = read.filter(Node::is_object) else {
        return Err(whole(
            "the tool's input schema is not a JSON object of at most 1 MiB, so rules cannot be applied",
        ));
    };
    let mut problems = conflicts(rules);
    let references = References::of(&original);
    let mut made = original.clone();
    let mut edit = edit::Edit::new(&original);
    let mut plan = Plan::default();
    for rule in rules {
        let steps = rule.path.steps();
        let result = value(rule).and_then(|value| match troubled(&references, rule) {
            Some(to) => Err(format!(
                "the schema has a reference ({to}) whose meaning the rule could change"
            )),
            None => edit.apply(&mut made, steps, &rule.action, value.as_ref()).map(|()| value),
        });
        match result {
            Ok(value) => plan.add(steps, &rule.action, value.as_ref()),
            Err(why) => problems.push(Problem { path: Some(rule.path.clone()), why }),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    plan.settle(&mut made);
    if edit.has_copied() || rules.iter().any(|rule| rule.action.is_closed()) {
        drop_unused(&mut made);
    }
    Ok(Adapted { schema: made.to_value(), plan })
}

/// The value of a rule, parsed.
fn value(rule: &Rule) -> Result<Option<Node>, String> {
    let Some(value) = rule.action.value() else { return Ok(None) };
    let text = value.to_bytes();
    if text.len() > MOST_VALUE_BYTES {
        return Err("its value is longer than 64 KiB".to_owned());
    }
    Node::read(&text).map(Some).ok_or_else(|| "its value is not JSON".to_owned())
}

/// A reference that may lead to what a rule changes.
fn troubled(references: &References, rule: &Rule) -> Option<String> {
    if references.have_unknown_places() {
        return Some("$id, $anchor, $dynamicRef or a reference by address".to_owned());
    }
    if let (Action::Describe(_), [_]) = (&rule.action, rule.path.steps()) {
        return None;
    }
    let Some(Step::Name(first)) = rule.path.steps().first() else { return None };
    let first = first.replace('~', "~0").replace('/', "~1");
    let is_apart = |to: &str| {
        if to.starts_with("/$defs/") || to.starts_with("/definitions/") {
            return true;
        }
        let Some(rest) = to.strip_prefix("/properties/") else { return false };
        rest.split('/').next() != Some(&*first)
    };
    references.local.iter().filter(|to| !is_apart(to)).min().map(|to| format!("'#{to}'"))
}

/// Rules that contradict one another.
fn conflicts(rules: &[Rule]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add =
        |rule: &Rule, why: String| problems.push(Problem { path: Some(rule.path.clone()), why });
    for (at, rule) in rules.iter().enumerate() {
        match rule.path.steps() {
            [Step::Items, ..] => {
                add(rule, "the path starts with '[]', but arguments are an object".to_owned());
            }
            [.., Step::Items] if !matches!(rule.action, Action::Describe(_)) => {
                add(rule, "items of an array can only be described; fix or hide the array, or what is in its items".to_owned());
            }
            _ => {}
        }
        for other in &rules[..at] {
            let is_description = |rule: &Rule| matches!(rule.action, Action::Describe(_));
            let (is_one, is_two) = (is_description(other), is_description(rule));
            let is_closed = other.action.is_closed() || rule.action.is_closed();
            if other.path == rule.path {
                if is_one == is_two || is_closed {
                    add(rule, "another rule for the same parameter contradicts it".to_owned());
                }
                continue;
            }
            let (inner, outer) = match rule.path.is_within(&other.path) {
                true => (rule, other),
                false if other.path.is_within(&rule.path) => (other, rule),
                false => continue,
            };
            if !is_description(outer) && (!is_description(inner) || outer.action.is_closed()) {
                add(inner, format!("another rule sets or hides all of '{}'", outer.path));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests;
