//! HTTP headers that mirror the body (spec 2026-07-28 basic/transports/streamable-http).
//!
//! The gateway authorizes the body, so a request with a header that differs from it is refused. Headers for a
//! server are computed from the body that is sent.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::RpcError;

pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
pub const METHOD: &str = "mcp-method";
pub const NAME: &str = "mcp-name";
pub const PARAM_PREFIX: &str = "mcp-param-";
pub const SESSION_ID: &str = "mcp-session-id";
pub const LAST_EVENT_ID: &str = "last-event-id";

const OPEN: &str = "=?base64?";
const CLOSE: &str = "?=";

/// Encodes a header value: unchanged if it is visible ASCII, otherwise as `=?base64?…?=` with the base64 of its
/// UTF-8.
pub fn encode(value: &str) -> Cow<'_, str> {
    let visible = value.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    let padded = value.starts_with(' ') || value.ends_with(' ');
    let looks_encoded = value.starts_with(OPEN) && value.ends_with(CLOSE);
    if visible && !padded && !looks_encoded {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("{OPEN}{}{CLOSE}", STANDARD.encode(value)))
    }
}

/// Decodes a header value. `None` if it is malformed: not visible ASCII, or a marker around invalid base64 or
/// UTF-8.
pub fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(value).ok()?;
    if !text.bytes().all(|byte| matches!(byte, 0x20..=0x7e | b'\t')) {
        return None;
    }
    let text = text.trim_matches([' ', '\t']);
    let Some(inner) = text.strip_prefix(OPEN).and_then(|rest| rest.strip_suffix(CLOSE)) else {
        return Some(Cow::Borrowed(text));
    };
    String::from_utf8(STANDARD.decode(inner).ok()?).ok().map(Cow::Owned)
}

/// Checks that a header occurs exactly once and matches the body.
pub fn check<'a>(
    header: &str,
    values: impl IntoIterator<Item = &'a [u8]>,
    body: &str,
) -> Result<(), RpcError> {
    let mut values = values.into_iter();
    let Some(value) = values.next() else {
        return Err(RpcError::header_mismatch(format!("The header '{header}' is missing")));
    };
    if values.next().is_some() {
        return Err(RpcError::header_mismatch(format!("The header '{header}' appears twice")));
    }
    match decode(value) {
        None => Err(RpcError::header_mismatch(format!("The header '{header}' is malformed"))),
        Some(said) if said == body => Ok(()),
        Some(_) => {
            Err(RpcError::header_mismatch(format!("The header '{header}' does not match the body")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decoding_reverses_encoding(value in any::<String>()) {
            let encoded = encode(&value).into_owned();
            prop_assert!(encoded.bytes().all(|b| matches!(b, 0x20..=0x7e)));
            prop_assert_eq!(decode(encoded.as_bytes()).unwrap(), value);
        }
    }

    #[test]
    fn malformed_values_are_refused() {
        for value in [&b"=?base64?***?="[..], b"=?base64?/w==?=", b"caf\xc3\xa9", b"a\x01"] {
            assert!(decode(value).is_none(), "{value:?}");
        }
        // The marker is case-sensitive: anything else is an ordinary value.
        assert_eq!(decode(b"=?BASE64?YQ==?=").unwrap(), "=?BASE64?YQ==?=");
    }

    #[test]
    fn a_header_must_occur_once_and_match() {
        assert!(check("mcp-name", [&b" echo "[..]], "echo").is_ok());
        assert!(check("mcp-name", [&b"=?base64?ZWNobw==?="[..]], "echo").is_ok());
        assert!(check("mcp-name", [&b"Echo"[..]], "echo").is_err());
        assert!(check("mcp-name", [], "echo").is_err());
        assert!(check("mcp-name", [&b"echo"[..], b"echo"], "echo").is_err());
    }
}
