//! Objects whose members are raw slices of the received text.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use super::scan::{Limits, Names, items, open_object};
use super::text::{quote, quote_name, unquote};

/// A JSON value: raw text, or a parsed object.
#[derive(Debug, Clone)]
pub enum Value {
    Raw(Bytes),
    Object(Object),
}

/// A member: its unescaped name, and its value.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: Bytes,
    pub value: Value,
}

/// An object: members in their original order, with raw values.
///
/// An unchanged object is written as exactly the bytes it was read from.
#[derive(Debug, Clone, Default)]
pub struct Object {
    source: Option<Bytes>,
    members: Vec<Member>,
}

impl Object {
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn scanned(source: Bytes, members: Vec<Member>) -> Self {
        Self { source: Some(source), members }
    }

    /// Parses an object within a scanned text, one level deep. `None` if it is not an object. Messages from a peer
    /// are read with [`scan_object`](super::scan_object) instead.
    pub fn parse(text: &Bytes) -> Option<Self> {
        open_object(text)
    }

    /// An object from a serializable value; `None` if it is not an object.
    pub fn from_serde(value: &impl serde::Serialize) -> Option<Self> {
        Self::parse(&Bytes::from(serde_json::to_vec(value).ok()?))
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.iter().find(|member| member.name == name.as_bytes()).map(|m| &m.value)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The text of a string member; `None` if it is absent or not a string.
    pub fn string(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name)?.as_str()
    }

    /// An object member, parsed; `None` if it is absent or not an object.
    pub fn object(&self, name: &str) -> Option<Cow<'_, Object>> {
        self.get(name)?.as_object()
    }

    /// An object member to be changed; created if absent. `None` if the member is not an object.
    pub fn object_mut(&mut self, name: &str) -> Option<&mut Object> {
        self.source = None;
        let at = match self.members.iter().position(|member| member.name == name.as_bytes()) {
            Some(at) => at,
            None => {
                self.push(name, Value::Object(Object::new()));
                self.members.len() - 1
            }
        };
        let value = &mut self.members[at].value;
        if let Value::Raw(text) = value {
            *value = Value::Object(Object::parse(text)?);
        }
        match value {
            Value::Object(object) => Some(object),
            Value::Raw(_) => None,
        }
    }

    /// Replaces the value of a member in place, or appends the member.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.source = None;
        let value = value.into();
        match self.members.iter_mut().find(|member| member.name == name.as_bytes()) {
            Some(member) => member.value = value,
            None => self.push(name, value),
        }
    }

    fn push(&mut self, name: &str, value: Value) {
        self.members.push(Member { name: Bytes::copy_from_slice(name.as_bytes()), value });
    }

    /// Removes a member and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.members.iter().position(|member| member.name == name.as_bytes())?;
        self.source = None;
        Some(self.members.remove(at).value)
    }

    /// Retains the members whose name passes.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        let before = self.members.len();
        self.members.retain(|member| keep(&member.name));
        if self.members.len() != before {
            self.source = None;
        }
    }

    pub fn write(&self, out: &mut BytesMut) {
        if let Some(source) = &self.source {
            out.put_slice(source);
            return;
        }
        out.put_u8(b'{');
        for (at, member) in self.members.iter().enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            quote_name(out, &member.name);
            out.put_u8(b':');
            member.value.write(out);
        }
        out.put_u8(b'}');
    }

    /// The approximate length of the written text, in bytes.
    pub fn size_hint(&self) -> usize {
        match &self.source {
            Some(source) => source.len(),
            None => self.members.iter().map(|m| m.name.len() + 4 + m.value.size_hint()).sum(),
        }
    }

    pub fn to_bytes(&self) -> Bytes {
        if let Some(source) = &self.source {
            return source.clone();
        }
        let mut out = BytesMut::with_capacity(self.size_hint() + 2);
        self.write(&mut out);
        out.freeze()
    }

    /// The object as a `serde_json` value, to inspect it in depth.
    pub fn to_serde(&self) -> serde_json::Value {
        serde_json::from_slice(&self.to_bytes()).unwrap_or_default()
    }
}

impl Value {
    pub fn text(text: &str) -> Self {
        Self::Raw(quote(text))
    }

    pub fn null() -> Self {
        Self::Raw(Bytes::from_static(b"null"))
    }

    pub fn bool(value: bool) -> Self {
        Self::Raw(Bytes::from_static(if value { b"true" } else { b"false" }))
    }

    pub fn number(value: impl Into<i64>) -> Self {
        Self::Raw(Bytes::from(value.into().to_string()))
    }

    /// An array of values.
    pub fn array<'a>(values: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut out = BytesMut::from(&b"["[..]);
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            value.write(&mut out);
        }
        out.put_u8(b']');
        Self::Raw(out.freeze())
    }

    pub fn from_serde(value: &impl serde::Serialize) -> Self {
        // Serializing to memory fails only for maps with keys that are not strings; there are none.
        Self::Raw(
            serde_json::to_vec(value).map_or_else(|_| Bytes::from_static(b"null"), Bytes::from),
        )
    }

    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Raw(text) => text.clone(),
            Self::Object(object) => object.to_bytes(),
        }
    }

    pub fn as_str(&self) -> Option<Cow<'_, str>> {
        let Self::Raw(text) = self else { return None };
        let inner = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        if inner.contains(&b'\\') {
            return Some(Cow::Owned(unquote(inner)));
        }
        std::str::from_utf8(inner).ok().map(Cow::Borrowed)
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Raw(text) if &text[..] == b"true" => Some(true),
            Self::Raw(text) if &text[..] == b"false" => Some(false),
            _ => None,
        }
    }

    pub fn as_u64(&self) -> Option<u64> {
        let Self::Raw(text) = self else { return None };
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Raw(text) if &text[..] == b"null")
    }

    pub fn as_object(&self) -> Option<Cow<'_, Object>> {
        match self {
            Self::Object(object) => Some(Cow::Borrowed(object)),
            Self::Raw(text) if text.first() == Some(&b'{') => Object::parse(text).map(Cow::Owned),
            Self::Raw(_) => None,
        }
    }

    /// The items of an array; `None` if it is not an array.
    pub fn as_array(&self) -> Option<Vec<Value>> {
        let Self::Raw(text) = self else { return None };
        let limits = Limits { depth: usize::MAX, names: Names::StrictEnvelope };
        Some(items(text, limits).ok()?.into_iter().map(Value::Raw).collect())
    }

    fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Raw(text) => out.put_slice(text),
            Self::Object(object) => object.write(out),
        }
    }

    fn size_hint(&self) -> usize {
        match self {
            Self::Raw(text) => text.len(),
            Self::Object(object) => object.size_hint() + 2,
        }
    }
}

impl From<Bytes> for Value {
    fn from(text: Bytes) -> Self {
        Self::Raw(text)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        Object::parse(&Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn an_unchanged_object_is_written_as_read() {
        let text = r#"{ "b" : 1.0 , "a":[ 1e2 ] }"#;
        assert_eq!(object(text).to_bytes(), text);
    }

    #[test]
    fn a_change_does_not_affect_other_members() {
        let mut changed = object(r#"{"name":"x","arguments":{ "n" : 1.0 },"_meta":{"a":1}}"#);
        changed.set("name", "y");
        changed.object_mut("_meta").unwrap().set("b", Value::bool(true));
        changed.remove("absent");
        assert_eq!(
            changed.to_bytes(),
            r#"{"name":"y","arguments":{ "n" : 1.0 },"_meta":{"a":1,"b":true}}"#
        );
    }

    #[test]
    fn escaped_names_are_found() {
        let read = object(r#"{"n\u0061me":"v\"w"}"#);
        assert_eq!(read.string("name").unwrap(), "v\"w");
    }
}
