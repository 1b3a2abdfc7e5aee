//! The tool's arguments from those of a caller.

use std::collections::HashMap;

use doorward_mcp::json::{Limits, Names, items};
use doorward_mcp::{Object, Value};

use super::Refused;
use super::names::key;
use super::plan::{Act, Plan, Shape};
use crate::node::MOST_LEVELS;
use crate::path::{Step, push};

/// How many bytes rules may add to one call: a value in each item of an array adds up.
const MOST_ADDED: usize = 1 << 20;

const SET: &str = "it cannot be set by the caller; leave it out";
const SPELLED: &str =
    "it cannot be set by the caller, nor under a name that is spelled differently; leave it out";
const OTHERWISE: &str =
    "it must be spelled exactly like this, because a part of it is not set by the caller";
const NO_OBJECT: &str = "it must be an object, because a part of it is not set by the caller";
const NO_ARRAY: &str = "it must be an array, because a part of its items is not set by the caller";
const UNREADABLE: &str =
    "the arguments are not an object of at most 128 levels without repeated names";
const TOO_MUCH: &str =
    "there are so many items that the values set in them exceed 1 MiB; send fewer";

pub(super) fn arguments(plan: &Plan, sent: &Object) -> Result<Object, Refused> {
    if plan.members.is_empty() {
        return Ok(sent.clone());
    }
    // Read again from what would be sent, so that nothing else is judged than that.
    let text = sent.to_bytes();
    let wrapped = [&b"["[..], &text, &b"]"[..]].concat();
    let limits = Limits { depth: MOST_LEVELS + 1, names: Names::StrictEnvelope };
    let is_one = items(&wrapped.into(), limits).is_ok_and(|all| all.len() == 1);
    let read = if is_one { Object::parse(&text) } else { None };
    let read = read.ok_or(Refused { path: String::new(), why: UNREADABLE })?;
    let mut walk = Walk { left: MOST_ADDED, place: Vec::new() };
    Ok(walk.object(plan, &read)?.unwrap_or(read))
}

enum At<'a> {
    Name(&'a str),
    Item(usize),
}

struct Walk<'a> {
    /// Bytes that may still be added.
    left: usize,
    place: Vec<At<'a>>,
}

impl<'a> Walk<'a> {
    fn refused(&self, why: &'static str) -> Refused {
        let mut path = String::new();
        for at in &self.place {
            match at {
                At::Name(name) => push(&mut path, &Step::Name((*name).to_owned())),
                At::Item(number) => path.push_str(&format!("[{number}]")),
            }
        }
        Refused { path, why }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Refused> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| self.refused(TOO_MUCH))?;
        Ok(())
    }

    /// An object by its plan; `None` if it stays as it is.
    fn object(&mut self, plan: &'a Plan, sent: &Object) -> Result<Option<Object>, Refused> {
        self.check_spelling(plan, sent)?;
        let mut made: Option<Object> = None;
        for (name, act) in &plan.members {
            self.place.push(At::Name(name));
            let now = made.as_ref().unwrap_or(sent);
            let value = match (act, now.get(name)) {
                (Act::Fix(_) | Act::Hide, Some(_)) => return Err(self.refused(SET)),
                (Act::Fix(value) | Act::Default(value), None) => {
                    self.take(name.len() + value.len() + 4)?;
                    Some(Value::Raw(value.clone().into_bytes().into()))
                }
                (Act::Within { shape, .. }, Some(value)) => self.shaped(shape, &value.clone())?,
                (Act::Within { shape: Shape::Object(plan), is_created: true }, None) => {
                    self.take(name.len() + 6)?;
                    let empty = Object::new();
                    Some(Value::Object(self.object(plan, &empty)?.unwrap_or(empty)))
                }
                (Act::Hide | Act::Within { .. }, None) | (Act::Default(_), Some(_)) => None,
            };
            if let Some(value) = value {
                made.get_or_insert_with(|| sent.clone()).set(name, value);
            }
            self.place.pop();
        }
        Ok(made)
    }

    /// Refuses another spelling of a name, if a server could read it as one that the caller must not set.
    fn check_spelling(&mut self, plan: &'a Plan, sent: &Object) -> Result<(), Refused> {
        let guarded = plan.members.iter().filter(|(_, act)| act.is_guarded());
        let guarded: HashMap<Vec<u8>, &(String, Act)> =
            guarded.filter_map(|member| Some((key(member.0.as_bytes())?, member))).collect();
        if guarded.is_empty() {
            return Ok(());
        }
        for member in sent.members() {
            let Some((name, act)) = key(&member.name).and_then(|key| guarded.get(&key)) else {
                continue;
            };
            if member.name != name.as_bytes() {
                self.place.push(At::Name(name));
                let is_around = matches!(act, Act::Within { .. });
                return Err(self.refused(if is_around { OTHERWISE } else { SPELLED }));
            }
        }
        Ok(())
    }

    /// A value by its shape; `None` if it stays as it is.
    fn shaped(&mut self, shape: &'a Shape, value: &Value) -> Result<Option<Value>, Refused> {
        if value.is_null() && !shape.has_fixed() {
            return Ok(None);
        }
        match shape {
            Shape::Object(plan) => match value.as_object() {
                Some(object) => Ok(self.object(plan, &object)?.map(Value::Object)),
                None if plan.is_guarded() => Err(self.refused(NO_OBJECT)),
                None => Ok(None),
            },
            Shape::Array(inner) => match value.as_array() {
                Some(items) => self.items(inner, items),
                None if inner.is_guarded() => Err(self.refused(NO_ARRAY)),
                None => Ok(None),
            },
        }
    }

    fn items(&mut self, shape: &'a Shape, items: Vec<Value>) -> Result<Option<Value>, Refused> {
        let mut has_changed = false;
        let mut all = Vec::with_capacity(items.len());
        for (number, item) in items.into_iter().enumerate() {
            self.place.push(At::Item(number));
            let made = self.shaped(shape, &item)?;
            self.place.pop();
            has_changed |= made.is_some();
            all.push(made.unwrap_or(item));
        }
        Ok(has_changed.then(|| Value::array(&all)))
    }
}
