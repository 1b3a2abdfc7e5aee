//! The arguments that policies use. A policy declares their names and types: `@arguments("amount?: decimal, to?:
//! Emails")`. An argument of another type than the policy expects is refused rather than ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cedar_policy::{Policy, RestrictedExpression};
use doorward_mcp::json::may_be_read_as;
use serde_json::{Map, Value};

use crate::structured::{self, Address, Emails};

/// How deep types may nest.
const MAX_DEPTH: usize = 8;

/// The type of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    String,
    Long,
    Bool,
    Decimal,
    Set(Box<Type>),
    Record(Members),
    /// E-mail addresses: a record of their parts.
    Emails,
    /// A URL: a record of its parts.
    Url,
}

/// Arguments, or the members of one, by name. All are optional.
pub type Members = BTreeMap<String, Type>;

impl Type {
    /// The parts that policies find in an argument with a form of its own, and their types.
    fn parts(&self) -> Option<&'static [(&'static str, &'static str)]> {
        match self {
            Self::Emails => Some(structured::EMAILS_PARTS),
            Self::Url => Some(structured::URL_PARTS),
            _ => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("String"),
            Self::Long => f.write_str("Long"),
            Self::Bool => f.write_str("Bool"),
            Self::Decimal => f.write_str("decimal"),
            Self::Set(of) => write!(f, "Set<{of}>"),
            Self::Record(members) => write!(f, "{{{}}}", Declared(members)),
            Self::Emails => f.write_str(structured::EMAILS),
            Self::Url => f.write_str(structured::URL),
        }
    }
}

/// Members as the schema declares them.
pub struct Declared<'a>(pub &'a Members);

impl fmt::Display for Declared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, kind)) in self.0.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}\"{name}\"?: {}", Shape(kind))?;
        }
        Ok(())
    }
}

/// A type in the schema's syntax.
struct Shape<'a>(&'a Type);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Type::Set(of) => write!(f, "Set<{}>", Shape(of)),
            other => match other.parts() {
                Some(parts) => {
                    let parts: Vec<_> =
                        parts.iter().map(|(name, kind)| format!("\"{name}\": {kind}")).collect();
                    write!(f, "{{{}}}", parts.join(", "))
                }
                None => other.fmt(f),
            },
        }
    }
}

/// Reads the text of an annotation.
pub fn read(text: &str) -> Result<Members, String> {
    let mut reader = Reader { rest: text };
    let members = reader.members(0)?;
    reader.skip();
    if reader.rest.is_empty() { Ok(members) } else { Err(reader.expected("',' or the end")) }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        self.rest = rest;
        true
    }

    fn word(&mut self) -> Option<&'a str> {
        self.skip();
        if let Some(quoted) = self.rest.strip_prefix('"') {
            let (word, rest) = quoted.split_once('"')?;
            self.rest = rest;
            let plain = word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
            return (plain && !word.is_empty()).then_some(word);
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn expected(&self, what: &str) -> String {
        let found: String = self.rest.chars().take(20).collect();
        let found = if found.is_empty() { "the end".into() } else { format!("'{found}'") };
        format!("expected {what}, not {found}; such as \"amount?: decimal, to?: Set<String>\"")
    }

    fn members(&mut self, depth: usize) -> Result<Members, String> {
        let mut members = Members::new();
        loop {
            let name = self.word().ok_or_else(|| self.expected("the name of an argument"))?;
            // With or without a question mark: whether a caller sends it is not the policy's to say.
            self.take("?");
            if !self.take(":") {
                return Err(self.expected("':' and a type"));
            }
            let kind = self.kind(depth)?;
            if members.insert(name.to_owned(), kind).is_some() {
                return Err(format!("'{name}' appears twice"));
            }
            if !self.take(",") {
                return Ok(members);
            }
        }
    }

    fn kind(&mut self, depth: usize) -> Result<Type, String> {
        if depth > MAX_DEPTH {
            return Err(format!("types nest deeper than {MAX_DEPTH}"));
        }
        if self.take("{") {
            let members = self.members(depth + 1)?;
            return if self.take("}") {
                Ok(Type::Record(members))
            } else {
                Err(self.expected("'}'"))
            };
        }
        let types = "String, Long, Bool, decimal, Emails, Url, Set<…> or {…}";
        match self.word() {
            Some("String") => Ok(Type::String),
            Some("Long") => Ok(Type::Long),
            Some("Bool") => Ok(Type::Bool),
            Some("decimal") => Ok(Type::Decimal),
            Some(structured::EMAILS) => Ok(Type::Emails),
            Some(structured::URL) => Ok(Type::Url),
            Some("Set") if self.take("<") => {
                let of = self.kind(depth + 1)?;
                if self.take(">") { Ok(Type::Set(Box::new(of))) } else { Err(self.expected("'>'")) }
            }
            _ => Err(self.expected(types)),
        }
    }
}

/// Why a policy's use of arguments cannot be what its author means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseen {
    /// An argument that is not declared, and is therefore always absent.
    Undeclared(String),
    /// The context, its arguments, or a record among them as a whole: what is looked at in it cannot be followed, and
    /// might not be declared.
    Whole(String),
}

/// Whether all that a policy looks at in the arguments is declared. They are looked at by one way alone, name by name:
/// `context.arguments.to`; any other could pass by what is checked here.
pub fn check_looks(policy: &Policy, declared: &Members) -> Result<(), Unseen> {
    policy.to_json().map_or(Ok(()), |policy| check_expression(&policy, declared))
}

fn check_expression(expression: &Value, declared: &Members) -> Result<(), Unseen> {
    let inner: Vec<&Value> = match expression {
        Value::Object(members) => {
            if members.get("Var").is_some_and(|name| name == "context") {
                return Err(Unseen::Whole("context".into()));
            }
            // What is written out holds no look.
            if members.contains_key("Value") {
                return Ok(());
            }
            for (look, is_value) in [(".", true), ("has", false)] {
                if let Some(path) = members.get(look).and_then(path_of) {
                    return check_path(&path, is_value, declared);
                }
            }
            members.values().collect()
        }
        Value::Array(items) => items.iter().collect(),
        _ => return Ok(()),
    };
    inner.into_iter().try_for_each(|inner| check_expression(inner, declared))
}

/// `is_value`: what stands there is used, and not only whether it is there.
fn check_path(path: &[&str], is_value: bool, declared: &Members) -> Result<(), Unseen> {
    let Some(("arguments", names)) = path.split_first().map(|(first, rest)| (*first, rest)) else {
        return Ok(());
    };
    if !is_declared(names, declared) {
        return Err(Unseen::Undeclared(names.join(".")));
    }
    if is_value && is_record(names, declared) {
        return Err(Unseen::Whole(
            ["context", "arguments"].iter().chain(names).copied().collect::<Vec<_>>().join("."),
        ));
    }
    Ok(())
}

/// The path from the context to an attribute, as in Cedar's JSON form.
pub(crate) fn path_of(look: &Value) -> Option<Vec<&str>> {
    let left = look.get("left")?;
    let mut path = match left.get("Var") {
        Some(name) => (name == "context").then(Vec::new)?,
        None => path_of(left.get(".")?)?,
    };
    match look.get("attr")? {
        Value::Array(names) => path.extend(names.iter().filter_map(Value::as_str)),
        name => path.push(name.as_str()?),
    }
    Some(path)
}

fn is_declared(names: &[&str], declared: &Members) -> bool {
    let Some((first, rest)) = names.split_first() else { return true };
    match declared.get(*first) {
        None => false,
        Some(Type::Record(members)) => is_declared(rest, members),
        Some(kind) => {
            let has =
                |part: &&str| kind.parts().is_none_or(|all| all.iter().any(|(it, _)| it == part));
            rest.first().is_none_or(has)
        }
    }
}

/// Whether a path leads to a value that has members.
fn is_record(names: &[&str], declared: &Members) -> bool {
    let Some((first, rest)) = names.split_first() else { return true };
    match declared.get(*first) {
        Some(Type::Record(members)) => is_record(rest, members),
        Some(kind) => kind.parts().is_some() && rest.is_empty(),
        None => false,
    }
}

/// Joins what several policies declare; fails with the name that has two types.
pub fn join(all: &mut Members, more: &Members) -> Result<(), String> {
    for (name, kind) in more {
        match (all.get_mut(name), kind) {
            (None, _) => {
                all.insert(name.clone(), kind.clone());
            }
            (Some(Type::Record(known)), Type::Record(more)) => {
                join(known, more).map_err(|inner| format!("{name}.{inner}"))?;
            }
            (Some(known), kind) if known == kind => {}
            (Some(_), _) => return Err(name.clone()),
        }
    }
    Ok(())
}

/// An argument whose type differs from the one that policies declare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Such as `address.city`.
    pub path: String,
    pub expected: String,
}

/// The declared arguments, as policy values.
pub fn values(
    declared: &Members,
    arguments: &Map<String, Value>,
) -> Result<RestrictedExpression, Mismatch> {
    let mut fields = Vec::with_capacity(declared.len());
    if !declared.is_empty() {
        // A server may read a name otherwise than it is written; a policy does not.
        let variant = arguments.keys().find_map(|name| {
            let meant =
                declared.keys().find(|known| may_be_read_as(name.as_bytes(), known.as_bytes()))?;
            (!declared.contains_key(name)).then_some((name, meant))
        });
        if let Some((name, meant)) = variant {
            return Err(Mismatch { path: name.clone(), expected: format!("the name '{meant}'") });
        }
    }
    for (name, kind) in declared {
        match arguments.get(name) {
            None | Some(Value::Null) => {}
            Some(given) => {
                let value = value(kind, given).map_err(|inner| Mismatch {
                    path: if inner.path.is_empty() {
                        name.clone()
                    } else {
                        format!("{name}.{}", inner.path)
                    },
                    ..inner
                })?;
                fields.push((name.clone(), value));
            }
        }
    }
    RestrictedExpression::new_record(fields)
        .map_err(|_| Mismatch { path: String::new(), expected: "names that differ".into() })
}

fn value(kind: &Type, given: &Value) -> Result<RestrictedExpression, Mismatch> {
    let mismatch = || Mismatch { path: String::new(), expected: kind.to_string() };
    match (kind, given) {
        (Type::String, Value::String(text)) => Ok(RestrictedExpression::new_string(text.clone())),
        (Type::Bool, Value::Bool(value)) => Ok(RestrictedExpression::new_bool(*value)),
        (Type::Long, Value::Number(number)) => {
            number.as_i64().map(RestrictedExpression::new_long).ok_or_else(mismatch)
        }
        (Type::Decimal, given) => {
            let text = match given {
                Value::Number(number) => number.to_string(),
                Value::String(text) => text.clone(),
                _ => return Err(mismatch()),
            };
            let text = decimal(&text).ok_or_else(mismatch)?;
            Ok(RestrictedExpression::new_decimal(text))
        }
        (Type::Set(of), Value::Array(items)) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| value(of, item)).collect();
            items.map(RestrictedExpression::new_set).map_err(|_| mismatch())
        }
        (Type::Record(members), Value::Object(given)) => values(members, given),
        (Type::Emails, given) => {
            let Emails { addresses, domains } = Emails::read(given).ok_or_else(|| Mismatch {
                path: String::new(),
                expected: "addresses such as alice@example.com, with commas between them".into(),
            })?;
            let set = |all: BTreeSet<String>| {
                RestrictedExpression::new_set(all.into_iter().map(RestrictedExpression::new_string))
            };
            record([("addresses", set(addresses)), ("domains", set(domains))])
        }
        (Type::Url, given) => {
            let url = Address::read(given).ok_or_else(|| Mismatch {
                path: String::new(),
                expected: "a plain URL such as https://example.com/path".into(),
            })?;
            let text = RestrictedExpression::new_string;
            record([
                ("scheme", text(url.scheme)),
                ("host", text(url.host)),
                ("port", RestrictedExpression::new_long(i64::from(url.port))),
                ("path", text(url.path)),
                ("query", text(url.query)),
            ])
        }
        _ => Err(mismatch()),
    }
}

fn record<const N: usize>(
    members: [(&str, RestrictedExpression); N],
) -> Result<RestrictedExpression, Mismatch> {
    let members = members.map(|(name, value)| (name.to_owned(), value));
    RestrictedExpression::new_record(members)
        .map_err(|_| Mismatch { path: String::new(), expected: "names that differ".into() })
}

/// A number as Cedar's decimals are written: four digits after the point at most, and no loss.
fn decimal(text: &str) -> Option<String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let part = part.trim_end_matches('0');
    let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let fits = !whole.is_empty() && plain(whole) && plain(part) && part.len() <= 4;
    if !fits {
        return None;
    }
    let number: i128 = format!("{whole}{part:0<4}").parse().ok()?;
    let number = if sign.is_empty() { number } else { -number };
    i64::try_from(number).ok()?;
    let part = if part.is_empty() { "0" } else { part };
    Some(format!("{sign}{whole}.{part}"))
}

#[cfg(test)]
mod tests;
