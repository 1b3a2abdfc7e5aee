//! However a stream is cut into pieces, it is the same events.

use bytes::Bytes;
use doorward_mcp::sse::{Decoder, Event, encode};

const LIMIT: usize = 4096;

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, bool) {
    let mut decoder = Decoder::new(LIMIT);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(_) => return (events, true),
            }
        }
    }
    (events, false)
}

pub fn check(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let (whole, too_large) = decode(std::iter::once(stream));
    let (cut, cut_too_large) = decode(stream.chunks(usize::from(*size).max(1)));
    assert_eq!(too_large, cut_too_large);
    assert_eq!(whole, cut);
    let text: Vec<u8> =
        stream.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect();
    if !text.is_empty() && text.len() < LIMIT / 2 {
        let (events, _) = decode(std::iter::once(&encode(&text, Some("1-2"))[..]));
        assert_eq!(events.len(), 1);
        assert_eq!(&events[0].data[..], &text[..]);
    }
}
