//! A JSON value that counts how often it is looked at, so that a check can be ended when it has cost enough.
//!
//! Schemas can be written that take longer than anybody can wait, though they and the value are small. The
//! library has no way to be stopped, so a look too many unwinds out of it; what it had begun is dropped.

use std::borrow::Cow;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jsonschema::JsonType;
use jsonschema::json::{self, Json, NodeIdentity};
use serde_json::{Map, Number, Value};

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// What unwinds when nothing is left.
struct Spent;

/// Runs a check that may look at values so many times. `None` if that was not enough.
pub fn within<T>(looks: u32, check: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(looks);
    match catch_unwind(AssertUnwindSafe(check)) {
        Ok(found) => Some(found),
        Err(spent) if spent.is::<Spent>() => None,
        Err(other) => resume_unwind(other),
    }
}

#[inline]
fn look(times: usize) {
    let times = u32::try_from(times).unwrap_or(u32::MAX);
    match LEFT.get().checked_sub(times) {
        Some(left) => LEFT.set(left),
        // No panic: nothing is wrong, and nothing is to be told.
        None => resume_unwind(Box::new(Spent)),
    }
}

/// Values of `serde_json`, metered.
pub struct Metered;

#[derive(Clone, Copy)]
pub struct Node<'a>(pub &'a Value);

pub struct Object<'a>(&'a Map<String, Value>);

pub struct Array<'a>(&'a [Value]);

pub struct Members<'a>(serde_json::map::Iter<'a>);

pub struct Elements<'a>(std::slice::Iter<'a, Value>);

impl Json for Metered {
    type Node<'a> = Node<'a>;
    type PreparedKey = String;
    type StringBuffer = Value;

    const KEYS_PER_LOOKUP: usize = 2;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, f: impl FnOnce(Node<'_>) -> T) -> T {
        *buffer = Value::String(string.to_owned());
        f(Node(buffer))
    }
}

impl<'a> json::Node<'a, Metered> for Node<'a> {
    type Object = Object<'a>;
    type Array = Array<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Object<'a>> {
        look(1);
        self.0.as_object().map(Object)
    }

    fn as_array(&self) -> Option<Array<'a>> {
        look(1);
        self.0.as_array().map(|array| Array(array))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.0.as_str();
        // Whoever wants a long text will read it.
        look(1 + text.map_or(0, |text| text.len() / 64));
        text.map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<&'a Number> {
        look(1);
        self.0.as_number()
    }

    fn as_boolean(&self) -> Option<bool> {
        look(1);
        self.0.as_bool()
    }

    fn is_null(&self) -> bool {
        look(1);
        self.0.is_null()
    }

    fn json_type(&self) -> JsonType {
        look(1);
        match self.0 {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        look(1);
        Cow::Borrowed(self.0)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        look(1);
        Some(NodeIdentity::new(std::ptr::from_ref(self.0) as usize))
    }
}

impl<'a> json::Object<'a, Metered> for Object<'a> {
    type Node = Node<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<Node<'a>> {
        look(1);
        self.0.get(key).map(Node)
    }

    fn members(&self) -> Members<'a> {
        Members(self.0.iter())
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        look(1);
        self.0.next().map(|(name, value)| (name.as_str(), Node(value)))
    }
}

impl<'a> json::Array<'a, Metered> for Array<'a> {
    type Node = Node<'a>;
    type ElementsIter = Elements<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> Elements<'a> {
        Elements(self.0.iter())
    }

    fn is_unique(&self) -> bool {
        look(self.0.len());
        json::unique::is_unique(self.0)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        look(1);
        self.0.next().map(Node)
    }
}
