//! What the parts of a definition are.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::json::Path;
use crate::rules::Field;

/// The field of a definition that a string is; `None` for keywords of schemas and what no model reads.
pub(super) fn field(path: &Path<'_>, is_name: bool) -> Option<Field> {
    let mut members = path.members();
    // A bare text, such as a server's instructions.
    if path.members().next().is_none() && !is_name {
        return Some(Field::Description);
    }
    let innermost = members.next().unwrap_or_default();
    let outer = members.next().unwrap_or_default();
    if is_name {
        return match outer {
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentRequired" => {
                Some(Field::Parameter)
            }
            _ if is_known(innermost) => None,
            _ => Some(Field::Comment),
        };
    }
    // Of a definition with `inputSchema` around it, what is at the top.
    let in_schema = path.members().any(|member| {
        matches!(member, "inputSchema" | "outputSchema" | "properties" | "arguments" | "parameters")
    });
    Some(match innermost {
        "name" if !in_schema => Field::Name,
        "name" | "required" | "dependentRequired" => Field::Parameter,
        "type" | "$schema" | "$ref" | "$id" | "format" | "contentEncoding" | "contentMediaType"
        | "mimeType" => return None,
        "default" | "enum" | "const" | "examples" | "example" | "pattern" => Field::Value,
        "title" | "description" if path.members().any(|member| member == "outputSchema") => {
            Field::Output
        }
        "title" => Field::Title,
        "description" | "instructions" if !in_schema => Field::Description,
        "description" | "desc" | "summary" | "label" | "hint" => Field::ParameterDescription,
        _ => Field::Comment,
    })
}

/// Members of definitions and keywords of schemas, whose names are no text.
fn is_known(name: &str) -> bool {
    const KNOWN: [&str; 62] = [
        "name",
        "title",
        "description",
        "inputSchema",
        "outputSchema",
        "annotations",
        "icons",
        "_meta",
        "execution",
        "arguments",
        "uri",
        "uriTemplate",
        "mimeType",
        "size",
        "properties",
        "required",
        "type",
        "items",
        "prefixItems",
        "enum",
        "const",
        "default",
        "examples",
        "format",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "minProperties",
        "maxProperties",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "unevaluatedProperties",
        "unevaluatedItems",
        "dependentRequired",
        "dependentSchemas",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "$ref",
        "$defs",
        "definitions",
        "$schema",
        "$id",
        "$comment",
        "readOnlyHint",
        "destructiveHint",
    ];
    KNOWN.contains(&name)
        || matches!(
            name,
            "idempotentHint"
                | "openWorldHint"
                | "nullable"
                | "deprecated"
                | "readOnly"
                | "writeOnly"
                | "desc"
                | "parameters"
        )
}

/// A name as words: `readFileContents`, `read_file_contents` and `read-file-contents` as `read File Contents`.
pub(super) fn words_of_name(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 8);
    let mut before = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            words.push(' ');
        }
        words.push(if matches!(c, '_' | '-' | '.' | '/') { ' ' } else { c });
        before = c;
    }
    words
}

/// The names of other servers' tools, to find where a definition names them (attack T4).
#[derive(Debug)]
pub struct Mentions {
    names: AhoCorasick,
}

impl Mentions {
    /// Names of at least six characters that are no plain word: others occur in texts by chance. `None` if there are none,
    /// or too many.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let is_distinct = |name: &&str| {
            name.len() >= 6
                && (name.contains(['_', '-'])
                    || name.bytes().skip(1).any(|byte| byte.is_ascii_uppercase()))
        };
        let names: Vec<&str> = names.into_iter().filter(is_distinct).collect();
        if names.is_empty() {
            return None;
        }
        let names =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(names).ok()?;
        Some(Self { names })
    }

    /// Where a text names one of them as a whole word. At most 16.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let is_part = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        let bytes = text.as_bytes();
        let whole = |range: &Range<usize>| {
            !is_part(range.start.checked_sub(1).and_then(|before| bytes.get(before)))
                && !is_part(bytes.get(range.end))
        };
        self.names.find_iter(text).map(|found| found.range()).filter(whole).take(16).collect()
    }
}
