//! E-mail addresses and phone numbers.
//!
//! Phone numbers are judged by the ITU's country codes with the lengths of their national numbers, and by the national
//! formats that are written with blanks or brackets; others need a keyword. The crate for libphonenumber's rules was measured
//! and left out: 50 ms at the first use, 1 to 3 ms for each further country, a global lock, and 17 crates
//! (`docs/dependencies.md`).

use std::cell::LazyCell;
use std::ops::Range;

use super::found::{Context, EMAIL, Match, PHONE, is_near};
use super::run::Run;

const PHONE_WORDS: [&str; 18] = [
    "phone",
    "tel",
    "mobile",
    "cell",
    "call",
    "fax",
    "whatsapp",
    "contact",
    "telefon",
    "dial",
    "sms",
    "text me",
    "handy",
    "ring",
    "number is",
    "móvil",
    "téléphone",
    "telephone",
];

/// Extensions of files that look like the end of an address (`icon@2x.png`).
const EXTENSIONS: [&str; 16] = [
    "png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "ts", "tsx", "jsx", "json", "html",
    "md", "py", "mjs",
];

/// Whether what is before a name says that it is an account on a machine: `ssh://git@host`, `postgres://app@db`. On the web
/// nobody is named so, and nothing else stands before a host there but what looks like an address; in `mailto://` and
/// behind `//` alone, it is one.
fn is_account(before: &[u8]) -> bool {
    const OF_PEOPLE: [&[u8]; 9] =
        [b"mailto", b"http", b"https", b"ftp", b"sip", b"sips", b"xmpp", b"im", b"acct"];
    let Some(before) = before.strip_suffix(b"://") else { return false };
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let length = before.iter().rev().take(32).take_while(|byte| is_scheme(byte)).count();
    let scheme = &before[before.len() - length..];
    length > 0 && !OF_PEOPLE.iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// The address around an `@`, if it is one.
pub(super) fn email(text: &str, at: usize, found: &mut Vec<Match>) {
    let bytes = text.as_bytes();
    let is_latin = |byte: u8| matches!(byte, 0xc3..=0xc9 | 0x80..=0xbf);
    let is_local = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || is_latin(byte)
            || matches!(
                byte,
                b'.' | b'_'
                    | b'%'
                    | b'+'
                    | b'-'
                    | b'\''
                    | b'!'
                    | b'#'
                    | b'$'
                    | b'&'
                    | b'/'
                    | b'='
                    | b'^'
                    | b'{'
                    | b'|'
                    | b'}'
                    | b'~'
            )
    };
    let mut start =
        at - bytes[..at].iter().rev().take(64).take_while(|byte| is_local(**byte)).count();
    // Quotes, paths and assignments in front of an address are no part of it.
    if let Some(last) = bytes[start..at].iter().rposition(|byte| {
        matches!(byte, b'/' | b'=' | b'\'' | b'{' | b'}' | b'|' | b'&' | b'#' | b'$' | b'!')
    }) {
        start += last + 1;
    }
    while start < at
        && (matches!(bytes[start], b'.' | b'-' | b'%' | b'+') || !text.is_char_boundary(start))
    {
        start += 1;
    }
    if start == at || bytes[at - 1] == b'.' || is_account(&bytes[..start]) {
        return;
    }
    let is_domain =
        |byte: u8| byte.is_ascii_alphanumeric() || is_latin(byte) || matches!(byte, b'.' | b'-');
    let mut end =
        at + 1 + bytes[at + 1..].iter().take(255).take_while(|byte| is_domain(**byte)).count();
    while matches!(bytes[end - 1], b'.' | b'-') {
        end -= 1;
    }
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end <= at + 1 {
        return;
    }
    let domain = &text[at + 1..end];
    let Some((name, top)) = domain.rsplit_once('.') else { return };
    let is_top = (2..=24).contains(&top.len())
        && top.bytes().all(|byte| byte.is_ascii_alphabetic() || byte >= 0x80)
        || top.starts_with("xn--");
    if name.is_empty()
        || !is_top
        || domain.contains("..")
        || EXTENSIONS.iter().any(|extension| top.eq_ignore_ascii_case(extension))
    {
        return;
    }
    // `git@host:path` names a repository.
    if &bytes[start..at] == b"git" && bytes.get(end) == Some(&b':') {
        return;
    }
    found.push(Match { detector: EMAIL, range: start..end });
}

/// A number that begins with `+` and a country code.
pub(super) fn international(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if at > 0
        && (bytes[at - 1].is_ascii_alphanumeric() || matches!(bytes[at - 1], b'+' | b'/' | b'='))
    {
        return None;
    }
    let (digits, ends) = phone_digits(bytes, at + 1);
    longest(bytes, &digits, &ends, is_international).map(|end| at..end)
}

/// The end of the longest number that begins with the first digit and is one.
fn longest(
    bytes: &[u8],
    digits: &[u8],
    ends: &[(usize, usize)],
    is_number: impl Fn(&[u8]) -> bool,
) -> Option<usize> {
    let found = ends.iter().rev().find(|(count, _)| is_number(&digits[..*count]))?;
    Some(with_extension(bytes, found.1))
}

/// Digits of a number with blanks, dashes, dots and brackets; and where its groups end: counts of digits, and places.
fn phone_digits(bytes: &[u8], from: usize) -> (Vec<u8>, Vec<(usize, usize)>) {
    let (mut digits, mut ends) = (Vec::with_capacity(16), Vec::new());
    let mut at = from;
    while at < from + 28 && digits.len() < 16 {
        match bytes.get(at) {
            Some(digit) if digit.is_ascii_digit() => {
                digits.push(*digit);
                let next = bytes.get(at + 1);
                let is_extension = next.is_some_and(|byte| matches!(byte, b'x' | b'e'));
                if !next.is_some_and(u8::is_ascii_alphanumeric) || is_extension {
                    ends.push((digits.len(), at + 1));
                }
            }
            // A blank ends the number unless digits follow.
            Some(b' ' | b'-' | b'.' | b'(' | b')' | b'/')
                if bytes.get(at + 1).is_some_and(|next| {
                    next.is_ascii_digit() || matches!(next, b'(' | b' ' | b')')
                }) => {}
            _ => break,
        }
        at += 1;
    }
    ends.retain(|(count, _)| *count <= 15);
    (digits, ends)
}

/// The end with an extension: `x123`, ` ext. 123`.
fn with_extension(bytes: &[u8], end: usize) -> usize {
    let rest = &bytes[end..bytes.len().min(end + 14)];
    let blank = usize::from(rest.first() == Some(&b' '));
    let rest = &rest[blank..];
    let word = ["ext. ", "ext.", "ext ", "x", "#"]
        .iter()
        .find(|word| rest.starts_with(word.as_bytes()))
        .map_or(0, |word| word.len());
    let digits = rest[word..].iter().take(7).take_while(|byte| byte.is_ascii_digit()).count();
    if word > 0 && (1..=6).contains(&digits) { end + blank + word + digits } else { end }
}

/// `(415) 555-2671`, `(030) 1234567`.
pub(super) fn area_in_brackets(
    text: &str,
    at: usize,
    context: Context<'_>,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let area = bytes[at + 1..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
    if !(2..=5).contains(&area) || bytes.get(at + 1 + area) != Some(&b')') {
        return None;
    }
    let (digits, ends) = phone_digits(bytes, at + 1);
    if let Some(end) = longest(bytes, &digits, &ends, |digits| area == 3 && is_american(digits)) {
        return Some(at..end);
    }
    let is_named = digits.first() == Some(&b'0') || is_near(text, at, context, &PHONE_WORDS);
    longest(bytes, &digits, &ends, |digits| is_named && (8..=12).contains(&digits.len()))
        .map(|end| at..end)
}

/// A number without country code that begins with a group of a run.
pub(super) fn national(
    text: &str,
    run: &Run,
    group: usize,
    context: Context<'_>,
) -> Option<(usize, usize)> {
    const MOST: usize = 6;
    let left = (run.groups.len() - group).min(MOST);
    let start = run.groups[group].0.start;
    let named = LazyCell::new(|| is_near(text, start, context, &PHONE_WORDS));
    for groups in (1..=left).rev() {
        let range = group..group + groups;
        let (digits, _) = run.part(range.clone());
        // No number has fewer.
        if digits.len() < 7 {
            break;
        }
        let mut lengths = [0; MOST];
        lengths.iter_mut().zip(run.lengths(range.clone())).for_each(|(to, length)| *to = length);
        let lengths = &lengths[..groups];
        let is_separated = matches!(run.separator(text, range.clone()), Some(" " | "-" | "."));
        let american = match lengths {
            [3, 3, 4] if is_separated => is_american(digits),
            [1, 3, 3, 4] => digits[0] == b'1' && is_american(&digits[1..]),
            _ => false,
        };
        // Trunk prefixes with groups as they are written in Britain, France and Australia.
        let trunk = is_separated
            && digits[0] == b'0'
            && digits[1] != b'0'
            && match lengths {
                [2, 2, 2, 2, 2] | [5, 6] | [5 | 4, 3, 3] | [4, 3, 4] | [3 | 2, 4, 4] => true,
                [4, 6..=8] | [3, 7..=8] | [2, 4, 3..=4] => *named,
                _ => false,
            };
        let written = (7..=13).contains(&digits.len())
            && groups <= 5
            && (digits.len() >= 9 || groups > 1 || digits.len() == 7)
            && *named
            && !is_date_like(lengths);
        let abroad = digits.starts_with(b"00") && is_international(&digits[2..]) && *named;
        if american || trunk || written || abroad {
            return Some((PHONE, groups));
        }
    }
    None
}

/// `2024-01-31`, `31.01.2024`.
fn is_date_like(lengths: &[usize]) -> bool {
    matches!(lengths, [4, 2, 2] | [2, 2, 4] | [4, 1..=2, 1..=2])
}

/// Area and exchange codes of North America.
fn is_american(digits: &[u8]) -> bool {
    digits.len() == 10 && digits[0] > b'1' && digits[3] > b'1' && digits[1..3] != *b"11"
}

/// A country code, with a national number of a length that the country uses.
fn is_international(digits: &[u8]) -> bool {
    let code = (1..=3).find_map(|length| {
        let code = std::str::from_utf8(digits.get(..length)?).ok()?;
        CODES
            .iter()
            .find(|(codes, ..)| codes.split(' ').any(|known| known == code))
            .map(|(_, least, most)| (length, *least, *most))
    });
    let Some((length, least, most)) = code else { return false };
    // A trunk prefix may be written in brackets: +44 (0)20.
    let national = &digits[length..];
    let national = national.strip_prefix(b"0").unwrap_or(national);
    (least..=most).contains(&national.len())
        && national.iter().any(|digit| *digit != national[0])
        && (digits[0] != b'1' || is_american(national))
}

/// Country codes (ITU E.164) with the least and most digits of national numbers.
const CODES: [(&str, usize, usize); 13] = [
    ("1", 10, 10),
    ("7", 10, 10),
    ("44 31 33 32 34 39 48 36 27 20 30 90 91 92 66 63 60 62 81 82 86 98 94 95", 8, 12),
    ("49 43", 6, 13),
    ("41 40 45 46 47 51 52 53 54 55 56 57 58 61 64 65 84 93", 7, 11),
    (
        "211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 236 237 238 239",
        6,
        11,
    ),
    (
        "240 241 242 243 244 245 246 247 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 265",
        5,
        11,
    ),
    ("266 267 268 269 290 291 297 298 299 350 351 352 353 354 355 356 357 358 359", 5, 12),
    ("370 371 372 373 374 375 376 377 378 379 380 381 382 383 385 386 387 389 420 421 423", 6, 11),
    ("500 501 502 503 504 505 506 507 508 509 590 591 592 593 594 595 596 597 598 599", 5, 10),
    ("670 672 673 674 675 676 677 678 679 680 681 682 683 685 686 687 688 689 690 691 692", 4, 10),
    ("850 852 853 855 856 880 886", 7, 11),
    (
        "960 961 962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 979 992 993 994 995 996 998",
        7,
        12,
    ),
];
