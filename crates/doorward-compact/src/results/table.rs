//! Arrays of like objects as tables.
//!
//! The first line has the names, each further line the values of an object, separated by `|`. A cell is empty where the
//! object has no such member. A text stands as it is where nothing else could be meant; everything else is JSON, in which
//! `|` is written as `\u007c`.

use std::collections::HashSet;

use crate::node::Node;

/// Most columns of a table.
const MOST_COLUMNS: usize = 64;

/// An array of at least two objects as a table: if they have at most 64 names in all, and at least half of the cells are
/// filled. `None` if they have not, or if the table is not shorter than the JSON text or could not be read back.
pub(super) fn write(items: &[Node]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    let mut filled = 0;
    for item in items {
        let Node::Object(members) = item else { return None };
        filled += members.len();
        for (name, _) in members {
            if !names.contains(&&**name) {
                names.push(name);
            }
        }
        if names.len() > MOST_COLUMNS {
            return None;
        }
    }
    if items.len() < 2 || names.is_empty() || filled * 2 < names.len() * items.len() {
        return None;
    }
    let mut out = String::new();
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            out.push('|');
        }
        text(&mut out, name);
    }
    for item in items {
        out.push('\n');
        for (at, name) in names.iter().enumerate() {
            if at > 0 {
                out.push('|');
            }
            match item.get(name) {
                Some(Node::Text(value)) => text(&mut out, value),
                Some(value) => json(&mut out, value),
                None => {}
            }
        }
    }
    let length = 1 + items.iter().map(|item| item.length() + 1).sum::<usize>();
    let is_same = |read: &[Node]| {
        read.len() == items.len() && read.iter().zip(items).all(|(one, other)| has_same(one, other))
    };
    (out.len() < length && read(&out).is_some_and(|read| is_same(&read))).then_some(out)
}

fn has_same(one: &Node, other: &Node) -> bool {
    one.members().len() == other.members().len()
        && one.members().iter().all(|(name, value)| other.get(name) == Some(value))
}

fn text(out: &mut String, value: &str) {
    if is_plain(value) {
        out.push_str(value);
    } else {
        json(out, &Node::text(value));
    }
}

fn json(out: &mut String, value: &Node) {
    out.push_str(&value.to_string().replace('|', "\\u007c"));
}

/// Whether a text can stand as it is: it ends neither its cell nor its line, and is not taken for JSON.
fn is_plain(value: &str) -> bool {
    let is_open = |c: char| c == '|' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let mut chars = value.chars();
    let (first, last) = (chars.next(), chars.next_back());
    let is_word = |c: char| c.is_whitespace() || matches!(c, '"' | '{' | '[' | '-' | '0'..='9');
    let is_date = || value.bytes().filter(|byte| matches!(byte, b'-' | b':')).count() > 1;
    !value.contains(is_open)
        && first.is_some_and(|c| !is_word(c) || c.is_ascii_digit() && is_date())
        && !last.is_some_and(char::is_whitespace)
        && !matches!(value, "true" | "false" | "null")
}

/// The objects of a table. Members that an object does not have are absent.
pub(super) fn read(table: &str) -> Option<Vec<Node>> {
    let mut lines = table.split('\n').map(|line| line.split('|').map(cell).collect::<Vec<_>>());
    let names = lines.next()?.into_iter().map(|name| match name? {
        Node::Text(name) => Some(name),
        _ => None,
    });
    let names: Vec<String> = names.collect::<Option<_>>()?;
    if names.iter().collect::<HashSet<_>>().len() < names.len() {
        return None;
    }
    let mut all = Vec::new();
    for cells in lines {
        if cells.len() != names.len() {
            return None;
        }
        let members =
            names.iter().zip(cells).filter_map(|(name, cell)| Some((name.clone(), cell?)));
        all.push(Node::Object(members.collect()));
    }
    Some(all)
}

fn cell(written: &str) -> Option<Node> {
    if written.is_empty() {
        return None;
    }
    match is_plain(written) {
        true => Some(Node::text(written)),
        false => Node::read(written.as_bytes()),
    }
}

/// A JSON text of the objects of a table, as [`super::cut`] writes it; `None` if it is no table.
pub fn parse(table: &str) -> Option<String> {
    let rows = read(table)?;
    let mut out = String::new();
    Node::Array(rows).write(&mut out);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value as Json;

    fn table(text: &str) -> Option<String> {
        write(Node::read(text.as_bytes()).unwrap().items())
    }

    #[test]
    fn like_objects_are_a_table() {
        let text = r#"[{"id":1,"name":"Ada | Lovelace","on":true,"tags":["a|b"],"at":"2024-05-01T10:00"},{"name":"1.5","id":2.50,"on":null,"at":"-"},{"id":-3,"name":"","on":"true","at":" x"}]"#;
        let made = table(text).unwrap();
        assert_eq!(
            made,
            "id|name|on|tags|at\n1|\"Ada \\u007c Lovelace\"|true|[\"a\\u007cb\"]|2024-05-01T10:00\n2.50|\"1.5\"|null||\"-\"\n-3|\"\"|\"true\"||\" x\""
        );
        let back: Json = serde_json::from_str(&parse(&made).unwrap()).unwrap();
        assert_eq!(back, serde_json::from_str::<Json>(text).unwrap());
        for none in
            [r#"[{"id":1}]"#, r#"[{"id":1},2]"#, r#"[{},{}]"#, r#"[{"a":1},{"b":1},{"c":1}]"#]
        {
            assert_eq!(table(none), None, "{none}");
        }
    }

    fn cell() -> impl Strategy<Value = Json> {
        let text = prop_oneof![
            any::<String>(),
            "[ -~]{0,6}",
            "[0-9eE+.-]{1,5}",
            "[|\\\\\n\"{}a-]{0,5}",
            Just("true".to_owned()),
            Just("\u{2028}".to_owned()),
            "[0-9]{1,2}-[0-9]-[0-9]:?",
        ];
        prop_oneof![
            4 => text.prop_map(Json::from),
            1 => any::<i64>().prop_map(Json::from),
            1 => Just(Json::Null),
            1 => any::<bool>().prop_map(Json::from),
            1 => any::<String>().prop_map(|text| serde_json::json!([{ text: "|\n" }])),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        #[test]
        fn a_table_is_read_back_as_the_same_objects(
            rows in prop::collection::vec(prop::collection::btree_map("[a-c|\n\"1]{0,2}", cell(), 0..5), 2..6),
        ) {
            let text = serde_json::to_string(&rows).unwrap();
            let node = Node::read(text.as_bytes()).unwrap();
            let like = rows.iter().map(std::collections::BTreeMap::len).sum::<usize>();
            if let Some(made) = write(node.items()) {
                prop_assert!(made.len() < text.len() && like > 0);
                let back: Json = serde_json::from_str(&parse(&made).unwrap()).unwrap();
                prop_assert_eq!(back, serde_json::from_str::<Json>(&text).unwrap());
            }
        }

        #[test]
        fn any_text_is_read_as_a_table_or_refused(text in "([a-c|\n\"1]{0,4}|\\PC){0,12}") {
            if let Some(json) = parse(&text) {
                prop_assert!(Node::read(json.as_bytes()).is_some(), "{}", json);
            }
        }
    }
}
