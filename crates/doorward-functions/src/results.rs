//! Results, as a model takes them: in the dialect of the call.
//!
//! What a dialect has no place for is named in words, so that neither the model nor its user takes it for absent.

use doorward_mcp::interaction::is_tool_error;
use doorward_mcp::{Object, Value};
use serde_json::{Value as Json, json};

use crate::{Call, Dialect};

/// Types of images that model APIs take.
const IMAGES: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];

/// What came of a call.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// The result of the tool.
    Result(&'a Object),
    /// Why there is none, for the model.
    Failed(&'a str),
}

/// A part of a result.
enum Part {
    Text(String),
    Binary { mime: String, data: String, name: Option<String> },
}

/// The result of a call, in its dialect.
pub fn write(call: &Call, outcome: Outcome<'_>) -> Value {
    if let (Dialect::Mcp, Outcome::Result(result)) = (call.dialect, outcome) {
        return Value::Object(result.clone());
    }
    let is_error = match outcome {
        Outcome::Result(result) => is_tool_error(result),
        Outcome::Failed(_) => true,
    };
    let (parts, structured) = match outcome {
        Outcome::Result(result) => {
            let structured = result.get("structuredContent").map(json_of);
            (parts(result), structured)
        }
        Outcome::Failed(why) => (vec![Part::Text(why.to_owned())], None),
    };
    let made = match call.dialect {
        Dialect::Mcp => {
            json!({ "content": [{ "type": "text", "text": text_only(parts, None) }], "isError": true })
        }
        Dialect::OpenAi => {
            let text = marked(text_only(parts, structured), is_error);
            json!({ "role": "tool", "tool_call_id": id(call), "content": text })
        }
        Dialect::OpenAiResponses => {
            json!({ "type": "function_call_output", "call_id": id(call), "output": output(parts, structured, is_error) })
        }
        Dialect::Anthropic => {
            json!({ "type": "tool_result", "tool_use_id": id(call), "content": blocks(parts, structured), "is_error": is_error })
        }
        Dialect::Gemini => gemini(call, parts, structured, is_error),
    };
    Value::from_serde(&made)
}

fn id(call: &Call) -> String {
    call.id.as_ref().and_then(Value::as_str).unwrap_or_default().into_owned()
}

fn json_of(value: &Value) -> Json {
    serde_json::from_slice(&value.to_bytes()).unwrap_or_default()
}

/// The content of a result.
fn parts(result: &Object) -> Vec<Part> {
    let content = result.get("content").and_then(Value::as_array).unwrap_or_default();
    content.iter().map(|block| part(block).unwrap_or_else(|| unknown(block))).collect()
}

fn part(block: &Value) -> Option<Part> {
    let block = block.as_object()?;
    let text = |of: &Object, member: &str| of.string(member).map(std::borrow::Cow::into_owned);
    match &*block.string("type")? {
        "text" => text(&block, "text").map(Part::Text),
        "image" | "audio" => Some(Part::Binary {
            mime: text(&block, "mimeType")?,
            data: text(&block, "data")?,
            name: None,
        }),
        "resource_link" => {
            let uri = text(&block, "uri")?;
            let name = text(&block, "title").or_else(|| text(&block, "name")).unwrap_or_default();
            let about =
                text(&block, "description").map(|about| format!(": {about}")).unwrap_or_default();
            Some(Part::Text(format!("[resource '{name}' at {uri}{about}]")))
        }
        "resource" => {
            let resource = block.object("resource")?;
            let uri = text(&resource, "uri")?;
            if let Some(text) = text(&resource, "text") {
                return Some(Part::Text(format!("[resource {uri}]\n{text}")));
            }
            let mime =
                text(&resource, "mimeType").unwrap_or_else(|| "application/octet-stream".into());
            Some(Part::Binary { mime, data: text(&resource, "blob")?, name: Some(uri) })
        }
        _ => None,
    }
}

/// Content that MCP does not have yet, as it is.
fn unknown(block: &Value) -> Part {
    Part::Text(String::from_utf8_lossy(&block.to_bytes()).into_owned())
}

/// What is said of content that has no place.
fn instead(mime: &str, data: &str, name: Option<&str>) -> String {
    let bytes = data.trim_end_matches('=').len() * 3 / 4;
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    format!("[{mime} of {bytes} bytes{name}: it cannot be returned in this format]")
}

/// Structured content, where the texts do not contain it already, as the specification recommends.
fn more(parts: &[Part], structured: Option<Json>) -> Option<Json> {
    let structured = structured?;
    let is_there = parts.iter().any(|part| match part {
        Part::Text(text) => serde_json::from_str::<Json>(text).is_ok_and(|read| read == structured),
        Part::Binary { .. } => false,
    });
    (!is_there).then_some(structured)
}

fn text_only(parts: Vec<Part>, structured: Option<Json>) -> String {
    let more = more(&parts, structured).map(|more| more.to_string());
    let texts = parts.into_iter().map(|part| match part {
        Part::Text(text) => text,
        Part::Binary { mime, data, name } => instead(&mime, &data, name.as_deref()),
    });
    texts.chain(more).collect::<Vec<_>>().join("\n\n")
}

/// Formats without a place for it say in words that a tool has failed.
fn marked(text: String, is_error: bool) -> String {
    if is_error { format!("Error: {text}") } else { text }
}

fn data_url(mime: &str, data: &str) -> String {
    format!("data:{mime};base64,{data}")
}

fn output(parts: Vec<Part>, structured: Option<Json>, is_error: bool) -> Json {
    let has_place = |mime: &str| IMAGES.contains(&mime) || mime == "application/pdf";
    let is_plain =
        parts.iter().all(|part| !matches!(part, Part::Binary { mime, .. } if has_place(mime)));
    if is_plain {
        return marked(text_only(parts, structured), is_error).into();
    }
    let more = more(&parts, structured);
    let mut all = Vec::new();
    if is_error {
        all.push(json!({ "type": "input_text", "text": "Error:" }));
    }
    for part in parts {
        all.push(match part {
            Part::Text(text) => json!({ "type": "input_text", "text": text }),
            Part::Binary { mime, data, .. } if IMAGES.contains(&&*mime) => {
                json!({ "type": "input_image", "image_url": data_url(&mime, &data), "detail": "auto" })
            }
            Part::Binary { mime, data, .. } if has_place(&mime) => {
                json!({ "type": "input_file", "filename": "result.pdf", "file_data": data_url(&mime, &data) })
            }
            Part::Binary { mime, data, name } => {
                json!({ "type": "input_text", "text": instead(&mime, &data, name.as_deref()) })
            }
        });
    }
    all.extend(more.map(|more| json!({ "type": "input_text", "text": more.to_string() })));
    all.into()
}

fn blocks(parts: Vec<Part>, structured: Option<Json>) -> Json {
    let more = more(&parts, structured).map(|more| Part::Text(more.to_string()));
    let made = parts.into_iter().chain(more).filter_map(|part| match part {
        // Empty texts are refused.
        Part::Text(text) => (!text.is_empty()).then(|| json!({ "type": "text", "text": text })),
        Part::Binary { mime, data, .. } if IMAGES.contains(&&*mime) => {
            let source = json!({ "type": "base64", "media_type": mime, "data": data });
            Some(json!({ "type": "image", "source": source }))
        }
        Part::Binary { mime, data, .. } if mime == "application/pdf" => {
            let source = json!({ "type": "base64", "media_type": mime, "data": data });
            Some(json!({ "type": "document", "source": source }))
        }
        Part::Binary { mime, data, name } => {
            Some(json!({ "type": "text", "text": instead(&mime, &data, name.as_deref()) }))
        }
    });
    made.collect()
}

fn gemini(call: &Call, parts: Vec<Part>, structured: Option<Json>, is_error: bool) -> Json {
    let has_place = |mime: &str| IMAGES.contains(&mime) || mime == "application/pdf";
    let is_there = more(&parts, structured.clone()).is_none();
    let (binary, texts): (Vec<Part>, Vec<Part>) = parts
        .into_iter()
        .partition(|part| matches!(part, Part::Binary { mime, .. } if has_place(mime)));
    let mut response = serde_json::Map::new();
    let member = if is_error { "error" } else { "output" };
    match structured {
        // The texts say the same, unless there are others.
        Some(structured) if is_there && texts.len() <= 1 => {
            response.insert(member.into(), structured);
        }
        Some(structured) => {
            let text = text_only(texts, None);
            let both = if text.is_empty() {
                structured
            } else {
                json!({ "structured": structured, "text": text })
            };
            response.insert(member.into(), both);
        }
        None => {
            response.insert(member.into(), text_only(texts, None).into());
        }
    }
    let mut made = json!({ "name": call.name, "response": response });
    if let Some(id) = &call.id {
        made["id"] = json_of(id);
    }
    let inline = binary.into_iter().filter_map(|part| match part {
        Part::Binary { mime, data, .. } => {
            Some(json!({ "inlineData": { "mimeType": mime, "data": data } }))
        }
        Part::Text(_) => None,
    });
    let inline: Vec<Json> = inline.collect();
    if !inline.is_empty() {
        made["parts"] = inline.into();
    }
    json!({ "functionResponse": made })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn call(dialect: Dialect) -> Call {
        Call {
            dialect,
            id: Some(Value::text("c1")),
            name: "f".into(),
            arguments: Ok(Object::new()),
        }
    }

    fn written(dialect: Dialect, result: &'static str) -> Json {
        let result = Object::parse(&Bytes::from_static(result.as_bytes())).unwrap();
        json_of(&write(&call(dialect), Outcome::Result(&result)))
    }

    const PLAIN: &str =
        r#"{"content":[{"type":"text","text":"{\"sum\":3.0}"}],"structuredContent":{"sum":3.0}}"#;
    const RICH: &str = r#"{"content":[
        {"type":"text","text":"a chart"},{"type":"image","data":"aGk=","mimeType":"image/png"},
        {"type":"audio","data":"aGk=","mimeType":"audio/wav"},
        {"type":"resource_link","uri":"s+a:b","name":"n"},
        {"type":"resource","resource":{"uri":"s+a:c","text":"inner"}},
        {"type":"later","x":1}],"structuredContent":{"x":1},"isError":true}"#;

    #[test]
    fn plain_results_have_the_form_of_each_dialect() {
        for (dialect, made) in [
            (
                Dialect::OpenAi,
                json!({ "role": "tool", "tool_call_id": "c1", "content": "{\"sum\":3.0}" }),
            ),
            (
                Dialect::OpenAiResponses,
                json!({ "type": "function_call_output", "call_id": "c1", "output": "{\"sum\":3.0}" }),
            ),
            (
                Dialect::Anthropic,
                json!({ "type": "tool_result", "tool_use_id": "c1", "is_error": false, "content": [{ "type": "text", "text": "{\"sum\":3.0}" }] }),
            ),
            (
                Dialect::Gemini,
                json!({ "functionResponse": { "name": "f", "id": "c1", "response": { "output": { "sum": 3.0 } } } }),
            ),
        ] {
            assert_eq!(written(dialect, PLAIN), made);
        }
    }

    #[test]
    fn nothing_is_lost_silently() {
        for dialect in Dialect::ALL {
            let made = written(dialect, RICH);
            let text = made.to_string();
            for word in ["a chart", "s+a:b", "s+a:c", "inner", "later", "audio/wav", "image/png"] {
                assert!(text.contains(word), "{dialect:?} lacks {word}: {text}");
            }
            let has_image = text.contains("aGk=");
            assert_eq!(has_image, dialect != Dialect::OpenAi, "{dialect:?}: {text}");
            assert!(text.contains("rror"), "{dialect:?}: {text}");
            assert!(
                text.contains(r#""x":1"#) || text.contains(r#"\"x\":1"#),
                "{dialect:?}: {text}"
            );
        }
    }

    #[test]
    fn failures_are_words_that_a_model_can_read() {
        for dialect in Dialect::ALL {
            let made = json_of(&write(&call(dialect), Outcome::Failed("A policy denies this")));
            assert!(made.to_string().contains("A policy denies this"), "{made}");
        }
        let made = json_of(&write(&call(Dialect::Anthropic), Outcome::Failed("no")));
        assert_eq!(made["is_error"], true);
    }
}
