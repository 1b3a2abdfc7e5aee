//! The difference between what is wanted and what there is, as a pure function.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::resources::{Key, Resource, ResourceKind};

/// What happens to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Create,
    Update,
    Delete,
}

/// One change of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Planned {
    pub change: Change,
    pub kind: ResourceKind,
    pub name: String,
    /// For an update: the members that differ, as JSON pointers, and their values before and after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Of a server: somebody has to review it before it is in use.
    #[serde(default)]
    pub needs_review: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// A JSON pointer (RFC 6901).
    pub path: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub before: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub after: Value,
}

/// Compares. With `prunable`, what is there, was applied before and is not wanted is deleted.
pub fn plan(
    wanted: &BTreeMap<Key, Resource>,
    current: &BTreeMap<Key, Resource>,
    prunable: &BTreeSet<(String, String)>,
) -> Vec<Planned> {
    let mut plan = Vec::new();
    for (key, resource) in wanted {
        let (change, differences) = match current.get(key) {
            None => (Change::Create, Vec::new()),
            Some(current) => {
                let (before, after) = (current.value(), resource.value());
                let mut differences = Vec::new();
                compare("", &before, &after, &mut differences);
                if differences.is_empty() {
                    continue;
                }
                (Change::Update, differences)
            }
        };
        let (kind, name) = key.clone();
        plan.push(Planned { change, kind, name, differences, needs_review: false });
    }
    // In the opposite order: what depends on others goes first.
    for (kind, name) in current.keys().rev() {
        let applied = prunable.contains(&(kind.as_str().to_owned(), name.clone()));
        let is_wanted = wanted.contains_key(&(*kind, name.clone()));
        if applied && !is_wanted && *kind != ResourceKind::Policies {
            let differences = Vec::new();
            plan.push(Planned {
                change: Change::Delete,
                kind: *kind,
                name: name.clone(),
                differences,
                needs_review: false,
            });
        }
    }
    plan
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            let (old, new) = (old.get(name), new.get(name));
            let none = Value::Null;
            compare(
                &format!("{path}/{escaped}"),
                old.unwrap_or(&none),
                new.unwrap_or(&none),
                found,
            );
        }
        return;
    }
    let (before, after) = (before.clone(), after.clone());
    found.push(Difference { path: path.to_owned(), before, after });
}

#[cfg(test)]
mod tests {
    use doorward_store::{Entry, Kind};

    use super::*;

    fn user(name: &str, roles: &[&str]) -> (Key, Resource) {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let entry = Entry { roles, ..Entry::new(Kind::User, name) };
        ((ResourceKind::User, name.to_owned()), Resource::Principal(entry))
    }

    #[test]
    fn a_plan_is_the_difference() {
        let current = BTreeMap::from([user("same", &[]), user("other", &["a"]), user("old", &[])]);
        let wanted = BTreeMap::from([user("same", &[]), user("other", &["b"]), user("new", &[])]);
        let applied = BTreeSet::from([("user".to_owned(), "old".to_owned())]);
        let told = |plan: Vec<Planned>| {
            plan.into_iter().map(|it| (it.change, it.name)).collect::<Vec<_>>()
        };
        let both = [(Change::Create, "new".to_owned()), (Change::Update, "other".to_owned())];
        assert_eq!(told(plan(&wanted, &current, &BTreeSet::new())), both);
        let pruned = told(plan(&wanted, &current, &applied));
        assert_eq!(pruned.last(), Some(&(Change::Delete, "old".to_owned())));
        assert_eq!(plan(&wanted, &wanted, &applied), []);
        let update = plan(&wanted, &current, &BTreeSet::new()).remove(1);
        assert_eq!(update.differences[0].path, "/roles");
    }
}
