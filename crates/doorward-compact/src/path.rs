//! The notation of a place within JSON.

use std::fmt;
use std::str::FromStr;

use crate::node::{Node, quote_into};

/// Longest path, in bytes.
const MOST_BYTES: usize = 1024;
/// Most steps of a path.
const MOST_STEPS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    Name(String),
    /// Each item of an array.
    Items,
}

/// A place within JSON: names separated by dots, `[]` for each item of an array, and quotes (as in JSON) around names
/// with dots, brackets or quotes: `a.b`, `list[].name`, `"a.b".c`. At most 16 steps and 1024 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Step>);

impl Path {
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    pub(crate) fn is_within(&self, outer: &Self) -> bool {
        self.0.len() > outer.0.len() && self.0.starts_with(&outer.0)
    }
}

impl FromStr for Path {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err("the path is empty");
        }
        if text.len() > MOST_BYTES {
            return Err("the path is longer than 1024 bytes");
        }
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if steps.len() == MOST_STEPS {
                return Err("the path has more than 16 steps");
            }
            if let Some(after) = rest.strip_prefix("[]") {
                steps.push(Step::Items);
                rest = after;
                continue;
            }
            if !steps.is_empty() {
                rest = rest.strip_prefix('.').ok_or("names in a path are separated by dots")?;
            }
            let (name, after) = name(rest)?;
            steps.push(Step::Name(name));
            rest = after;
        }
        Ok(Self(steps))
    }
}

/// The name at the start, and what follows it.
fn name(text: &str) -> Result<(String, &str), &'static str> {
    if !text.starts_with('"') {
        let end = text.find(['.', '[', ']', '"']).unwrap_or(text.len());
        if end == 0 {
            return Err("a name in a path is missing, or must be in quotes");
        }
        return Ok((text[..end].to_owned(), &text[end..]));
    }
    let bytes = text.as_bytes();
    let mut end = 1;
    while *bytes.get(end).ok_or("a quote in the path is not closed")? != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    match Node::read(&bytes[..=end]) {
        Some(Node::Text(name)) => Ok((name, &text[end + 1..])),
        _ => Err("a name in quotes is not a JSON string"),
    }
}

/// Appends a step to a written path.
pub(crate) fn push(out: &mut String, step: &Step) {
    let Step::Name(name) = step else {
        out.push_str("[]");
        return;
    };
    if !out.is_empty() {
        out.push('.');
    }
    let is_plain = |c: char| !matches!(c, '.' | '[' | ']' | '"' | '\\') && !c.is_control();
    match !name.is_empty() && name.chars().all(is_plain) {
        true => out.push_str(name),
        false => quote_into(out, name),
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for step in &self.0 {
            push(&mut text, step);
        }
        formatter.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_read_and_written_the_same() {
        for path in
            ["a", "a.b.c", "list[].name", "[].a", "a[][]", r#""a.b".c"#, r#""".x"#, r#""\"[]""#]
        {
            assert_eq!(path.parse::<Path>().unwrap().to_string(), path);
        }
        assert_eq!(r#""plain"."x""#.parse::<Path>().unwrap().to_string(), "plain.x");
        for path in
            ["", ".", "a.", ".a", "a..b", "a[0]", "a]", "[]a", r#""a"#, r#"a"b""#, r#""a"b"#]
        {
            assert!(path.parse::<Path>().is_err(), "{path}");
        }
        assert!("a.".repeat(17).parse::<Path>().unwrap_err().contains("16"));
        assert!("a".repeat(1025).parse::<Path>().unwrap_err().contains("1024"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        #[test]
        fn any_name_has_a_notation(names in prop::collection::vec(any::<String>(), 1..4)) {
            let steps: Vec<Step> = names.into_iter().map(Step::Name).collect();
            let path = Path(steps);
            if path.to_string().len() <= MOST_BYTES {
                prop_assert_eq!(path.to_string().parse::<Path>(), Ok(path));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            if let Ok(path) = text.parse::<Path>() {
                prop_assert_eq!(path.to_string().parse::<Path>(), Ok(path));
            }
        }
    }
}
