//! What a change of a file is, for people. Keys are not shown.

use similar::{ChangeTag, TextDiff};

/// Lines that are added or taken out, with their numbers, without those that stay.
pub fn lines(before: &str, after: &str, secrets: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for change in TextDiff::from_lines(before, after).iter_all_changes() {
        let (sign, at) = match change.tag() {
            ChangeTag::Equal => continue,
            ChangeTag::Delete => ('-', change.old_index()),
            ChangeTag::Insert => ('+', change.new_index()),
        };
        let mut text = change.value().trim_end_matches(['\r', '\n']).to_owned();
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "••••");
        }
        out.push(format!("{sign} {:>4} {text}", at.map_or(0, |at| at + 1)));
    }
    out
}
