//! The canonical form of a definition, and its hash.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use bytes::Bytes;
use doorward_mcp::json::canonical_exact;
use doorward_mcp::{Object, Value};

const PREFIX: &str = "sha256:";
/// The one member that is compared apart: it is for programs, and some servers write changing things into it.
const META: &str = "_meta";

/// A SHA-256 over a canonical form; written as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash is written as 'sha256:' and 64 hexadecimal digits")]
pub struct NotAHash;

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let digits = text.strip_prefix(PREFIX).ok_or(NotAHash)?;
        let mut hash = [0; 32];
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NotAHash);
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).map_err(|_| NotAHash)?;
        }
        Ok(Self(hash))
    }
}

/// What a server says of one thing, in the form in which it is compared: as RFC 8785, but numbers that a double cannot
/// hold stay as they are written, so that two texts which a model could tell apart differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Of all of it.
    pub hash: Hash,
    /// Of all but `_meta`.
    pub core: Hash,
    /// The canonical JSON.
    pub text: Bytes,
}

impl Definition {
    /// Of an item of a list.
    pub fn of(item: &Object) -> Self {
        let meta = item.get(META).map(Value::to_bytes);
        let text = canonical(&item.to_bytes());
        let hash = hash_of(&text);
        let core = match meta {
            None => hash,
            Some(_) => {
                let mut bare = item.clone();
                bare.remove(META);
                hash_of(&canonical(&bare.to_bytes()))
            }
        };
        Self { hash, core, text: text.into() }
    }

    /// Of anything that a server says.
    pub fn said(said: &Value) -> Self {
        said.as_object().map_or_else(|| Self::of_value(said), |object| Self::of(&object))
    }

    /// Of a value that is no object, such as a server's instructions.
    pub fn of_value(value: &Value) -> Self {
        let text = canonical(&value.to_bytes());
        let hash = hash_of(&text);
        Self { hash, core: hash, text: text.into() }
    }

    /// Of the text of a definition, as it was stored.
    pub fn read(text: &Bytes) -> Self {
        match Object::parse(text) {
            Some(object) => Self::of(&object),
            None => Self::of_value(&Value::Raw(text.clone())),
        }
    }
}

/// A text without a canonical form, such as one that nests too deep, is compared byte by byte.
fn canonical(text: &[u8]) -> Vec<u8> {
    canonical_exact(text).unwrap_or_else(|_| text.to_owned())
}

/// The SHA-256 of a text.
pub fn hash_of(text: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text).as_ref());
    Hash(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Number, Value as Json, json};

    use super::*;

    fn of(value: &Json) -> Definition {
        Definition::of(&Object::from_serde(value).unwrap())
    }

    fn of_text(text: &str) -> Definition {
        Definition::of(&Object::parse(&Bytes::copy_from_slice(text.as_bytes())).unwrap())
    }

    #[test]
    fn order_and_white_space_between_tokens_make_no_difference() {
        let one = of_text(
            r#"{"name":"get","inputSchema":{"type":"object","properties":{"a":{},"b":{}}}}"#,
        );
        for same in [
            r#"{ "inputSchema" : {"properties":{"b":{},"a":{}} ,"type":"object"},"name":"get" }"#,
            "{\n\t\"name\": \"g\\u0065t\",\r\n\"inputSchema\": {\"type\": \"object\", \"properties\": {\"a\": {}, \"b\": {}}}}",
        ] {
            assert_eq!(of_text(same), one, "{same}");
        }
        let numbers = of_text(r#"{"name":"get","maximum":10}"#);
        assert_eq!(of_text(r#"{"name":"get","maximum":1e1}"#), numbers);
        assert_eq!(of_text(r#"{"name":"get","maximum":10.0}"#), numbers);
        assert_ne!(
            of_text(r#"{"name":"get","maximum":9007199254740993}"#),
            of_text(r#"{"name":"get","maximum":9007199254740992}"#)
        );
    }

    #[test]
    fn all_that_a_model_could_read_makes_a_difference() {
        let base = json!({ "name": "get", "title": "Get", "description": "Gets it.", "icons": [{ "src": "https://a/i.png" }],
            "inputSchema": { "type": "object", "properties": { "id": { "type": "string", "enum": ["a", "b"] } } },
            "outputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true } });
        let one = of(&base);
        for (path, value) in [
            ("/name", json!("get ")),
            ("/title", json!("Get\u{200b}")),
            ("/description", json!("Gets  it.")),
            ("/description", json!("Gets it.\n")),
            ("/description", json!("Gets\u{a0}it.")),
            ("/description", json!("G\u{435}ts it.")),
            ("/icons/0/src", json!("https://b/i.png")),
            ("/inputSchema/properties/id/enum", json!(["b", "a"])),
            ("/inputSchema/properties/id/type", json!(["string"])),
            ("/inputSchema/required", json!(["id"])),
            ("/inputSchema/properties/id/$comment", json!("x")),
            ("/outputSchema", Json::Null),
            ("/annotations/readOnlyHint", json!(false)),
            ("/annotations/readOnlyHint", json!("true")),
            ("/later", json!({})),
        ] {
            let mut changed = base.clone();
            let (parent, last) = path.rsplit_once('/').unwrap();
            match changed.pointer_mut(parent).unwrap() {
                Json::Object(members) => _ = members.insert(last.into(), value),
                Json::Array(items) => items[last.parse::<usize>().unwrap()] = value,
                _ => unreachable!(),
            }
            let changed = of(&changed);
            assert_ne!(changed.hash, one.hash, "{path}");
            assert_ne!(changed.core, one.core, "{path}");
        }
    }

    #[test]
    fn what_is_for_programs_is_compared_apart() {
        let bare = of(&json!({ "name": "get" }));
        let one = of(&json!({ "name": "get", "_meta": { "n": 1 } }));
        let other = of(&json!({ "name": "get", "_meta": { "n": 2 } }));
        assert_eq!((one.core, other.core), (bare.hash, bare.core));
        assert_ne!(one.hash, other.hash);
        // Only at the top level: a schema may have a property with this name.
        let deep = |n: u8| of(&json!({ "name": "get", "inputSchema": { "_meta": n } }));
        assert_ne!(deep(1).core, deep(2).core);
    }

    #[test]
    fn what_has_no_canonical_form_differs_by_every_byte() {
        let deep = |filler: &str| {
            format!("{{\"name\":\"x\",\"d\":{}{filler}{}}}", "[".repeat(600), "]".repeat(600))
        };
        assert_ne!(of_text(&deep("")).hash, of_text(&deep(" ")).hash);
        assert_eq!(of_text(&deep("")).hash, of_text(&deep("")).hash);
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = hash_of(b"x");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for bad in ["", "sha256:", "sha256:00", &hash.to_string()[7..], &format!("{hash}0")] {
            assert_eq!(bad.parse::<Hash>(), Err(NotAHash), "{bad}");
        }
    }

    fn json_value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(|n| Number::from_f64(n)
                .filter(|_| n != 0.0)
                .map_or(Json::Null, Json::Number)),
            ".{0,12}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
                proptest::collection::vec((".{0,6}", inner), 0..6)
                    .prop_map(|members| Json::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    /// The same value, its members in the opposite order and with white space between all tokens.
    fn rewritten(value: &Json, out: &mut String) {
        match value {
            Json::Object(members) => {
                out.push_str("{ ");
                for (at, (name, value)) in members.iter().rev().enumerate() {
                    out.push_str(if at > 0 { " ,\n" } else { "" });
                    out.push_str(&Json::from(name.as_str()).to_string());
                    out.push_str("\t: ");
                    rewritten(value, out);
                }
                out.push_str(" }");
            }
            Json::Array(items) => {
                out.push_str("[ ");
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { " , " } else { "" });
                    rewritten(item, out);
                }
                out.push_str(" ]");
            }
            leaf => out.push_str(&leaf.to_string()),
        }
    }

    proptest! {
        #[test]
        fn a_text_that_means_the_same_has_the_same_hash(value in json_value()) {
            let item = json!({ "name": "x", "inputSchema": value });
            let mut text = String::new();
            rewritten(&item, &mut text);
            prop_assert_eq!(of_text(&text), of(&item));
        }

        #[test]
        fn a_text_that_means_something_else_has_another(one in json_value(), other in json_value()) {
            let (a, b) = (json!({ "d": one }), json!({ "d": other }));
            // Serde distinguishes 1 from 1.0; the canonical form does not.
            prop_assume!(a.to_string().replace(".0", "") != b.to_string().replace(".0", ""));
            prop_assert_ne!(of(&a).hash, of(&b).hash);
        }

        #[test]
        fn a_stored_text_is_read_as_the_same(value in json_value()) {
            let said = of(&json!({ "d": value, "_meta": { "x": 1 } }));
            prop_assert_eq!(Definition::read(&said.text), said);
        }
    }
}
