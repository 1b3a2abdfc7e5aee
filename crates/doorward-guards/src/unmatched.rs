//! Patterns of the guards' settings that match nothing that is configured: allowed, because servers can be added later,
//! but often misspelled.

use std::collections::BTreeSet;

use doorward_config::{Problem, Settings};
use doorward_core::pattern::Pattern;

use crate::inspection::{NOT_INSPECTED, Prepared};

/// Patterns of `inspection`, `flow` and `checks` that match no server, signal or class of data.
pub fn unmatched(settings: &Settings, inspection: &Prepared) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |path: &[&str], problem: String| {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        found.push(Problem { path, problem });
    };
    let of_no_server = |pattern: &Pattern| {
        let matches = |name: &String| pattern.may_begin_with(&format!("{name}/"));
        (!settings.servers.keys().any(matches)).then(|| no_server(settings, pattern))
    };
    if let Some(inspection) = &settings.inspection {
        for (number, exception) in inspection.exceptions.iter().enumerate() {
            for why in exception.only.iter().filter_map(of_no_server) {
                add(&["inspection", "exceptions", &number.to_string(), "only"], why);
            }
        }
        for why in inspection.detokenize.iter().filter_map(of_no_server) {
            add(&["inspection", "detokenize"], why);
        }
    }
    for (name, check) in &settings.checks {
        for why in check.targets.iter().filter_map(of_no_server) {
            add(&["checks", name, "targets"], why);
        }
    }
    let flow = &settings.flow;
    let signals: BTreeSet<&str> = inspection.signals().chain([NOT_INSPECTED]).collect();
    let classes: BTreeSet<&str> = inspection.classes().collect();
    let kinds =
        [("findings", &flow.findings, signals, "signal"), ("data", &flow.data, classes, "class")];
    for (key, labels, known, what) in kinds {
        for pattern in labels.keys() {
            let path = ["flow", key, &pattern.0];
            if settings.inspection.is_none() {
                add(&path, "nothing is found without 'inspection'".into());
            } else if !known.iter().any(|name| pattern.matches(name)) {
                // Checks may report classes of their own.
                let unless = match (key, settings.checks.is_empty()) {
                    ("data", false) => ", unless a check reports it",
                    _ => "",
                };
                let known = known.iter().copied().collect::<Vec<_>>().join(", ");
                add(&path, format!("matches no {what}{unless}; there are {known}"));
            }
        }
    }
    found
}

fn no_server(settings: &Settings, pattern: &Pattern) -> String {
    if !pattern.0.contains('/') && !pattern.0.contains('*') {
        return format!(
            "'{pattern}' matches nothing: expected server/tool; '*' matches any characters"
        );
    }
    let names: Vec<&str> = settings.servers.keys().map(String::as_str).collect();
    format!("'{pattern}' matches no server of this file; there are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspection::Files;
    use serde_json::json;

    fn found(settings: serde_json::Value) -> Vec<String> {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let prepared = Prepared::of(settings.inspection.as_ref(), Files::default()).unwrap();
        unmatched(&settings, &prepared).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_matches_something_is_not_reported() {
        let all = found(json!({
            "servers": { "mail": { "sample": true } },
            "inspection": {
                "exceptions": [{ "only": ["mail/*", "*", "ma*"] }],
                "detokenize": ["mail/send"],
            },
            "flow": { "findings": { "hide-*": ["untrusted"], "not-inspected": ["x"] }, "data": { "card": ["pii"] } },
            "checks": { "a": { "url": "https://check.example/", "targets": ["*/send"] } },
        }));
        assert_eq!(all, [""; 0]);
    }

    #[test]
    fn what_matches_nothing_is_reported_with_its_key() {
        let all = found(json!({
            "servers": { "mail": { "sample": true } },
            "inspection": {
                "exceptions": [{ "only": ["mail/*"] }, { "only": ["mial/*"] }],
                "detokenize": ["send"],
            },
            "flow": { "findings": { "hide": ["untrusted"] }, "data": { "cards": ["pii"] } },
            "checks": { "a": { "url": "https://check.example/", "targets": ["files/*"] } },
        }));
        let begins = [
            "inspection.exceptions.1.only: 'mial/*' matches no server of this file; there are mail",
            "inspection.detokenize: 'send' matches nothing: expected server/tool",
            "checks.a.targets: 'files/*' matches no server",
            "flow.findings.hide: matches no signal; there are ",
            "flow.data.cards: matches no class, unless a check reports it; there are ",
        ];
        assert_eq!(all.len(), begins.len(), "{all:#?}");
        for (one, begin) in all.iter().zip(begins) {
            assert!(one.starts_with(begin), "{one}");
        }
        let off = found(json!({ "flow": { "data": { "card": ["pii"] } } }));
        assert_eq!(off, ["flow.data.card: nothing is found without 'inspection'"]);
    }
}
