//! One pass over a text for what needs no literal: numbers, addresses, ids with check characters.

use std::ops::Range;

use super::found::{ASSIGNED, Context, Match, NATIONAL, PASSPORT, PHONE, is_near};
use super::run::{LONGEST, Run, goes_on};
use super::{contact, national, network, person, prefixed, token};
use crate::block::{BLOCK, planes};

/// What bytes are: a number of four bits, so that 64 bytes need as few planes, and a bit for those of tokens.
const TOKEN: u8 = 0b1000;
const DIGIT: u8 = TOKEN | 0b0001;
const HEXADECIMAL: u8 = TOKEN | 0b0011;
const LETTER: u8 = TOKEN | 0b0010;
const UNDERSCORE: u8 = TOKEN | 0b0100;
const HYPHEN: u8 = 0b0100;
const COLON: u8 = 0b0001;
const DOT: u8 = 0b0010;
const BRACKET: u8 = 0b0011;
/// Of an address or a number.
const SIGN: u8 = 0b0101;

static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let byte = at as u8;
        kinds[at] = match byte {
            b'0'..=b'9' => DIGIT,
            b'A'..=b'F' | b'a'..=b'f' => HEXADECIMAL,
            b'G'..=b'Z' | b'g'..=b'z' => LETTER,
            b'_' => UNDERSCORE,
            b'-' => HYPHEN,
            b':' => COLON,
            b'.' => DOT,
            b'(' => BRACKET,
            b'@' | b'+' => SIGN,
            _ => 0,
        };
        at += 1;
    }
    kinds
};

fn kind(byte: u8) -> u8 {
    KINDS[usize::from(byte)]
}

fn is_token(byte: u8) -> bool {
    kind(byte) & TOKEN != 0
}

/// Fewest digits of what is found in one group, and in several.
const OF_ONE: usize = 6;
const OF_SEVERAL: usize = 4;

/// Finds numbers, addresses and ids that begin in a part of a text.
///
/// Most tokens are words, of which nothing comes. So the text is read from token to token only around [marks].
pub(super) fn find(text: &str, part: Range<usize>, context: Context<'_>, found: &mut Vec<Match>) {
    let bytes = text.as_bytes();
    let mut reader = Reader { text, at: part.start, context, run: Run::default(), found };
    // In a few bytes, marks cost more than they save.
    let mut searched = if part.len() < FEW { part.end } else { part.start };
    while searched < part.end {
        let from = searched.saturating_sub(BEFORE_MARK);
        let mut left = marks(bytes, from) & u64::MAX << (searched - from);
        while left != 0 {
            let mark = from + left.trailing_zeros() as usize;
            left &= left - 1;
            if mark >= part.end {
                break;
            }
            if mark >= reader.at {
                reader.at = reading_start(bytes, reader.at, mark);
                reader.read(mark + 1);
            }
        }
        searched = reader.at.max(from + MARKED);
    }
    // What begins before the end of the part may have its mark behind it.
    if reader.at < part.end && part.len() >= FEW {
        reader.at = reading_start(bytes, reader.at, part.end);
    }
    reader.read(part.end);
}

/// Bytes of a part that is read as it is.
const FEW: usize = 24;

/// Bytes before a mark that make one of it, and from where on in a block what makes one may be behind it.
const BEFORE_MARK: usize = 8;
const MARKED: usize = BLOCK - 12;

/// Marks in a block of text, up to [`MARKED`]: without one in it or at its end, no token or sign is anything.
fn marks(bytes: &[u8], from: usize) -> u64 {
    let [one, two, four, token] = planes(bytes, from, &KINDS);
    let hex = token & one;
    let digit = hex & !two;
    let letters = token & two;
    let others = !token & !four;
    let (colon, dot, bracket) = (others & one & !two, others & two & !one, others & one & two);
    let joint = four & !one;
    let (hyphen, sign) = (joint & !token, four & one);
    // Ids and numbers: of the tokens of six bytes or more that are any, two digits are this near to each other.
    let mut long = token;
    for length in [1, 2, 2] {
        long &= long >> length;
    }
    for length in [1, 2, 2] {
        long |= long << length;
    }
    let id = digit & long & (digit >> 1 | digit >> 2 | digit >> 3);
    // `DE89`, and digits in groups.
    let iban = digit & digit >> 1 & letters << 1 & letters << 2;
    let groups = digit & !token >> 1 & (digit >> 2 | !token >> 2 & !token >> 3 & digit >> 4);
    // Behind a hyphen or underscore, the random part of a token.
    let mut random = token & !four;
    for length in [1, 2, 4, 4] {
        random &= random >> length;
    }
    random &= joint << 1;
    // Addresses: `1a:`, `::`, `1a-2b-`, `1a2b.3c4d.`; area codes.
    let v6 = colon & (colon >> 1 | hex << 1 & hex >> 1);
    let two = hex & hex >> 1;
    let mac = hyphen & two << 2 & two >> 1 & hyphen >> 3;
    let four = two & two >> 2;
    let dotted = dot & four << 4 & four >> 1 & dot >> 5;
    let area = bracket & digit >> 1;
    (id | iban | groups | random | v6 | mac | dotted | area | sign) & ((1 << MARKED) - 1)
}

/// From where on the text is read because of a mark.
fn reading_start(bytes: &[u8], from: usize, mark: usize) -> usize {
    let start = chain_start(bytes, from, mark);
    // Two letters and a blank before digits may be the beginning of an id in groups.
    let is_behind = start >= from + 3 && bytes[start - 1] == b' ';
    if is_behind && is_token(bytes[start - 2]) && is_token(bytes[start - 3]) {
        return chain_start(bytes, from, start - 1);
    }
    start
}

/// Where the tokens begin that end at an offset, with hyphens between, but not before another offset.
fn chain_start(bytes: &[u8], from: usize, end: usize) -> usize {
    end - bytes[from..end]
        .iter()
        .rev()
        .take_while(|byte| is_token(**byte) || **byte == b'-')
        .count()
}

/// Reads a text from token to token.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    context: Context<'a>,
    /// Of the last number: not made anew for each.
    run: Run,
    found: &'a mut Vec<Match>,
}

impl Reader<'_> {
    /// Reads up to an offset, and the token around it to its end.
    fn read(&mut self, to: usize) {
        let Self { text, context, .. } = *self;
        while self.at < to {
            self.at = match is_token(text.as_bytes()[self.at]) {
                true => read_token(text, self.at, context, &mut self.run, self.found),
                false => read_sign(text, self.at, context, self.found),
            };
        }
    }
}

/// Reads what begins with a sign. Returns where to go on.
fn read_sign(text: &str, at: usize, context: Context<'_>, found: &mut Vec<Match>) -> usize {
    let bytes = text.as_bytes();
    let phone = match bytes[at] {
        b'@' => {
            contact::email(text, at, found);
            None
        }
        b'+' => contact::international(text, at),
        b'(' => contact::area_in_brackets(text, at, context),
        b':' if bytes.get(at + 1) == Some(&b':') => {
            network::v6(text, at, found);
            return at + 2;
        }
        _ => None,
    };
    let past = phone.as_ref().map_or(at + 1, |range| range.end);
    found.extend(phone.map(|range| Match { detector: PHONE, range }));
    past
}

/// Reads a token of letters and digits that begins at an offset, and what belongs to it. Returns where to go on.
fn read_token(
    text: &str,
    at: usize,
    context: Context<'_>,
    run: &mut Run,
    found: &mut Vec<Match>,
) -> usize {
    let bytes = text.as_bytes();
    let (mut digits, mut underscores, mut end) = (0, 0, at);
    for byte in &bytes[at..] {
        let kind = kind(*byte);
        if kind & TOKEN == 0 {
            break;
        }
        digits += usize::from(kind == DIGIT);
        underscores += usize::from(kind == UNDERSCORE);
        end += 1;
    }
    // A prefix ends with one of these.
    if (underscores > 0 || bytes.get(end) == Some(&b'-'))
        && bytes[at].is_ascii_lowercase()
        && !at.checked_sub(1).is_some_and(|before| matches!(bytes[before], b'-' | b'/' | b'+'))
        && let Some(end) = prefixed::end(bytes, at)
    {
        found.push(Match { detector: ASSIGNED, range: at..end });
        return end;
    }
    let length = end - at;
    // Tokens of hexadecimal digits before a colon: addresses of networks.
    if length <= 4
        && matches!(bytes.get(end), Some(b':' | b'-' | b'.'))
        && bytes[at..end].iter().all(u8::is_ascii_hexdigit)
        && let Some(past) = network::hexadecimal(text, at, found)
    {
        return past;
    }
    if digits == length {
        if length > LONGEST || length < OF_ONE && goes_on(bytes, end) == 0 {
            return end;
        }
        run.read(text, at);
        let past = digit_run(text, run, context, found);
        return past.max(end);
    }
    let may_be_group = || {
        length == 2
            && matches!(bytes.get(end..end + 2), Some([b' ', digit]) if digit.is_ascii_digit())
    };
    if digits > 0 && (4..=34).contains(&length) || may_be_group() {
        token::alphanumeric(text, at..end, context, found);
    }
    if digits > 0
        && (6..=10).contains(&length)
        && digits >= 5
        && is_near(text, at, context, &["passport"])
    {
        found.push(Match { detector: PASSPORT, range: at..end });
    }
    end
}

/// What a run of digits is. Returns where to go on.
fn digit_run(text: &str, run: &Run, context: Context<'_>, found: &mut Vec<Match>) -> usize {
    let count = run.groups.len();
    if run.digits.len() < OF_SEVERAL {
        return run.end;
    }
    let mut group = 0;
    while group < count {
        if let Some(range) = token::lettered(text, run, group) {
            let past = range.end;
            found.push(Match { detector: NATIONAL, range });
            return past.max(run.end);
        }
        let taken = network::v4(text, run, group)
            .or_else(|| national::card(text, run, group, context))
            .or_else(|| national::formatted(text, run, group, context))
            .or_else(|| person::birth_date(text, run, group, context))
            .or_else(|| contact::national(text, run, group, context))
            .or_else(|| national::named(text, run, group, context));
        match taken {
            Some((detector, groups)) => {
                let (_, range) = run.part(group..group + groups);
                found.push(Match { detector, range });
                group += groups;
            }
            None => group += 1,
        }
    }
    run.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Parts of what is found, and what is between them.
    const PARTS: [&str; 34] = [
        "AB 12 34 56 C",
        "AB ",
        "ab",
        "be:",
        "1a:2b:3c:4d:5e:6f",
        "::1",
        "2001:db8::7",
        ":",
        "::",
        "ab-cd-ef-ab-cd-ef",
        "abcd.efab.cdef",
        ".",
        "-",
        "_",
        " ",
        "my-key2-",
        "tok_",
        "acme_live_",
        "aB3dE6gH9jK2mN5pQ8rS1tU4",
        "(415) 555-2671",
        "(",
        "+49 30 9018205",
        "+",
        "@",
        "dana@example.org",
        "4111 1111 1111 1111",
        "203.0.113.77",
        "AB123456C",
        "passport ",
        "/",
        "é",
        "DE89 3704 0044 0532 0130 00",
        "12.345.678-5",
        "born 1990-01-31",
    ];

    fn texts() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            3 => proptest::sample::select(PARTS.as_slice()).prop_map(str::to_owned),
            1 => "[a-fA-Z0-9_.:@+( -]{1,5}",
            1 => "[a-z]{1,9}",
            1 => any::<String>(),
        ];
        proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn around_marks_all_is_found_that_reading_everything_finds(text in texts(), from in 0usize..90, length in 0usize..200) {
            let floor = |at: usize| text.floor_char_boundary(at.min(text.len()));
            let part = floor(from)..floor(from + length).max(floor(from));
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            let context = Context::default();
            find(&text, part.clone(), context, &mut ours);
            Reader { text: &text, at: part.start, context, run: Run::default(), found: &mut theirs }.read(part.end);
            prop_assert_eq!(ours, theirs);
        }
    }
}
