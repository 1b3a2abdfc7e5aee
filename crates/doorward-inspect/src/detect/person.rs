//! Dates of birth, beside a keyword.

use super::checks::{is_date, number};
use super::found::{BIRTH, Context, is_near};
use super::run::Run;

const WORDS: [&str; 16] = [
    "birth",
    "dob",
    "d.o.b",
    "born",
    "birthday",
    "birthdate",
    "geboren",
    "geburtsdatum",
    "geb.",
    "naissance",
    "né le",
    "née le",
    "nacimiento",
    "nacido",
    "nascita",
    "nascimento",
];

/// A date beside a keyword that begins with a group of a run: `1990-01-31`, `31.01.1990`, `01/31/1990`, `19900131`.
pub(super) fn birth_date(
    text: &str,
    run: &Run,
    group: usize,
    context: Context<'_>,
) -> Option<(usize, usize)> {
    let groups = if group + 3 <= run.groups.len() { 3 } else { 1 };
    let range = group..group + groups;
    let mut lengths = [0; 3];
    lengths.iter_mut().zip(run.lengths(range.clone())).for_each(|(to, length)| *to = length);
    let (digits, place) = run.part(range.clone());
    let same = matches!(run.separator(text, range), Some("-" | "." | "/" | " " | ""));
    let value = |from: usize, to: usize| number(&digits[from..to]);
    let is_plausible = match lengths[..groups] {
        [4, month @ 1..=2, 1..=2] => {
            year(value(0, 4)) && is_date(0, value(4, 4 + month), value(4 + month, digits.len()))
        }
        [first @ 1..=2, second @ 1..=2, 4] => {
            let (one, other) = (value(0, first), value(first, first + second));
            year(value(first + second, digits.len()))
                && (is_date(0, one, other) || is_date(0, other, one))
        }
        [first @ 1..=2, second @ 1..=2, 2] => {
            let (one, other) = (value(0, first), value(first, first + second));
            is_date(0, one, other)
                || is_date(0, other, one)
                || is_date(0, other, value(first + second, digits.len()))
        }
        [8] => year(value(0, 4)) && is_date(0, value(4, 6), value(6, 8)),
        _ => false,
    };
    (same && is_plausible && is_near(text, place.start, context, &WORDS)).then_some((BIRTH, groups))
}

fn year(year: u32) -> bool {
    (1900..=2035).contains(&year)
}
