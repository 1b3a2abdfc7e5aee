//! Whatever a server calls a schema, an operator a rule and a caller arguments: what is fixed has its value, and what is
//! hidden is absent.
//!
//! The first line is the schema; up to an empty line follow rules (`+path value` fixes, `-path` hides, `=path value` is a
//! default, `?path text` describes); then come arguments.

use bytes::Bytes;
use doorward_compact::Path;
use doorward_compact::parameters::{Action, Rule, check as adapt};
use doorward_mcp::Value;
use serde_json::Value as Json;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((schema, rest)) = text.split_once('\n') else { return };
    let (rules, arguments) = rest.split_once("\n\n").unwrap_or((rest, "{}"));
    let rules: Vec<Rule> = rules.lines().filter_map(rule).collect();
    let raw = Value::Raw(Bytes::copy_from_slice(schema.as_bytes()));
    let Ok(adapted) = adapt(&raw, &rules) else { return };
    if rules.is_empty() {
        assert_eq!(adapted.schema().to_bytes(), schema);
        return;
    }
    assert!(json(&adapted.schema().to_bytes()).is_object());
    // Nested as a peer's text may be.
    let Ok(sent) = doorward_mcp::json::scan_object(
        &Bytes::copy_from_slice(arguments.as_bytes()),
        doorward_mcp::json::Limits::default(),
    ) else {
        return;
    };
    let Ok(made) = adapted.arguments(&sent) else { return };
    let made = json(&made.to_bytes());
    for rule in &rules {
        let path = rule.path.to_string();
        // Names in quotes are for the tests of paths.
        if path.contains('"') {
            continue;
        }
        match &rule.action {
            Action::Fix(value) => {
                let value = json(&value.to_bytes());
                let found = at(&made, &path);
                assert!(found.iter().all(|own| **own == value), "{path}: {made}");
                assert!(path.contains("[]") || found.len() == 1, "{path}: {made}");
            }
            Action::Hide => assert!(at(&made, &path).is_empty(), "{path}: {made}"),
            Action::Default(_) | Action::Describe(_) => {}
        }
    }
}

fn rule(line: &str) -> Option<Rule> {
    let (path, value) = line.get(1..)?.split_once(' ').unwrap_or((line.get(1..)?, ""));
    let path: Path = path.parse().ok()?;
    let value = || Value::Raw(Bytes::copy_from_slice(value.as_bytes()));
    let action = match line.chars().next()? {
        '+' => Action::Fix(value()),
        '-' => Action::Hide,
        '=' => Action::Default(value()),
        '?' => Action::Describe(String::from_utf8_lossy(&value().to_bytes()).into_owned()),
        _ => return None,
    };
    Some(Rule { path, action })
}

/// All values at a path.
fn at<'a>(value: &'a Json, path: &str) -> Vec<&'a Json> {
    path.replace("[]", ".[]").split('.').fold(vec![value], |all, step| match step {
        "[]" => all.into_iter().filter_map(Json::as_array).flatten().collect(),
        name => all.into_iter().filter_map(|one| one.get(name)).collect(),
    })
}

fn json(text: &[u8]) -> Json {
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_rule_is_a_line() {
        assert!(super::rule("+a.b 1").is_some() && super::rule("-a").is_some());
        assert!(
            super::rule("a").is_none() && super::rule("").is_none() && super::rule("é a").is_none()
        );
    }
}
