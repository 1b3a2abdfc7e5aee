//! Writes the members of a record's object. Names of people, agents and servers are written
//! unchanged; text from callers and servers is cleaned ([`Members::clean`]).

use std::borrow::Cow;

use doorward_inspect::written::{self, Keep};

/// The members around those of the record: its place in the chain, and its kind.
const RESERVED: [&str; 5] = ["writer", "seq", "prev", "kind", "hash"];

/// The text between a record's number and its hash: `"kind":"call","at":…`.
#[derive(Debug, Clone, Default)]
pub struct Members(String);

impl Members {
    pub fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    pub fn as_text(&self) -> &str {
        &self.0
    }

    pub fn into_text(self) -> String {
        self.0
    }

    fn name(&mut self, name: &str) {
        debug_assert!(!RESERVED.contains(&name), "a record has a member '{name}' of its own");
        if !self.0.is_empty() {
            self.0.push(',');
        }
        // The gateway's member names need no escaping.
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        quote(&mut self.0, value);
        self
    }

    /// A text of a caller or server, without secrets and personal data.
    pub fn clean(&mut self, name: &str, value: &str) -> &mut Self {
        self.text(name, &written::text(value, Keep::Nothing))
    }

    /// Omitted if `None`.
    pub fn maybe(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) if !value.is_empty() => self.text(name, value),
            _ => self,
        }
    }

    pub fn number(&mut self, name: &str, value: impl Into<i64>) -> &mut Self {
        self.name(name);
        self.0.push_str(itoa::Buffer::new().format(value.into()));
        self
    }

    pub fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    /// The same, with the values of members cleaned by their names.
    #[must_use]
    pub fn cleaned(self, keep: impl Fn(&str) -> Option<Keep>) -> Self {
        let object = format!("{{{}}}", self.0);
        match written::members(&object, keep) {
            Ok(Cow::Borrowed(_)) => self,
            Ok(Cow::Owned(clean)) => Self(clean[1..clean.len() - 1].to_owned()),
            // Nested deeper than any of the gateway's own.
            Err(_) => Self("\"inspected\":false".to_owned()),
        }
    }

    /// A value that is already JSON.
    pub fn raw(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        self.0.push_str(value);
        self
    }

    /// Omitted if empty.
    pub fn texts<'a>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> &mut Self {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return self;
        }
        self.name(name);
        self.0.push('[');
        for (at, value) in values.enumerate() {
            if at > 0 {
                self.0.push(',');
            }
            quote(&mut self.0, value);
        }
        self.0.push(']');
        self
    }

    /// An object, omitted if it has no members.
    pub fn object(&mut self, name: &str, members: &Self) -> &mut Self {
        if members.0.is_empty() {
            return self;
        }
        self.name(name);
        self.0.push('{');
        self.0.push_str(&members.0);
        self.0.push('}');
        self
    }

    /// Appends the members of another object.
    pub fn and(&mut self, members: &str) -> &mut Self {
        if !self.0.is_empty() && !members.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(members);
        self
    }
}

/// Writes a JSON string.
fn quote(out: &mut String, text: &str) {
    let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    out.push('"');
    // Check the whole text first: almost none needs escaping.
    if text.as_bytes().iter().fold(true, |plain, byte| plain & is_plain(byte)) {
        out.push_str(text);
        out.push('"');
        return;
    }
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if is_plain(&byte) {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            other => out.push_str(&format!("\\u{other:04x}")),
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again(texts in prop::collection::vec(any::<String>(), 0..4), number in any::<i64>()) {
            let mut inner = Members::default();
            inner.number("n", number);
            let mut members = Members::default();
            members.texts("all", texts.iter().map(String::as_str)).object("in", &inner).flag("f", true);
            members.maybe("first", texts.first().map(String::as_str));
            let read: serde_json::Value =
                serde_json::from_str(&format!("{{{}}}", members.into_text())).unwrap();
            prop_assert_eq!(read["in"]["n"].as_i64(), Some(number));
            if !texts.is_empty() {
                prop_assert_eq!(&read["all"], &serde_json::json!(texts));
            }
        }
    }
}
