//! Check digits.

/// The values of ASCII digits.
pub(super) fn values(
    digits: &[u8],
) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + '_ {
    digits.iter().map(|digit| u32::from(digit.wrapping_sub(b'0')))
}

/// Luhn (ISO/IEC 7812).
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = values(digits)
        .rev()
        .enumerate()
        .map(|(at, value)| match (at % 2, value * 2) {
            (0, _) => value,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != digits[0])
}

/// The weighted sum of digits.
pub(super) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    values(digits).zip(weights).map(|(value, weight)| value * weight).sum()
}

/// The remainder of a number in decimal digits, with letters as 10 to 35 (ISO 7064).
pub(super) fn remainder(text: impl Iterator<Item = u8>, modulus: u32) -> Option<u32> {
    text.filter(|byte| *byte != b' ').try_fold(0u32, |rest, byte| {
        let value = char::from(byte).to_digit(36)?;
        Some(if value > 9 { (rest * 100 + value) % modulus } else { (rest * 10 + value) % modulus })
    })
}

/// Verhoeff, as in Aadhaar numbers.
pub(super) fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTATION: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let mut check = 0;
    for (at, value) in values(digits).rev().enumerate() {
        let permuted = (0..at % 8).fold(value as usize, |value, _| PERMUTATION[value % 10]);
        check = dihedral(check, permuted);
    }
    check == 0
}

/// Multiplication in the dihedral group of order ten.
fn dihedral(a: usize, b: usize) -> usize {
    let (x, y) = (a % 5, b % 5);
    match (a < 5, b < 5) {
        (true, true) => (x + y) % 5,
        (true, false) => (x + y) % 5 + 5,
        (false, true) => (x + 5 - y) % 5 + 5,
        (false, false) => (x + 5 - y) % 5,
    }
}

/// ISO 7064 MOD 11,10, as in German tax ids.
pub(super) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((last, body)) = digits.split_last() else { return false };
    let product = values(body).fold(10, |product, value| {
        let sum = (value + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(last - b'0')
}

/// Whether `YYMMDD` digits can be a date.
pub(super) fn is_date(year: u32, month: u32, day: u32) -> bool {
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(year.is_multiple_of(4)),
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// The number of some digits.
pub(super) fn number(digits: &[u8]) -> u32 {
    values(digits).fold(0, |number, value| number.wrapping_mul(10).wrapping_add(value))
}

/// An IBAN without blanks: the length of its country, and ISO 7064 MOD 97,10.
pub(super) fn iban(text: &[u8]) -> bool {
    let length = text.get(..2).and_then(iban_length);
    if length != Some(text.len()) || !text[2..4].iter().all(u8::is_ascii_digit) {
        return false;
    }
    remainder(text[4..].iter().chain(&text[..4]).copied(), 97) == Some(1)
}

/// The length of the IBANs of a country.
pub(super) fn iban_length(country: &[u8]) -> Option<usize> {
    Some(match &country.to_ascii_uppercase()[..] {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FO" | b"FI" | b"GL" | b"NL" | b"SD" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"XK" | b"MN" => 20,
        b"HR" | b"LV" | b"LI" | b"CH" => 21,
        b"BH" | b"BG" | b"CR" | b"GE" | b"DE" | b"IE" | b"ME" | b"RS" | b"GB" | b"VA" => 22,
        b"GI" | b"IQ" | b"IL" | b"OM" | b"TL" | b"AE" | b"SO" => 23,
        b"AD" | b"CZ" | b"MD" | b"PK" | b"RO" | b"SA" | b"SK" | b"ES" | b"SE" | b"TN" | b"VG" => 24,
        b"LY" | b"PT" | b"ST" => 25,
        b"IS" | b"TR" => 26,
        b"BI" | b"DJ" | b"FR" | b"GR" | b"IT" | b"MC" | b"MR" | b"SM" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"SV" | b"GT" | b"HU" | b"LB" | b"PL" | b"NI" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" | b"YE" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_checked() {
        for number in ["4111111111111111", "378282246310005", "046454286"] {
            assert!(luhn(number.as_bytes()), "{number}");
        }
        assert!(!luhn(b"4111111111111112") && !luhn(b"0000000000000000"));
        assert!(verhoeff(b"2363") && !verhoeff(b"2364") && verhoeff(b"999941057058"));
        assert!(mod_11_10(b"86095742719") && !mod_11_10(b"86095742718"));
        for text in
            ["DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606"]
        {
            assert!(iban(text.as_bytes()), "{text}");
        }
        assert!(!iban(b"DE89370400440532013001") && !iban(b"DE8937040044053201300"));
    }
}
