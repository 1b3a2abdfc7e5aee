//! Name patterns: `*` matches any characters, every other character matches itself.

use std::fmt;

pub use doorward_openapi::fits as matches;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Pattern(pub String);

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }

    /// Whether it can match a name that begins with this.
    pub fn may_begin_with(&self, start: &str) -> bool {
        let pattern = self.0.as_bytes();
        // How much of the pattern may be used up; a star uses up any number of bytes.
        let mut reached = vec![false; pattern.len() + 1];
        reached[0] = true;
        let pass_stars = |reached: &mut Vec<bool>| {
            for at in 0..pattern.len() {
                reached[at + 1] |= reached[at] && pattern[at] == b'*';
            }
        };
        pass_stars(&mut reached);
        for byte in start.bytes() {
            let mut next = vec![false; reached.len()];
            for at in (0..pattern.len()).filter(|at| reached[*at]) {
                match pattern[at] {
                    b'*' => next[at] = true,
                    expected if expected == byte => next[at + 1] = true,
                    _ => {}
                }
            }
            pass_stars(&mut next);
            reached = next;
        }
        reached.contains(&true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_run_of_characters() {
        for (pattern, name, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("a*a", "a", false),
            ("a*b*c", "axxbxxc", true),
            ("a*b*c", "axxcxxb", false),
            ("tickets/*", "tickets/search", true),
            ("tickets/*", "tickets2/search", false),
            ("*_get_*", "db_get_rows", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_may_begin_with_what_it_matches_further() {
        for (pattern, start, may) in [
            ("mail/send", "mail/", true),
            ("mail/*", "mail/", true),
            ("mail*", "mail/", true),
            ("*/send", "mail/", true),
            ("*send", "mail/", true),
            ("*", "mail/", true),
            ("m*l/x", "mail/", true),
            ("mail", "mail/", false),
            ("mial/*", "mail/", false),
            ("m*x/y", "mail/", true),
            ("mails/*", "mail/", false),
            ("", "mail/", false),
            ("", "", true),
        ] {
            assert_eq!(Pattern(pattern.into()).may_begin_with(start), may, "{pattern} {start}");
        }
    }
}
