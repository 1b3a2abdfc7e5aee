//! IBANs and national ids with letters: tokens with check characters.

use std::ops::Range;

use super::checks::{iban, iban_length, number, values, weighted};
use super::found::{Context, IBAN, Match, NATIONAL, is_near};
use super::national::{check_11, is_chinese, is_dated, is_day_first};
use super::run::Run;

/// A token of letters and digits that is an id with a check character, or the beginning of an IBAN or id in groups.
pub(super) fn alphanumeric(
    text: &str,
    range: Range<usize>,
    context: Context<'_>,
    found: &mut Vec<Match>,
) {
    let bytes = text.as_bytes();
    let token = &bytes[range.clone()];
    if token.len() >= 4
        && token[..2].iter().all(u8::is_ascii_alphabetic)
        && token[2..4].iter().all(u8::is_ascii_digit)
        && let Some(end) = iban_at(bytes, range.start)
    {
        found.push(Match { detector: IBAN, range: range.start..end });
        return;
    }
    if is_id(token) || is_named_id(text, range.clone(), context) {
        found.push(Match { detector: NATIONAL, range: range.clone() });
    }
    if let Some(end) = grouped(bytes, range.start) {
        found.push(Match { detector: NATIONAL, range: range.start..end });
    }
}

/// The end of an IBAN that begins at an offset, in one or in groups of four.
fn iban_at(bytes: &[u8], at: usize) -> Option<usize> {
    let length = iban_length(bytes.get(at..at + 2)?)?;
    let mut compact = Vec::with_capacity(length);
    let mut end = at;
    while compact.len() < length {
        match bytes.get(end)? {
            byte if byte.is_ascii_alphanumeric() => compact.push(byte.to_ascii_uppercase()),
            b' ' | b'-'
                if !compact.is_empty()
                    && bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric)
                    && end - at < 48 => {}
            _ => return None,
        }
        end += 1;
    }
    let ends = !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (ends && iban(&compact)).then_some(end)
}

/// Ids in one token whose form and check character few other tokens have.
fn is_id(token: &[u8]) -> bool {
    // Most tokens end here.
    if !matches!(token.len(), 8..=10 | 16 | 18) {
        return false;
    }
    let (mut shape, mut upper) = ([0; 18], [0; 18]);
    for (at, byte) in token.iter().enumerate() {
        shape[at] = if byte.is_ascii_digit() { b'9' } else { b'A' };
        upper[at] = byte.to_ascii_uppercase();
    }
    let (shape, upper) = (&shape[..token.len()], &upper[..token.len()]);
    // Written with capitals, but for the last letter.
    if upper[..upper.len() - 1] != token[..token.len() - 1] {
        return false;
    }
    const SPANISH: &[u8] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    match shape {
        // Spain: DNI and NIE.
        b"99999999A" => SPANISH[number(&upper[..8]) as usize % 23] == upper[8],
        b"A9999999A" if matches!(upper[0], b'X'..=b'Z') => {
            SPANISH
                [((u32::from(upper[0] - b'X')) * 10_000_000 + number(&upper[1..8])) as usize % 23]
                == upper[8]
        }
        // Singapore.
        b"A9999999A" if matches!(upper[0], b'S' | b'T' | b'F' | b'G') => {
            let sum = weighted(&upper[1..8], &[2, 7, 6, 5, 4, 3, 2])
                + if matches!(upper[0], b'T' | b'G') { 4 } else { 0 };
            let letters: &[u8] =
                if matches!(upper[0], b'S' | b'T') { b"JZIHGFEDCBA" } else { b"XWUTRQPNMLK" };
            letters[sum as usize % 11] == upper[8]
        }
        // The United Kingdom: national insurance.
        b"AA999999A" => is_nino(upper),
        // India: permanent account number.
        b"AAAAA9999A" => b"PCHABGJLFT".contains(&upper[3]),
        // Italy.
        b"AAAAAA99A99A999A" => is_fiscal_code(upper),
        // China.
        b"99999999999999999A" => upper[17] == b'X' && is_chinese(upper),
        // Mexico.
        b"AAAA999999AAAAAA99" | b"AAAA999999AAAAAAA9" => {
            matches!(upper[10], b'H' | b'M' | b'X') && is_dated(&upper[4..10])
        }
        // Ireland.
        b"9999999A" | b"9999999AA" => {
            let second = upper.get(8).map_or(0, |letter| u32::from(letter - b'@') * 9);
            let sum = weighted(&upper[..7], &[8, 7, 6, 5, 4, 3, 2]) + second;
            b"WABCDEFGHIJKLMNOPQRSTUV"[sum as usize % 23] == upper[7]
                && (upper.len() == 8 || matches!(upper[8], b'A'..=b'I' | b'W'))
        }
        _ => false,
    }
}

fn is_nino(upper: &[u8]) -> bool {
    let bad = [&b"BG"[..], b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].contains(&&upper[..2]);
    !bad && !b"DFIQUV".contains(&upper[0])
        && !b"DFIQUVO".contains(&upper[1])
        && matches!(upper[8], b'A'..=b'D')
}

fn is_fiscal_code(code: &[u8]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let sum: u32 = code[..15]
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            let value = u32::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' });
            if at % 2 == 0 { ODD[value as usize] } else { value }
        })
        .sum();
    u32::from(code[15] - b'A') == sum % 26
}

/// Ids of letters and digits that are found beside a keyword.
fn is_named_id(text: &str, range: Range<usize>, context: Context<'_>) -> bool {
    const WORDS: [&str; 9] = [
        "driver",
        "driving licence",
        "national id",
        "national_id",
        "nationalid",
        "identity card",
        "personalausweis",
        "codice fiscale",
        "id card",
    ];
    let digits = text.as_bytes()[range.clone()].iter().filter(|byte| byte.is_ascii_digit()).count();
    (6..=16).contains(&range.len()) && digits >= 5 && is_near(text, range.start, context, &WORDS)
}

/// The end of an id in groups that begins with letters: `AB 12 34 56 C`, and of Finland's, Chile's and Denmark's forms.
fn grouped(bytes: &[u8], at: usize) -> Option<usize> {
    let part = bytes.get(at..at + 13)?;
    if part[2] != b' ' || part[5] != b' ' || !part[3].is_ascii_digit() {
        return None;
    }
    let compact: Vec<u8> = part.iter().copied().filter(|byte| *byte != b' ').collect();
    let shape: Vec<u8> = part
        .iter()
        .map(|byte| match byte {
            b'0'..=b'9' => b'9',
            b'A'..=b'Z' => b'A',
            other => *other,
        })
        .collect();
    let ends = !bytes.get(at + 13).is_some_and(u8::is_ascii_alphanumeric);
    (shape == b"AA 99 99 99 A" && ends && is_nino(&compact)).then_some(at + 13)
}

/// Ids of digits whose last groups have a letter or are behind a dash: Finland (`131052-308T`), Chile (`12.345.678-5`),
/// Argentina (`20-12345678-6`). `at` is their first digit.
pub(super) fn lettered(text: &str, run: &Run, group: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = run.groups[group].0.start;
    let ends = |length: usize| !bytes.get(start + length).is_some_and(u8::is_ascii_alphanumeric);
    let finnish = bytes.get(start..start + 11).filter(|id| {
        id[..6].iter().chain(&id[7..10]).all(u8::is_ascii_digit)
            && matches!(id[6], b'-' | b'+' | b'A'..=b'F' | b'U'..=b'Y')
            && is_day_first(&id[..6])
            && b"0123456789ABCDEFHJKLMNPRSTUVWXY"
                [(number(&id[..6]) * 1000 + number(&id[7..10])) as usize % 31]
                == id[10]
    });
    if finnish.is_some() && ends(11) {
        return Some(start..start + 11);
    }
    const SPANISH: &[u8] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let spanish = bytes.get(start..start + 10).filter(|id| {
        id[..8].iter().all(u8::is_ascii_digit)
            && id[8] == b'-'
            && SPANISH[number(&id[..8]) as usize % 23] == id[9]
    });
    if spanish.is_some() && ends(10) {
        return Some(start..start + 10);
    }
    // Groups of three behind dots.
    let is_dotted = |at: usize| bytes.get(start + at) == Some(&b'.');
    let mut end = start;
    let mut digits = Vec::new();
    while (is_dotted(1) || is_dotted(2)) && digits.len() < 8 {
        match bytes.get(end)? {
            digit if digit.is_ascii_digit() => digits.push(*digit),
            b'.' if !digits.is_empty() => {}
            _ => break,
        }
        end += 1;
    }
    let dotted = bytes[start..end].iter().filter(|byte| **byte == b'.').count() == 2;
    if dotted
        && (7..=8).contains(&digits.len())
        && bytes.get(end) == Some(&b'-')
        && ends(end + 2 - start)
    {
        let sum: u32 = values(&digits)
            .rev()
            .zip([2, 3, 4, 5, 6, 7, 2, 3])
            .map(|(value, weight)| value * weight)
            .sum();
        let check = b"0K987654321"[sum as usize % 11];
        return (bytes.get(end + 1)?.to_ascii_uppercase() == check).then_some(start..end + 2);
    }
    let argentine = bytes.get(start..start + 13)?;
    if argentine[2] != b'-' || argentine[11] != b'-' {
        return None;
    }
    let compact: Vec<u8> = argentine.iter().copied().filter(u8::is_ascii_digit).collect();
    let is_cuit = compact.len() == 11
        && check_11(&compact, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) == u32::from(compact[10] - b'0');
    (is_cuit && ends(13)).then_some(start..start + 13)
}
