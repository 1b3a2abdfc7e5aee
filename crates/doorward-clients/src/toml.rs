//! TOML files: a table is added at the end, and taken out with its lines. Everything else keeps its bytes.

use std::ops::Range;

use toml_edit::{Document, Item, Table, TableLike};

use crate::jsonc::Wrong;
use crate::value::{Json, quoted};

/// The servers of a file, each with its place.
pub fn entries(text: &str, parent: &str) -> Result<Vec<(String, serde_json::Value, usize)>, Wrong> {
    let document = parse(text)?;
    let Some(servers) = document.get(parent) else { return Ok(Vec::new()) };
    let Some(servers) = servers.as_table_like() else {
        let at = servers.span().map_or(0, |span| span.start);
        return Err(Wrong::new(at + bom(text), format!("'{parent}' is not a table")));
    };
    let all = servers.iter().map(|(name, item)| {
        let at = item.span().map_or(0, |span| span.start) + bom(text);
        (name.to_owned(), value_of(item), at)
    });
    Ok(all.collect())
}

/// All that a file says.
pub fn value(text: &str) -> Result<serde_json::Value, Wrong> {
    Ok(value_of(parse(text)?.as_item()))
}

/// Adds a table at the end of the file.
pub fn insert(text: &str, parent: &str, name: &str, value: &Json) -> Result<String, Wrong> {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut out = text.to_owned();
    if !text.trim_start_matches('\u{feff}').trim().is_empty() {
        out.push_str(if text.ends_with('\n') { "" } else { newline });
        out.push_str(newline);
    }
    out.push_str(&table(parent, name, value).replace('\n', newline));
    out.push_str(newline);
    match parse(&out) {
        Ok(_) => Ok(out),
        Err(_) => {
            let what = format!(
                "'{parent}' is written in a form to which no table can be added; write each server as a table [{parent}.NAME]"
            );
            let at = parse(text)?.get(parent).and_then(Item::span).map_or(0, |span| span.start);
            Err(Wrong::new(at + bom(text), what))
        }
    }
}

/// The table of an entry, without a newline at its end.
pub fn table(parent: &str, name: &str, value: &Json) -> String {
    let mut out = format!("[{parent}.{name}]");
    let Json::Object(members) = value else { return out };
    for (key, value) in members {
        out.push_str(&format!("\n{key} = {}", inline(value)));
    }
    out
}

/// A value on one line. JSON's strings are TOML's, too.
fn inline(value: &Json) -> String {
    match value {
        Json::Bool(value) => value.to_string(),
        Json::Text(text) => quoted(text).replace('\u{7f}', "\\u007f"),
        Json::List(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Json::Object(members) => {
            let member = |(key, value): &(String, Json)| format!("{key} = {}", inline(value));
            format!("{{ {} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Takes out the table of an entry, and those below it.
pub fn remove(text: &str, parent: &str, name: &str) -> Result<String, Wrong> {
    let document = parse(text)?;
    let item = document.get(parent).and_then(Item::as_table_like).and_then(|it| it.get(name));
    let Some(item) = item else { return Ok(text.to_owned()) };
    let Some(table) = item.as_table().filter(|table| !table.is_dotted()) else {
        let at = item.span().map_or(0, |span| span.start) + bom(text);
        let what = format!("'{name}' is not written as a table of its own; take it out by hand");
        return Err(Wrong::new(at, what));
    };
    let mut spans = Vec::new();
    collect(table, &mut spans);
    let bom = bom(text);
    let mut lines: Vec<_> =
        spans.into_iter().map(|span| lines_of(text, span.start + bom..span.end + bom)).collect();
    lines.sort_by_key(|span| span.start);
    let mut out = text.to_owned();
    for mut span in lines.into_iter().rev() {
        // With the empty line before it.
        let before = &out[..span.start];
        for empty in ["\r\n\r\n", "\n\n"] {
            if before.ends_with(empty) {
                span.start -= empty.len() / 2;
                break;
            }
        }
        out.replace_range(span, "");
    }
    Ok(out)
}

/// The places of a table and of the tables below it, each from its header to its last value.
fn collect(table: &Table, spans: &mut Vec<Range<usize>>) {
    if let Some(header) = table.span().filter(|_| !table.is_implicit()) {
        let mut span = header;
        for (_, value) in table.get_values() {
            span.end = span.end.max(value.span().map_or(0, |span| span.end));
        }
        spans.push(span);
    }
    for (_, item) in table {
        match item {
            Item::Table(table) => collect(table, spans),
            Item::ArrayOfTables(tables) => tables.iter().for_each(|table| collect(table, spans)),
            _ => {}
        }
    }
}

fn lines_of(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text[..span.start].rfind('\n').map_or(bom(text).min(span.start), |end| end + 1);
    let end = text[span.end..].find('\n').map_or(text.len(), |end| span.end + end + 1);
    start..end
}

fn bom(text: &str) -> usize {
    if text.starts_with('\u{feff}') { 3 } else { 0 }
}

fn parse(text: &str) -> Result<Document<&str>, Wrong> {
    Document::parse(&text[bom(text)..]).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start) + bom(text);
        Wrong::new(at, error.message().to_owned())
    })
}

fn value_of(item: &Item) -> serde_json::Value {
    fn table(table: &dyn TableLike) -> serde_json::Value {
        let members = table.iter().map(|(key, item)| (key.to_owned(), value_of(item)));
        serde_json::Value::Object(members.collect())
    }
    if let Some(table_like) = item.as_table_like() {
        return table(table_like);
    }
    if let Some(list) = item.as_array() {
        return list.iter().map(|value| value_of(&Item::Value(value.clone()))).collect();
    }
    match item.as_value() {
        Some(toml_edit::Value::String(text)) => text.value().as_str().into(),
        Some(toml_edit::Value::Boolean(value)) => (*value.value()).into(),
        Some(toml_edit::Value::Integer(value)) => (*value.value()).into(),
        Some(toml_edit::Value::Float(value)) => (*value.value()).into(),
        Some(toml_edit::Value::Datetime(value)) => value.value().to_string().into(),
        _ => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "mcp_servers";

    fn wanted() -> Json {
        let headers = Json::object([("Authorization", Json::text("Bearer k\"x"))]);
        Json::object([("url", Json::text("http://u/")), ("http_headers", headers)])
    }

    #[test]
    fn a_table_is_added_and_taken_out_to_the_byte() {
        for text in [
            "",
            "model = \"x\"\n",
            "\u{feff}# c\r\nmodel = \"x\" # d\r\n\r\n[mcp_servers.a]\r\nurl = \"y\"\r\n# last\r\n",
            "x = 1\nmcp_servers.a.url = \"u\"\n",
            "[mcp_servers]\n[mcp_servers.\"b.c\"]\nargs = [\n  \"[x]\", # y\n]\n\n\n",
        ] {
            let with = insert(text, PARENT, "doorward", &wanted()).unwrap();
            assert!(with.starts_with(text), "{with}");
            let all = entries(&with, PARENT).unwrap();
            let (_, value, at) = all.iter().find(|(name, ..)| name == "doorward").unwrap();
            assert_eq!(*value, wanted().to_serde());
            assert!(with[*at..].starts_with("[mcp_servers.doorward]"), "{}", &with[*at..]);
            assert_eq!(remove(&with, PARENT, "doorward").unwrap(), text);
        }
    }

    #[test]
    fn what_a_client_has_added_below_goes_with_it_and_the_rest_stays() {
        let text = "# mine\n[mcp_servers.doorward] # ours\nurl = \"u\"\nargs = [\n 1,\n]\n# of the next\n[a]\nx = '''\n[mcp_servers.doorward.b]\n'''\n\n[mcp_servers.doorward.tools.t]\non = true\n\n[b]\ny = 1\n";
        let out = remove(text, PARENT, "doorward").unwrap();
        let expected =
            "# mine\n# of the next\n[a]\nx = '''\n[mcp_servers.doorward.b]\n'''\n\n[b]\ny = 1\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn forms_that_cannot_be_edited_are_refused_in_their_place() {
        let text = "x = 1\nmcp_servers = { a = { url = \"u\" } }\n";
        let wrong = insert(text, PARENT, "doorward", &wanted()).unwrap_err();
        assert!(wrong.what.contains("[mcp_servers.NAME]") && wrong.at > 5, "{wrong:?}");
        let text = "[mcp_servers]\ndoorward = { url = \"u\" }\n";
        assert!(remove(text, PARENT, "doorward").unwrap_err().what.contains("by hand"));
        assert!(entries("mcp_servers = 1", PARENT).unwrap_err().what.contains("not a table"));
        let wrong = entries("a = 1\na = 2\n", PARENT).unwrap_err();
        assert!(wrong.at >= 6, "{wrong:?}");
    }
}
