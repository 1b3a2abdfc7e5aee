//! What the server offers, as data: see `tests/conformance/catalogue.json`.

use std::sync::LazyLock;

use regex_lite::{Captures, Regex};
use serde_json::{Map, Value};

pub static CATALOGUE: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../conformance/catalogue.json")).unwrap()
});

static PLACE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{([A-Za-z_][A-Za-z0-9_/]*)\}").unwrap());

/// A copy of `value` in which `{name}`, or `{name/member/0}`, in a string is what is known by it.
pub fn filled(value: &Value, known: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => {
            PLACE.replace_all(text, |place: &Captures| found(&place[1], known)).into_owned().into()
        }
        Value::Array(items) => items.iter().map(|item| filled(item, known)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), filled(member, known)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn found(path: &str, known: &Map<String, Value>) -> String {
    let (name, rest) = path
        .split_once('/')
        .map_or((path, String::new()), |(name, rest)| (name, format!("/{rest}")));
    match known.get(name).and_then(|value| value.pointer(&rest)) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => format!("{{{path}}}"),
    }
}

/// The entry for a resource or for the template that its URI fits; what the template's variable
/// stands for becomes known.
pub fn resource(uri: &str, known: &mut Map<String, Value>) -> Option<&'static Value> {
    if let Some(entry) = CATALOGUE["resources"].get(uri) {
        return Some(entry);
    }
    CATALOGUE["templates"].as_object()?.iter().find_map(|(template, entry)| {
        let (before, after) = template.split_once("{id}")?;
        let id = uri.strip_prefix(before)?.strip_suffix(after)?;
        known.insert("id".into(), id.into());
        Some(entry)
    })
}
