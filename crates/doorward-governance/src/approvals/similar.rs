//! What was decided about other calls of the same tool by the same caller, for whoever decides now.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{Context, SHA256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::bound::{finish, put};
use super::{Approval, Subject};

/// Names of arguments that differ, and their longest in bytes.
const MOST_NAMES: usize = 20;
const LONGEST_NAME: usize = 100;

/// A decision about another call of the same tool by the same caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Similar {
    /// The ID of its approval.
    pub id: String,
    /// Whether it was approved; it was refused otherwise.
    pub approved: bool,
    /// Who decided.
    pub by: Vec<String>,
    /// When it was decided, in seconds since 1970.
    pub at: i64,
    /// The outcome of the call, as in audit records: `ok`, `tool_error` or `error`, for example. Absent if the call was not
    /// made, or if its outcome is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Names of arguments whose values, as approvers see them, differ from those of this call: up to 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
}

impl Similar {
    /// The decision about another call; `None` if it was not decided.
    pub fn of(other: &Approval, outcome: Option<String>, this: &Subject) -> Option<Self> {
        let is_refused = other.votes.iter().any(|vote| !vote.approves);
        let is_decided = is_refused || other.missing().is_empty();
        let last = other.votes.last().filter(|_| is_decided)?;
        let decisive = other.votes.iter().filter(|vote| vote.approves != is_refused);
        Some(Self {
            id: other.id.clone(),
            approved: !is_refused,
            by: decisive.map(|vote| vote.by.clone()).collect(),
            at: last.at,
            outcome,
            differs: differing(&other.subject.arguments, &this.arguments),
        })
    }

    /// In words, without the time.
    pub fn in_words(&self) -> String {
        let decision = if self.approved { "approved" } else { "refused" };
        let outcome = self.outcome.as_deref().map(|outcome| format!("; outcome: {outcome}"));
        let differs = match &*self.differs {
            [] => "; same arguments".to_owned(),
            names => format!("; other values of {}", names.join(", ")),
        };
        format!("{decision} by {}{}{differs}", self.by.join(", "), outcome.unwrap_or_default())
    }
}

impl Subject {
    /// The same for all calls of a tool, prompt or resource.
    pub fn target(&self) -> String {
        let mut context = Context::new(&SHA256);
        for part in ["target", &self.method, &self.server, &self.name] {
            put(&mut context, part.as_bytes());
        }
        finish(context).to_string()
    }
}

/// Names of members with different values, or with one value only.
fn differing(one: &str, other: &str) -> Vec<String> {
    let read = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
    let (one, other) = (read(one), read(other));
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differs = names.into_iter().filter(|name| one.get(*name) != other.get(*name));
    let named = differs.map(|name| name[..name.floor_char_boundary(LONGEST_NAME)].to_owned());
    named.take(MOST_NAMES).collect()
}
