//! One record as a line of JSON, chained to the one before it.
//!
//! `{"writer":W,"seq":N,"prev":P, … ,"hash":H}`, where H is the SHA-256 (base64url) of everything before `,"hash"`, and
//! P is the H of the record before. Lines are stored, exported and verified byte by byte as they were written.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Length of a hash in characters.
const HASH: usize = 43;
const BEFORE_HASH: &str = ",\"hash\":\"";
const AFTER_HASH: &str = "\"}";

/// The last record of a chain. A chain begins after record 0, whose hash is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    pub seq: i64,
    pub hash: String,
}

/// A chain being appended to.
#[derive(Debug, Clone)]
pub struct Chain {
    writer: String,
    head: Head,
}

impl Chain {
    pub fn new(writer: &str, head: Head) -> Self {
        Self { writer: writer.to_owned(), head }
    }

    pub fn writer(&self) -> &str {
        &self.writer
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Writes the next record to `out`. `parts` are the members of the record's object one after the other,
    /// such as `"kind":"start"`.
    pub fn append(&mut self, parts: &[&str], out: &mut String) {
        let begin = self.begin(out);
        parts.iter().for_each(|part| out.push_str(part));
        self.end(begin, out);
    }

    /// Begins a record whose members depend on its number.
    pub(crate) fn begin(&mut self, out: &mut String) -> usize {
        use std::fmt::Write;
        let begin = out.len();
        self.head.seq += 1;
        let Head { seq, hash } = &self.head;
        // A writer's name contains no characters that need escaping.
        let _ = write!(out, "{{\"writer\":\"{}\",\"seq\":{seq},\"prev\":\"{hash}\",", self.writer);
        begin
    }

    pub(crate) fn end(&mut self, begin: usize, out: &mut String) {
        self.head.hash = hash_of(&out[begin..]);
        out.push_str(BEFORE_HASH);
        out.push_str(&self.head.hash);
        out.push_str(AFTER_HASH);
    }
}

fn hash_of(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// The members of a record that concern its chain.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    pub writer: String,
    pub seq: i64,
    #[serde(default)]
    pub prev: String,
    pub hash: String,
    #[serde(default)]
    pub kind: String,
    /// The time (RFC 3339), if the record has one.
    #[serde(default)]
    pub at: String,
    /// For a removed range: its last record, and the act that reports the removal.
    pub to: Option<i64>,
    pub removed: Option<String>,
}

/// Stands for a range of records that retention removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed<'a> {
    pub writer: &'a str,
    pub first: i64,
    pub last: i64,
    /// The hash of the range's last record.
    pub hash: &'a str,
    /// The id of the record that states the reason.
    pub by: &'a str,
}

impl Removed<'_> {
    pub fn to_line(&self) -> String {
        let Self { writer, first, last, hash, by } = self;
        format!(
            "{{\"writer\":\"{writer}\",\"seq\":{first},\"to\":{last},\"removed\":\"{by}\"{BEFORE_HASH}{hash}{AFTER_HASH}"
        )
    }
}

impl Line {
    /// Parses a line; `None` if it is not a record.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether the hash matches the text.
    pub fn is_intact(&self, text: &str) -> bool {
        let body = text.len().checked_sub(BEFORE_HASH.len() + HASH + AFTER_HASH.len());
        let parts = body.and_then(|at| text.split_at_checked(at));
        let Some((body, rest)) = parts else { return false };
        let hash = rest.strip_prefix(BEFORE_HASH).and_then(|rest| rest.strip_suffix(AFTER_HASH));
        hash == Some(self.hash.as_str()) && hash_of(body) == self.hash
    }

    /// The number of the last record that it stands for.
    pub fn last(&self) -> i64 {
        // Else a record could stand for those that follow it.
        self.to.filter(|_| self.removed.is_some()).unwrap_or(self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_is_not_intact() {
        let mut chain = Chain::new("w-1", Head::default());
        let mut text = String::new();
        chain.append(&["\"kind\":\"call\",\"tool\":\"a\\\"b\""], &mut text);
        let line = Line::read(&text).unwrap();
        assert!(line.is_intact(&text));
        assert_eq!((line.seq, line.prev.as_str(), &line.hash), (1, "", &chain.head().hash));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            assert!(
                !Line::read(&changed).is_some_and(|line| line.is_intact(&changed)),
                "{changed}"
            );
        }
        // No member can be hidden after the hash.
        let longer = text.replace("\"}", "\",\"tool\":\"c\"}");
        assert!(!Line::read(&longer).is_some_and(|line| line.is_intact(&longer)));
    }
}
