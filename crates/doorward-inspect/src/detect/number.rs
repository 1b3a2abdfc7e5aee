//! One pass over a text for what needs no literal: numbers, addresses, ids with check characters.

use std::ops::Range;

use super::found::{ASSIGNED, Context, Match, NATIONAL, PASSPORT, PHONE, is_near};
use super::run::{LONGEST, Run, goes_on};
use super::{assigned, contact, national, network, person, token};

/// What bytes are: of a token, or a sign at which something may begin. Others are passed over.
const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const UNDERSCORE: u8 = 4;
const TOKEN: u8 = LETTER | DIGIT | UNDERSCORE;
const SIGN: u8 = 8;

static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let byte = at as u8;
        kinds[at] = match byte {
            b'A'..=b'Z' | b'a'..=b'z' => LETTER,
            b'0'..=b'9' => DIGIT,
            b'_' => UNDERSCORE,
            b'@' | b'+' | b'(' | b':' => SIGN,
            _ => 0,
        };
        at += 1;
    }
    kinds
};

/// Fewest digits of what is found in one group, and in several.
const OF_ONE: usize = 6;
const OF_SEVERAL: usize = 4;

/// Finds numbers, addresses and ids that begin in a part of a text.
pub(super) fn find(text: &str, part: Range<usize>, context: Context<'_>, found: &mut Vec<Match>) {
    let bytes = text.as_bytes();
    let mut at = part.start;
    loop {
        let rest = bytes.get(at..part.end).unwrap_or_default();
        at += rest.iter().take_while(|byte| KINDS[usize::from(**byte)] == 0).count();
        let Some(byte) = bytes[..part.end].get(at) else { return };
        match byte {
            b'@' => {
                contact::email(text, at, found);
                at += 1;
            }
            b'+' => {
                if let Some(range) = contact::international(text, at) {
                    at = range.end;
                    found.push(Match { detector: PHONE, range });
                } else {
                    at += 1;
                }
            }
            b'(' => {
                if let Some(range) = contact::area_in_brackets(text, at, context) {
                    at = range.end;
                    found.push(Match { detector: PHONE, range });
                } else {
                    at += 1;
                }
            }
            b':' if bytes.get(at + 1) == Some(&b':') => {
                network::v6(text, at, found);
                at += 2;
            }
            b':' => at += 1,
            _ => at = read_token(text, at, context, found),
        }
    }
}

/// Reads a token of letters and digits that begins at an offset, and what belongs to it. Returns where to go on.
fn read_token(text: &str, at: usize, context: Context<'_>, found: &mut Vec<Match>) -> usize {
    let bytes = text.as_bytes();
    let (mut digits, mut all, mut end) = (0, 0, at);
    for byte in &bytes[at..] {
        let kind = KINDS[usize::from(*byte)];
        if kind & TOKEN == 0 {
            break;
        }
        digits += usize::from(kind & DIGIT != 0);
        all |= kind;
        end += 1;
    }
    // A prefix ends with one of these.
    if (all & UNDERSCORE != 0 || bytes.get(end) == Some(&b'-'))
        && bytes[at].is_ascii_lowercase()
        && !at.checked_sub(1).is_some_and(|before| matches!(bytes[before], b'-' | b'/' | b'+'))
        && let Some(end) = assigned::prefixed(bytes, at)
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
        let run = Run::read(text, at);
        let past = digit_run(text, &run, context, found);
        return past.max(end);
    }
    if digits > 0 && length <= 34 || length == 2 && bytes.get(end) == Some(&b' ') {
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
