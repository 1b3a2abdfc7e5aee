//! What a portal leaves out of tools' definitions and results, and which parameters it sets.

use std::collections::{BTreeMap, BTreeSet};

use doorward_compact::parameters::{Action, Rule};
use doorward_compact::results::ResultRules;
use doorward_compact::schemas::SchemaRules;
use doorward_mcp::Value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ByteSize;

/// Shorter definitions and results of tools, for models. Nothing is left out unless it is set here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompactSettings {
    /// Longest description of a tool or parameter, in characters. Longer ones end with a sentence if possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub descriptions: Option<usize>,
    /// What to leave out of schemas.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub drop: BTreeSet<Dropped>,
    /// Longest results. Structured content that has an output schema is never cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<ResultCuts>,
}

/// A part of a schema that a model can do without.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    Examples,
    Defaults,
    Titles,
    /// Equal parts are written once, and definitions that nothing refers to are left out.
    Repetitions,
}

/// How results of tools are cut. Clients read on with the tool `read_more`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResultCuts {
    /// Most bytes of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteSize>,
    /// Most items of the longest array of a JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub items: Option<usize>,
    /// Fields of a JSON text that are shown first, such as `items[].name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Write arrays of like objects as tables where that is shorter.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tables: bool,
}

/// Rules for the parameters of one tool, by path: `limit`, `filter.owner`, `items[].id`.
pub type ParameterRules = BTreeMap<String, ParameterRule>;

/// What happens to a parameter of a tool. Exactly one of `fix`, `hide` and `default`, or `describe`, which can be
/// combined with `default`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ParameterRule {
    /// The value in every call. Callers neither see nor set the parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<serde_json::Value>,
    /// Callers neither see nor set the parameter, and no value is sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hide: bool,
    /// The value where a caller gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// Another description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub describe: Option<String>,
}

/// The smallest piece that a result may be cut into.
const LEAST_BYTES: usize = 256;

impl CompactSettings {
    /// Problems, by key.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.descriptions == Some(0) {
            problems.push(("descriptions", "must be at least 1".into()));
        }
        let Some(results) = &self.results else { return problems };
        if results.bytes.is_some_and(|bytes| bytes.0 < LEAST_BYTES) {
            problems.push(("results.bytes", format!("must be at least {LEAST_BYTES}")));
        }
        if results.items == Some(0) {
            problems.push(("results.items", "must be at least 1".into()));
        }
        for field in &results.fields {
            if let Err(why) = field.parse::<doorward_compact::Path>() {
                problems.push(("results.fields", format!("'{field}': {why}")));
            }
        }
        problems
    }

    /// For input and output schemas.
    pub fn schema_rules(&self) -> SchemaRules {
        let drops = |what| self.drop.contains(&what);
        SchemaRules {
            drops_examples: drops(Dropped::Examples),
            drops_defaults: drops(Dropped::Defaults),
            drops_titles: drops(Dropped::Titles),
            drops_unused_definitions: drops(Dropped::Repetitions),
            shares_equal: drops(Dropped::Repetitions),
            description_chars: self.descriptions,
        }
    }

    /// For results; `None` if they are left as they are.
    pub fn result_rules(&self) -> Option<ResultRules> {
        let results = self.results.as_ref()?;
        Some(ResultRules {
            bytes: results.bytes.map(|bytes| bytes.0),
            items: results.items,
            fields: results.fields.iter().filter_map(|field| field.parse().ok()).collect(),
            tables: results.tables,
        })
    }
}

impl ParameterRule {
    fn problem(&self) -> Option<&'static str> {
        let values = [self.fix.is_some(), self.hide, self.default.is_some()];
        match (values.iter().filter(|is_set| **is_set).count(), &self.describe) {
            (0, None) => Some("set 'fix', 'hide', 'default' or 'describe'"),
            (1, None) | (0, Some(_)) => None,
            (1, Some(_)) if self.default.is_some() => None,
            (1, Some(_)) => Some("what callers do not see cannot be described"),
            _ => Some("'fix', 'hide' and 'default' exclude one another"),
        }
    }

    fn actions(&self) -> impl Iterator<Item = Action> {
        let fix = self.fix.as_ref().map(|value| Action::Fix(Value::from_serde(value)));
        let hide = self.hide.then_some(Action::Hide);
        let default = self.default.as_ref().map(|value| Action::Default(Value::from_serde(value)));
        let describe = self.describe.clone().map(Action::Describe);
        [fix, hide, default, describe].into_iter().flatten()
    }
}

/// Problems of the rules of all tools.
pub(super) fn parameter_problems(all: &BTreeMap<String, ParameterRules>) -> Vec<String> {
    let mut problems = Vec::new();
    for (tool, rules) in all {
        if !tool.contains('/') {
            problems.push(format!("'{tool}': expected server/name"));
        }
        for (path, rule) in rules {
            if let Err(why) = path.parse::<doorward_compact::Path>() {
                problems.push(format!("'{tool}': '{path}': {why}"));
            }
            if let Some(why) = rule.problem() {
                problems.push(format!("'{tool}': '{path}': {why}"));
            }
        }
    }
    problems
}

/// The rules of one tool. Rules with problems are left out: settings with such are not in force.
pub fn parameter_rules(rules: &ParameterRules) -> Vec<Rule> {
    let parsed = rules.iter().filter_map(|(path, rule)| Some((path.parse().ok()?, rule)));
    let all = parsed.flat_map(|(path, rule): (doorward_compact::Path, _)| {
        rule.actions().map(move |action| Rule { path: path.clone(), action })
    });
    all.collect()
}
