//! Messages of servers as they are in the wild: what has one plain meaning is read, though it is not written as the
//! specification has it. What clients send is never read so.

use bytes::Bytes;

use crate::json::{self, Limits, Mended, Object, scan_object};
use crate::message::{Id, Invalid, Message, is_batch, split_batch};

/// What a server does that no specification lets it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Habit {
    ByteOrderMark,
    /// `"error": null` beside a result, or the reverse.
    NullMember,
    /// An id that was sent as a number comes back as text.
    TextId,
    LoneSurrogate,
    DuplicateMember,
    /// An answer is compressed that was not asked for so.
    Compressed,
    /// `2024-10-07`, which was a draft of 2024-11-05.
    DraftRevision,
    /// A lost session is told as something else.
    LostSession,
}

impl Habit {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "byte_order_mark",
            Self::NullMember => "null_member",
            Self::TextId => "text_id",
            Self::LoneSurrogate => "lone_surrogate",
            Self::DuplicateMember => "duplicate_member",
            Self::Compressed => "compressed",
            Self::DraftRevision => "draft_revision",
            Self::LostSession => "lost_session",
        }
    }
}

/// Reads one message, or several where a peer of 2025-03-26 sends a batch.
pub fn read_all(
    text: &Bytes,
    limits: Limits,
    note: &mut dyn FnMut(Habit),
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
            let mended = mended(&text, limits, note).ok_or(invalid)?;
            split_batch(&mended, limits)?
        }
    };
    for item in items {
        into(read(&item, limits, note)?);
    }
    Ok(())
}

/// Reads one message.
pub fn read(text: &Bytes, limits: Limits, note: &mut dyn FnMut(Habit)) -> Result<Message, Invalid> {
    let text = without_mark(text, note);
    let mut envelope = match scan_object(&text, limits) {
        Ok(envelope) => envelope,
        Err(fault) => {
            let mended = mended(&text, limits, note);
            let mended = mended.ok_or_else(|| Invalid::of_fault(&fault, &text))?;
            scan_object(&mended, limits).map_err(|fault| Invalid::of_fault(&fault, &mended))?
        }
    };
    if !envelope.contains("method") {
        plain_response(&mut envelope, note);
    }
    Message::from_envelope(envelope)
}

fn without_mark(text: &Bytes, note: &mut dyn FnMut(Habit)) -> Bytes {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    if !text.starts_with(MARK) {
        return text.clone();
    }
    note(Habit::ByteOrderMark);
    text.slice(MARK.len()..)
}

fn mended(text: &Bytes, limits: Limits, note: &mut dyn FnMut(Habit)) -> Option<Bytes> {
    let (text, Mended { surrogates, duplicates }) = json::mend(text, limits.depth)?;
    if surrogates {
        note(Habit::LoneSurrogate);
    }
    if duplicates {
        note(Habit::DuplicateMember);
    }
    Some(text.into())
}

/// The gateway's own ids are numbers, and a result or an error that is null is none.
fn plain_response(envelope: &mut Object, note: &mut dyn FnMut(Habit)) {
    for (absent, there) in [("error", "result"), ("result", "error")] {
        let is_null = |name: &str| envelope.get(name).is_some_and(crate::Value::is_null);
        if is_null(absent) && envelope.contains(there) && !is_null(there) {
            envelope.remove(absent);
            note(Habit::NullMember);
        }
    }
    let number = envelope.string("id").and_then(|text| {
        let number: i64 = text.parse().ok()?;
        (number.to_string() == *text).then_some(number)
    });
    if let Some(number) = number {
        envelope.set("id", Id::Number(number).to_value());
        note(Habit::TextId);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Names;

    fn one(text: &str) -> Result<(String, Vec<Habit>), Invalid> {
        let mut habits = Vec::new();
        let limits = Limits { depth: 128, names: Names::StrictEnvelope };
        let text = Bytes::copy_from_slice(text.as_bytes());
        let message = read(&text, limits, &mut |habit| habits.push(habit))?;
        Ok((String::from_utf8(message.to_bytes().to_vec()).unwrap(), habits))
    }

    #[test]
    fn what_has_one_meaning_is_read() {
        let plain = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        for (text, habit) in [
            (plain, None),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#, Some(Habit::NullMember)),
            (r#"{"jsonrpc":"2.0","id":"1","result":{}}"#, Some(Habit::TextId)),
            ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", Some(Habit::ByteOrderMark)),
        ] {
            let (read, habits) = one(text).unwrap();
            assert_eq!((read.as_str(), habits), (plain, Vec::from_iter(habit)), "{text}");
        }
        let (read, _) =
            one(r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1,"message":"m"}}"#)
                .unwrap();
        assert_eq!(read, r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#);
        let (read, habits) =
            one(r#"{"jsonrpc":"2.0","id":1,"result":{"a":"\ud800","_meta":{"x":{"b":1,"b":2}}}}"#)
                .unwrap();
        assert!(read.contains(r#""a":"\ufffd""#) && read.contains(r#"{"b":2}"#), "{read}");
        assert_eq!(habits, [Habit::LoneSurrogate, Habit::DuplicateMember]);
    }

    #[test]
    fn what_has_two_meanings_is_not() {
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
        // Ids of what a server asks are its own; "01" is no number of the gateway's.
        for text in [
            r#"{"jsonrpc":"2.0","id":"1","method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":"01","result":{}}"#,
        ] {
            assert_eq!(one(text).unwrap(), (text.to_owned(), vec![]), "{text}");
        }
    }
}
