//! Messages of servers that deviate from the specification: those with one plain meaning are accepted. Messages of
//! clients are never read this way.

pub mod repair;
pub mod session_loss;

use bytes::Bytes;

use crate::json::{self, Corrections, Limits, Object, scan_object};
use crate::message::{Id, Invalid, Message, is_batch, split_batch};

/// A deviation of a server from the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deviation {
    ByteOrderMark,
    /// `"error": null` next to a result, or the reverse.
    NullMember,
    /// The id of a response, or the code of an error, is a string or another form of the number.
    TextId,
    LoneSurrogate,
    /// Bytes that are not valid UTF-8.
    InvalidUtf8,
    /// `NaN` or an infinity in place of a number.
    NoNumber,
    DuplicateMember,
    /// A line or an event that is not a message.
    Noise,
    /// A response is compressed although that was not requested.
    Compressed,
    /// `2024-10-07`, a draft of 2024-11-05.
    DraftRevision,
    /// A lost session is reported by another error than the specified one.
    LostSession,
    /// A request is accepted, and its response is sent on the session's listening stream.
    AnsweredElsewhere,
}

impl Deviation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "byte_order_mark",
            Self::NullMember => "null_member",
            Self::TextId => "text_id",
            Self::LoneSurrogate => "lone_surrogate",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::NoNumber => "no_number",
            Self::DuplicateMember => "duplicate_member",
            Self::Noise => "noise",
            Self::Compressed => "compressed",
            Self::DraftRevision => "draft_revision",
            Self::LostSession => "lost_session",
            Self::AnsweredElsewhere => "answered_elsewhere",
        }
    }
}

/// Reads one message, or several if a peer of 2025-03-26 sends a batch.
pub fn read_all(
    text: &Bytes,
    limits: Limits,
    note: &mut dyn FnMut(Deviation),
    into: &mut dyn FnMut(Message),
) -> Result<(), Invalid> {
    let text = without_mark(text, note);
    if !is_batch(&text) {
        into(read(&text, limits, note)?);
        return Ok(());
    }
    let items = match split_batch(&text, limits) {
        Ok(items) => items,
        Err(invalid) => {
            let corrected = corrected(&text, limits, note).ok_or(invalid)?;
            split_batch(&corrected, limits)?
        }
    };
    // An invalid message does not affect the others.
    let mut invalid = None;
    for item in items {
        match read(&item, limits, note) {
            Ok(message) => into(message),
            Err(error) => _ = invalid.get_or_insert(error),
        }
    }
    invalid.map_or(Ok(()), Err)
}

/// The id of a response that cannot be parsed, as far as it can be found, so that the waiting request can be
/// failed.
pub fn answered_id(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii_start();
    if text.first() != Some(&b'{') {
        return None;
    }
    let (mut id, mut depth, mut at) = (None, 0usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let from = at + 1;
                at = from;
                while *text.get(at)? != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                let value = text[at + 1..].trim_ascii_start().strip_prefix(b":");
                match (depth, &text[from..at], value) {
                    (1, b"method", Some(_)) => return None,
                    (1, b"id", Some(value)) => id = leading_number(value),
                    _ => {}
                }
            }
            _ => {}
        }
        at += 1;
    }
    id
}

fn leading_number(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"\"").unwrap_or(text);
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let whole = matches!(text[end], b',' | b'}' | b'"' | b' ');
    std::str::from_utf8(&text[..end]).ok()?.parse().ok().filter(|_| whole)
}

/// Reads one message.
pub fn read(
    text: &Bytes,
    limits: Limits,
    note: &mut dyn FnMut(Deviation),
) -> Result<Message, Invalid> {
    let text = without_mark(text, note);
    let mut envelope = match scan_object(&text, limits) {
        Ok(envelope) => envelope,
        Err(fault) => {
            let corrected = corrected(&text, limits, note);
            let corrected = corrected.ok_or_else(|| Invalid::of_fault(&fault, &text))?;
            scan_object(&corrected, limits)
                .map_err(|fault| Invalid::of_fault(&fault, &corrected))?
        }
    };
    if !envelope.contains("method") {
        plain_response(&mut envelope, note);
    }
    Message::from_envelope(envelope)
}

fn without_mark(text: &Bytes, note: &mut dyn FnMut(Deviation)) -> Bytes {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    if !text.starts_with(MARK) {
        return text.clone();
    }
    note(Deviation::ByteOrderMark);
    text.slice(MARK.len()..)
}

fn corrected(text: &Bytes, limits: Limits, note: &mut dyn FnMut(Deviation)) -> Option<Bytes> {
    let as_text = match std::str::from_utf8(text) {
        Ok(_) => None,
        Err(_) => Some(Bytes::from(String::from_utf8_lossy(text).into_owned())),
    };
    if as_text.is_some() {
        note(Deviation::InvalidUtf8);
    }
    let corrected = json::correct(as_text.as_ref().unwrap_or(text), limits.depth);
    let Some((text, Corrections { surrogates, duplicates, numbers })) = corrected else {
        return as_text;
    };
    if numbers {
        note(Deviation::NoNumber);
    }
    if surrogates {
        note(Deviation::LoneSurrogate);
    }
    if duplicates {
        note(Deviation::DuplicateMember);
    }
    Some(text.into())
}

/// Normalizes a response: the gateway's ids are numbers, and a result or error that is null counts as absent.
fn plain_response(envelope: &mut Object, note: &mut dyn FnMut(Deviation)) {
    for (absent, there) in [("error", "result"), ("result", "error")] {
        let is_null = |name: &str| envelope.get(name).is_some_and(crate::Value::is_null);
        if is_null(absent) && envelope.contains(there) && !is_null(there) {
            envelope.remove(absent);
            note(Deviation::NullMember);
        }
    }
    let number = envelope.string("id").and_then(|text| {
        let number: i64 = text.parse().ok()?;
        (number.to_string() == *text).then_some(number)
    });
    let number = number.or_else(|| envelope.get("id").and_then(as_whole));
    if let Some(number) = number {
        envelope.set("id", Id::Number(number).to_value());
        note(Deviation::TextId);
    }
    let code = envelope.object("error").and_then(|error| {
        let text = error.string("code").and_then(|text| text.parse().ok());
        text.or_else(|| error.get("code").and_then(as_whole))
    });
    if let Some(code) = code
        && let Some(error) = envelope.object_mut("error")
    {
        error.set("code", crate::Value::number(code));
        note(Deviation::TextId);
    }
}

/// An integer in another form (`1.0`, `1e0`).
fn as_whole(value: &crate::Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let crate::Value::Raw(raw) = value else { return None };
    let text = std::str::from_utf8(raw).ok()?;
    if text.parse::<i64>().is_ok() {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Names;

    fn one(text: &str) -> Result<(String, Vec<Deviation>), Invalid> {
        let mut deviations = Vec::new();
        let limits = Limits { depth: 128, names: Names::StrictEnvelope };
        let text = Bytes::copy_from_slice(text.as_bytes());
        let message = read(&text, limits, &mut |deviation| deviations.push(deviation))?;
        Ok((String::from_utf8(message.to_bytes().to_vec()).unwrap(), deviations))
    }

    #[test]
    fn messages_with_one_plain_meaning_are_read() {
        let plain = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        for (text, deviation) in [
            (plain, None),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#, Some(Deviation::NullMember)),
            (r#"{"jsonrpc":"2.0","id":"1","result":{}}"#, Some(Deviation::TextId)),
            (r#"{"jsonrpc":"2.0","id":1.0,"result":{}}"#, Some(Deviation::TextId)),
            (r#"{"jsonrpc":"2.0","id":1e0,"result":{}}"#, Some(Deviation::TextId)),
            (
                "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
                Some(Deviation::ByteOrderMark),
            ),
        ] {
            let (read, deviations) = one(text).unwrap();
            assert_eq!((read.as_str(), deviations), (plain, Vec::from_iter(deviation)), "{text}");
        }
        let (read, _) =
            one(r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1,"message":"m"}}"#)
                .unwrap();
        assert_eq!(read, r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#);
        let (read, deviations) =
            one(r#"{"jsonrpc":"2.0","id":1,"result":{"a":"\ud800","_meta":{"x":{"b":1,"b":2}}}}"#)
                .unwrap();
        assert!(read.contains(r#""a":"\ufffd""#) && read.contains(r#"{"b":2}"#), "{read}");
        assert_eq!(deviations, [Deviation::LoneSurrogate, Deviation::DuplicateMember]);
    }

    #[test]
    fn invalid_text_and_numbers_do_not_affect_the_rest() {
        let mut deviations = Vec::new();
        let limits = Limits { depth: 128, names: Names::StrictEnvelope };
        let text = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":\"x\xe2\x82\",\"b\":[NaN,-Infinity,1]}}";
        let text = Bytes::from_static(text);
        let message = read(&text, limits, &mut |deviation| deviations.push(deviation)).unwrap();
        let read = String::from_utf8(message.to_bytes().to_vec()).unwrap();
        assert!(read.contains("\"a\":\"x\u{fffd}\",\"b\":[null,null,1]"), "{read}");
        assert_eq!(deviations, [Deviation::InvalidUtf8, Deviation::NoNumber]);
        for code in ["-32000.0", "\"-32000\"", "-3.2e4"] {
            let error = format!(r#"{{"code":{code},"message":"m"}}"#);
            let (read, _) = one(&format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#)).unwrap();
            assert!(read.contains(r#""code":-32000,"#), "{read}");
        }
    }

    #[test]
    fn the_call_of_an_invalid_response_is_found() {
        for (text, id) in [
            (r#"{"jsonrpc":"2.0","id":5,"result":[]}"#, Some(5)),
            (r#" {"a":{"id":4},"b":"\"id\":3","id": "7" ,"result":{x}"#, Some(7)),
            (r#"{"id":5,"method":"ping","params":[]}"#, None),
            (r#"{"id":5.5,"result":{}}"#, None),
            (r#"{"id":null,"result":{}}"#, None),
            (r#"{"a":{"id":4}}"#, None),
            (r"{ port: 3000 }", None),
            (r#"{"id":5,"a":"cut"#, None),
            (r#"[{"id":5}]"#, None),
            ("hello", None),
        ] {
            assert_eq!(answered_id(text.as_bytes()), id, "{text}");
        }
    }

    #[test]
    fn ambiguous_messages_are_refused() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"result":null,"error":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"m"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{"a":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"content":[]}}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
            "\u{feff}\u{feff}\u{feff}{}",
        ] {
            assert!(one(text).is_err(), "{text}");
        }
        // The ids of a server's own requests are not changed; "01" is not one of the gateway's numbers.
        for text in [
            r#"{"jsonrpc":"2.0","id":"1","method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":"01","result":{}}"#,
        ] {
            assert_eq!(one(text).unwrap(), (text.to_owned(), vec![]), "{text}");
        }
    }
}
