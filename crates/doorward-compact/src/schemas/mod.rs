//! Schemas without what a model can do without.
//!
//! What validates by a schema validates by the compact one, and the other way round: only annotations are dropped or
//! shortened, definitions that nothing refers to, and repetitions. Keywords are recognized where a schema stands; a
//! property that is named `title`, and values in `enum`, `const` and keywords of vendors, are unchanged.

mod keywords;
mod references;
mod share;

use doorward_mcp::Value;

use crate::node::Node;
use crate::shorten;

use keywords::each_schema_mut;
use references::DEFINITIONS;
pub(crate) use references::{References, drop_unused};

/// Longest schema that is changed, in bytes.
pub(crate) const MOST_BYTES: usize = 1 << 20;

/// Longest schema in which equal ones are sought, in bytes: the work grows with its depth too.
const MOST_SHARED_BYTES: usize = 256 << 10;

/// What to drop from schemas. By default, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaRules {
    /// Drop `examples` and `example`.
    pub drops_examples: bool,
    /// Drop `default`.
    pub drops_defaults: bool,
    /// Drop `title`.
    pub drops_titles: bool,
    /// Drop definitions (`$defs`, `definitions`) that nothing refers to.
    pub drops_unused_definitions: bool,
    /// Write equal schemas once, as a definition, where that makes the text shorter. Not in schemas of more than 256 KiB.
    pub shares_equal: bool,
    /// Shorten each `description` to so many characters, as [`shorten`] does. Zero drops them.
    pub description_chars: Option<usize>,
}

/// A schema by the rules, without white space. A schema that cannot be read, or is longer than 1 MiB, is returned
/// unchanged. Definitions stay as they are where references cannot all be followed within the text (anchors, `$id`,
/// dynamic references).
pub fn compact(schema: &Value, rules: &SchemaRules) -> Value {
    if *rules == SchemaRules::default() {
        return schema.clone();
    }
    let text = schema.to_bytes();
    let read = if text.len() <= MOST_BYTES { Node::read(&text) } else { None };
    let Some(mut root) = read.filter(Node::is_object) else { return schema.clone() };
    if rules.drops_unused_definitions {
        drop_unused(&mut root);
    }
    let references = References::of(&root);
    let keeps_places = !references.are_simple();
    each_schema_mut(&mut root, &mut |one| reduce(one, rules, keeps_places));
    if rules.shares_equal && text.len() <= MOST_SHARED_BYTES && references.are_simple() {
        root = share::share(root);
    }
    root.to_value()
}

/// Drops and shortens the annotations of one schema.
fn reduce(schema: &mut Node, rules: &SchemaRules, keeps_places: bool) {
    if let Node::Object(members) = schema {
        members.retain(|(name, value)| match &**name {
            // A reference may lead into a default or an example.
            "examples" | "example" => !rules.drops_examples || keeps_places,
            "default" => !rules.drops_defaults || keeps_places,
            "title" => !rules.drops_titles || value.as_text().is_none(),
            "description" => rules.description_chars != Some(0) || value.as_text().is_none(),
            _ => true,
        });
    }
    if let (Some(most), Some(Node::Text(text))) =
        (rules.description_chars, schema.get_mut("description"))
        && let std::borrow::Cow::Owned(shorter) = shorten(text, most)
    {
        *text = shorter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> SchemaRules {
        SchemaRules {
            drops_examples: true,
            drops_defaults: true,
            drops_titles: true,
            drops_unused_definitions: true,
            shares_equal: true,
            description_chars: Some(21),
        }
    }

    fn made(schema: &str, rules: &SchemaRules) -> String {
        let made = compact(&Value::Raw(schema.to_owned().into_bytes().into()), rules);
        String::from_utf8(made.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn annotations_are_dropped_and_properties_of_their_names_are_not() {
        let schema = r#"{"title":"T","type":"object","properties":{
            "title":{"title":"Title","type":"string","default":"x","examples":["y"]},
            "default":{"const":{"default":1,"title":"t"}},"examples":{"enum":[{"examples":[]}]},
            "description":{"description":"The first sentence. The second one."}},
            "x-vendor":{"title":"kept"}}"#;
        assert_eq!(
            made(schema, &all()),
            r#"{"type":"object","properties":{"title":{"type":"string"},"default":{"const":{"default":1,"title":"t"}},"examples":{"enum":[{"examples":[]}]},"description":{"description":"The first sentence. …"}},"x-vendor":{"title":"kept"}}"#
        );
        assert_eq!(made(schema, &SchemaRules::default()), schema);
        let one = SchemaRules { drops_titles: true, ..SchemaRules::default() };
        assert!(made(schema, &one).contains(r#""default":"x","examples":["y"]"#));
        let none = SchemaRules { description_chars: Some(0), ..SchemaRules::default() };
        assert!(made(schema, &none).contains(r#""description":{}"#));
    }

    #[test]
    fn definitions_go_where_nothing_refers_to_them() {
        let schema = r##"{"$ref":"#/$defs/A","$defs":{"A":{"items":{"$ref":"#/$defs/B/items"}},"B":{"items":{}},"C":{"$ref":"#/$defs/D"},"D":{"$ref":"#/$defs/C"}},"definitions":{"E":{}}}"##;
        assert_eq!(
            made(schema, &all()),
            r##"{"$ref":"#/$defs/A","$defs":{"A":{"items":{"$ref":"#/$defs/B/items"}},"B":{"items":{}}}}"##
        );
        for odd in [
            r##"{"$ref":"#a","$defs":{"A":{"$anchor":"a"}}}"##,
            r##"{"$ref":"#/%24defs/A","$defs":{"A":{"type":"null"}}}"##,
            r##"{"$ref":"https://e.org/s","$id":"https://e.org/s","$defs":{"A":{"type":"null"}}}"##,
            r##"{"$dynamicRef":"#/$defs/A","$defs":{"A":{"type":"null"}}}"##,
            r##"{"properties":{"a":{"$ref":"#/properties/b/default"},"b":{"default":{"type":"null"}}}}"##,
            r##"{"properties":{"a":{"$ref":"#/properties/b/examples/0"},"b":{"examples":[{"type":"null"}]}}}"##,
        ] {
            assert_eq!(made(odd, &all()), odd);
        }
    }

    #[test]
    fn equal_schemas_are_written_once_where_that_is_shorter() {
        let point = r#"{"type":"object","properties":{"x":{"type":"number","minimum":0},"y":{"type":"number","minimum":0}}}"#;
        let schema =
            format!(r#"{{"properties":{{"a":{point},"b":{point},"c":{{"items":{point}}}}}}}"#);
        let made_ = made(&schema, &all());
        assert_eq!(
            made_,
            format!(
                r##"{{"properties":{{"a":{{"$ref":"#/$defs/s1"}},"b":{{"$ref":"#/$defs/s1"}},"c":{{"items":{{"$ref":"#/$defs/s1"}}}}}},"$defs":{{"s1":{point}}}}}"##
            )
        );
        // Of a definition that is there already, its name is used.
        let schema = format!(
            r##"{{"definitions":{{"P":{point},"Q":{point}}},"properties":{{"a":{point},"b":{{"$ref":"#/definitions/P"}},"c":{{"$ref":"#/definitions/Q"}}}}}}"##
        );
        assert_eq!(made(&schema, &all()).matches("minimum").count(), 2);
        // Headers are declared where a property stands.
        let mirrored = point.replace(r#""minimum":0"#, r#""x-mcp-header":"X""#);
        let schema = format!(r#"{{"properties":{{"a":{mirrored},"b":{mirrored}}}}}"#);
        assert_eq!(made(&schema, &all()), schema);
    }

    #[test]
    fn what_cannot_be_read_is_unchanged() {
        for odd in ["", "7", "true", "[{\"title\":\"t\"}]", "{", r#"{"title":"a","title":"b"}"#] {
            assert_eq!(made(odd, &all()), odd);
        }
        let deep = format!("{}{}", r#"{"not":"#.repeat(500), "}".repeat(500));
        assert_eq!(made(&deep, &all()), deep);
    }
}
