//! One pass over a text for what needs no literal: numbers, addresses, ids with check characters.

use super::found::{ASSIGNED, Context, Match, NATIONAL, PASSPORT, PHONE, is_near};
use super::run::{LONGEST, Run};
use super::{assigned, contact, national, network, person, token};

/// Finds numbers, addresses and ids in a text.
pub(super) fn find(text: &str, context: Context<'_>, found: &mut Vec<Match>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
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
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' => {
                at = read_token(text, at, context, found);
            }
            b':' if bytes.get(at + 1) == Some(&b':') => {
                network::v6(text, at, found);
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// Reads a token of letters and digits that begins at an offset, and what belongs to it. Returns where to go on.
fn read_token(text: &str, at: usize, context: Context<'_>, found: &mut Vec<Match>) -> usize {
    let bytes = text.as_bytes();
    if bytes[at].is_ascii_lowercase()
        && !at.checked_sub(1).is_some_and(|before| matches!(bytes[before], b'-' | b'/' | b'+'))
        && let Some(end) = assigned::prefixed(bytes, at)
    {
        found.push(Match { detector: ASSIGNED, range: at..end });
        return end;
    }
    let mut digits = 0;
    let mut end = at;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => {}
            _ => break,
        }
        end += 1;
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
        if length > LONGEST {
            return end;
        }
        let run = Run::read(text, at);
        let past = digit_run(text, &run, context, found);
        return past.max(end);
    }
    if digits > 0 && length <= 34 || length == 2 || length == 4 {
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
