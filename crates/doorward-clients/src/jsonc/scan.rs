//! Reads a file into a tree of places.

use super::Wrong;

/// Maximum depth of nesting.
const MAX_DEPTH: usize = 128;

/// A value and its place, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Object(Vec<Member>),
    Array(Vec<Node>),
    /// A text, number, boolean or null.
    Scalar(serde_json::Value),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub key: String,
    pub key_start: usize,
    pub value: Node,
}

impl Node {
    pub fn members(&self) -> Option<&[Member]> {
        match &self.kind {
            Kind::Object(members) => Some(members),
            _ => None,
        }
    }

    pub fn items(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The member of a name. A file that has it twice is read differently by each parser, so it is refused.
    pub fn member(&self, name: &str) -> Result<Option<(usize, &Member)>, Wrong> {
        let members = self.members().unwrap_or_default();
        let mut found = members.iter().enumerate().filter(|(_, member)| member.key == name);
        let first = found.next();
        match found.next() {
            Some((_, second)) => {
                let what = format!("'{name}' is here for the second time; keep one of the two");
                Err(Wrong::new(second.key_start, what))
            }
            None => Ok(first),
        }
    }

    pub fn to_serde(&self) -> serde_json::Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::Array(items) => items.iter().map(Self::to_serde).collect(),
            Kind::Object(members) => serde_json::Value::Object(
                members.iter().map(|it| (it.key.clone(), it.value.to_serde())).collect(),
            ),
        }
    }
}

/// Reads a whole file.
pub fn parse(text: &str) -> Result<Node, Wrong> {
    let mut scan = Scan { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
    scan.skip()?;
    let node = scan.value(0)?;
    scan.skip()?;
    if scan.at < text.len() {
        return Err(Wrong::new(scan.at, "there is something after the end of the JSON value"));
    }
    Ok(node)
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong<T>(&self, what: &str) -> Result<T, Wrong> {
        Err(Wrong::new(self.at, what))
    }

    /// Skips white space and comments.
    fn skip(&mut self) -> Result<(), Wrong> {
        loop {
            let rest = &self.text[self.at..];
            if rest.starts_with([' ', '\t', '\r', '\n']) {
                self.at += 1;
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let Some(end) = rest.find("*/") else {
                    return self.wrong("this comment has no end");
                };
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Wrong> {
        if depth > MAX_DEPTH {
            return self.wrong("it is nested too deeply");
        }
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => Kind::Object(self.object(depth)?),
            Some(b'[') => Kind::Array(self.array(depth)?),
            Some(b'"') => Kind::Scalar(self.string()?.into()),
            Some(_) => self.word()?,
            None => return self.wrong("the file ends where a value is expected"),
        };
        Ok(Node { start, end: self.at, kind })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Member>, Wrong> {
        let mut members = Vec::new();
        self.at += 1;
        loop {
            self.skip()?;
            match self.peek() {
                Some(b'}') => break,
                Some(b'"') => {}
                _ => return self.wrong("expected a name in double quotes, or '}'"),
            }
            let key_start = self.at;
            let key = self.string()?;
            self.skip()?;
            if self.peek() != Some(b':') {
                return self.wrong("expected ':'");
            }
            self.at += 1;
            self.skip()?;
            let value = self.value(depth + 1)?;
            members.push(Member { key, key_start, value });
            if self.ends(b'}', "expected ',' or '}'")? {
                break;
            }
        }
        self.at += 1;
        Ok(members)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Node>, Wrong> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.skip()?;
            if self.peek() == Some(b']') {
                break;
            }
            items.push(self.value(depth + 1)?);
            if self.ends(b']', "expected ',' or ']'")? {
                break;
            }
        }
        self.at += 1;
        Ok(items)
    }

    /// After a value: whether its container ends here.
    fn ends(&mut self, close: u8, otherwise: &str) -> Result<bool, Wrong> {
        self.skip()?;
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == close => Ok(true),
            _ => self.wrong(otherwise),
        }
    }

    fn string(&mut self) -> Result<String, Wrong> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        loop {
            match bytes.get(at) {
                Some(b'\\') => at += 2,
                Some(b'"') => break,
                Some(b'\n') | None => return self.wrong("this text has no closing quote"),
                Some(_) => at += 1,
            }
        }
        let text = serde_json::from_str(self.text.get(start..=at).unwrap_or_default());
        let Ok(text) = text else {
            return self.wrong("this text has an escape or a character that JSON does not permit");
        };
        self.at = at + 1;
        Ok(text)
    }

    fn word(&mut self) -> Result<Kind, Wrong> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, ',' | '}' | ']' | ':' | '/' | '"'))
            .unwrap_or(rest.len());
        match serde_json::from_str(&rest[..end]) {
            Ok(value) => {
                self.at += end;
                Ok(Kind::Scalar(value))
            }
            Err(_) => self.wrong(
                "expected a value: an object, a list, a text, a number, true, false or null",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_editors_are_read() {
        let text = "\u{feff}// top\r\n{\r\n\t\"a\": \"x // \\\"y\", /* b\n c */\n\"n\": [1, -2.5e3, null, true,],\n}\n// end";
        let root = parse(text).unwrap();
        let expected = serde_json::json!({ "a": "x // \"y", "n": [1, -2500.0, null, true] });
        assert_eq!(root.to_serde(), expected);
        let (_, member) = root.member("a").unwrap().unwrap();
        assert!(text[member.key_start..].starts_with("\"a\""));
        assert_eq!(&text[member.value.start..member.value.end], "\"x // \\\"y\"");
    }

    #[test]
    fn what_is_wrong_is_found_in_its_place() {
        for (text, at, what) in [
            ("", 0, "ends"),
            ("{\"a\" 1}", 5, "':'"),
            ("{\"a\": 1 \"b\": 2}", 8, "','"),
            ("{\"a\": \"x}", 6, "quote"),
            ("{a: 1}", 1, "double quotes"),
            ("{} x", 3, "after the end"),
            ("{/* }", 1, "no end"),
            ("[tru]", 1, "expected a value"),
            ("{\"a\": \"\\x\"}", 6, "escape"),
            ("{\"a\": \"\u{1}\"}", 6, "character"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.at == at && wrong.what.contains(what), "{text}: {wrong:?}");
        }
        assert!(parse(&"[".repeat(100_000)).unwrap_err().what.contains("deep"));
        let twice = parse("{\"a\": 1, \"a\": 2}").unwrap();
        assert_eq!(twice.member("a").unwrap_err().at, 9);
    }
}
