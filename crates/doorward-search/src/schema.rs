//! What an input schema says about a tool's parameters: their names, descriptions and values.
//!
//! Schemas come from servers. They are read as a stream, without building a value: what is not needed is skipped, and
//! reading ends where the limits are reached. What was read before an error counts.

use crate::text::prefix;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// How much of a schema is read.
const MAX_SCHEMA: usize = 256 * 1024;
/// How many parameters of a tool are indexed, nested ones included.
const MAX_PARAMETERS: usize = 128;
/// How deep schemas are read.
const MAX_DEPTH: usize = 8;

/// Where the texts of a schema go.
pub(crate) trait Parameters {
    /// A parameter's name.
    fn name(&mut self, name: &str);
    /// A title, a description, or a permitted value.
    fn text(&mut self, text: &str);
}

/// Reads the parameters of `schema`, a JSON object.
pub(crate) fn read(schema: &str, parameters: &mut dyn Parameters) {
    let mut reader = Reader { parameters, left: MAX_PARAMETERS };
    let mut json = serde_json::Deserializer::from_str(prefix(schema, MAX_SCHEMA));
    // An error ends the reading: the end of what is read, a limit, or JSON that is none.
    let _ = Schema { reader: &mut reader, depth: 0 }.deserialize(&mut json);
}

struct Reader<'p> {
    parameters: &'p mut dyn Parameters,
    left: usize,
}

impl Reader<'_> {
    fn parameter<E: Error>(&mut self, name: &str) -> Result<(), E> {
        self.left = self.left.checked_sub(1).ok_or_else(|| E::custom("too many parameters"))?;
        self.parameters.name(name);
        Ok(())
    }
}

/// A schema: an object, or anything else, which is skipped.
struct Schema<'r, 'p> {
    reader: &'r mut Reader<'p>,
    depth: usize,
}

/// An object whose members are schemas.
struct Schemas<'r, 'p> {
    reader: &'r mut Reader<'p>,
    depth: usize,
    /// Whether the members are parameters.
    named: bool,
}

/// A string, or strings in a list; anything else is skipped.
struct Text<'r, 'p> {
    reader: &'r mut Reader<'p>,
}

macro_rules! seed {
    ($name:ident) => {
        impl<'de> DeserializeSeed<'de> for $name<'_, '_> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_any(self)
            }
        }
    };
}

/// The values that a visitor skips.
macro_rules! skip {
    ($($visit:ident: $kind:ty),*) => {
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a part of a JSON schema")
        }
        fn visit_unit<E: Error>(self) -> Result<(), E> {
            Ok(())
        }
        $(fn $visit<E: Error>(self, _: $kind) -> Result<(), E> {
            Ok(())
        })*
    };
}

seed!(Schema);
seed!(Schemas);
seed!(Text);

impl<'de> Visitor<'de> for Schema<'_, '_> {
    type Value = ();
    skip!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Schema { reader, depth } = self;
        let depth = depth + 1;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                _ if depth > MAX_DEPTH => map.next_value::<IgnoredAny>().map(drop)?,
                "properties" => {
                    map.next_value_seed(Schemas { reader: &mut *reader, depth, named: true })?;
                }
                "$defs" | "definitions" => {
                    map.next_value_seed(Schemas { reader: &mut *reader, depth, named: false })?;
                }
                "items" | "additionalProperties" | "anyOf" | "oneOf" | "allOf" => {
                    map.next_value_seed(Schema { reader: &mut *reader, depth })?;
                }
                "description" | "enum" | "const" if depth > 1 => {
                    map.next_value_seed(Text { reader: &mut *reader })?;
                }
                _ => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Schema { reader, depth } = self;
        if depth >= MAX_DEPTH {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        while list.next_element_seed(Schema { reader: &mut *reader, depth: depth + 1 })?.is_some() {
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Schemas<'_, '_> {
    type Value = ();
    skip!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Schemas { reader, depth, named } = self;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if named {
                reader.parameter(&key)?;
            }
            map.next_value_seed(Schema { reader: &mut *reader, depth })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl<'de> Visitor<'de> for Text<'_, '_> {
    type Value = ();
    skip!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.reader.parameters.text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Text { reader: &mut *self.reader })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_PARAMETERS, Parameters, read};

    #[derive(Default)]
    struct Found(Vec<String>, Vec<String>);

    impl Parameters for Found {
        fn name(&mut self, name: &str) {
            self.0.push(name.to_owned());
        }
        fn text(&mut self, text: &str) {
            self.1.push(text.to_owned());
        }
    }

    fn found(schema: &str) -> (Vec<String>, Vec<String>) {
        let mut found = Found::default();
        read(schema, &mut found);
        (found.0, found.1)
    }

    #[test]
    fn nested_parameters_are_found() {
        let (names, texts) = found(
            r#"{"type":"object","description":"not a parameter","required":["a"],"properties":{
                "a":{"description":"first","enum":["x","y",1]},
                "b":{"type":"array","items":{"properties":{"c":{"description":"second"}}}},
                "description":{"anyOf":[{"const":"z"},true,{"properties":{"d":{}}}]}},
                "$defs":{"Shape":{"properties":{"e":{}}}}}"#,
        );
        assert_eq!(names, ["a", "b", "c", "description", "d", "e"]);
        assert_eq!(texts, ["first", "x", "y", "second", "z"]);
    }

    #[test]
    fn what_is_read_before_an_error_counts() {
        assert_eq!(found(r#"{"properties":{"a":{},"b":nonsense"#).0, ["a", "b"]);
        assert_eq!(found("").0, Vec::<String>::new());
        assert_eq!(found("[1,2]").0, Vec::<String>::new());
    }

    #[test]
    fn depth_and_number_are_limited() {
        let deep = format!("{}{}", r#"{"properties":{"a":"#.repeat(5_000), "}}".repeat(5_000));
        assert_eq!(found(&deep).0.len(), super::MAX_DEPTH);
        let many: Vec<String> = (0..10_000).map(|number| format!(r#""p{number}":{{}}"#)).collect();
        assert_eq!(
            found(&format!(r#"{{"properties":{{{}}}}}"#, many.join(","))).0.len(),
            MAX_PARAMETERS
        );
    }
}
