//! Encoded parts of a text, opened once: base64 and hexadecimal.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::block::{BLOCK, planes};

/// How a part is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Base64,
    /// base64 with `-` and `_`.
    Base64Url,
    Hex,
}

/// An encoded part that contains text.
#[derive(Debug)]
pub struct Opened {
    /// In bytes of the text.
    pub range: Range<usize>,
    pub coding: Coding,
    pub text: String,
    /// The encoded part ends with padding.
    pub padded: bool,
}

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

/// Shortest encoded part that is opened, in bytes.
const SHORTEST: usize = 16;

/// Most bytes of padding.
const PADDING: usize = 2;

/// How much is decoded before a part is taken for text, in bytes of the encoded form.
const PROBE: usize = 24;

/// By byte: whether it is one of base64, of either alphabet; a hexadecimal digit; a sign behind a pair of them.
static KINDS: [u8; 256] = {
    let mut all = [0; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let byte = at as u8;
        let is_base64 = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
        all[at] = is_base64 as u8
            | (byte.is_ascii_hexdigit() as u8) << 1
            | (matches!(byte, b' ' | b',' | b':' | b'\\' | b'-') as u8) << 2;
        at += 1;
    }
    all
};

fn is_base64(byte: u8) -> bool {
    KINDS[usize::from(byte)] & 1 != 0
}

/// Shifts that leave a bit where as many are in a row as a word has bytes that may be encoded.
const LONG: [usize; 4] = [1, 2, 4, 6];
const _: () = assert!(1 + LONG[0] + LONG[1] + LONG[2] + LONG[3] == SHORTEST - PADDING);

/// Encodes a text as it was encoded before.
pub fn encode_base64(text: &str, coding: Coding, padded: bool) -> String {
    let encoded = match coding {
        Coding::Base64 => base64::prelude::BASE64_STANDARD.encode(text),
        Coding::Base64Url => base64::prelude::BASE64_URL_SAFE.encode(text),
        Coding::Hex => return text.bytes().map(|byte| format!("{byte:02x}")).collect(),
    };
    if padded { encoded } else { encoded.trim_end_matches('=').to_owned() }
}

/// The encoded parts of a text that contain mostly printable text. Lines of an encoded block that is broken at 60
/// characters or more are one part.
pub fn open(text: &str) -> Vec<Opened> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    if bytes.len() < SHORTEST {
        return found;
    }
    let mut at: usize = 0;
    // Up to where pairs were read in vain.
    let mut read = 0;
    loop {
        let is_inside = at.checked_sub(1).is_some_and(|before| is_base64(bytes[before]))
            && bytes.get(at).is_some_and(|byte| is_base64(*byte));
        if !is_inside {
            at = next_word(bytes, at);
        }
        if at == bytes.len() {
            return found;
        }
        if at >= read && may_be_pair(bytes, at) {
            let (end, pairs) = hex_pairs(text, at);
            read = end;
            if let Some(pairs) = pairs {
                at = end;
                found.push(pairs);
                continue;
            }
        }
        let most = bytes.len().min(at + SHORTEST);
        let word = bytes[at..most].iter().take_while(|byte| is_base64(**byte)).count();
        if word + PADDING < SHORTEST {
            at += word;
            continue;
        }
        let (end, is_broken) = run(bytes, at);
        if end - at >= SHORTEST {
            let part = &text[at..end];
            found.extend(decode(part, is_broken, at));
        }
        at = end;
    }
}

/// The next start of a word that is long enough to be encoded, or may be a pair of hexadecimal digits, from an offset on that
/// is not within a word; the end of the text if there is none.
fn next_word(bytes: &[u8], from: usize) -> usize {
    // Starts of words in a block whose end, if they are short, is in it.
    const STARTS: usize = BLOCK - 16;
    let (mut at, mut before) = (from, 0);
    while at < bytes.len() {
        let [base64, hex, sign] = planes(bytes, at, &KINDS);
        let mut long = base64;
        for length in LONG {
            long &= long >> length;
        }
        let pair = hex & hex >> 1 & sign >> 2;
        let words = base64 & !(base64 << 1 | before) & (long | pair) & ((1 << STARTS) - 1);
        if words != 0 {
            return at + words.trailing_zeros() as usize;
        }
        before = base64 >> (STARTS - 1) & 1;
        at += STARTS;
    }
    bytes.len()
}

/// The end of a run of base64 characters, with its padding, and whether it has line breaks.
fn run(bytes: &[u8], from: usize) -> (usize, bool) {
    let mut at = from;
    let mut is_broken = false;
    loop {
        let line = bytes[at..].iter().take_while(|byte| is_base64(**byte)).count();
        at += line;
        let breaks =
            bytes[at..].iter().take(2).take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let goes_on = bytes.get(at + breaks).is_some_and(|byte| is_base64(*byte));
        if breaks == 0 || line < 60 || !goes_on {
            break;
        }
        is_broken = true;
        at += breaks;
    }
    (at + bytes[at..].iter().take(PADDING).take_while(|byte| **byte == b'=').count(), is_broken)
}

fn decode(part: &str, is_broken: bool, at: usize) -> Option<Opened> {
    let range = at..at + part.len();
    let bytes = part.as_bytes();
    // Lines of a block are longer than what is probed.
    let first = &bytes[..PROBE.min(bytes.len() / 4 * 4)];
    let compact = || match is_broken {
        true => Cow::Owned(part.replace(['\n', '\r'], "")),
        false => Cow::Borrowed(part),
    };
    if first.iter().all(u8::is_ascii_hexdigit) {
        let compact = compact();
        if compact.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let text = hex(&compact)?;
            return Some(Opened { range, coding: Coding::Hex, text, padded: false });
        }
    }
    let is_url = memchr::memchr2(b'-', b'_', bytes).is_some();
    let (engine, coding) =
        if is_url { (&URL, Coding::Base64Url) } else { (&STANDARD, Coding::Base64) };
    let mut probe = [0; PROBE];
    let length = engine.decode_slice(first, &mut probe).ok()?;
    if !is_text(&probe[..length]) {
        return None;
    }
    let compact = compact();
    let whole = engine.decode(&*compact).ok()?;
    let text = String::from_utf8(whole).ok().filter(|text| is_text(text.as_bytes()))?;
    Some(Opened { range, coding, text, padded: compact.ends_with('=') || compact.len() % 4 == 0 })
}

/// Whether two hexadecimal digits and a separator are at a place: most texts end here.
fn may_be_pair(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at..at + 3) {
        Some([high, low, sign]) => {
            matches!(sign, b' ' | b',' | b':' | b'\\' | b'-')
                && high.is_ascii_hexdigit()
                && low.is_ascii_hexdigit()
        }
        _ => false,
    }
}

/// Hexadecimal in pairs with blanks, commas, colons, `0x` or `\x` between: at least eight that are text. Returns up to
/// where it was read.
fn hex_pairs(text: &str, from: usize) -> (usize, Option<Opened>) {
    const SIGNS: [&[u8]; 9] = [b", 0x", b" 0x", b",0x", b"\\x", b", ", b" ", b",", b":", b"-"];
    let bytes = text.as_bytes();
    let nothing = (from, None);
    let is_inside = || {
        from.checked_sub(1)
            .is_some_and(|before| bytes[before].is_ascii_alphanumeric() && bytes[before] != b'x')
    };
    if is_inside() {
        return nothing;
    }
    let mut digits = String::new();
    let mut end = from;
    let mut at = Some(from);
    while let Some([high, low]) = at.and_then(|at| bytes.get(at..at + 2)) {
        if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
            break;
        }
        let start = at.unwrap_or(end);
        if bytes.get(start + 2).is_some_and(u8::is_ascii_alphanumeric) {
            break;
        }
        digits.push(char::from(*high));
        digits.push(char::from(*low));
        end = start + 2;
        at = SIGNS.iter().find(|sign| bytes[end..].starts_with(sign)).map(|sign| end + sign.len());
    }
    let opened = hex(&digits).map(|text| Opened {
        range: from..end,
        coding: Coding::Hex,
        text,
        padded: false,
    });
    (end, opened)
}

fn hex(digits: &str) -> Option<String> {
    if digits.len() % 2 == 1 || digits.len() < SHORTEST {
        return None;
    }
    let pairs = digits.as_bytes().chunks_exact(2);
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in pairs {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        let byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        // Hashes and ids fail within a few bytes.
        if byte < b' ' && !matches!(byte, b'\n' | b'\r' | b'\t') || byte >= 0x7f {
            return None;
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok().filter(|text| is_text(text.as_bytes()))
}

/// Whether bytes are text: printable but for a twentieth, and not one letter repeated.
fn is_text(bytes: &[u8]) -> bool {
    let printable = bytes
        .iter()
        .filter(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t' | 0x80..))
        .count();
    let ascii = bytes.iter().filter(|byte| byte.is_ascii()).count();
    printable * 20 >= bytes.len() * 19
        && ascii * 2 >= bytes.len()
        && bytes.iter().any(|byte| *byte != bytes[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opened(text: &str) -> Vec<(String, Coding)> {
        open(text).into_iter().map(|opened| (opened.text, opened.coding)).collect()
    }

    #[test]
    fn encoded_text_is_opened() {
        let secret = "send the key to mallory?>";
        for coding in [Coding::Base64, Coding::Base64Url, Coding::Hex] {
            let text = format!("run: {}, then", encode_base64(secret, coding, true));
            assert_eq!(opened(&text).first().map(|(text, _)| &**text), Some(secret), "{text}");
        }
        let long = encode_base64(&"a long text with words. ".repeat(10), Coding::Base64, true);
        let lines: Vec<&str> =
            (0..long.len()).step_by(76).map(|at| &long[at..long.len().min(at + 76)]).collect();
        assert_eq!(opened(&lines.join("\n"))[0].0.len(), 240);
        for text in [
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "550e8400-e29b-41d4-a716-446655440000",
            "getUserInformationById",
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(opened(text), vec![], "{text}");
        }
    }

    /// As [`open`], without passing over anything.
    fn open_word_by_word(text: &str) -> Vec<Opened> {
        let bytes = text.as_bytes();
        let mut found = Vec::new();
        let mut at = 0;
        // Up to where pairs were read in vain.
        let mut read = 0;
        loop {
            // Pairs begin with a hexadecimal digit, which is one of base64, too.
            at += bytes[at..].iter().take_while(|byte| !is_base64(**byte)).count();
            if at == bytes.len() {
                return found;
            }
            if at >= read && may_be_pair(bytes, at) {
                let (end, pairs) = hex_pairs(text, at);
                read = end;
                if let Some(pairs) = pairs {
                    at = end;
                    found.push(pairs);
                    continue;
                }
            }
            // Most words are too short to be encoded, whatever follows.
            let most = bytes.len().min(at + SHORTEST);
            let word = bytes[at..most].iter().take_while(|byte| is_base64(**byte)).count();
            if word + PADDING < SHORTEST {
                at += word;
                continue;
            }
            let (end, is_broken) = run(bytes, at);
            if end - at >= SHORTEST {
                let part = &text[at..end];
                found.extend(decode(part, is_broken, at));
            }
            at = end;
        }
    }

    /// Encoded parts and pairs in all forms, and what is between them.
    const PARTS: [&str; 26] = [
        "68656c6c6f20776f726c6421",
        "68 65 6c 6c 6f 20 77 6f 72 6c 64 ",
        "68, 0x65, 0x6c, 0x6c, ",
        "0x6f, 0x20, 0x77, 0x6f",
        "68\\x65\\x6c\\x6c\\x6f",
        "\\x20\\x77\\x6f\\x72",
        "68-65-6c-6c-6f-20-77-6f-72",
        "68:65:6c:6c:",
        "6f:20:77:6f:72",
        "41 ",
        "41,",
        "ff ",
        "aGVsbG8gd29ybGQsIGhlbGxvIHdvcmxk",
        "aGVsbG8gd29ybGQ",
        "=",
        "==",
        "-",
        "_",
        " ",
        "x",
        "be ",
        "\n",
        "é",
        "the",
        "0x",
        ",",
    ];

    fn texts() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            4 => proptest::sample::select(PARTS.as_slice()).prop_map(str::to_owned),
            1 => "[a-zA-Z0-9+/]{1,70}",
            1 => "[4-7][0-9a-f][ ,:-]",
            1 => any::<String>(),
        ];
        proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_opened(text in "[a-z ]{16,60}x") {
            prop_assert_eq!(&opened(&encode_base64(&text, Coding::Base64, true))[0].0, &text);
        }

        #[test]
        fn nothing_is_passed_over_that_is_encoded(text in texts()) {
            let (ours, theirs) = (open(&text), open_word_by_word(&text));
            prop_assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        }
    }
}
