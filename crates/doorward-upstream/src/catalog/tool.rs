//! Properties of a tool: its schemas and annotations.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use doorward_mcp::param_headers::ParamHeader;
use doorward_mcp::{Object, Value, tasks};

use doorward_config::{ArgumentSettings, CacheRule, ResultSettings};
use doorward_schema::{Schema, Unusable};

/// The parsed properties of a tool, beyond its definition.
#[derive(Debug)]
pub struct ToolEntry {
    pub name: Box<str>,
    pub schemas: Arc<Schemas>,
    pub arguments: ArgumentSettings,
    pub results: ResultSettings,
    pub cache: CacheRule,
    pub param_headers: Vec<ParamHeader>,
    /// Whether a server of revision 2025-11-25 runs it as a task.
    pub task: tasks::Support,
    /// Annotated as read-only.
    pub reads_only: bool,
    /// Not annotated as limited to a closed domain.
    pub open_world: bool,
    /// Annotated as idempotent.
    pub is_idempotent: bool,
}

/// A tool's schemas, and the texts they were parsed from.
#[derive(Debug, Default)]
pub struct Schemas {
    pub(super) texts: [Option<Bytes>; 2],
    pub(super) checked: [bool; 2],
    pub input: Option<Schema>,
    pub output: Option<Schema>,
    /// Corrected schemas that replace the server's.
    listed: Listed,
    /// What was corrected, and what cannot be used.
    notes: Vec<String>,
    pub(super) unusable: Option<String>,
}

#[derive(Debug, Default)]
struct Listed {
    input: Option<Value>,
    /// `None` if it is omitted.
    output: Option<Option<Value>>,
}

impl Schemas {
    /// Which parts of the schemas were corrected or are not checked, for an operator.
    pub fn note(&self) -> Option<String> {
        let of = |name: &str, schema: &Option<Schema>| {
            schema.as_ref()?.note().map(|note| format!("of its {name}, {note}"))
        };
        let notes = [of("inputSchema", &self.input), of("outputSchema", &self.output)];
        let notes: Vec<String> =
            self.notes.iter().cloned().chain(notes.into_iter().flatten()).collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    pub(super) fn of(texts: [Option<Bytes>; 2], checked: [bool; 2], end: Instant) -> Self {
        let mut made = Self { texts: texts.clone(), checked, ..Self::default() };
        let [input, output] = texts;
        let read = input.as_ref().and_then(|text| doorward_schema::read(text).ok());
        let mended = doorward_schema::repair::input(read.as_ref());
        if let Some(mended) = &mended {
            made.notes.push("its inputSchema was corrected".into());
            made.listed.input = Some(Value::from_serde(mended));
        }
        if let Some(schema) = mended.as_ref().or(read.as_ref()).filter(|_| checked[0]) {
            let bytes = input.map_or(0, |text| text.len());
            made.input = made.compiled("inputSchema", bytes, Ok(schema), end);
        }
        let Some(output) = output else { return made };
        let read = doorward_schema::read(&output);
        match read.as_ref().ok().and_then(doorward_schema::repair::output) {
            Some(None) => {
                made.notes.push("its outputSchema is not a schema and was removed".into());
                made.listed.output = Some(None);
            }
            mended => {
                let mended = mended.flatten();
                if let Some(mended) = &mended {
                    made.notes.push("its outputSchema was corrected".into());
                    made.listed.output = Some(Some(Value::from_serde(mended)));
                }
                if checked[1] {
                    let schema = mended.as_ref().map_or(read.as_ref(), Ok);
                    made.output = made.compiled("outputSchema", output.len(), schema, end);
                }
            }
        }
        made
    }

    /// A schema of this size after parsing and correction, if it can be checked.
    fn compiled(
        &mut self,
        name: &str,
        bytes: usize,
        schema: Result<&serde_json::Value, &Unusable>,
        end: Instant,
    ) -> Option<Schema> {
        let compiled = if Instant::now() >= end {
            Err("takes too long to compile, with all others of the server".to_owned())
        } else {
            let sized = doorward_schema::check_size(bytes);
            let read = sized.and_then(|()| schema.map_err(Unusable::clone));
            read.and_then(Schema::of).map_err(|why| why.to_string())
        };
        match compiled {
            Ok(schema) => Some(schema),
            Err(why) => {
                self.notes.push(format!("it is not validated: its {name} {why}"));
                self.unusable.get_or_insert_with(|| format!("its {name} {why}"));
                None
            }
        }
    }

    /// The schema of the arguments, as it is listed.
    pub fn input_schema(&self) -> Option<Value> {
        self.listed.input.clone().or_else(|| self.texts[0].clone().map(Value::Raw))
    }

    /// Inserts the corrected schemas into a tool's definition.
    pub(super) fn put(&self, tool: &mut Object) {
        if let Some(input) = &self.listed.input {
            tool.set("inputSchema", input.clone());
        }
        match &self.listed.output {
            None => {}
            Some(Some(output)) => tool.set("outputSchema", output.clone()),
            Some(None) => _ = tool.remove("outputSchema"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_schema_that_is_put_right_is_bounded_as_every_other() {
        let filler = "x".repeat(2 << 20);
        for null in ["", r#""items": null, "#] {
            let text = format!(r#"{{{null}"type": "object", "description": "{filler}"}}"#);
            let texts = [Some(text.clone().into()), Some(text.into())];
            let made = Schemas::of(texts, [true; 2], Instant::now() + Duration::from_secs(20));
            assert!(made.input.is_none() && made.output.is_none());
            assert!(made.unusable.unwrap().contains("its inputSchema is larger than"));
        }
    }
}
