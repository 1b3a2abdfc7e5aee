//! A document in pieces, each of them JSON.
//!
//! What is cut is the longest part: from the root, the longest member is followed while it is an object, down to an array
//! or a text. The first piece is the document with the first items, or the start of the text; each further piece has only
//! the next of them, within the same names. A document that cannot be cut like this (an item alone is too long, or what
//! is around the array) is cut as a text, and each piece is a JSON string.

use std::ops::Range;

use super::{Form, Limits, Unit, start_within};
use crate::node::{Node, escaped_length};

/// Levels that are followed down to the longest part.
const MOST_NAMES: usize = 16;

/// A piece of a document.
pub(super) struct Page {
    pub(super) shown: Node,
    pub(super) form: Form,
    pub(super) unit: Unit,
    pub(super) range: Range<usize>,
    /// How many items or bytes there are.
    pub(super) all: usize,
    /// Bytes of what follows.
    pub(super) bytes_left: usize,
}

impl Page {
    fn whole(node: &Node, unit: Unit, all: usize) -> Self {
        Self { shown: node.clone(), form: Form::Json, unit, range: 0..all, all, bytes_left: 0 }
    }
}

/// The piece from an item or byte on.
pub(super) fn page(root: &Node, limits: Limits, from: usize) -> Page {
    let (names, part) = longest(root);
    let length = root.length();
    let fits = length <= limits.bytes;
    match part {
        Node::Array(items) => {
            if fits && items.len() <= limits.items {
                return of_items(root, &names, items, 0..items.len(), from);
            }
            let most = items.iter().map(Node::length).max().unwrap_or_default();
            let around = length - part.length() + 2;
            if around + most > limits.bytes {
                return of_text(&root.to_string(), limits.bytes, from);
            }
            let from = from.min(items.len());
            let room = match from {
                0 => limits.bytes - around,
                _ => limits.bytes.saturating_sub(within(&names, Node::Array(Vec::new())).length()),
            };
            let to = from + count(&items[from..], limits.items, room);
            of_items(root, &names, items, from..to, from)
        }
        Node::Text(text) if !fits => {
            let around = length - part.length() + 2;
            let room = limits.bytes.saturating_sub(around);
            // What is around a text is seen with a good part of the text, or not at all.
            if room < limits.bytes / 2 {
                return of_text(&root.to_string(), limits.bytes, from);
            }
            let range = slice(text, from, room);
            let shown = Node::text(&text[range.clone()]);
            let shown = match range.start {
                0 => replaced(root, &names, shown),
                _ => within(&names, shown),
            };
            let (all, bytes_left) = (text.len(), text.len() - range.end);
            Page { shown, form: Form::Json, unit: Unit::Bytes, range, all, bytes_left }
        }
        _ if !fits => of_text(&root.to_string(), limits.bytes, from),
        _ => match from {
            0 => Page::whole(root, Unit::Bytes, length),
            _ => of_text(&root.to_string(), usize::MAX, length),
        },
    }
}

/// Names down to the longest part, and the part.
fn longest(root: &Node) -> (Vec<&str>, &Node) {
    let (mut names, mut at) = (Vec::new(), root);
    while let Node::Object(members) = at
        && names.len() < MOST_NAMES
    {
        let mut best: Option<(usize, &str, &Node)> = None;
        for (name, value) in members {
            let length = value.length();
            if best.is_none_or(|(most, ..)| length > most) {
                best = Some((length, name, value));
            }
        }
        let Some((_, name, value)) = best else { break };
        names.push(name);
        at = value;
    }
    (names, at)
}

/// How many items fit, at least one.
fn count(items: &[Node], most: usize, room: usize) -> usize {
    let mut used = 0usize;
    let fitting = items.iter().take(most).take_while(|item| {
        used = used.saturating_add(item.length() + 1);
        used <= room.saturating_add(1)
    });
    fitting.count().max(1).min(items.len())
}

fn of_items(root: &Node, names: &[&str], items: &[Node], range: Range<usize>, from: usize) -> Page {
    let all = items.len();
    if from == 0 && range.len() == all {
        return Page::whole(root, Unit::Items, all);
    }
    let range = range.start.max(from.min(all))..range.end;
    let shown = Node::Array(items[range.clone()].to_vec());
    let shown = match range.start {
        0 => replaced(root, names, shown),
        _ => within(names, shown),
    };
    let bytes_left = items[range.end..].iter().map(Node::length).sum();
    Page { shown, form: Form::Json, unit: Unit::Items, range, all, bytes_left }
}

/// A piece of the document's text, as a JSON string.
fn of_text(text: &str, bytes: usize, from: usize) -> Page {
    let range = slice(text, from, bytes.saturating_sub(2));
    let shown = Node::text(&text[range.clone()]);
    let (all, bytes_left) = (text.len(), text.len() - range.end);
    Page { shown, form: Form::Piece, unit: Unit::Bytes, range, all, bytes_left }
}

/// What fits of a text, as a JSON string without quotes.
fn slice(text: &str, from: usize, room: usize) -> Range<usize> {
    start_within(text, from, room, escaped_length)
}

/// The document with another value for its longest part.
fn replaced(root: &Node, names: &[&str], part: Node) -> Node {
    let [name, rest @ ..] = names else { return part };
    let members = root.members().iter().map(|(own, value)| {
        let value = match own == name {
            true => replaced(value, rest, part.clone()),
            false => value.clone(),
        };
        (own.clone(), value)
    });
    Node::Object(members.collect())
}

/// A value within nothing but its names.
fn within(names: &[&str], part: Node) -> Node {
    names.iter().rev().fold(part, |inner, name| Node::Object(vec![((*name).to_owned(), inner)]))
}
