//! Server-sent events (WHATWG HTML, section 9.2): a decoder for any chunking, and an encoder.
//!
//! Events are not merged, split or reordered, and the memory for an event is limited.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// `event:`; empty means `message`.
    pub kind: String,
    pub data: Bytes,
    /// `id:`, if present.
    pub id: Option<String>,
    /// `retry:` in milliseconds, if present.
    pub retry_ms: Option<u64>,
}

/// The event is larger than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than the limit of {limit} bytes")]
pub struct TooLarge {
    pub limit: usize,
}

/// Decodes a byte stream into events. Add data with [`push`](Self::push), then call [`next`](Self::next) until it
/// returns `None`.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    /// Received chunks that are not parsed yet. A line within one chunk is not copied.
    chunks: VecDeque<Bytes>,
    /// The beginning of an incomplete line.
    partial: BytesMut,
    started: bool,
    /// The last line ended with CR: a following LF belongs to it.
    after_cr: bool,
    data: Data,
    event: Event,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Many(lines) => lines.len(),
        }
    }

    fn push(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(line),
            Self::One(first) => {
                let mut lines = BytesMut::with_capacity(first.len() + line.len() + 1);
                lines.put_slice(&first);
                lines.put_u8(b'\n');
                lines.put_slice(&line);
                Self::Many(lines)
            }
            Self::Many(mut lines) => {
                lines.put_u8(b'\n');
                lines.put_slice(&line);
                Self::Many(lines)
            }
        };
    }
}

impl Decoder {
    /// `limit` is the maximum size of an event and of a line, in bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            chunks: VecDeque::new(),
            partial: BytesMut::new(),
            started: false,
            after_cr: false,
            data: Data::None,
            event: Event::default(),
        }
    }

    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// The next complete event with data or an id; `None` if more data is needed.
    #[allow(clippy::should_implement_trait)] // An iterator may not end and go on again.
    pub fn next(&mut self) -> Result<Option<Event>, TooLarge> {
        while let Some(line) = self.line()? {
            if line.is_empty() {
                let data = std::mem::take(&mut self.data);
                let mut event = std::mem::take(&mut self.event);
                event.data = match data {
                    Data::None => {
                        if event.id.is_some() || event.retry_ms.is_some() {
                            return Ok(Some(event));
                        }
                        continue;
                    }
                    Data::One(line) => line,
                    Data::Many(lines) => lines.freeze(),
                };
                return Ok(Some(event));
            }
            self.field(&line)?;
        }
        Ok(None)
    }

    /// The last event of a stream that ended without the final empty line. The standard discards it, so the caller
    /// must check that it is complete.
    pub fn end(&mut self) -> Result<Option<Event>, TooLarge> {
        if let Some(event) = self.next()? {
            return Ok(Some(event));
        }
        let mut line = self.partial.split().freeze();
        if !std::mem::replace(&mut self.started, true) && line.starts_with("\u{feff}".as_bytes()) {
            line.advance(3);
        }
        if !line.is_empty() {
            self.field(&line)?;
        }
        let mut event = std::mem::take(&mut self.event);
        event.data = match std::mem::take(&mut self.data) {
            Data::None => return Ok(None),
            Data::One(line) => line,
            Data::Many(lines) => lines.freeze(),
        };
        Ok(Some(event))
    }

    fn field(&mut self, line: &Bytes) -> Result<(), TooLarge> {
        let colon = memchr::memchr(b':', line);
        let (name, mut value) = match colon {
            Some(at) => (line.slice(..at), line.slice(at + 1..)),
            None => (line.clone(), Bytes::new()),
        };
        if value.first() == Some(&b' ') {
            value.advance(1);
        }
        match &name[..] {
            b"data" => {
                if self.data.len() + value.len() > self.limit {
                    return Err(TooLarge { limit: self.limit });
                }
                self.data.push(value);
            }
            b"event" => self.event.kind = String::from_utf8_lossy(&value).into_owned(),
            b"id" if !value.contains(&0) => {
                self.event.id = Some(String::from_utf8_lossy(&value).into_owned());
            }
            b"retry" => {
                self.event.retry_ms =
                    std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
            }
            _ => {}
        }
        Ok(())
    }

    /// The next complete line without its end. Lines end with LF, CR or CRLF.
    fn line(&mut self) -> Result<Option<Bytes>, TooLarge> {
        loop {
            let Some(chunk) = self.chunks.front_mut() else { return Ok(None) };
            if chunk.is_empty() {
                self.chunks.pop_front();
                continue;
            }
            // The LF of a CRLF may be in a later chunk.
            if std::mem::take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
                chunk.advance(1);
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', chunk) else {
                if self.partial.len() + chunk.len() > self.limit + 16 {
                    return Err(TooLarge { limit: self.limit });
                }
                self.partial.put_slice(chunk);
                self.chunks.pop_front();
                continue;
            };
            self.after_cr = chunk[end] == b'\r';
            let mut line = chunk.split_to(end + 1);
            line.truncate(end);
            if self.partial.len() + line.len() > self.limit + 16 {
                return Err(TooLarge { limit: self.limit });
            }
            if !self.partial.is_empty() {
                self.partial.put_slice(&line);
                line = self.partial.split().freeze();
            }
            if !self.started {
                self.started = true;
                if line.starts_with("\u{feff}".as_bytes()) {
                    line.advance(3);
                }
            }
            return Ok(Some(line));
        }
    }
}

/// A comment line that keeps a stream alive.
pub const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// An event with `data`, and an `id` if the stream can be resumed.
pub fn encode(data: &[u8], id: Option<&str>) -> Bytes {
    encode_kind("message", data, id)
}

/// An event of another kind.
pub fn encode_kind(kind: &str, data: &[u8], id: Option<&str>) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 48);
    if let Some(id) = id {
        out.put_slice(b"id: ");
        out.put_slice(id.as_bytes());
        out.put_u8(b'\n');
    }
    if kind != "message" {
        out.put_slice(b"event: ");
        out.put_slice(kind.as_bytes());
        out.put_u8(b'\n');
    }
    let mut rest = data;
    loop {
        out.put_slice(b"data: ");
        match memchr::memchr2(b'\n', b'\r', rest) {
            // In JSON, line breaks occur between tokens only; here they start another data line.
            Some(end) => {
                out.put_slice(&rest[..end]);
                let crlf = rest[end] == b'\r' && rest.get(end + 1) == Some(&b'\n');
                rest = &rest[end + 1 + usize::from(crlf)..];
                out.put_u8(b'\n');
            }
            None => {
                out.put_slice(rest);
                out.put_slice(b"\n\n");
                return out.freeze();
            }
        }
    }
}

/// The first event of a resumable stream: an id, the reconnection time, and empty data (spec 2025-11-25
/// basic/transports).
pub fn encode_priming(id: &str, retry_ms: u64) -> Bytes {
    Bytes::from(format!("id: {id}\nretry: {retry_ms}\ndata:\n\n"))
}

/// An event with the reconnection time only.
pub fn encode_retry(retry_ms: u64) -> Bytes {
    Bytes::from(format!("retry: {retry_ms}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(chunks: &[&[u8]], limit: usize) -> Result<Vec<Event>, TooLarge> {
        let mut decoder = Decoder::new(limit);
        let mut events = Vec::new();
        for chunk in chunks {
            decoder.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = decoder.next()? {
                events.push(event);
            }
        }
        Ok(events)
    }

    fn data(events: &[Event]) -> Vec<&[u8]> {
        events.iter().map(|event| &event.data[..]).collect()
    }

    #[test]
    fn line_breaks_comments_and_fields_follow_the_standard() {
        for (text, expected) in [
            ("data: a\n\n", vec!["a"]),
            ("data: a\r\n\r\n", vec!["a"]),
            ("data: a\r\rdata: b\r\r", vec!["a", "b"]),
            ("data:a\ndata: b\n\n", vec!["a\nb"]),
            ("data:  a\n\n", vec![" a"]),
            (": comment\n\ndata: a\n\n", vec!["a"]),
            ("data\n\n", vec![""]),
            ("\u{feff}data: a\n\n", vec!["a"]),
            ("unknown: x\ndata: a\n\n", vec!["a"]),
            ("event: ping\n\ndata: a\n\n", vec!["a"]),
            ("data: cut off", vec![]),
        ] {
            let events = decode(&[text.as_bytes()], 100).unwrap();
            let expected: Vec<_> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(data(&events), expected, "{text:?}");
        }
        let events = decode(&[b"id: 7\nretry: 500\nevent: endpoint\ndata: /x\n\n"], 100).unwrap();
        assert_eq!(
            events[0],
            Event {
                kind: "endpoint".into(),
                data: Bytes::from_static(b"/x"),
                id: Some("7".into()),
                retry_ms: Some(500)
            }
        );
        // A priming event has an id and empty data.
        assert_eq!(decode(&[b"id: 1\ndata:\n\n"], 100).unwrap()[0].data, "");
    }

    #[test]
    fn an_unterminated_last_event_is_returned_by_end() {
        for (text, expected) in [
            ("data: a", Some("a")),
            ("data: a\n", Some("a")),
            ("data: a\r", Some("a")),
            ("data: a\ndata: b", Some("a\nb")),
            ("\u{feff}data: a", Some("a")),
            ("data: a\n\n: comment", None),
            ("event: x\n", None),
            ("", None),
        ] {
            let mut decoder = Decoder::new(100);
            decoder.push(Bytes::from(text));
            while decoder.next().unwrap().is_some() {}
            let event = decoder.end().unwrap();
            assert_eq!(
                event.as_ref().map(|it| &it.data[..]),
                expected.map(str::as_bytes),
                "{text:?}"
            );
            assert!(decoder.end().unwrap().is_none(), "{text:?}");
        }
    }

    #[test]
    fn an_event_over_the_limit_is_refused_in_constant_memory() {
        let mut decoder = Decoder::new(1000);
        decoder.push(Bytes::from_static(b"data: "));
        let refused = (0..100).any(|_| {
            decoder.push(Bytes::from(vec![b'a'; 100]));
            decoder.next().is_err()
        });
        assert!(refused);
        let many = "data: 0123456789\n".repeat(200);
        assert!(decode(&[many.as_bytes()], 1000).is_err());
    }

    #[test]
    fn an_event_of_one_mebibyte_is_accepted() {
        let text = format!("data: {}\n\n", "x".repeat(1 << 20));
        let events = decode(&[text.as_bytes()], 2 << 20).unwrap();
        assert_eq!(events[0].data.len(), 1 << 20);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events(
            payloads in proptest::collection::vec("[^\r\n]{0,40}", 1..20),
            cuts in proptest::collection::vec(1usize..9, 1..200),
            end in prop_oneof![Just("\n"), Just("\r"), Just("\r\n")],
        ) {
            let mut text = String::new();
            for payload in &payloads {
                text.push_str(&format!(": keep-alive{end}data: {payload}{end}{end}"));
            }
            let whole = decode(&[text.as_bytes()], 1 << 16).unwrap();
            let mut chunks = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            let cut = decode(&chunks, 1 << 16).unwrap();
            prop_assert_eq!(&whole, &cut);
            let expected: Vec<_> = payloads.iter().map(std::string::String::as_bytes).collect();
            prop_assert_eq!(data(&cut), expected);
        }

        #[test]
        fn decoding_reverses_encoding(payload in "[^\r]{0,80}") {
            let events = decode(&[&encode(payload.as_bytes(), Some("1"))], 1 << 16).unwrap();
            prop_assert_eq!(events.len(), 1);
            prop_assert_eq!(&events[0].data[..], payload.as_bytes());
        }

        #[test]
        fn any_input_is_handled(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let chunks: Vec<_> = chunks.iter().map(Vec::as_slice).collect();
            let _ = decode(&chunks, 50);
        }
    }

    /// Found by fuzzing: a chunk that ended between CR and LF split the event.
    #[test]
    fn a_crlf_may_be_split_between_chunks() {
        let stream = b"data: one\r\ndata: two\r\n\r\n: comment\r\n\r\ndata: three\r\n\r\n";
        let whole = decode(&[stream], 100).unwrap();
        assert_eq!(whole.len(), 2);
        for size in 1..stream.len() {
            let chunks: Vec<&[u8]> = stream.chunks(size).collect();
            assert_eq!(decode(&chunks, 100).unwrap(), whole, "chunks of {size}");
        }
    }
}
