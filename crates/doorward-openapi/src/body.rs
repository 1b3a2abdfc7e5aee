//! Request bodies: JSON, forms, multipart, and bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::request::{BadArguments, form_pairs};

/// The encoding of a request body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    Json(String),
    /// `application/x-www-form-urlencoded`
    Form,
    /// `multipart/form-data`
    Parts,
    /// Raw bytes; the argument contains them in base64.
    Bytes(String),
    Text(String),
}

impl Media {
    /// The preferred type among those that an operation accepts, with its key in `content`.
    pub fn choose<'a>(types: impl Iterator<Item = &'a String>) -> Option<(Self, &'a str)> {
        let ranked = types.filter_map(|kind| {
            let bare = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let (rank, media) = match bare.as_str() {
                "application/json" => (0, Self::Json(bare.clone())),
                json if json.ends_with("+json") => (1, Self::Json(bare.clone())),
                "*/*" | "application/*" => (2, Self::Json("application/json".into())),
                "application/x-www-form-urlencoded" => (3, Self::Form),
                "multipart/form-data" => (4, Self::Parts),
                text if text.starts_with("text/") => (5, Self::Text(bare.clone())),
                bytes
                    if bytes == "application/octet-stream"
                        || bytes.starts_with("image/")
                        || bytes.starts_with("audio/")
                        || bytes.starts_with("video/")
                        || matches!(bytes, "application/pdf" | "application/zip") =>
                {
                    (6, Self::Bytes(bare.clone()))
                }
                _ => return None,
            };
            Some((rank, media, kind.as_str()))
        });
        ranked.min_by_key(|(rank, ..)| *rank).map(|(_, media, kind)| (media, kind))
    }

    /// Encodes a value. Returns the content type and the bytes. `boundary` separates the parts of a multipart body
    /// and must not occur in them.
    pub fn write(&self, value: &Value, boundary: &str) -> Result<(String, Vec<u8>), BadArguments> {
        let wrong = |why: &str| Err(BadArguments::of("body", why));
        match self {
            Self::Json(kind) => Ok((kind.clone(), value.to_string().into_bytes())),
            Self::Text(kind) => match value {
                Value::String(text) => Ok((kind.clone(), text.clone().into_bytes())),
                other => Ok((kind.clone(), other.to_string().into_bytes())),
            },
            Self::Bytes(kind) => {
                let Some(text) = value.as_str() else { return wrong("must be a base64 string") };
                match STANDARD.decode(text.trim()) {
                    Ok(bytes) => Ok((kind.clone(), bytes)),
                    Err(_) => wrong("must be base64 (RFC 4648 section 4)"),
                }
            }
            Self::Form => {
                let Value::Object(members) = value else { return wrong("must be an object") };
                let mut pairs = Vec::new();
                for (name, value) in members {
                    form_pairs(name, value, &mut pairs);
                }
                let encoded = pairs.iter().map(|(name, value)| {
                    format!("{}={}", crate::request::encoded(name), crate::request::encoded(value))
                });
                let text = encoded.collect::<Vec<_>>().join("&");
                Ok(("application/x-www-form-urlencoded".into(), text.into_bytes()))
            }
            Self::Parts => {
                let Value::Object(members) = value else { return wrong("must be an object") };
                let mut out = Vec::new();
                for (name, value) in members {
                    let many = match value {
                        Value::Array(items) => items.iter().collect(),
                        one => vec![one],
                    };
                    for one in many {
                        part(name, one, boundary, &mut out);
                    }
                }
                out.extend(format!("--{boundary}--\r\n").into_bytes());
                Ok((format!("multipart/form-data; boundary={boundary}"), out))
            }
        }
    }
}

/// One part (RFC 7578 section 4). The name is escaped so that it cannot end its header.
fn part(name: &str, value: &Value, boundary: &str, out: &mut Vec<u8>) {
    let quoted: String = name
        .chars()
        .map(|c| match c {
            '"' => "%22".into(),
            '\r' => "%0D".into(),
            '\n' => "%0A".into(),
            other => other.to_string(),
        })
        .collect();
    let (kind, bytes) = match value {
        Value::String(text) => ("text/plain; charset=utf-8", text.clone()),
        Value::Object(_) | Value::Array(_) => ("application/json", value.to_string()),
        other => ("text/plain; charset=utf-8", other.to_string()),
    };
    out.extend(
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{quoted}\"\r\nContent-Type: {kind}\r\n\r\n"
        )
        .into_bytes(),
    );
    out.extend(bytes.into_bytes());
    out.extend(b"\r\n");
}
