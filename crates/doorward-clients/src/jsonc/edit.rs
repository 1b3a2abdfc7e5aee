//! Adds and takes out one member of an object or one item of a list. Everything else keeps its bytes.

use std::ops::Range;

use super::Node;
use crate::value::{Json, Style, quoted};

/// How a file is laid out, from its first member on a line of its own.
pub fn style(text: &str, root: &Node) -> Style {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let first = root.members().and_then(|members| members.first());
    let unit = first.and_then(|member| own_line(text, member.key_start));
    let unit = unit.filter(|unit| !unit.is_empty()).unwrap_or("  ");
    Style { unit: unit.to_owned(), newline }
}

/// Adds a member as the first of an object: the comma after it is the only thing that is added beside it.
pub fn insert_member(text: &str, object: &Node, name: &str, value: &Json, style: &Style) -> String {
    let first = object.members().and_then(|members| members.first()).map(|it| it.key_start);
    let written = |base: &str| format!("{}: {}", quoted(name), value.pretty(style, base));
    let short = format!("{}: {}", quoted(name), value.compact());
    insert(text, object, first, &written, &short, style)
}

/// Adds an item as the first of a list.
pub fn insert_item(text: &str, list: &Node, value: &Json, style: &Style) -> String {
    let first = list.items().and_then(|items| items.first()).map(|it| it.start);
    insert(text, list, first, &|base| value.pretty(style, base), &value.compact(), style)
}

fn insert(
    text: &str,
    container: &Node,
    first: Option<usize>,
    written: &dyn Fn(&str) -> String,
    short: &str,
    style: &Style,
) -> String {
    let base = indentation(text, container.start);
    let inner = first.and_then(|first| own_line(text, first)).map(str::to_owned);
    let inner = inner.unwrap_or_else(|| format!("{base}{}", style.unit));
    let newline = style.newline;
    let body = format!("{newline}{inner}{}", written(&inner));
    let (open, close) = (container.start + 1, container.end - 1);
    let Some(first) = first else {
        if text[open..close].trim().is_empty() {
            return replaced(text, open..close, &format!("{body}{newline}{base}"));
        }
        // Comments alone stay after it.
        return replaced(text, open..open, &body);
    };
    match end_of_line(text, open) {
        Some(at) => replaced(text, at..at, &format!("{body},")),
        None => replaced(text, first..first, &format!("{short}, ")),
    }
}

/// Takes out the member at an index.
pub fn remove_member(text: &str, object: &Node, index: usize) -> String {
    let members = object.members().unwrap_or_default();
    let spans = members.iter().map(|member| member.key_start..member.value.end).collect::<Vec<_>>();
    remove(text, object, &spans, index)
}

/// Takes out the item at an index.
pub fn remove_item(text: &str, list: &Node, index: usize) -> String {
    let items = list.items().unwrap_or_default();
    let spans = items.iter().map(|item| item.start..item.end).collect::<Vec<_>>();
    remove(text, list, &spans, index)
}

fn remove(text: &str, container: &Node, spans: &[Range<usize>], index: usize) -> String {
    let Some(span) = spans.get(index) else { return text.to_owned() };
    let before = &text[..span.start];
    let line = before.trim_end_matches([' ', '\t']);
    let comma = comma_after(text, span.end);
    let rest = &text[span.end..comma.unwrap_or(span.end)];
    // With its line, if nothing else stands on it. What follows on it must not end in a comment of the line before.
    let alone = end_of_line(text, comma.map_or(span.end, |comma| comma + 1)).is_some();
    let (start, own_line) = match line.strip_suffix('\n') {
        Some(line) if alone && !rest.contains('\n') => {
            (line.strip_suffix('\r').unwrap_or(line).len(), true)
        }
        _ => (span.start, false),
    };
    if let Some(comma) = comma {
        let mut end = comma + 1;
        if !own_line {
            end += text[end..].len() - text[end..].trim_start_matches([' ', '\t']).len();
        }
        return replaced(text, start..end, rest);
    }
    let mut out = replaced(text, start..span.end, "");
    if let Some(comma) = index.checked_sub(1).and_then(|at| comma_after(text, spans[at].end)) {
        // The comma before it separates it from the last one that stays.
        out.replace_range(comma..=comma, "");
    } else if spans.len() == 1 {
        let close = out.len() - (text.len() - (container.end - 1));
        let open = container.start + 1;
        if out[open..close].trim().is_empty() {
            out.replace_range(open..close, "");
        }
    }
    out
}

fn replaced(text: &str, span: Range<usize>, by: &str) -> String {
    format!("{}{by}{}", &text[..span.start], &text[span.end..])
}

/// The indentation of the line on which a place is.
fn indentation(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..at].trim_start_matches('\u{feff}');
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// The same, if nothing else stands before the place.
fn own_line(text: &str, at: usize) -> Option<&str> {
    let start = text[..at].rfind('\n')? + 1;
    let line = &text[start..at];
    line.trim_matches([' ', '\t']).is_empty().then_some(line)
}

/// The end of the line, if only white space and comments follow on it.
fn end_of_line(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = &text[at..];
        let before_return = |at: usize| if text[..at].ends_with('\r') { at - 1 } else { at };
        if rest.starts_with('\n') {
            return Some(before_return(at).max(from));
        } else if rest.starts_with([' ', '\t', '\r']) {
            at += 1;
        } else if rest.starts_with("//") {
            return rest.find('\n').map(|end| before_return(at + end));
        } else if rest.starts_with("/*") {
            at += rest.find("*/")? + 2;
        } else {
            return None;
        }
    }
}

/// The comma that follows, after white space and comments.
fn comma_after(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = &text[at..];
        if rest.starts_with(',') {
            return Some(at);
        } else if rest.starts_with([' ', '\t', '\r', '\n']) {
            at += 1;
        } else if rest.starts_with("//") {
            at += rest.find('\n')?;
        } else if rest.starts_with("/*") {
            at += rest.find("*/")? + 2;
        } else {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn added(text: &str) -> String {
        let root = parse(text).unwrap();
        let value = Json::object([("u", Json::text("v"))]);
        insert_member(text, &root, "x", &value, &style(text, &root))
    }

    fn taken_out(text: &str, name: &str) -> String {
        let root = parse(text).unwrap();
        let (index, _) = root.member(name).unwrap().unwrap();
        remove_member(text, &root, index)
    }

    #[test]
    fn a_member_is_added_in_the_style_of_the_file() {
        for (before, after) in [
            ("{}", "{\n  \"x\": {\n    \"u\": \"v\"\n  }\n}"),
            ("{\"a\":1}", "{\"x\": {\"u\":\"v\"}, \"a\":1}"),
            ("{\n\t\"a\": 1\n}\n", "{\n\t\"x\": {\n\t\t\"u\": \"v\"\n\t},\n\t\"a\": 1\n}\n"),
            (
                "{ // of mine\r\n    \"a\": 1,\r\n}",
                "{ // of mine\r\n    \"x\": {\r\n        \"u\": \"v\"\r\n    },\r\n    \"a\": 1,\r\n}",
            ),
            ("{ /* a */ }", "{\n  \"x\": {\n    \"u\": \"v\"\n  } /* a */ }"),
            ("{ /* a\nb */ \"a\": 1}", "{ /* a\nb */ \"x\": {\"u\":\"v\"}, \"a\": 1}"),
            ("{\n// c\n}", "{\n  \"x\": {\n    \"u\": \"v\"\n  }\n// c\n}"),
        ] {
            let out = added(before);
            assert_eq!(out, after);
            let mut value = parse(before).unwrap().to_serde();
            value["x"] = serde_json::json!({ "u": "v" });
            assert_eq!(parse(&out).unwrap().to_serde(), value);
        }
    }

    #[test]
    fn what_was_added_is_taken_out_to_the_byte() {
        for text in [
            "{}",
            "{\"a\":1}",
            "{ \"a\": 1 }",
            "{\n\t\"a\": 1\n}\n",
            "{ // of mine\r\n    \"a\": 1,\r\n}",
            "{\n  // first\n  \"a\": 1, // one\n  /* last */\n}",
            "{ /* a\nb */ \"a\": 1}",
            "{\n// c\n}",
        ] {
            assert_eq!(taken_out(&added(text), "x"), text);
        }
    }

    #[test]
    fn any_member_is_taken_out_and_comments_stay() {
        let text = "{\n  \"a\": 1, // one\n  \"x\": 2 /* two */,\n  \"b\": 3\n}";
        assert_eq!(taken_out(text, "a"), "{ // one\n  \"x\": 2 /* two */,\n  \"b\": 3\n}");
        assert_eq!(taken_out(text, "x"), "{\n  \"a\": 1, // one /* two */\n  \"b\": 3\n}");
        assert_eq!(taken_out(text, "b"), "{\n  \"a\": 1, // one\n  \"x\": 2 /* two */\n}");
        assert_eq!(taken_out("{\"a\": 1, \"b\": 2}", "b"), "{\"a\": 1 }");
        // Nothing gets into a comment that was outside of it.
        assert_eq!(taken_out("{ // c\n \"a\": 1, \"b\": 2\n}", "a"), "{ // c\n \"b\": 2\n}");
        assert_eq!(taken_out("{ // c\n \"a\": 1 }", "a"), "{ // c\n  }");
        assert_eq!(taken_out("{\n  \"a\": 1,\n}", "a"), "{\n}");
    }
}
