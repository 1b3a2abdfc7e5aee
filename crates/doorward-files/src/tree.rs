//! A configuration file as a tree with the location of every value, so that problems that are found later can be
//! reported with their location.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

/// A value and where it stands: line and column from 1; 0 where unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub content: Content,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub name: String,
    pub place: Place,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let number = |value: u64| usize::try_from(value).unwrap_or(0);
        Self { line: number(location.line()), column: number(location.column()) }
    }
}

impl Node {
    pub fn text(text: impl Into<String>, place: Place) -> Self {
        Self { content: Content::Text(text.into()), place }
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn entries(&self) -> &[(Key, Self)] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entries().iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// Where the key at the end of a path stands, or the last of its parents that is there.
    pub fn locate(&self, path: &[String]) -> Place {
        let known = (1..=path.len()).rev().find_map(|end| self.find(&path[..end]));
        known.unwrap_or(self.place)
    }

    fn find(&self, path: &[String]) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        let (place, node) = match &self.content {
            Content::Map(entries) => {
                let (key, node) = entries.iter().find(|(key, _)| key.name == *first)?;
                (key.place, node)
            }
            Content::List(items) => {
                let node = items.get(first.parse::<usize>().ok()?)?;
                (node.place, node)
            }
            _ => return None,
        };
        if rest.is_empty() { Some(place) } else { node.find(rest) }
    }

    /// Takes out what stands at a path.
    pub fn remove(&mut self, path: &[String]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        match &mut self.content {
            Content::Map(entries) => {
                let Some(at) = entries.iter().position(|(key, _)| key.name == *first) else {
                    return false;
                };
                if rest.is_empty() {
                    entries.remove(at);
                    return true;
                }
                entries[at].1.remove(rest)
            }
            Content::List(items) => {
                let Some(at) = first.parse::<usize>().ok().filter(|at| *at < items.len()) else {
                    return false;
                };
                if rest.is_empty() {
                    items.remove(at);
                    return true;
                }
                items[at].remove(rest)
            }
            _ => false,
        }
    }

    /// Calls `change` on every text, with the path to it.
    pub fn each_text(
        &mut self,
        path: &mut Vec<String>,
        change: &mut impl FnMut(&[String], &mut String),
    ) {
        match &mut self.content {
            Content::Text(text) => change(path, text),
            Content::List(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    path.push(at.to_string());
                    item.each_text(path, change);
                    path.pop();
                }
            }
            Content::Map(entries) => {
                for (key, node) in entries {
                    path.push(key.name.clone());
                    node.each_text(path, change);
                    path.pop();
                }
            }
            Content::Null | Content::Bool(_) | Content::Number(_) => {}
        }
    }

    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, node)| (key.name.clone(), node.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyContent)
    }
}

struct AnyContent;

impl<'de> Visitor<'de> for AnyContent {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Number::from_f64(value)
            .map_or_else(|| Content::Text(value.to_string()), Content::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Content>>()? {
            list.push(node(item));
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let value = entries.next_value::<Spanned<Content>>()?;
            let key = Key { name: key.value, place: key.referenced.into() };
            map.push((key, node(value)));
        }
        Ok(Content::Map(map))
    }
}

fn node(spanned: Spanned<Content>) -> Node {
    Node { place: spanned.referenced.into(), content: spanned.value }
}

/// Reads YAML, or JSON with comments.
pub fn parse(text: &str) -> Result<Node, (Place, String)> {
    let plain;
    let text = if is_json(text) {
        plain = without_comments(text);
        &plain
    } else {
        text
    };
    if text.trim().is_empty() {
        return Err((
            Place::default(),
            "the file is empty; at least 'servers: {}' is expected".into(),
        ));
    }
    // Only `true` and `false` are booleans: `SAID: yes` is a text.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options::<Spanned<Content>>(text, options).map(node).map_err(
        |error| {
            let error = error.without_snippet();
            let place = error.location().map(Place::from).unwrap_or_default();
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message);
            (place, message.trim_end_matches([' ', ',']).to_owned())
        },
    )
}

fn is_json(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    text.starts_with('{') || text.starts_with("//") || text.starts_with("/*")
}

/// Blanks out what JSON files of editors hold beside JSON: comments, and tabs, which YAML does not
/// take for indentation. Lines and columns stay.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut in_text = false;
    while let Some(c) = chars.next() {
        match (in_text, c) {
            (true, '\\') => {
                out.push(c);
                out.extend(chars.next());
            }
            (_, '"') => {
                in_text = !in_text;
                out.push(c);
            }
            (false, '\t' | '\u{feff}') => out.push(' '),
            (false, '/') if chars.peek() == Some(&'/') => {
                out.push(' ');
                while let Some(c) = chars.next_if(|c| *c != '\n') {
                    out.extend(std::iter::repeat_n(' ', usize::from(c != '\r')));
                }
            }
            (false, '/') if chars.peek() == Some(&'*') => {
                out.push(' ');
                let mut last = ' ';
                for c in chars.by_ref() {
                    out.push(if c == '\n' { '\n' } else { ' ' });
                    if (last, c) == ('*', '/') {
                        break;
                    }
                    last = c;
                }
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_file() {
        let tree = parse("a: 1\nservers:\n  x:\n    url: u\n    args: [p, q]\n").unwrap();
        let place = |path: &[&str]| {
            let path: Vec<_> = path.iter().map(|part| (*part).to_owned()).collect();
            let place = tree.locate(&path);
            (place.line, place.column)
        };
        assert_eq!(place(&["servers", "x", "url"]), (4, 5));
        assert_eq!(place(&["servers", "x", "args", "1"]), (5, 15));
        assert_eq!(place(&["servers", "x", "missing"]), (3, 3));
    }

    #[test]
    fn json_with_comments_tabs_and_trailing_commas_is_read() {
        let text =
            "// top\n{\n\t\"a\": \"x // y\", /* b\n c */\n\t\"n\": [1, 2.5, null, true,],\n}\n";
        let tree = parse(text).unwrap();
        assert_eq!(tree.to_json(), serde_json::json!({ "a": "x // y", "n": [1, 2.5, null, true] }));
        assert_eq!(tree.locate(&["n".into()]), Place { line: 5, column: 2 });
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let (place, message) = parse("a: [1\nb: 2\n").unwrap_err();
        assert!(place.line > 0 && !message.is_empty() && !message.contains("at line"));
        let (place, message) = parse("a: 1\na: 2\n").unwrap_err();
        assert!(place.line == 2 && message.contains("duplicate"), "{message}");
    }
}
