//! The ready-made families of secrets, from their files.
//!
//! They are YAML like the files of operators, but every gateway reads them: these use one line a member, in one style of
//! quotes each, and are read without a parser of YAML, which would take most of the time and memory of a start.

use std::sync::{Arc, LazyLock};

use super::engine::BadDetector;
use super::file::{DetectorRule, Position, default_lengths, default_reach};
use super::rule::Lazy;
use crate::rules::Examples;
use crate::yaml::BadFile;

const FILES: [&str; 2] =
    [include_str!("../../rules/secrets.yaml"), include_str!("../../rules/secrets-more.yaml")];

/// All families, in their order.
pub(super) fn all() -> Result<Vec<DetectorRule>, BadDetector> {
    let mut rules = Vec::with_capacity(256);
    for file in FILES {
        for line in file.lines() {
            let known = line.is_empty() || line.starts_with('#') || line == "detectors:";
            if !known && take(&mut rules, line).is_none() {
                return Err(BadDetector::Format(BadFile::whole(&format!(
                    "this line is not understood: {line}"
                ))));
            }
        }
    }
    Ok(rules)
}

/// The regular expression of a family, by its number in [`all`]. All detectors share it, and what it is compiled to.
pub(super) fn regex(number: usize) -> Arc<Lazy> {
    static ALL: LazyLock<Vec<Arc<Lazy>>> = LazyLock::new(|| {
        let rules = all().unwrap_or_default();
        let regex = |rule: DetectorRule| Arc::new(Lazy::later(&rule.regex.unwrap_or_default()));
        rules.into_iter().map(regex).collect()
    });
    ALL[number].clone()
}

/// Takes one line; `None` if it is not understood.
fn take(rules: &mut Vec<DetectorRule>, line: &str) -> Option<()> {
    if let Some(id) = line.strip_prefix("  - id: ") {
        rules.push(DetectorRule {
            id: id.to_owned(),
            class: String::new(),
            literals: Vec::new(),
            regex: None,
            position: Position::default(),
            reach: default_reach(),
            entropy: 0.0,
            fields: Vec::new(),
            hashes: Vec::new(),
            lengths: default_lengths(),
            examples: Examples::default(),
        });
        return Some(());
    }
    let rule = rules.last_mut()?;
    let (name, value) = line.strip_prefix("    ")?.split_once(": ")?;
    match name {
        "class" => value.clone_into(&mut rule.class),
        "literals" => rule.literals = list(value)?,
        "regex" => {
            let quoted = value.strip_prefix('\'')?.strip_suffix('\'')?;
            rule.regex = Some(quoted.replace("''", "'"));
        }
        "position" => {
            rule.position = match value {
                "start" => Position::Start,
                "inside" => Position::Inside,
                "before" => Position::Before,
                "near" => Position::Near,
                _ => return None,
            };
        }
        "reach" => rule.reach = value.parse().ok()?,
        "entropy" => rule.entropy = value.parse().ok()?,
        _ => return None,
    }
    Some(())
}

/// `["one", "another"]`, with escaped quotes at most.
fn list(value: &str) -> Option<Vec<String>> {
    let items = value.strip_prefix("[\"")?.strip_suffix("\"]")?;
    let one = |item: &str| {
        let plain = item.replace("\\\"", "\"");
        (!plain.contains('\\')).then_some(plain)
    };
    items.split("\", \"").map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::DetectorFile;

    #[test]
    fn the_families_are_read_as_yaml_is() {
        let yaml = FILES.map(|file| DetectorFile::parse(file).unwrap().detectors).concat();
        let read = all().unwrap();
        assert!(read.len() > 200);
        for (one, other) in read.iter().zip(&yaml) {
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
        }
        assert_eq!(read.len(), yaml.len());
        for line in ["    kind: x", "    regex: \"x\"", "    literals: [x]", "position: start"] {
            assert!(take(&mut all().unwrap(), line).is_none(), "{line}");
        }
    }
}
