//! The strict scan: validates a whole text in one pass and notes the positions of the members of the outer objects.

#[cfg(test)]
mod tests;
mod tokens;

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use smallvec::SmallVec;

use super::fold::{fold, is_same_name};
use super::object::{Member, Object, Value};
use super::text::unquote;

/// Why a text was refused. `at` is the offset in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why} at byte {at}")]
pub struct Fault {
    pub at: usize,
    pub why: &'static str,
    /// The text is valid JSON (RFC 8259) but violates a stricter rule (duplicate names, depth).
    pub well_formed: bool,
}

/// Limits of a scan.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum nesting depth of arrays and objects.
    pub depth: usize,
    /// Where names that differ only in case are refused.
    pub names: Names,
}

/// Where two member names of one object that differ only in case are refused. Exact duplicates are always
/// refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// In every object: for requests of clients, which policies decide on.
    StrictEverywhere,
    /// In the envelope and the objects directly below it: for responses of servers, whose data may contain both
    /// `etag` and `ETag`.
    StrictEnvelope,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 128, names: Names::StrictEverywhere }
    }
}

/// Members whose look-alikes (`Name`, `METHOD`) are refused in the outer objects even without the original,
/// because a case-insensitive parser would read them as the original.
const KNOWN: &[&str] = &[
    "jsonrpc",
    "id",
    "method",
    "params",
    "result",
    "error",
    "name",
    "arguments",
    "uri",
    "_meta",
    "cursor",
    "ref",
    "inputResponses",
    "requestState",
    "notifications",
    "taskId",
    "level",
    "resultType",
    "inputRequests",
    "protocolVersion",
    "capabilities",
    "requestId",
];

/// The known member with this name.
fn known(name: &[u8]) -> Option<&'static str> {
    KNOWN.iter().copied().find(|known| known.as_bytes() == name)
}

/// Whether an unknown name equals a known one to a case-insensitive parser.
fn is_look_alike(name: &[u8]) -> bool {
    let mut known = KNOWN.iter().map(|known| known.as_bytes());
    match name.is_ascii() {
        // Both are ASCII, and most differ in length.
        true => known.any(|known| name.eq_ignore_ascii_case(known)),
        false => known.any(|known| is_same_name(name, known)),
    }
}

/// Scans a JSON object, strictly and to its end.
///
/// The members of the object itself, of its `params`, `result` and `error`, and of the `_meta` in those are
/// returned parsed ([`Value::Object`]); everything else remains raw.
pub fn scan_object(text: &Bytes, limits: Limits) -> Result<Object, Fault> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(Fault { at: error.valid_up_to(), why: "invalid UTF-8", well_formed: false });
    }
    let mut scan = Scan { text, bytes: text, at: 0, limits };
    scan.space();
    if scan.peek() != Some(b'{') {
        return Err(scan.fault("expected an object"));
    }
    let object = scan.recorded_object(Level::Envelope, 1)?;
    scan.space();
    if scan.at != text.len() {
        return Err(scan.fault("trailing characters"));
    }
    Ok(object)
}

/// Parses an object within a scanned text: one level, any names except duplicates.
pub(super) fn open_object(text: &Bytes) -> Option<Object> {
    let limits = Limits { depth: usize::MAX, names: Names::StrictEnvelope };
    let mut scan = Scan { text, bytes: text, at: 0, limits };
    scan.space();
    if scan.peek() != Some(b'{') {
        return None;
    }
    let object = scan.recorded_object(Level::Plain, 1).ok()?;
    scan.space();
    (scan.at == text.len()).then_some(object)
}

/// Splits a JSON array into its items, strictly: each item is validated, none is parsed.
pub fn items(text: &Bytes, limits: Limits) -> Result<Vec<Bytes>, Fault> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(Fault { at: error.valid_up_to(), why: "invalid UTF-8", well_formed: false });
    }
    let mut scan = Scan { text, bytes: text, at: 0, limits };
    scan.space();
    if scan.peek() != Some(b'[') {
        return Err(scan.fault("expected an array"));
    }
    scan.at += 1;
    let mut items = Vec::new();
    scan.space();
    if scan.peek() == Some(b']') {
        scan.at += 1;
    } else {
        loop {
            scan.space();
            let start = scan.at;
            scan.value(2)?;
            items.push(text.slice(start..scan.at));
            scan.space();
            match scan.next() {
                Some(b',') => {}
                Some(b']') => break,
                _ => return Err(scan.fault_before("expected ',' or ']'")),
            }
        }
    }
    scan.space();
    if scan.at != text.len() {
        return Err(scan.fault("trailing characters"));
    }
    Ok(items)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Envelope,
    Body,
    Meta,
    Plain,
}

struct Scan<'a> {
    text: &'a Bytes,
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
}

type Keys<'a> = SmallVec<[Cow<'a, [u8]>; 16]>;

impl<'a> Scan<'a> {
    fn fault(&self, why: &'static str) -> Fault {
        Fault { at: self.at, why, well_formed: false }
    }

    fn fault_before(&self, why: &'static str) -> Fault {
        Fault { at: self.at.saturating_sub(1), why, well_formed: false }
    }

    fn refusal(&self, why: &'static str) -> Fault {
        Fault { at: self.at, why, well_formed: true }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn recorded_object(&mut self, level: Level, depth: usize) -> Result<Object, Fault> {
        let start = self.at;
        self.at += 1;
        let mut members = Vec::with_capacity(8);
        let mut keys = Keys::new();
        let mut large = None;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Object::scanned(self.text.slice(start..self.at), members));
        }
        loop {
            let (key_start, key_end) = self.key()?;
            let key =
                self.check_key(key_start, key_end, &mut keys, &mut large, level != Level::Plain)?;
            let outer = matches!(level, Level::Envelope | Level::Body);
            let known = if outer { known(&key) } else { None };
            if outer && known.is_none() && is_look_alike(&key) {
                return Err(self.refusal("member name differs from a known one only in case"));
            }
            let name = match (known, key) {
                // A static name costs no reference count.
                (Some(known), _) => Bytes::from_static(known.as_bytes()),
                (None, Cow::Borrowed(_)) => self.text.slice(key_start..key_end),
                (None, Cow::Owned(unescaped)) => Bytes::from(unescaped),
            };
            let inner = match level {
                Level::Envelope => {
                    matches!(&name[..], b"params" | b"result" | b"error").then_some(Level::Body)
                }
                Level::Body => (&name[..] == b"_meta").then_some(Level::Meta),
                Level::Meta | Level::Plain => None,
            };
            let value_start = self.at;
            let value = match inner {
                Some(inner) if self.peek() == Some(b'{') => {
                    Value::Object(self.recorded_object(inner, depth + 1)?)
                }
                _ => {
                    self.value(depth + 1)?;
                    Value::Raw(self.text.slice(value_start..self.at))
                }
            };
            members.push(Member { name, value });
            if !self.another_member()? {
                return Ok(Object::scanned(self.text.slice(start..self.at), members));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        self.at += 1;
        let strict = self.limits.names == Names::StrictEverywhere;
        let mut keys = Keys::new();
        let mut large = None;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let (start, end) = self.key()?;
            self.check_key(start, end, &mut keys, &mut large, strict)?;
            self.value(depth + 1)?;
            if !self.another_member()? {
                return Ok(());
            }
        }
    }

    /// Reads a member's name and the colon, and leaves the cursor at the value. Returns the range of the name between
    /// its quotes.
    fn key(&mut self) -> Result<(usize, usize), Fault> {
        self.space();
        if self.peek() != Some(b'"') {
            return Err(self.fault("expected a member name"));
        }
        let start = self.at + 1;
        self.string()?;
        let end = self.at - 1;
        self.space();
        if self.next() != Some(b':') {
            return Err(self.fault_before("expected ':'"));
        }
        self.space();
        Ok((start, end))
    }

    fn another_member(&mut self) -> Result<bool, Fault> {
        self.space();
        match self.next() {
            Some(b',') => Ok(true),
            Some(b'}') => Ok(false),
            _ => Err(self.fault_before("expected ',' or '}'")),
        }
    }

    /// Refuses a name that this object already has; with `strict`, also one that differs only in case. Returns the
    /// unescaped name.
    fn check_key(
        &self,
        start: usize,
        end: usize,
        keys: &mut Keys<'a>,
        large: &mut Option<HashSet<Vec<u8>>>,
        strict: bool,
    ) -> Result<Cow<'a, [u8]>, Fault> {
        let raw = &self.bytes[start..end];
        let key: Cow<'a, [u8]> = if raw.contains(&b'\\') {
            Cow::Owned(unquote(raw).into_bytes())
        } else {
            Cow::Borrowed(raw)
        };
        // ASCII names, which are most names, are compared case-insensitively without a copy. A folded name has no upper
        // case, so it can be compared in the same way.
        let compared = if strict && !key.is_ascii() { fold(key.clone()) } else { key.clone() };
        let is_same = |other: &Cow<'_, [u8]>| match strict {
            true => other.eq_ignore_ascii_case(&compared),
            false => *other == compared,
        };
        let hashed = |name: Cow<'_, [u8]>| match strict {
            true => name.to_ascii_lowercase(),
            false => name.into_owned(),
        };
        let seen = if let Some(set) = large {
            !set.insert(hashed(compared))
        } else if keys.iter().any(is_same) {
            true
        } else if keys.len() < 24 {
            keys.push(compared);
            false
        } else {
            let mut set: HashSet<Vec<u8>> = keys.drain(..).map(hashed).collect();
            let seen = !set.insert(hashed(compared));
            *large = Some(set);
            seen
        };
        if seen {
            let why = if strict {
                "member name repeated (names are compared without case)"
            } else {
                "member name repeated"
            };
            return Err(Fault { at: start, why, well_formed: true });
        }
        Ok(key)
    }

    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'{') => {
                self.check_depth(depth)?;
                self.object(depth)
            }
            Some(b'[') => {
                self.check_depth(depth)?;
                self.array(depth)
            }
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            Some(_) => Err(self.fault("expected a value")),
            None => Err(self.fault("unexpected end")),
        }
    }

    fn check_depth(&self, depth: usize) -> Result<(), Fault> {
        if depth > self.limits.depth {
            return Err(self.refusal("nested too deep"));
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            self.value(depth + 1)?;
            self.space();
            match self.next() {
                Some(b',') => {}
                Some(b']') => return Ok(()),
                _ => return Err(self.fault_before("expected ',' or ']'")),
            }
        }
    }
}
