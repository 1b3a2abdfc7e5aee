//! JSON as it was written: members in their order, numbers in their spelling.

use std::fmt;

use doorward_mcp::Value;
use doorward_mcp::json::{Limits, Names, canonical_exact, items, unquote};

/// Maximum nesting depth of a text that is read.
pub const MOST_LEVELS: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    /// A number, `true`, `false` or `null`, as written.
    Word(String),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Reads a text strictly. `None` if it is not JSON, repeats a name within an object, or is nested too deeply.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        // The scanner of the wire splits arrays, and validates what is in them.
        let wrapped = [b"[", text, b"]"].concat();
        let limits = Limits { depth: MOST_LEVELS + 1, names: Names::StrictEnvelope };
        let scanned = items(&wrapped.into(), limits).ok()?;
        let [only] = &scanned[..] else { return None };
        let mut reader = Reader { text: std::str::from_utf8(only).ok()?, at: 0 };
        reader.value()
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    pub(crate) fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own == word)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        let Self::Object(members) = self else { return None };
        members.iter_mut().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Replaces a member in place, or appends it. Only objects have members.
    pub(crate) fn set(&mut self, name: &str, value: Self) {
        if let Some(old) = self.get_mut(name) {
            *old = value;
        } else if let Self::Object(members) = self {
            members.push((name.to_owned(), value));
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Self> {
        let Self::Object(members) = self else { return None };
        let at = members.iter().position(|(own, _)| own == name)?;
        Some(members.remove(at).1)
    }

    /// Length of the written text, in bytes.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Word(word) => word.len(),
            Self::Text(text) => quoted_length(text),
            Self::Array(items) => {
                2 + items.len().saturating_sub(1) + items.iter().map(Self::length).sum::<usize>()
            }
            Self::Object(members) => {
                let inner = members.iter().map(|(name, of)| quoted_length(name) + 1 + of.length());
                2 + members.len().saturating_sub(1) + inner.sum::<usize>()
            }
        }
    }

    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Word(word) => out.push_str(word),
            Self::Text(text) => quote_into(out, text),
            Self::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    quote_into(out, name);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        Value::Raw(self.to_string().into_bytes().into())
    }

    /// Whether both mean the same: members in any order, numbers in any spelling.
    pub(crate) fn is_equal(&self, other: &Self) -> bool {
        let form = |node: &Self| canonical_exact(node.to_string().as_bytes());
        self == other || matches!((form(self), form(other)), (Ok(one), Ok(two)) if one == two)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(self.length());
        self.write(&mut text);
        formatter.write_str(&text)
    }
}

/// The escape of a character within quotes, unless it stands for itself.
fn escape(c: char) -> Option<&'static str> {
    Some(match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        _ => return None,
    })
}

/// Length of a character within quotes, in bytes.
pub(crate) fn escaped_length(c: char) -> usize {
    match escape(c) {
        Some(escape) => escape.len(),
        None if c < ' ' => 6,
        None => c.len_utf8(),
    }
}

fn quoted_length(text: &str) -> usize {
    2 + text.chars().map(escaped_length).sum::<usize>()
}

pub(crate) fn quote_into(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match escape(c) {
            Some(escape) => out.push_str(escape),
            None if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            None => out.push(c),
        }
    }
    out.push('"');
}

/// Reads a text that was scanned: syntax and depth are right.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Option<Node> {
        match self.peek()? {
            b'{' => {
                self.at += 1;
                let mut members = Vec::new();
                while !self.take(b'}') {
                    self.take(b',');
                    self.peek()?;
                    let name = self.string()?;
                    self.take(b':');
                    members.push((name, self.value()?));
                }
                Some(Node::Object(members))
            }
            b'[' => {
                self.at += 1;
                let mut all = Vec::new();
                while !self.take(b']') {
                    self.take(b',');
                    all.push(self.value()?);
                }
                Some(Node::Array(all))
            }
            b'"' => Some(Node::Text(self.string()?)),
            _ => {
                let rest = self.rest()?;
                let is_end = |c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace();
                let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
                self.at += word.len();
                (!word.is_empty()).then(|| Node::Word(word.to_owned()))
            }
        }
    }

    fn rest(&self) -> Option<&'a str> {
        self.text.get(self.at..)
    }

    fn string(&mut self) -> Option<String> {
        let inner = self.rest()?.strip_prefix('"')?;
        let bytes = inner.as_bytes();
        let mut end = 0;
        while *bytes.get(end)? != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        self.at += end + 2;
        Some(unquote(&bytes[..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_read_is_written_in_its_order_and_spelling() {
        let text =
            r#" { "z" : [1.0, -0, 1e2 , 12345678901234567890123 ], "a\u0041":{"\n":null},"":[ ]} "#;
        let node = Node::read(text.as_bytes()).unwrap();
        let made = r#"{"z":[1.0,-0,1e2,12345678901234567890123],"aA":{"\n":null},"":[]}"#;
        assert_eq!(node.to_string(), made);
        assert_eq!(node.length(), made.len());
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_not_read() {
        for text in ["", "1,2", "1],[2", r#"{"a":1,"a":2}"#, r#""\ud800""#, "nul", "{'a':1}", "[1"]
        {
            assert!(Node::read(text.as_bytes()).is_none(), "{text}");
        }
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Node::read(nested(MOST_LEVELS).as_bytes()).is_some());
        assert!(Node::read(nested(MOST_LEVELS + 1).as_bytes()).is_none());
        assert!(Node::read(nested(1_000_000).as_bytes()).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        #[test]
        fn texts_are_written_as_serde_json_writes_them(text in any::<String>()) {
            let node = Node::Text(text.clone());
            let written = node.to_string();
            prop_assert_eq!(&serde_json::from_str::<String>(&written).unwrap(), &text);
            prop_assert_eq!(written.len(), node.length());
            prop_assert_eq!(Node::read(written.as_bytes()), Some(node));
        }
    }
}
