//! What was approved of one server, and what becomes of what it says now.

use std::collections::{HashMap, HashSet};
use std::fmt;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Definition, Hash, Kind, Place};

/// What happens to a definition that has no pin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnNew {
    /// It waits until somebody accepts it, also at the first connection.
    #[default]
    Hold,
    /// What the server lists at the first connection is pinned and served; what it adds later waits.
    First,
    /// It is pinned and served; only changes wait.
    Serve,
}

/// Why a definition is not served.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// It has no pin.
    New,
    /// It differs from its pin.
    Changed,
    /// Only its `_meta` differs: it is served without.
    Meta,
    /// It was refused.
    Refused,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Meta => "meta",
            Self::Refused => "refused",
        }
    }
}

/// For an operator, as the end of a sentence.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "it is new and waits for approval",
            Self::Changed => "it differs from its pin and waits for approval",
            Self::Meta => "its '_meta' differs from its pin and is not served",
            Self::Refused => "it was refused",
        })
    }
}

/// What becomes of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    Served,
    /// Served without its `_meta`, which is not the one that was approved.
    WithoutMeta,
    Withheld(Reason),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pin {
    hash: Hash,
    core: Hash,
    /// Of what is served in the place of something that differs: the server's instructions and identity.
    text: Option<Bytes>,
}

/// What was approved and refused of one server. It knows what was decided, and nothing of who has decided it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book {
    pins: HashMap<Place, Pin>,
    refused: HashSet<(Place, Hash)>,
    /// Of which kinds what the server said first was taken.
    learnt: HashSet<Kind>,
}

impl Book {
    /// Pins a definition. Of instructions and identity the text is needed, too.
    pub fn pin(&mut self, place: Place, hash: Hash, core: Hash, text: Option<Bytes>) {
        let text = text.filter(|_| !place.kind.is_named());
        self.learnt.insert(place.kind);
        self.pins.insert(place, Pin { hash, core, text });
    }

    pub fn refuse(&mut self, place: Place, hash: Hash) {
        self.refused.insert((place, hash));
    }

    /// Marks a kind of which what the server said first was taken, be it nothing.
    pub fn learnt(&mut self, kind: Kind) {
        self.learnt.insert(kind);
    }

    pub fn has_learnt(&self, kind: Kind) -> bool {
        self.learnt.contains(&kind)
    }

    pub fn len(&self) -> usize {
        self.pins.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }

    /// The pin of a place: its own, or the other era's where it has none, for most servers say the same in both.
    fn pin_of(&self, place: &Place) -> Option<&Pin> {
        self.pins.get(place).or_else(|| self.pins.get(&place.twin()))
    }

    pub fn pinned(&self, place: &Place) -> Option<Hash> {
        self.pin_of(place).map(|pin| pin.hash)
    }

    /// The approved text of the server's instructions or identity.
    pub fn text(&self, place: &Place) -> Option<&Bytes> {
        self.pin_of(place)?.text.as_ref()
    }

    /// Whether a definition may be served.
    pub fn judge(&self, place: &Place, said: &Definition) -> Judgement {
        let pin = self.pin_of(place);
        if pin.is_some_and(|pin| pin.hash == said.hash) {
            return Judgement::Served;
        }
        if !self.refused.is_empty() && self.refused.contains(&(place.clone(), said.hash)) {
            return Judgement::Withheld(Reason::Refused);
        }
        match pin {
            Some(pin) if pin.core == said.core => Judgement::WithoutMeta,
            Some(_) => Judgement::Withheld(Reason::Changed),
            None => Judgement::Withheld(Reason::New),
        }
    }

    /// Whether what is new is pinned as soon as it is seen.
    pub fn pins_at_sight(&self, kind: Kind, on_new: OnNew) -> bool {
        match on_new {
            OnNew::Hold => false,
            OnNew::First => !self.learnt.contains(&kind),
            OnNew::Serve => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use doorward_mcp::{Era, Object};
    use serde_json::{Value, json};

    use super::*;

    fn of(value: &Value) -> Definition {
        Definition::of(&Object::from_serde(value).unwrap())
    }

    fn tool(name: &str) -> Place {
        Place::new(Era::Modern, Kind::Tool, name)
    }

    fn book(definitions: &[(&Place, &Definition)]) -> Book {
        let mut book = Book::default();
        for (place, definition) in definitions {
            let text = Some(definition.text.clone());
            book.pin((*place).clone(), definition.hash, definition.core, text);
        }
        book
    }

    #[test]
    fn only_what_is_pinned_is_served() {
        let (place, said) = (tool("get"), of(&json!({ "name": "get" })));
        let changed = of(&json!({ "name": "get", "title": "x" }));
        assert_eq!(Book::default().judge(&place, &said), Judgement::Withheld(Reason::New));
        let mut book = book(&[(&place, &said)]);
        assert_eq!(book.judge(&place, &said), Judgement::Served);
        assert_eq!(book.judge(&place, &changed), Judgement::Withheld(Reason::Changed));
        assert_eq!(book.judge(&tool("set"), &said), Judgement::Withheld(Reason::New));
        book.refuse(place.clone(), changed.hash);
        assert_eq!(book.judge(&place, &changed), Judgement::Withheld(Reason::Refused));
        assert_eq!(book.judge(&place, &said), Judgement::Served);
    }

    #[test]
    fn both_eras_are_pinned_together_until_they_say_different_things() {
        let (modern, said) = (tool("get"), of(&json!({ "name": "get" })));
        let handshake = modern.twin();
        let other = of(&json!({ "name": "get", "execution": { "taskSupport": "optional" } }));
        let mut book = book(&[(&modern, &said)]);
        assert_eq!(book.judge(&handshake, &said), Judgement::Served);
        assert_eq!(book.judge(&handshake, &other), Judgement::Withheld(Reason::Changed));
        book.pin(handshake.clone(), other.hash, other.core, None);
        assert_eq!(book.judge(&handshake, &other), Judgement::Served);
        assert_eq!(book.judge(&modern, &other), Judgement::Withheld(Reason::Changed));
        assert_eq!(book.judge(&handshake, &said), Judgement::Withheld(Reason::Changed));
    }

    #[test]
    fn a_change_of_meta_alone_withholds_meta_alone() {
        let place = tool("get");
        let with = |n: u8| of(&json!({ "name": "get", "_meta": { "n": n } }));
        let mut book = book(&[(&place, &with(1))]);
        assert_eq!(book.judge(&place, &with(2)), Judgement::WithoutMeta);
        assert_eq!(book.judge(&place, &of(&json!({ "name": "get" }))), Judgement::WithoutMeta);
        book.refuse(place.clone(), with(2).hash);
        assert_eq!(book.judge(&place, &with(2)), Judgement::Withheld(Reason::Refused));
    }

    #[test]
    fn what_comes_first_is_taken_once_for_each_kind() {
        let mut book = Book::default();
        assert!(!book.pins_at_sight(Kind::Tool, OnNew::Hold));
        assert!(book.pins_at_sight(Kind::Tool, OnNew::First));
        book.learnt(Kind::Tool);
        assert!(!book.pins_at_sight(Kind::Tool, OnNew::First));
        assert!(book.pins_at_sight(Kind::Prompt, OnNew::First));
        assert!(book.pins_at_sight(Kind::Tool, OnNew::Serve));
    }

    #[test]
    fn the_approved_instructions_are_at_hand() {
        let place = Place::new(Era::Modern, Kind::Instructions, "");
        let said = Definition::of_value(&doorward_mcp::Value::text("Be kind."));
        let book = book(&[(&place, &said), (&tool("get"), &said)]);
        assert_eq!(book.text(&place).unwrap().as_ref(), br#""Be kind.""#);
        assert_eq!(book.text(&place.twin()), book.text(&place));
        assert_eq!(book.text(&tool("get")), None);
    }
}
