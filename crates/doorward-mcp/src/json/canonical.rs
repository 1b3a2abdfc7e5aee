//! The canonical form of a JSON text (RFC 8785), so that two texts with the same meaning have the same hash.
//!
//! In the RFC, numbers are doubles: 9007199254740993 is 9007199254740992. The exact form writes a number that a
//! double cannot represent as it is in the text, so that texts with different meanings have different hashes.

use std::borrow::Cow;
use std::cmp::Ordering;

use smallvec::SmallVec;

use super::text::unquote;

/// Maximum nesting depth, more than that of a scanned text.
const DEPTH: usize = 512;

/// The text has no canonical form: it is not JSON, is nested too deeply, or contains a number outside the range
/// of an IEEE 754 double.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text has no canonical form (RFC 8785)")]
pub struct NotCanonical;

/// The canonical form of a text.
pub fn canonical(text: &[u8]) -> Result<Vec<u8>, NotCanonical> {
    form(text, false)
}

/// The canonical form, except for numbers that a double cannot represent, which are written exactly. Texts with
/// different meanings have different forms.
pub fn canonical_exact(text: &[u8]) -> Result<Vec<u8>, NotCanonical> {
    form(text, true)
}

fn form(text: &[u8], is_exact: bool) -> Result<Vec<u8>, NotCanonical> {
    let mut out = Vec::with_capacity(text.len());
    let mut reader = Reader { text, at: 0, is_exact };
    reader.value(&mut out, 0)?;
    reader.space();
    if reader.at == text.len() { Ok(out) } else { Err(NotCanonical) }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// Write numbers that a double cannot represent exactly as they are in the text.
    is_exact: bool,
}

/// A member in the output: its name and its range.
struct Placed<'a> {
    name: Cow<'a, [u8]>,
    from: usize,
    to: usize,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotCanonical> {
        if self.take(byte) { Ok(()) } else { Err(NotCanonical) }
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), NotCanonical> {
        if depth > DEPTH {
            return Err(NotCanonical);
        }
        self.space();
        match self.text.get(self.at) {
            Some(b'{') => self.object(out, depth),
            Some(b'[') => self.array(out, depth),
            Some(b'"') => {
                let raw = self.string()?;
                write_string(out, raw);
                Ok(())
            }
            Some(b't') => self.word(out, b"true"),
            Some(b'f') => self.word(out, b"false"),
            Some(b'n') => self.word(out, b"null"),
            Some(_) => self.number(out),
            None => Err(NotCanonical),
        }
    }

    fn word(&mut self, out: &mut Vec<u8>, word: &[u8]) -> Result<(), NotCanonical> {
        if !self.text[self.at..].starts_with(word) {
            return Err(NotCanonical);
        }
        self.at += word.len();
        out.extend_from_slice(word);
        Ok(())
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), NotCanonical> {
        self.expect(b'[')?;
        out.push(b'[');
        if self.take(b']') {
            out.push(b']');
            return Ok(());
        }
        loop {
            self.value(out, depth + 1)?;
            if self.take(b']') {
                out.push(b']');
                return Ok(());
            }
            self.expect(b',')?;
            out.push(b',');
        }
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), NotCanonical> {
        self.expect(b'{')?;
        out.push(b'{');
        if self.take(b'}') {
            out.push(b'}');
            return Ok(());
        }
        let began = out.len();
        let mut members: SmallVec<[Placed<'a>; 8]> = SmallVec::new();
        let mut sorted = true;
        loop {
            let from = out.len();
            self.space();
            let raw = self.string()?;
            write_string(out, raw);
            let name = if raw.contains(&b'\\') {
                Cow::Owned(unquote(raw).into_bytes())
            } else {
                Cow::Borrowed(raw)
            };
            self.expect(b':')?;
            out.push(b':');
            self.value(out, depth + 1)?;
            sorted &= members.last().is_none_or(|last| order(&last.name, &name).is_lt());
            members.push(Placed { name, from, to: out.len() });
            if self.take(b'}') {
                break;
            }
            self.expect(b',')?;
            out.push(b',');
        }
        if !sorted {
            members.sort_by(|one, other| order(&one.name, &other.name));
            let written = out.split_off(began);
            for (at, member) in members.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(&written[member.from - began..member.to - began]);
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// The text between the quotes.
    fn string(&mut self) -> Result<&'a [u8], NotCanonical> {
        self.expect(b'"')?;
        let from = self.at;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(NotCanonical),
            }
        }
        self.at += 1;
        Ok(&self.text[from..self.at - 1])
    }

    fn number(&mut self, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
        let rest = &self.text[self.at..];
        let is_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(|byte| is_number(byte)).count();
        let number = &rest[..length];
        self.at += length;
        // Small integers, which are most numbers, are unchanged.
        let digits = number.strip_prefix(b"-").unwrap_or(number);
        let plain = digits.len() < 16 && digits.iter().all(u8::is_ascii_digit);
        if plain && (digits.len() == 1 || digits.first() != Some(&b'0')) && number != b"-0" {
            if digits.is_empty() {
                return Err(NotCanonical);
            }
            out.extend_from_slice(number);
            return Ok(());
        }
        let text = std::str::from_utf8(number).map_err(|_| NotCanonical)?;
        let value: f64 = text.parse().map_err(|_| NotCanonical)?;
        let start = out.len();
        write_number(out, value)?;
        if self.is_exact && decimal(number) != decimal(&out[start..]) {
            out.truncate(start);
            out.extend_from_slice(number);
        }
        Ok(())
    }
}

/// A decimal number: its sign, its digits without leading and trailing zeros, and its exponent. `None` if the
/// exponent overflows.
fn decimal(number: &[u8]) -> Option<(bool, SmallVec<[u8; 32]>, i64)> {
    let is_negative = number.first() == Some(&b'-');
    let mut parts =
        number[usize::from(is_negative)..].splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let written = parts.next()?;
    let power: i64 = match parts.next() {
        Some(power) => std::str::from_utf8(power).ok()?.parse().ok()?,
        None => 0,
    };
    let whole = written.iter().position(|byte| *byte == b'.').unwrap_or(written.len());
    let behind = written.len().saturating_sub(whole + 1);
    let mut digits: SmallVec<[u8; 32]> = written
        .iter()
        .copied()
        .filter(|byte| *byte != b'.')
        .skip_while(|byte| *byte == b'0')
        .collect();
    let mut power = power.checked_sub(i64::try_from(behind).ok()?)?;
    while digits.last() == Some(&b'0') {
        digits.pop();
        power = power.checked_add(1)?;
    }
    match digits.is_empty() {
        true => Some((false, digits, 0)),
        false => Some((is_negative, digits, power)),
    }
}

/// The order of member names: by UTF-16 code units (RFC 8785 section 3.2.3).
fn order(one: &[u8], other: &[u8]) -> Ordering {
    if one.is_ascii() && other.is_ascii() {
        return one.cmp(other);
    }
    let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    one.encode_utf16().cmp(other.encode_utf16())
}

/// Writes a string with a minimum of escapes (RFC 8785 section 3.2.2.2).
fn write_string(out: &mut Vec<u8>, raw: &[u8]) {
    out.push(b'"');
    if !raw.contains(&b'\\') {
        out.extend_from_slice(raw);
        out.push(b'"');
        return;
    }
    for c in unquote(raw).chars() {
        let escape = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{8}' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\u{c}' => "\\f",
            '\r' => "\\r",
            c if c < ' ' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
                continue;
            }
            c => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
        };
        out.extend_from_slice(escape.as_bytes());
    }
    out.push(b'"');
}

/// Writes a double as ECMAScript does (RFC 8785 section 3.2.2.3).
fn write_number(out: &mut Vec<u8>, value: f64) -> Result<(), NotCanonical> {
    if !value.is_finite() {
        return Err(NotCanonical);
    }
    if value == 0.0 {
        out.push(b'0');
        return Ok(());
    }
    if value < 0.0 {
        out.push(b'-');
    }
    // The shortest digits that identify the number, as `d.ddde-7`.
    let text = format!("{:e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').ok_or(NotCanonical)?;
    let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    round_half_to_even(&mut digits, value);
    let point = exponent.parse::<i32>().map_err(|_| NotCanonical)? + 1;
    let count = i32::try_from(digits.len()).map_err(|_| NotCanonical)?;
    let zeros = |count: i32| std::iter::repeat_n(b'0', usize::try_from(count).unwrap_or_default());
    if (1..=21).contains(&point) {
        if count <= point {
            out.extend_from_slice(&digits);
            out.extend(zeros(point - count));
        } else {
            let (whole, part) = digits.split_at(usize::try_from(point).unwrap_or_default());
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(part);
        }
    } else if (-5..=0).contains(&point) {
        out.extend_from_slice(b"0.");
        out.extend(zeros(-point));
        out.extend_from_slice(&digits);
    } else {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let sign = if point > 0 { '+' } else { '-' };
        out.extend_from_slice(format!("e{sign}{}", (point - 1).abs()).as_bytes());
    }
    Ok(())
}

/// Of two equally near shortest forms, the one with an even last digit is chosen.
fn round_half_to_even(digits: &mut [u8], value: f64) {
    // Shorter forms are never halfway between two others.
    if digits.len() < 15 || digits.last().is_none_or(|last| last % 2 == 0) {
        return;
    }
    let exact = format!("{:.40e}", value.abs());
    let exact: Vec<u8> =
        exact.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).collect();
    let (same, rest) = exact.split_at(digits.len());
    let halfway = rest.first() == Some(&b'5') && rest[1..].iter().all(|digit| *digit == b'0');
    if halfway && same[..same.len() - 1] == digits[..same.len() - 1] {
        digits.copy_from_slice(same);
    }
}

#[cfg(test)]
mod tests;
