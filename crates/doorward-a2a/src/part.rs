//! Parts: the content of messages and artifacts (spec 1.0 §4.1.6, 0.3 §6.5).

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use doorward_mcp::json::Value;

use crate::error::Invalid;
use crate::fields::{Fields, Other, Reading, is_object, to_object};
use crate::out::Out;
use crate::revision::Form;

/// One piece of content.
#[derive(Debug, Clone)]
pub struct Part {
    pub content: Content,
    /// An object.
    pub metadata: Option<Value>,
    /// 0.3 has names of files only.
    pub filename: Option<String>,
    /// 0.3 has media types of files only.
    pub media_type: Option<String>,
    pub other: Other,
    /// Members that the protocol does not define of the object within the part, in 0.3.
    pub inner: Other,
}

/// What a part contains. Strings are raw JSON, for they may be large and are mostly passed on.
#[derive(Debug, Clone)]
pub enum Content {
    /// A JSON string.
    Text(Value),
    /// A JSON string: bytes in standard base64.
    Raw(Value),
    /// A JSON string: where the content is.
    Url(Value),
    /// Any JSON; an object in 0.3.
    Data(Value),
}

/// The mark of data that is no object, in the metadata of a part of 0.3: the reference SDK reads and writes the same.
const WRAPPED: &str = "data_part_compat";

/// Base64 in either alphabet, with or without padding, as ProtoJSON reads it.
const PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PADDING);

impl Part {
    pub fn new(content: Content) -> Self {
        Self {
            content,
            metadata: None,
            filename: None,
            media_type: None,
            other: Other::default(),
            inner: Other::default(),
        }
    }

    pub fn text(text: &str) -> Self {
        Self::new(Content::Text(Value::text(text)))
    }

    /// Structured data: any scanned JSON.
    pub fn data(value: Value) -> Self {
        Self::new(Content::Data(value))
    }

    /// The text, if the part is one.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match &self.content {
            Content::Text(text) => text.as_str(),
            _ => None,
        }
    }

    pub(crate) fn read(value: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(value, reading)?;
        match reading.form {
            Form::V1 => Self::read_v1(fields),
            Form::Kind => {
                let kind = fields.string("kind")?;
                Self::read_0_3(fields, kind.as_deref())
            }
            Form::Proto => Self::read_0_3(fields, None),
        }
    }

    fn read_v1(mut fields: Fields) -> Result<Self, Invalid> {
        let text = fields.value("text")?.map(Content::Text);
        let raw = match fields.value("raw")? {
            Some(raw) => Some(Content::Raw(standard(raw).map_err(|e| e.within("raw"))?)),
            None => None,
        };
        let url = fields.value("url")?.map(Content::Url);
        // Here `null` is a value.
        let data = fields.raw("data")?.map(Content::Data);
        let mut part = Self::new(only([text, raw, url, data], "'text', 'raw', 'url' and 'data'")?);
        part.check_strings()?;
        part.metadata = fields.object("metadata")?;
        part.filename = fields.string("filename")?;
        part.media_type = fields.string("mediaType")?;
        part.other = fields.rest()?;
        Ok(part)
    }

    fn read_0_3(mut fields: Fields, kind: Option<&str>) -> Result<Self, Invalid> {
        let text = fields.value("text")?.map(Content::Text);
        let file = fields.value("file")?;
        let data = fields.value("data")?;
        let named = |name: &str, is_there: bool| match kind {
            Some(kind) if kind == name && !is_there => {
                Err(Invalid::at(name, format!("is required in a part of kind '{name}'")))
            }
            Some(kind) if kind != name && is_there => {
                Err(Invalid::at(name, format!("does not belong in a part of kind '{kind}'")))
            }
            _ => Ok(()),
        };
        named("text", text.is_some())?;
        named("file", file.is_some())?;
        named("data", data.is_some())?;
        if !matches!(kind, None | Some("text" | "file" | "data")) {
            return Err(Invalid::at("kind", "must be 'text', 'file' or 'data'"));
        }
        let reading = fields.reading;
        let mut part = match (text, file, data) {
            (Some(text), None, None) => Self::new(text),
            (None, Some(file), None) => {
                Self::read_file(&file, reading).map_err(|e| e.within("file"))?
            }
            (None, None, Some(data)) => {
                Self::read_data(data, reading).map_err(|e| e.within("data"))?
            }
            _ => return Err(Invalid::new("must have exactly one of 'text', 'file' and 'data'")),
        };
        part.check_strings()?;
        part.metadata = fields.object("metadata")?;
        part.unwrap_data();
        part.other = fields.rest()?;
        Ok(part)
    }

    fn read_file(file: &Value, reading: Reading) -> Result<Self, Invalid> {
        let mut fields = Fields::open(file, reading)?;
        let (bytes, uri) = file_names(reading.form);
        let raw = match fields.value(bytes)? {
            Some(raw) => Some(Content::Raw(standard(raw).map_err(|e| e.within(bytes))?)),
            None => None,
        };
        let url = fields.value(uri)?.map(Content::Url);
        let mut part =
            Self::new(only([None, raw, url, None], "the bytes and the URI of the file")?);
        part.filename = fields.string("name")?;
        part.media_type = fields.string("mimeType")?;
        part.inner = fields.rest()?;
        Ok(part)
    }

    fn read_data(data: Value, reading: Reading) -> Result<Self, Invalid> {
        if !is_object(&data) {
            return Err(Invalid::new("must be an object"));
        }
        if reading.form == Form::Kind {
            return Ok(Self::new(Content::Data(data)));
        }
        let mut fields = Fields::open(&data, reading)?;
        let inner = fields.object("data")?.unwrap_or_else(|| Value::Raw(Bytes::from_static(b"{}")));
        let mut part = Self::new(Content::Data(inner));
        part.inner = fields.rest()?;
        Ok(part)
    }

    /// Data that is no object is wrapped in one in 0.3.
    fn unwrap_data(&mut self) {
        let (Content::Data(data), Some(metadata)) = (&self.content, &self.metadata) else { return };
        let mut metadata = to_object(metadata);
        let is_wrapped = metadata.get(WRAPPED).and_then(Value::as_bool) == Some(true);
        let object = to_object(data);
        let [member] = object.members() else { return };
        if is_wrapped && &member.name[..] == b"value" && !is_object(&member.value) {
            self.content = Content::Data(member.value.clone());
            metadata.remove(WRAPPED);
            self.metadata = (!metadata.is_empty()).then(|| metadata.into());
        }
    }

    fn check_strings(&self) -> Result<(), Invalid> {
        let (name, value) = match &self.content {
            Content::Text(text) => ("text", text),
            Content::Url(url) => ("url", url),
            Content::Raw(_) | Content::Data(_) => return Ok(()),
        };
        value.as_str().map(drop).ok_or_else(|| Invalid::at(name, "must be a string"))
    }

    pub(crate) fn write(&self, out: &mut Out) {
        out.object(|out| match out.form {
            Form::V1 => {
                match &self.content {
                    Content::Text(text) => out.value("text", text),
                    Content::Raw(raw) => out.value("raw", raw),
                    Content::Url(url) => out.value("url", url),
                    Content::Data(data) => out.value("data", data),
                }
                out.optional("filename", self.filename.as_ref());
                out.optional("mediaType", self.media_type.as_ref());
                out.optional_value("metadata", self.metadata.as_ref());
                out.other(&self.other);
            }
            Form::Kind | Form::Proto => self.write_0_3(out),
        });
    }

    fn write_0_3(&self, out: &mut Out) {
        let is_kind = out.form == Form::Kind;
        let kind = |out: &mut Out, kind| {
            if is_kind {
                out.string("kind", kind);
            }
        };
        let (bytes, uri) = file_names(out.form);
        let mut metadata = self.metadata.clone();
        match &self.content {
            Content::Text(text) => {
                kind(out, "text");
                out.value("text", text);
            }
            Content::Raw(value) | Content::Url(value) => {
                let name = if matches!(self.content, Content::Raw(_)) { bytes } else { uri };
                kind(out, "file");
                out.member("file", |out| {
                    out.object(|out| {
                        out.value(name, value);
                        out.optional("name", self.filename.as_ref());
                        out.optional("mimeType", self.media_type.as_ref());
                        out.other(&self.inner);
                    });
                });
            }
            Content::Data(data) => {
                kind(out, "data");
                let mut data = data.clone();
                if !is_object(&data) {
                    let mut wrapped = doorward_mcp::Object::new();
                    wrapped.set("value", data);
                    data = wrapped.into();
                    let mut marked = metadata.as_ref().map(to_object).unwrap_or_default();
                    marked.set(WRAPPED, Value::bool(true));
                    metadata = Some(marked.into());
                }
                if is_kind {
                    out.value("data", &data);
                } else {
                    out.member("data", |out| {
                        out.object(|out| {
                            out.value("data", &data);
                            out.other(&self.inner);
                        });
                    });
                }
            }
        }
        out.optional_value("metadata", metadata.as_ref());
        out.other(&self.other);
    }
}

/// The names of a file's bytes and of its URI.
fn file_names(form: Form) -> (&'static str, &'static str) {
    if form == Form::Kind { ("bytes", "uri") } else { ("fileWithBytes", "fileWithUri") }
}

fn only<const N: usize>(all: [Option<Content>; N], names: &str) -> Result<Content, Invalid> {
    let mut given = all.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(content), None) => Ok(content),
        _ => Err(Invalid::new(format!("must have exactly one of {names}"))),
    }
}

/// Bytes in standard base64 with padding, which every reader takes.
fn standard(value: Value) -> Result<Value, Invalid> {
    let text = value.as_str().ok_or_else(|| Invalid::new("must be a string"))?;
    let is_standard = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let padding = text.bytes().rev().take(2).take_while(|byte| *byte == b'=').count();
    if text.len() % 4 == 0 && text[..text.len() - padding].bytes().all(is_standard) {
        // As it is, unless it has escapes.
        return Ok(if let Cow::Borrowed(_) = text { value } else { Value::text(&text) });
    }
    let decoded = STANDARD.decode(text.as_bytes()).or_else(|_| URL_SAFE.decode(text.as_bytes()));
    let bytes = decoded.map_err(|_| Invalid::new("must be base64"))?;
    Ok(Value::text(&BASE64_STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str, from: Form, to: Form) -> Result<String, Invalid> {
        let value = Value::Raw(Bytes::copy_from_slice(text.as_bytes()));
        let part = Part::read(&value, Reading { form: from, strict: true })?;
        let written = Out::of(to, |out| part.write(out));
        Ok(String::from_utf8(written.to_vec()).unwrap())
    }

    #[test]
    fn a_part_in_each_form() {
        for (one, kind, proto) in [
            (
                r#"{"text":"a\u00e9"}"#,
                r#"{"kind":"text","text":"a\u00e9"}"#,
                r#"{"text":"a\u00e9"}"#,
            ),
            (
                r#"{"raw":"AAEC","filename":"f","mediaType":"a/b"}"#,
                r#"{"kind":"file","file":{"bytes":"AAEC","name":"f","mimeType":"a/b"}}"#,
                r#"{"file":{"fileWithBytes":"AAEC","name":"f","mimeType":"a/b"}}"#,
            ),
            (
                r#"{"url":"https://a/b","metadata":{"m":1}}"#,
                r#"{"kind":"file","file":{"uri":"https://a/b"},"metadata":{"m":1}}"#,
                r#"{"file":{"fileWithUri":"https://a/b"},"metadata":{"m":1}}"#,
            ),
            (
                r#"{"data":{"n":1.0}}"#,
                r#"{"kind":"data","data":{"n":1.0}}"#,
                r#"{"data":{"data":{"n":1.0}}}"#,
            ),
            (
                r#"{"data":[1],"metadata":{"m":1}}"#,
                r#"{"kind":"data","data":{"value":[1]},"metadata":{"m":1,"data_part_compat":true}}"#,
                r#"{"data":{"data":{"value":[1]}},"metadata":{"m":1,"data_part_compat":true}}"#,
            ),
            (
                r#"{"data":null}"#,
                r#"{"kind":"data","data":{"value":null},"metadata":{"data_part_compat":true}}"#,
                r#"{"data":{"data":{"value":null}},"metadata":{"data_part_compat":true}}"#,
            ),
        ] {
            let forms = [(Form::V1, one), (Form::Kind, kind), (Form::Proto, proto)];
            for (from, text) in forms {
                for (to, expected) in forms {
                    assert_eq!(translated(text, from, to).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn a_part_is_exactly_one_thing() {
        for text in [
            r#"{}"#,
            r#"{"text":"a","data":null}"#,
            r#"{"text":"a","url":"b"}"#,
            r#"{"text":1}"#,
            r#"{"raw":"?"}"#,
            r#"{"raw":7}"#,
            r#"{"text":"a","metadata":[]}"#,
            r#"{"text":"a","media_type":"x","mediaType":"y"}"#,
            r#"[]"#,
            r#""a""#,
        ] {
            assert!(translated(text, Form::V1, Form::V1).is_err(), "{text}");
        }
        for text in [
            r#"{"kind":"text"}"#,
            r#"{"kind":"image","text":"a"}"#,
            r#"{"kind":"text","data":{}}"#,
            r#"{"kind":"data","data":[]}"#,
            r#"{"kind":"file","file":{}}"#,
            r#"{"kind":"file","file":{"bytes":"AAEC","uri":"a"}}"#,
        ] {
            assert!(translated(text, Form::Kind, Form::Kind).is_err(), "{text}");
        }
    }

    #[test]
    fn any_base64_becomes_the_standard_one() {
        for raw in ["-_-_", "+/+/", "-_-_AA", "+\\/+\\/AA==", "AA", "AA==", ""] {
            let written = translated(&format!(r#"{{"raw":"{raw}"}}"#), Form::V1, Form::V1).unwrap();
            let value: serde_json::Value = serde_json::from_str(&written).unwrap();
            assert!(BASE64_STANDARD.decode(value["raw"].as_str().unwrap()).is_ok(), "{written}");
        }
    }

    #[test]
    fn members_of_no_revision_stay_in_their_own() {
        let kind = r#"{"kind":"file","file":{"uri":"a","size":7},"x":{"y":1}}"#;
        assert_eq!(translated(kind, Form::Kind, Form::Kind).unwrap(), kind);
        assert_eq!(translated(kind, Form::Kind, Form::V1).unwrap(), r#"{"url":"a"}"#);
    }
}
