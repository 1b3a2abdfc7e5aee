//! Lists of tools in the form that an SDK takes as its argument `tools`.

use bytes::Bytes;
use doorward_mcp::{Object, Value};

use crate::Dialect;
use crate::schema::Adapted;

/// A tool as it is listed.
#[derive(Debug, Clone, Copy)]
pub struct Tool<'a> {
    /// A name that all model APIs accept.
    pub name: &'a str,
    /// Its definition, as MCP has it.
    pub definition: &'a Object,
}

/// What a reader of a list should know of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub tool: String,
    pub message: String,
}

/// A list, and what was changed in it.
#[derive(Debug, Clone)]
pub struct Listing {
    /// A JSON array.
    pub tools: Bytes,
    pub warnings: Vec<Warning>,
}

/// Lists tools in a dialect; in strict mode where the dialect has one and the tool's schema can be converted.
pub fn list<'a>(
    dialect: Dialect,
    tools: impl IntoIterator<Item = Tool<'a>>,
    strict: bool,
) -> Listing {
    let mut warnings = Vec::new();
    let entries: Vec<Value> = tools
        .into_iter()
        .map(|tool| {
            Value::Object(entry(dialect, tool, strict && dialect.has_strict(), &mut warnings))
        })
        .collect();
    let mut tools = Value::array(&entries);
    if dialect == Dialect::Gemini {
        // One entry with all declarations; none at all, which Gemini would refuse, if there is no tool.
        let mut group = Object::new();
        group.set("functionDeclarations", tools);
        let groups = if entries.is_empty() { Vec::new() } else { vec![Value::Object(group)] };
        tools = Value::array(&groups);
    }
    Listing { tools: tools.to_bytes(), warnings }
}

fn entry(dialect: Dialect, tool: Tool<'_>, strict: bool, warnings: &mut Vec<Warning>) -> Object {
    let Tool { name, definition } = tool;
    let mut made = Object::new();
    if dialect == Dialect::Mcp {
        made = definition.clone();
        made.set("name", name);
        return made;
    }
    let adapted = Adapted::of(definition.get("inputSchema"));
    let mut warn = |message: String| warnings.push(Warning { tool: name.to_owned(), message });
    adapted.warnings.iter().cloned().for_each(&mut warn);
    let description = definition.string("description").or_else(|| definition.string("title"));
    let description = description.unwrap_or_default();
    let strict = match strict.then(|| adapted.strict()) {
        Some(Ok(schema)) => Some(schema),
        Some(Err(why)) => {
            warn(format!("not in strict mode: {why}"));
            None
        }
        None => None,
    };
    let is_strict = strict.is_some();
    let schema = Value::Raw(strict.unwrap_or_else(|| adapted.to_bytes()));
    let function = |made: &mut Object| {
        made.set("name", name);
        made.set("description", &*description);
        made.set("parameters", schema.clone());
        made.set("strict", Value::bool(is_strict));
    };
    match dialect {
        Dialect::OpenAi => {
            let mut of = Object::new();
            function(&mut of);
            made.set("type", "function");
            made.set("function", of);
        }
        Dialect::OpenAiResponses => {
            made.set("type", "function");
            function(&mut made);
        }
        Dialect::Anthropic => {
            made.set("name", name);
            made.set("description", &*description);
            made.set("input_schema", schema);
        }
        Dialect::Gemini => {
            made.set("name", name);
            made.set("description", &*description);
            made.set("parametersJsonSchema", schema);
            if let Some(output) = definition.get("outputSchema") {
                let output = Adapted::of(Some(output));
                if !output.is_wrapped && output.is_exact {
                    made.set("responseJsonSchema", Value::Raw(output.to_bytes()));
                }
            }
        }
        Dialect::Mcp => {}
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(dialect: Dialect, strict: bool) -> (String, Vec<Warning>) {
        let definition = br#"{"name":"add","title":"Add","description":"Adds.","inputSchema":{"$schema":"s","type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a"]},"outputSchema":{"type":"object","properties":{"sum":{"type":"number"}}}}"#;
        let definition = Object::parse(&Bytes::from_static(definition)).unwrap();
        let map = br#"{"name":"map","inputSchema":{"type":"object","additionalProperties":{"type":"string"}}}"#;
        let map = Object::parse(&Bytes::from_static(map)).unwrap();
        let tools = [
            Tool { name: "s__add", definition: &definition },
            Tool { name: "s__map", definition: &map },
        ];
        let Listing { tools, warnings } = list(dialect, tools, strict);
        (String::from_utf8(tools.to_vec()).unwrap(), warnings)
    }

    #[test]
    fn each_dialect_has_its_own_form() {
        let add = r#"{"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a"]}"#;
        let map = r#"{"type":"object","additionalProperties":{"type":"string"},"properties":{}}"#;
        for (dialect, made) in [
            (
                Dialect::OpenAi,
                format!(
                    r#"[{{"type":"function","function":{{"name":"s__add","description":"Adds.","parameters":{add},"strict":false}}}},{{"type":"function","function":{{"name":"s__map","description":"","parameters":{map},"strict":false}}}}]"#
                ),
            ),
            (
                Dialect::OpenAiResponses,
                format!(
                    r#"[{{"type":"function","name":"s__add","description":"Adds.","parameters":{add},"strict":false}},{{"type":"function","name":"s__map","description":"","parameters":{map},"strict":false}}]"#
                ),
            ),
            (
                Dialect::Anthropic,
                format!(
                    r#"[{{"name":"s__add","description":"Adds.","input_schema":{add}}},{{"name":"s__map","description":"","input_schema":{map}}}]"#
                ),
            ),
            (
                Dialect::Gemini,
                format!(
                    r#"[{{"functionDeclarations":[{{"name":"s__add","description":"Adds.","parametersJsonSchema":{add},"responseJsonSchema":{{"type":"object","properties":{{"sum":{{"type":"number"}}}}}}}},{{"name":"s__map","description":"","parametersJsonSchema":{map}}}]}}]"#
                ),
            ),
        ] {
            assert_eq!(listed(dialect, false), (made, Vec::new()), "{dialect:?}");
        }
        assert!(listed(Dialect::Mcp, true).0.starts_with(r#"[{"name":"s__add","title":"Add""#));
        assert_eq!(list(Dialect::Gemini, [], false).tools, "[]");
    }

    #[test]
    fn strict_mode_is_for_schemas_that_can_be_converted() {
        let (made, warnings) = listed(Dialect::OpenAiResponses, true);
        assert!(made.contains(r#""parameters":{"type":"object","properties":{"a":{"type":"number"},"b":{"type":["number","null"]}},"required":["a","b"],"additionalProperties":false},"strict":true"#), "{made}");
        assert_eq!(made.matches(r#""strict":false"#).count(), 1);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].tool == "s__map" && warnings[0].message.contains("map"),
            "{warnings:?}"
        );
        assert!(listed(Dialect::Anthropic, true).1.is_empty());
    }
}
