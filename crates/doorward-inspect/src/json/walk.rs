//! A walk over the strings and numbers of a JSON text.

use std::ops::Range;

use super::unescape::unescape;

/// Maximum nesting depth of arrays and objects.
const DEPTH: usize = 512;

/// The text is not JSON, or is nested too deeply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}")]
pub struct NotJson {
    /// Offset in bytes.
    pub at: usize,
}

/// One level of nesting.
#[derive(Debug, Clone)]
enum Level {
    /// An object: the raw name of the current member, between its quotes, and where this object's names begin in
    /// [`Path::names`].
    Object { name: Range<usize>, names: usize },
    /// An array: the index of the current item.
    Array(usize),
}

/// Longest pointer that is complete, in bytes.
const LONGEST_POINTER: usize = 1024;

/// Where in the text a value is.
#[derive(Debug)]
pub struct Path<'a> {
    text: &'a str,
    levels: Vec<Level>,
    /// The raw names of all open objects, outermost first.
    names: Vec<Range<usize>>,
}

impl<'a> Path<'a> {
    /// The JSON pointer of the current value (RFC 6901). For a member name, that of its value. Of what is longer than a
    /// kibibyte or so, the beginning and `…`: every finding has a pointer.
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        for level in &self.levels {
            if pointer.len() > LONGEST_POINTER {
                pointer.push('…');
                break;
            }
            pointer.push('/');
            match level {
                Level::Array(index) => pointer.push_str(&index.to_string()),
                Level::Object { name, .. } => {
                    let shown = self.beginning(name);
                    for c in unescape(self.text, shown.clone()).text.chars() {
                        match c {
                            '~' => pointer.push_str("~0"),
                            '/' => pointer.push_str("~1"),
                            c => pointer.push(c),
                        }
                    }
                    if shown.len() < name.len() {
                        pointer.push('…');
                    }
                }
            }
        }
        pointer
    }

    /// As much of a name as a pointer shows of it.
    fn beginning(&self, name: &Range<usize>) -> Range<usize> {
        if name.len() <= LONGEST_POINTER {
            return name.clone();
        }
        let raw = &self.text[name.clone()];
        let most = raw.floor_char_boundary(LONGEST_POINTER);
        // Not within an escape, the longest of which is a pair of surrogates.
        let from = raw.floor_char_boundary(most - 12);
        let end = raw[from..most].find('\\').map_or(most, |at| from + at);
        name.start..name.start + end
    }

    /// The raw name of the innermost member around the current value. Items of an array have that of the array.
    pub fn member(&self) -> Option<&'a str> {
        self.members().next()
    }

    /// The raw names of all members around the current value, innermost first.
    pub fn members(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.levels.iter().rev().filter_map(|level| match level {
            Level::Object { name, .. } => self.text.get(name.clone()),
            Level::Array(_) => None,
        })
    }

    /// Number of arrays and objects around the current value.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }
}

/// What is done with the parts of a text. All ranges are in bytes of the whole text.
pub trait Visitor {
    /// A string value or a member name; `range` is between its quotes.
    fn string(&mut self, path: &Path<'_>, range: Range<usize>, is_name: bool);

    /// A number.
    fn number(&mut self, _path: &Path<'_>, _range: Range<usize>) {}

    /// The end of an object, with the raw names of its members.
    fn object_end(&mut self, _names: &[Range<usize>]) {}
}

/// Visits every string and number of a JSON text in order.
pub fn walk(text: &str, visitor: &mut impl Visitor) -> Result<(), NotJson> {
    let path = Path { text, levels: Vec::new(), names: Vec::new() };
    let mut walker = Walker { bytes: text.as_bytes(), at: 0, path };
    walker.value(visitor)?;
    walker.space();
    if walker.at == text.len() { Ok(()) } else { Err(walker.fault()) }
}

struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    path: Path<'a>,
}

impl Walker<'_> {
    fn fault(&self) -> NotJson {
        NotJson { at: self.at }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// One value with all that it contains.
    fn value(&mut self, visitor: &mut impl Visitor) -> Result<(), NotJson> {
        loop {
            // A value begins here.
            match self.peek() {
                Some(b'{') => {
                    self.open()?;
                    let names = self.path.names.len();
                    self.path.levels.push(Level::Object { name: 0..0, names });
                    if !self.take(b'}') {
                        self.name(visitor)?;
                        continue;
                    }
                    self.close(visitor);
                }
                Some(b'[') => {
                    self.open()?;
                    self.path.levels.push(Level::Array(0));
                    if !self.take(b']') {
                        continue;
                    }
                    self.close(visitor);
                }
                Some(b'"') => {
                    let range = self.string()?;
                    visitor.string(&self.path, range, false);
                }
                Some(b'-' | b'0'..=b'9') => {
                    let range = self.number()?;
                    visitor.number(&self.path, range);
                }
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return Err(self.fault()),
            }
            // A value has ended: the next one begins after a comma, in this or an outer level.
            loop {
                let end = match self.path.levels.last_mut() {
                    None => return Ok(()),
                    Some(Level::Array(_)) => b']',
                    Some(Level::Object { .. }) => b'}',
                };
                if self.take(b',') {
                    match self.path.levels.last_mut() {
                        Some(Level::Array(index)) => *index += 1,
                        _ => self.name(visitor)?,
                    }
                    break;
                }
                if !self.take(end) {
                    return Err(self.fault());
                }
                self.close(visitor);
            }
        }
    }

    fn open(&mut self) -> Result<(), NotJson> {
        if self.path.levels.len() >= DEPTH {
            return Err(self.fault());
        }
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, visitor: &mut impl Visitor) {
        if let Some(Level::Object { names, .. }) = self.path.levels.pop() {
            visitor.object_end(&self.path.names[names..]);
            self.path.names.truncate(names);
        }
    }

    /// A member name with its colon.
    fn name(&mut self, visitor: &mut impl Visitor) -> Result<(), NotJson> {
        if self.peek() != Some(b'"') {
            return Err(self.fault());
        }
        let range = self.string()?;
        self.path.names.push(range.clone());
        if let Some(Level::Object { name, .. }) = self.path.levels.last_mut() {
            name.clone_from(&range);
        }
        visitor.string(&self.path, range, true);
        if self.take(b':') { Ok(()) } else { Err(self.fault()) }
    }

    /// A string; the range between its quotes.
    fn string(&mut self) -> Result<Range<usize>, NotJson> {
        self.at += 1;
        let from = self.at;
        let closed = self.closing_quote();
        let is_plain = |byte: &u8| *byte >= b' ';
        // Only what is not valid is read again, for the place of the fault.
        if let Some(end) = closed
            && self.bytes[from..end].iter().fold(true, |all, byte| all & is_plain(byte))
        {
            self.at = end + 1;
            return Ok(from..end);
        }
        loop {
            let rest = &self.bytes[self.at.min(self.bytes.len())..];
            self.at += rest
                .iter()
                .take_while(|byte| is_plain(byte) && !matches!(byte, b'"' | b'\\'))
                .count();
            match self.bytes.get(self.at) {
                Some(b'\\') => self.escape()?,
                _ => return Err(self.fault()),
            }
        }
    }

    /// Where the string ends that begins here, if its escapes are valid.
    fn closing_quote(&mut self) -> Option<usize> {
        let from = self.at;
        let mut end = None;
        for at in memchr::memchr2_iter(b'"', b'\\', self.bytes.get(from..)?) {
            // The second of two.
            if from + at < self.at {
                continue;
            }
            self.at = from + at;
            if self.bytes[self.at] == b'"' {
                end = Some(self.at);
                break;
            }
            if self.escape().is_err() {
                break;
            }
        }
        self.at = from;
        end
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.fault());
                }
                self.at += 6;
            }
            _ => return Err(self.fault()),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Range<usize>, NotJson> {
        let from = self.at;
        self.at += usize::from(self.bytes[self.at] == b'-');
        let whole = self.digits();
        if whole == 0 || (whole > 1 && self.bytes[self.at - whole] == b'0') {
            return Err(self.fault());
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.fault());
            }
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.fault());
            }
        }
        Ok(from..self.at)
    }

    fn digits(&mut self) -> usize {
        let rest = &self.bytes[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn word(&mut self, word: &[u8]) -> Result<(), NotJson> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.fault());
        }
        self.at += word.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Seen(Vec<(String, Range<usize>, bool)>, usize);

    impl Visitor for Seen {
        fn string(&mut self, path: &Path<'_>, range: Range<usize>, is_name: bool) {
            self.0.push((path.pointer(), range, is_name));
        }

        fn number(&mut self, path: &Path<'_>, range: Range<usize>) {
            self.0.push((path.pointer(), range, false));
        }

        fn object_end(&mut self, names: &[Range<usize>]) {
            self.1 += names.len();
        }
    }

    #[test]
    fn every_string_and_number_has_its_place() {
        let text = r#" {"a/b":[1,{"c~":"x"}],"d":"y\n","":-2.5e3} "#;
        let mut seen = Seen::default();
        walk(text, &mut seen).unwrap();
        let parts: Vec<_> =
            seen.0.iter().map(|(at, range, _)| (&**at, &text[range.clone()])).collect();
        let expected = [
            ("/a~1b", "a/b"),
            ("/a~1b/0", "1"),
            ("/a~1b/1/c~0", "c~"),
            ("/a~1b/1/c~0", "x"),
            ("/d", "d"),
            ("/d", "y\\n"),
            ("/", ""),
            ("/", "-2.5e3"),
        ];
        assert_eq!(parts, expected);
        assert_eq!(seen.1, 4);
    }

    #[test]
    fn the_first_fault_of_a_string_has_its_place() {
        for (text, at) in [
            ("[\"ab\ncd\"]", 4),
            ("\"a\\x\n\"", 2),
            ("\"a\n\\x\"", 2),
            ("\"\\\"a\u{1}", 4),
            ("\"a\\u12", 2),
            ("\"a\\", 2),
            ("\"ab", 3),
            ("\"\\\\\"\"", 4),
        ] {
            assert_eq!(walk(text, &mut Seen::default()), Err(NotJson { at }), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{,}",
            "01",
            "1.",
            "-",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "nul",
            "[1 2]",
            "\"\n\"",
            "1 1",
            "]",
            "{\"a\":1]",
            "[}",
        ] {
            assert!(walk(text, &mut Seen::default()).is_err(), "{text}");
        }
        assert!(walk(&"[".repeat(100_000), &mut Seen::default()).is_err());
    }

    proptest! {
        #[test]
        fn it_agrees_with_serde_json(text in r#"[\[\]{}",:0-9a-z\\ .e\-]{0,24}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            // Numbers beyond a double's range are JSON.
            let ours = walk(&text, &mut Seen::default());
            prop_assert!(ours.is_ok() || theirs.is_err());
            prop_assert!(ours.is_err() || theirs.is_ok() || theirs.unwrap_err().to_string().contains("number out of range"));
        }
    }
}
