//! Trace context (W3C Trace Context): parsed strictly, and used for nothing but tracing.

use std::fmt;

use doorward_mcp::Object;
use doorward_store::hex;
use http::{HeaderMap, HeaderName};

pub const TRACEPARENT: &str = "traceparent";

/// The trace context of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    pub sampled: bool,
}

impl Context {
    /// Parses a `traceparent`. An invalid one is ignored.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version: [u8; 1] = unhex(version)?;
        // Later versions may append fields.
        if version == [0xff] || (version == [0] && parts.next().is_some()) {
            return None;
        }
        let (trace, span): ([u8; 16], [u8; 8]) = (unhex(trace)?, unhex(span)?);
        let [flags]: [u8; 1] = unhex(flags)?;
        if trace == [0; 16] || span == [0; 8] {
            return None;
        }
        Some(Self { trace, span, sampled: flags & 1 == 1 })
    }

    /// The context of a request: from its message, or else from the HTTP header.
    pub fn of(params: &Object) -> Option<Self> {
        let meta = params.get("_meta")?;
        // Most messages have none, which is checked without parsing them.
        if let doorward_mcp::Value::Raw(text) = meta
            && memchr::memmem::find(text, TRACEPARENT.as_bytes()).is_none()
        {
            return None;
        }
        let meta = meta.as_object()?;
        Self::read(&meta.string(TRACEPARENT)?)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", hex(&self.trace), hex(&self.span), u8::from(self.sampled))
    }
}

/// Copies the headers' context into a message without one.
pub fn adopt(params: &mut Object, headers: &HeaderMap) {
    static NAME: HeaderName = HeaderName::from_static(TRACEPARENT);
    let mut all = headers.get_all(&NAME).iter();
    // Two headers contradict each other.
    let (Some(value), None) = (all.next(), all.next()) else { return };
    let Some(text) = value.to_str().ok().filter(|text| Context::read(text).is_some()) else {
        return;
    };
    if Context::of(params).is_none()
        && let Some(meta) = params.object_mut("_meta")
    {
        meta.set(TRACEPARENT, text);
        if let Some(state) = headers.get("tracestate").and_then(|state| state.to_str().ok()) {
            meta.set("tracestate", state);
        }
    }
}

/// Parses lower-case hexadecimal digits of the expected length.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (at, pair) in text.as_bytes().chunks_exact(2).enumerate() {
        bytes[at] = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_standard_has_is_a_context() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = Context::read(good).unwrap();
        assert_eq!(read.to_string(), good);
        assert!(read.sampled);
        assert!(
            Context::read("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more").is_some()
        );
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        ] {
            assert!(Context::read(bad).is_none(), "{bad}");
        }
    }
}
