//! Text results in pieces, without some of their fields, and as tables.
//!
//! [`cut`] is given the whole text each time, and where to begin: whoever calls it stores the text, and what [`Rest`]
//! says is where to read on. The same text, rules and offset always give the same piece. Read from the start to the end,
//! the pieces contain everything once. It is for text content alone: structured content, which has a schema to be valid
//! by, is not to be passed to it.

mod fields;
mod pages;
mod table;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::Path;
use crate::node::Node;
use crate::shorten::whole;

pub use table::parse as parse_table;

/// Longest text that is read as JSON, in bytes. What is longer is cut as a text.
const MOST_JSON_BYTES: usize = 8 << 20;
/// Smallest limit of a piece, in bytes.
const LEAST_BYTES: usize = 64;

/// What to cut. By default, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultRules {
    /// Most bytes of a piece, as UTF-8. Less than 64 counts as 64.
    pub bytes: Option<usize>,
    /// Most items of the longest array. Zero counts as one.
    pub items: Option<usize>,
    /// The fields to show first: `[].name`, `items[].id`. Empty for all. What is around them is shown; other fields are
    /// left out, and can be read after the end. A result that is not JSON has no fields.
    pub fields: Vec<Path>,
    /// Write arrays of like objects as tables where the result is an array and the table is shorter.
    pub tables: bool,
}

/// Where a piece begins. Written as `120`, or `fields:120` within the fields that were left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offset {
    is_left_out: bool,
    at: usize,
}

impl fmt::Display for Offset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = if self.is_left_out { "fields:" } else { "" };
        write!(formatter, "{part}{}", self.at)
    }
}

impl FromStr for Offset {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (is_left_out, at) = match text.strip_prefix("fields:") {
            Some(at) => (true, at),
            None => (false, text),
        };
        let at = at.parse().map_err(|_| "an offset is a number, or 'fields:' and a number")?;
        Ok(Self { is_left_out, at })
    }
}

/// What the text of a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text, as it was: of a result that is not JSON, or cannot be read as such because it is longer than 8 MiB, nested
    /// too deeply, or repeats a name.
    Text,
    /// JSON with the structure of the result.
    Json,
    /// A JSON string with a part of the result's JSON text.
    Piece,
    /// A table. [`parse_table`] reads it.
    Table,
}

/// What the range of a piece counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Items of the longest array.
    Items,
    /// Bytes of the text, or of the longest text within.
    Bytes,
}

/// A piece of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut<'a> {
    /// The piece. JSON stays valid JSON, but for tables.
    pub shown: Cow<'a, str>,
    pub form: Form,
    pub unit: Unit,
    /// What of the result it is.
    pub range: Range<usize>,
    /// How many items or bytes there are in all.
    pub all: usize,
    /// What is not shown up to the end; `None` if this is the end.
    pub rest: Option<Rest>,
}

/// What follows a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Where to read on.
    pub from: Offset,
    /// Items of the longest array that follow.
    pub items: usize,
    /// Bytes that follow, with the fields that are left out.
    pub bytes: usize,
    /// How many fields are left out in all objects.
    pub fields: usize,
}

impl Cut<'_> {
    /// What a reader must know if this is not all, in English and in brackets, to stand behind the piece in a text of its
    /// own. How to read on is not in it: that is up to the caller.
    pub fn mark(&self) -> Option<String> {
        let rest = self.rest?;
        let unit = match self.unit {
            Unit::Items => "items",
            Unit::Bytes => "bytes",
        };
        let mut text = String::from("[Cut: ");
        if self.range.len() < self.all {
            let first = self.range.start + usize::from(!self.range.is_empty());
            text.push_str(&format!(
                "{unit} {first} to {} of {} are shown",
                self.range.end, self.all
            ));
            if self.form == Form::Piece {
                text.push_str(", as a part of a longer JSON text");
            }
            text.push_str("; ");
        }
        if rest.fields > 0 {
            let are = if rest.fields == 1 { "field is" } else { "fields are" };
            text.push_str(&format!("{} {are} left out; ", rest.fields));
        }
        text.push_str(&format!("{} bytes follow.]", rest.bytes));
        Some(text)
    }
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    bytes: usize,
    items: usize,
}

/// The piece of a text from an offset on. Any offset is accepted: one behind the end gives an empty piece.
pub fn cut<'a>(text: &'a str, rules: &ResultRules, from: Offset) -> Cut<'a> {
    let limits = Limits {
        bytes: rules.bytes.map_or(usize::MAX, |bytes| bytes.max(LEAST_BYTES)),
        items: rules.items.map_or(usize::MAX, |items| items.max(1)),
    };
    let concerns_json = rules.items.is_some() || rules.tables || !rules.fields.is_empty();
    let is_read = (concerns_json || text.len() > limits.bytes) && text.len() <= MOST_JSON_BYTES;
    let read = if is_read { Node::read(text.as_bytes()) } else { None };
    match read {
        Some(root) => cut_json(text, root, rules, limits, from),
        None => cut_text(text, limits, from),
    }
}

fn cut_text(text: &str, limits: Limits, from: Offset) -> Cut<'_> {
    let from = if from.is_left_out { text.len() } else { from.at };
    let range = start_within(text, from, limits.bytes, char::len_utf8);
    let bytes = text.len() - range.end;
    let rest =
        Rest { from: Offset { is_left_out: false, at: range.end }, items: 0, bytes, fields: 0 };
    Cut {
        shown: Cow::Borrowed(&text[range.clone()]),
        form: Form::Text,
        unit: Unit::Bytes,
        range,
        all: text.len(),
        rest: (bytes > 0).then_some(rest),
    }
}

fn cut_json<'a>(
    text: &'a str,
    root: Node,
    rules: &ResultRules,
    limits: Limits,
    from: Offset,
) -> Cut<'a> {
    let mut fields = 0;
    let (kept, left_out) = match rules.fields.is_empty() {
        true => (root, None),
        false => fields::split(root, &fields::Choice::of(&rules.fields), &mut fields),
    };
    let (part, after) = match (from.is_left_out, left_out) {
        (false, after) => (kept, after),
        (true, Some(left_out)) => (left_out, None),
        (true, None) => return cut_text(text, limits, from),
    };
    let page = pages::page(&part, limits, from.at);
    let is_end = page.range.end == page.all;
    let bytes = page.bytes_left + after.as_ref().map_or(0, Node::length);
    let next = match (is_end, &after) {
        (false, _) => Some(Offset { is_left_out: from.is_left_out, at: page.range.end }),
        (true, Some(_)) => Some(Offset { is_left_out: true, at: 0 }),
        (true, None) => None,
    };
    let items = if page.unit == Unit::Items { page.all - page.range.end } else { 0 };
    let fields = if after.is_some() { fields } else { 0 };
    let is_whole = next.is_none() && from == Offset::default();
    let table = match (&page.shown, rules.tables && page.form == Form::Json) {
        (Node::Array(items), true) => table::write(items),
        _ => None,
    };
    let (shown, form) = match table {
        Some(table) => (Cow::Owned(table), Form::Table),
        None if is_whole && text.len() <= limits.bytes => (Cow::Borrowed(text), Form::Json),
        None => (Cow::Owned(page.shown.to_string()), page.form),
    };
    Cut {
        shown,
        form,
        unit: page.unit,
        range: page.range,
        all: page.all,
        rest: next.map(|from| Rest { from, items, bytes, fields }),
    }
}

/// What fits of a text from a byte on, at least one character: up to the end of a line or word if one is near the end,
/// else up to a whole character. `cost` is what a character takes.
fn start_within(
    text: &str,
    from: usize,
    room: usize,
    cost: impl Fn(char) -> usize,
) -> Range<usize> {
    let mut start = from.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut used = 0usize;
    let mut end = text.len();
    for (at, c) in text[start..].char_indices() {
        used = used.saturating_add(cost(c));
        if used > room && at > 0 {
            end = start + at;
            break;
        }
    }
    if end == text.len() {
        return start..end;
    }
    let near = start + (end - start) / 4 * 3;
    let after =
        |at: usize, c: &str| (start + at + c.chars().next().map_or(1, char::len_utf8)).max(near);
    let line = text[start..end].rfind('\n').map(|at| after(at, "\n")).filter(|at| *at > near);
    let space = || {
        let found = text[start..end].rfind(char::is_whitespace)?;
        Some(after(found, &text[start + found..])).filter(|at| *at > near)
    };
    let end = match line.or_else(space) {
        Some(at) => at,
        None => Some(whole(text, end)).filter(|at| *at > start).unwrap_or(end),
    };
    start..end
}

#[cfg(test)]
mod tests;
