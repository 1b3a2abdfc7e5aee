//! `doorward.lock`: pins in a file, for version control.
//!
//! It holds the definitions themselves, so that a change of the file shows what changes:
//!
//! ```json
//! {"pins": {"github": {"modern": {"tool": {"get": {"name": "get", …}}, "instructions": "…"}}}}
//! ```
//!
//! Other members of the file are left as they are.

use std::collections::BTreeMap;

use bytes::Bytes;
use doorward_mcp::Era;
use serde_json::{Map, Value};

use super::{Book, Definition, Kind, Place};

/// The largest file that is read, in bytes.
pub const LONGEST: usize = 64 << 20;
const PINS: &str = "pins";
const ERAS: [(Era, &str); 2] = [(Era::Modern, "modern"), (Era::Handshake, "handshake")];

/// Why a lock file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    #[error("it is not JSON: {0}")]
    NotJson(String),
    #[error("'{0}' is not as expected")]
    Unexpected(String),
}

/// The pins of a file, by server in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    servers: BTreeMap<String, BTreeMap<Place, Bytes>>,
    /// What else the file holds.
    rest: Map<String, Value>,
}

impl Lock {
    pub fn read(text: &str) -> Result<Self, LockError> {
        if text.len() > LONGEST {
            return Err(LockError::TooLong);
        }
        let file: Value =
            serde_json::from_str(text).map_err(|error| LockError::NotJson(error.to_string()))?;
        let Value::Object(mut rest) = file else {
            return Err(LockError::Unexpected("(the file)".into()));
        };
        let mut servers = BTreeMap::new();
        for (server, eras) in object(PINS, rest.remove(PINS).unwrap_or_else(|| Map::new().into()))?
        {
            let mut pins = BTreeMap::new();
            for (era, kinds) in object(&format!("{PINS}.{server}"), eras)? {
                let at = format!("{PINS}.{server}.{era}");
                let unexpected = || LockError::Unexpected(at.clone());
                let era = ERAS.iter().find(|(_, name)| *name == era).ok_or_else(unexpected)?.0;
                for (kind, said) in object(&at, kinds)? {
                    let at = format!("{at}.{kind}");
                    let kind: Kind = kind.parse().map_err(|_| LockError::Unexpected(at.clone()))?;
                    if kind.is_named() {
                        for (name, said) in object(&at, said)? {
                            pins.insert(Place::new(era, kind, &name), text_of(said));
                        }
                    } else {
                        pins.insert(Place::new(era, kind, ""), said.to_string().into());
                    }
                }
            }
            servers.insert(server.to_ascii_lowercase(), pins);
        }
        Ok(Self { servers, rest })
    }

    /// The file, its members sorted and one a line.
    pub fn write(&self) -> String {
        let mut servers = Map::new();
        for (server, pins) in &self.servers {
            let mut eras = Map::new();
            for (place, said) in pins {
                let era = if place.era == Era::Modern { "modern" } else { "handshake" };
                let kinds = member(&mut eras, era);
                match place.kind.is_named() {
                    true => {
                        let named = member(kinds, place.kind.as_str());
                        named.insert(place.name.to_string(), value_of(said));
                    }
                    false => _ = kinds.insert(place.kind.as_str().into(), value_of(said)),
                }
            }
            servers.insert(server.clone(), eras.into());
        }
        let mut file = self.rest.clone();
        file.insert(PINS.into(), servers.into());
        format!("{:#}\n", Value::Object(file))
    }

    /// What a server is pinned to.
    pub fn pins(&self, server: &str) -> Option<&BTreeMap<Place, Bytes>> {
        self.servers.get(&server.to_ascii_lowercase())
    }

    /// Pins a server to what it says now.
    pub fn set(&mut self, server: &str, pins: BTreeMap<Place, Bytes>) {
        self.servers.insert(server.to_ascii_lowercase(), pins);
    }

    /// Takes a server's pins away.
    pub fn remove(&mut self, server: &str) -> bool {
        self.servers.remove(&server.to_ascii_lowercase()).is_some()
    }

    /// The servers that it pins.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.servers.keys().map(String::as_str)
    }

    /// A server's pins, to judge by.
    pub fn book(&self, server: &str) -> Book {
        let mut book = Book::default();
        for (place, text) in self.pins(server).into_iter().flatten() {
            let Definition { hash, core, text } = Definition::read(text);
            book.pin(place.clone(), hash, core, Some(text));
        }
        book
    }
}

/// A definition as it stands in the file: what serde would not give back to the last digit stands there as a text.
fn value_of(said: &Bytes) -> Value {
    let value: Option<Value> = serde_json::from_slice(said).ok();
    let same = |value: &Value| {
        let again = Definition::read(&value.to_string().into());
        again.hash == Definition::read(said).hash
    };
    value.filter(same).unwrap_or_else(|| String::from_utf8_lossy(said).into())
}

/// What has a name is an object.
fn text_of(value: Value) -> Bytes {
    match value {
        Value::String(text) => text.into(),
        value => value.to_string().into(),
    }
}

fn object(at: &str, value: Value) -> Result<Map<String, Value>, LockError> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(LockError::Unexpected(at.into())),
    }
}

fn member<'a>(of: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let member = of.entry(name).or_insert_with(|| Map::new().into());
    match member {
        Value::Object(members) => members,
        _ => unreachable!("only objects are put there"),
    }
}

#[cfg(test)]
mod tests {
    use doorward_mcp::Object;
    use serde_json::json;

    use super::super::Judgement;
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let mut lock = Lock::read(r#"{"packages": {"a": 1}}"#).unwrap();
        let get = json!({ "name": "get", "inputSchema": { "type": "object", "maximum": 1e1 } });
        let place = Place::new(Era::Modern, Kind::Tool, "get");
        let said = Definition::of(&Object::from_serde(&get).unwrap());
        let told = Place::new(Era::Handshake, Kind::Instructions, "");
        let pins =
            [(place.clone(), said.text.clone()), (told.clone(), Bytes::from(r#""Be kind.""#))];
        lock.set("GitHub", pins.into());
        let text = lock.write();
        assert!(text.contains("\"packages\"") && text.ends_with("}\n"), "{text}");
        let read = Lock::read(&text).unwrap();
        assert_eq!(read, lock);
        assert_eq!(read.write(), text);
        let book = read.book("github");
        assert_eq!(book.judge(&place, &said), Judgement::Served);
        assert_eq!(book.text(&told).unwrap().as_ref(), br#""Be kind.""#);
        assert!(read.book("other").is_empty());
        assert!(lock.remove("github") && !lock.remove("github"));
    }

    #[test]
    fn a_number_that_no_double_holds_is_kept() {
        let text = Bytes::from(
            r#"{"inputSchema":{"maximum":123456789012345678901234567891},"name":"get"}"#,
        );
        let place = Place::new(Era::Modern, Kind::Tool, "get");
        let mut lock = Lock::default();
        lock.set("s", [(place.clone(), text.clone())].into());
        let book = Lock::read(&lock.write()).unwrap().book("s");
        assert_eq!(book.judge(&place, &Definition::read(&text)), Judgement::Served);
    }

    #[test]
    fn what_is_not_as_expected_is_refused_with_its_place() {
        for (text, why) in [
            ("[]", "'(the file)' is not as expected"),
            (r#"{"pins": 1}"#, "'pins' is not as expected"),
            (r#"{"pins": {"a": {"later": {}}}}"#, "'pins.a.later' is not as expected"),
            (
                r#"{"pins": {"a": {"modern": {"tools": {}}}}}"#,
                "'pins.a.modern.tools' is not as expected",
            ),
            (
                r#"{"pins": {"a": {"modern": {"tool": []}}}}"#,
                "'pins.a.modern.tool' is not as expected",
            ),
        ] {
            assert_eq!(Lock::read(text).unwrap_err().to_string(), why);
        }
        assert!(Lock::read("{").unwrap_err().to_string().starts_with("it is not JSON"));
        assert!(Lock::read("{}").unwrap().servers().next().is_none());
    }
}
