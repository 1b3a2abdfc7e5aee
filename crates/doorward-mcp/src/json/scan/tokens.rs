//! Tokens of values: literals, numbers and strings (RFC 8259).

use super::{Fault, Scan};

/// A number with at most this many digits and no exponent is within the range of a double.
const MAX_PLAIN_DIGITS: usize = 300;

impl Scan<'_> {
    #[inline]
    pub(super) fn literal(&mut self, word: &'static [u8]) -> Result<(), Fault> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.fault("expected a value"))
        }
    }

    #[inline]
    pub(super) fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next() {
            Some(b'0') => {}
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.fault_before("invalid number")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
            return self.check_range(start);
        }
        if self.at - start > MAX_PLAIN_DIGITS {
            return self.check_range(start);
        }
        Ok(())
    }

    /// A number outside the range of a double is infinity to one parser and an error to another (attack T17).
    fn check_range(&self, start: usize) -> Result<(), Fault> {
        let text = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default();
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => Err(self.refusal("number out of range")),
        }
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.digits();
        if self.at == start { Err(self.fault("invalid number")) } else { Ok(()) }
    }

    #[inline]
    pub(super) fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            self.at += plain_run(&self.bytes[self.at.min(self.bytes.len())..]);
            match self.next() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.fault_before("control character in a string")),
                None => return Err(self.fault_before("unterminated string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.next() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => match self.hex4()? {
                0xDC00..=0xDFFF => Err(self.fault_before("lone surrogate")),
                0xD800..=0xDBFF => {
                    if self.next() != Some(b'\\') || self.next() != Some(b'u') {
                        return Err(self.fault_before("lone surrogate"));
                    }
                    match self.hex4()? {
                        0xDC00..=0xDFFF => Ok(()),
                        _ => Err(self.fault_before("lone surrogate")),
                    }
                }
                _ => Ok(()),
            },
            _ => Err(self.fault_before("invalid escape")),
        }
    }

    fn hex4(&mut self) -> Result<u16, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.fault_before("invalid \\u escape"));
            };
            unit = unit << 4 | digit as u16;
        }
        Ok(unit)
    }
}

/// The number of bytes from the start that are neither `"`, `\` nor a control character. Checks eight bytes at a
/// time.
#[inline]
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_byte = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut run = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        let quote = zero_byte(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_byte(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let stop = quote | backslash | control;
        if stop != 0 {
            return run + (stop.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    run + bytes[run..].iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | ..0x20)).count()
}
