//! Corrects almost valid JSON of servers: half of a surrogate pair becomes U+FFFD, and of duplicate members in
//! data that no decision depends on, the last one counts. Only for texts that the strict scan has refused.

use std::collections::HashSet;

/// What was corrected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Corrections {
    pub surrogates: bool,
    pub duplicates: bool,
    /// `NaN` or an infinity was replaced by null.
    pub numbers: bool,
}

/// Corrects a text. Returns `None` if nothing was corrected or the text is not JSON. The result still has to be
/// scanned. Duplicate members are removed only in data below a message's result.
pub fn correct(text: &[u8], depth: usize) -> Option<(Vec<u8>, Corrections)> {
    let out = Vec::with_capacity(text.len());
    let mut corrector = Corrector { text, at: 0, out, corrected: Corrections::default() };
    corrector.value(depth, Place::Envelope)?;
    corrector.space();
    let Corrector { at, out, corrected, .. } = corrector;
    (at == text.len() && corrected != Corrections::default()).then_some((out, corrected))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Envelope,
    Result,
    /// Data: of duplicate members, the last one counts.
    Data,
    Other,
}

/// Members of a result that are data: passed on to the caller, and items of lists.
const DATA: [&[u8]; 9] = [
    b"_meta",
    b"structuredContent",
    b"content",
    b"contents",
    b"messages",
    b"tools",
    b"prompts",
    b"resources",
    b"resourceTemplates",
];

impl Place {
    fn member(self, name: &[u8]) -> Self {
        match (self, name) {
            (Self::Result, name) if DATA.contains(&name) => Self::Data,
            (Self::Data, _) => Self::Data,
            (Self::Envelope, b"result") | (Self::Result, _) => Self::Result,
            (Self::Envelope | Self::Other, _) => Self::Other,
        }
    }
}

struct Corrector<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    corrected: Corrections,
}

impl Corrector<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Copies the next byte.
    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.out.push(byte);
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize, place: Place) -> Option<()> {
        self.space();
        match self.peek()? {
            b'{' => self.object(depth.checked_sub(1)?, place),
            b'[' => self.array(depth.checked_sub(1)?, place),
            b'"' => self.string(),
            _ => {
                let from = self.at;
                while self
                    .peek()
                    .is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                {
                    self.take();
                }
                let written = self.out.len() - (self.at - from);
                if matches!(&self.text[from..self.at], b"NaN" | b"Infinity" | b"-Infinity") {
                    self.corrected.numbers = true;
                    self.out.truncate(written);
                    self.out.extend_from_slice(b"null");
                }
                (self.at > from).then_some(())
            }
        }
    }

    fn array(&mut self, depth: usize, place: Place) -> Option<()> {
        self.take();
        self.space();
        if self.peek() == Some(b']') {
            self.take();
            return Some(());
        }
        loop {
            self.value(depth, place)?;
            self.space();
            match self.take()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    fn object(&mut self, depth: usize, place: Place) -> Option<()> {
        self.take();
        let began = self.out.len();
        // The ranges of each member's name and of the whole member in the output.
        let mut members: Vec<(std::ops::Range<usize>, std::ops::Range<usize>)> = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.take();
            return Some(());
        }
        loop {
            self.space();
            let from = self.out.len();
            if self.peek() != Some(b'"') {
                return None;
            }
            self.string()?;
            let name = from + 1..self.out.len() - 1;
            let inner = place.member(&self.out[name.clone()]);
            self.space();
            if self.take()? != b':' {
                return None;
            }
            self.value(depth, inner)?;
            members.push((name, from..self.out.len()));
            self.space();
            match self.take()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        if place == Place::Data {
            self.keep_last(began, &members);
        }
        Some(())
    }

    /// Retains only the last of duplicate members.
    fn keep_last(
        &mut self,
        began: usize,
        members: &[(std::ops::Range<usize>, std::ops::Range<usize>)],
    ) {
        let mut seen = HashSet::with_capacity(members.len());
        let mut kept: Vec<_> = members
            .iter()
            .rev()
            .filter(|(name, _)| seen.insert(super::unquote(&self.out[name.clone()])))
            .map(|(_, whole)| whole.clone())
            .collect();
        if kept.len() == members.len() {
            return;
        }
        self.corrected.duplicates = true;
        kept.reverse();
        let kept: Vec<&[u8]> = kept.into_iter().map(|whole| &self.out[whole]).collect();
        let kept = kept.join(&b","[..]);
        self.out.truncate(began);
        self.out.extend_from_slice(&kept);
        self.out.push(b'}');
    }

    fn string(&mut self) -> Option<()> {
        self.take();
        loop {
            match self.take()? {
                b'"' => return Some(()),
                b'\\' => match self.peek()? {
                    b'u' => self.escape()?,
                    _ => _ = self.take(),
                },
                _ => {}
            }
        }
    }

    /// At the `u` of an escape; the backslash is already copied.
    fn escape(&mut self) -> Option<()> {
        let first = self.unit(self.at)?;
        let paired = match first {
            0xd800..=0xdbff => {
                let behind = self.text.get(self.at + 5) == Some(&b'\\');
                let second = self.unit(self.at + 6).filter(|_| behind);
                second.is_some_and(|second| (0xdc00..=0xdfff).contains(&second))
            }
            0xdc00..=0xdfff => false,
            _ => {
                self.out.extend_from_slice(&self.text[self.at..self.at + 5]);
                self.at += 5;
                return Some(());
            }
        };
        if paired {
            self.out.extend_from_slice(&self.text[self.at..self.at + 11]);
            self.at += 11;
        } else {
            self.corrected.surrogates = true;
            self.out.extend_from_slice(b"ufffd");
            self.at += 5;
        }
        Some(())
    }

    /// The code unit of the escape whose `u` is at this position.
    fn unit(&self, at: usize) -> Option<u16> {
        let text = self.text.get(at..at + 5)?;
        let digits = std::str::from_utf8(text).ok()?.strip_prefix('u')?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u16::from_str_radix(digits, 16).ok().filter(|_| plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn corrected(text: &str) -> Option<String> {
        correct(text.as_bytes(), 128).map(|(text, _)| String::from_utf8(text).unwrap())
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        for (text, expected) in [
            (r#"{"a":"x\ud83d"}"#, Some(r#"{"a":"x\ufffd"}"#)),
            (r#"{"a":"\ude00x"}"#, Some(r#"{"a":"\ufffdx"}"#)),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, Some(r#"{"a":"\ufffd\ud83d\ude00"}"#)),
            (
                r#"{"a":"\ud83dA","b\udfff":[ "\\ud83d" ]}"#,
                Some(r#"{"a":"\ufffdA","b\ufffd":["\\ud83d"]}"#),
            ),
            (r#"{"a":"\ud83d\n"}"#, Some(r#"{"a":"\ufffd\n"}"#)),
            (r#"{"a":"\ud83d\ude00"}"#, None),
            (r#"{"a":"\ud83"}"#, None),
            (r#"{"a":"\ud83d"#, None),
        ] {
            assert_eq!(corrected(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn only_duplicates_in_data_are_removed() {
        for (text, expected) in [
            (
                r#"{"result":{"structuredContent":{"a":1,"b":2,"a":3}}}"#,
                Some(r#"{"result":{"structuredContent":{"b":2,"a":3}}}"#),
            ),
            (
                r#"{"result":{"_meta":{"x":[{"a":1,"\u0061":{"b":1,"b":2}}]}}}"#,
                Some(r#"{"result":{"_meta":{"x":[{"\u0061":{"b":2}}]}}}"#),
            ),
            (
                r#"{"result":{"tools":[{"_meta":{"a":1,"a":2}}]}}"#,
                Some(r#"{"result":{"tools":[{"_meta":{"a":2}}]}}"#),
            ),
            (
                r#"[{"result":{"structuredContent":{"a":1,"a":3}}}]"#,
                Some(r#"[{"result":{"structuredContent":{"a":3}}}]"#),
            ),
            (r#"{"result":{"a":1,"a":2}}"#, None),
            (
                r#"{"result":{"content":[{"text":"a","text":"b"}]}}"#,
                Some(r#"{"result":{"content":[{"text":"b"}]}}"#),
            ),
            (
                r#"{"result":{"tools":[{"name":"t","inputSchema":{"type":"a","type":"b"}}]}}"#,
                Some(r#"{"result":{"tools":[{"name":"t","inputSchema":{"type":"b"}}]}}"#),
            ),
            (r#"{"result":{"content":[],"content":[]}}"#, None),
            (r#"{"result":{},"result":{}}"#, None),
            (r#"{"params":{"_meta":{"a":1,"a":2}}}"#, None),
        ] {
            assert_eq!(corrected(text).as_deref(), expected, "{text}");
        }
        assert!(correct("[".repeat(100_000).as_bytes(), 128).is_none());
    }

    proptest! {
        #[test]
        fn any_input_is_handled(text in ".*", cut in 0usize..64) {
            let _ = correct(text.as_bytes(), 128);
            let whole = format!(r#"{{"result":{{"_meta":{{"a":{text:?},"a":"\ud800"}}}}}}"#);
            let _ = correct(&whole.as_bytes()[..cut.min(whole.len())], 128);
        }
    }
}
