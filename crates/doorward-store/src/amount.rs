//! Amounts of credit: integers, in millionths.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Millionths of a credit.
const ONE: i64 = 1_000_000;
const DIGITS: usize = 6;

/// An amount of credit. It is never a fraction of a millionth, and never rounded twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub i64);

impl Amount {
    pub const ZERO: Self = Self(0);

    /// Multiplies by a count, or by a number of thousandths; remainders are rounded up to one millionth.
    pub fn times(self, number: u64, per: u64) -> Self {
        let whole = i128::from(self.0) * i128::from(number);
        let per = i128::from(per.max(1));
        let up = whole / per + i128::from(whole % per > 0);
        Self(i64::try_from(up).unwrap_or(i64::MAX))
    }

    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("expected an amount such as 5 or 0.25, with at most six decimals, not '{text}'")
        };
        let (sign, plain) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let (whole, part) = plain.split_once('.').unwrap_or((plain, "0"));
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > DIGITS {
            return Err(wrong());
        }
        let part: i64 = format!("{part:0<DIGITS$}").parse().map_err(|_| wrong())?;
        let whole: i64 = whole.parse().map_err(|_| wrong())?;
        let all = whole.checked_mul(ONE).and_then(|whole| whole.checked_add(part));
        all.map(|all| Self(sign * all)).ok_or_else(wrong)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) =
            (self.0.unsigned_abs() / ONE as u64, self.0.unsigned_abs() % ONE as u64);
        let sign = if self.0 < 0 { "-" } else { "" };
        if part == 0 {
            return f.pad(&format!("{sign}{whole}"));
        }
        let part = format!("{part:06}");
        f.pad(&format!("{sign}{whole}.{}", part.trim_end_matches('0')))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    /// Accepts a string or a number, and parses the number from its text.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount such as 5 or 0.25")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Amount, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Amount, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Amount, E> {
                // The shortest text that parses to this number is the text that was written.
                format!("{number}").parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl schemars::JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "An amount of the currency of prices, with up to six decimal places.",
            "examples": ["12.50"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_shown_without_rounding() {
        for (text, millionths) in
            [("5", 5_000_000), ("0.25", 250_000), ("-1.000001", -1_000_001), ("0", 0)]
        {
            assert_eq!(text.parse::<Amount>().unwrap(), Amount(millionths));
            assert_eq!(Amount(millionths).to_string(), text);
        }
        for text in ["", ".", "1.", ".5", "1.0000001", "1e3", "+1", "--1", "99999999999999", "a"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Amount>("0.1").unwrap(), Amount(100_000));
        assert_eq!(serde_json::from_str::<Amount>("7").unwrap(), Amount(7_000_000));
    }

    #[test]
    fn parts_are_rounded_up_once() {
        assert_eq!(Amount(10).times(1, 3), Amount(4));
        assert_eq!(Amount(10).times(3, 3), Amount(10));
        assert_eq!(Amount(i64::MAX).times(u64::MAX, 1), Amount(i64::MAX));
    }
}
