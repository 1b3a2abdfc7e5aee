//! Where literals are in a text, in any case.
//!
//! A table says whether a literal may begin with three bytes; few places of a text pass it, and those are compared. Against an
//! automaton, this costs no time and next to no memory to build, and as little to search.

use std::cmp::Ordering;
use std::ops::Range;

use super::found::is_word_byte;
use crate::block::BLOCK;

/// What is counted of a byte: the bits that letters of either case share.
const BITS: usize = 5;
const MASK: usize = (1 << BITS) - 1;
/// Forms that three bytes have.
const FORMS: usize = 1 << (3 * BITS);

const ANYWHERE: u8 = 1;
const OF_WORD: u8 = 2;

/// From so many literals that begin alike on, they are not compared one by one.
const MANY: usize = 8;

/// Literals, and what each one of them is for.
#[derive(Debug)]
pub(super) struct Literals<T> {
    /// By form: whether a literal begins so [anywhere](ANYWHERE), or has to be at the [start of a word](OF_WORD).
    kinds: Box<[u8; FORMS]>,
    /// By form that a literal begins with: its place in `heads`.
    heads_of: Vec<u16>,
    heads: Vec<Head>,
    /// Forms with indices of `literals` that begin so, by form, then by length, then by bytes.
    order: Vec<(u16, u32)>,
    literals: Vec<Literal>,
    purposes: Vec<T>,
}

/// Literals that begin alike.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// Where they begin in `order`.
    from: u32,
    /// Which fourth bytes they have, one bit for each value of what is counted of it.
    fourths: u32,
}

#[derive(Debug)]
struct Literal {
    /// In lower case.
    text: Box<[u8]>,
    /// Of `purposes`.
    purposes: Range<usize>,
}

impl<T: Copy> Literals<T> {
    /// Literals of two bytes or more. `true`: it is of use only at the start of a word.
    pub fn new(all: impl IntoIterator<Item = (String, bool, T)>) -> Self {
        let lower = |(text, of_word, purpose): (String, bool, T)| {
            (text.to_ascii_lowercase().into_bytes(), of_word, purpose)
        };
        let mut all: Vec<_> = all.into_iter().map(lower).collect();
        all.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let mut literals: Vec<Literal> = Vec::with_capacity(all.len());
        let mut purposes = Vec::with_capacity(all.len());
        let mut kinds = Box::new([0; FORMS]);
        let mut order: Vec<(u16, u32)> = Vec::with_capacity(2 * all.len());
        for (text, of_word, purpose) in all {
            let kind = if of_word && is_word_byte(text[0]) { OF_WORD } else { ANYWHERE };
            forms(&text).for_each(|form| kinds[usize::from(form)] |= kind);
            purposes.push(purpose);
            match literals.last_mut() {
                Some(last) if *last.text == *text => last.purposes.end += 1,
                _ => {
                    #[expect(clippy::cast_possible_truncation, reason = "they are in memory")]
                    let number = literals.len() as u32;
                    order.extend(forms(&text).map(|form| (form, number)));
                    let purposes = purposes.len() - 1..purposes.len();
                    literals.push(Literal { text: text.into(), purposes });
                }
            }
        }
        order.sort_by_key(|(form, number)| (*form, literals[*number as usize].text.len(), *number));
        let mut heads_of = vec![0; FORMS];
        let mut heads: Vec<Head> = Vec::with_capacity(order.len());
        let mut last = None;
        #[expect(clippy::cast_possible_truncation, reason = "they are in memory")]
        for (at, (form, number)) in order.iter().enumerate() {
            if last.replace(form) != Some(form) {
                heads_of[usize::from(*form)] = heads.len() as u16;
                heads.push(Head { from: at as u32, fourths: 0 });
            }
            let fourth = literals[*number as usize].text.get(3);
            let fourths = fourth.map_or(u32::MAX, |byte| 1 << (usize::from(*byte) & MASK));
            heads.last_mut().into_iter().for_each(|head| head.fourths |= fourths);
        }
        Self { kinds, heads_of, heads, order, literals, purposes }
    }

    /// Whether any is in a text.
    pub fn is_in(&self, text: &[u8]) -> bool {
        let mut found = false;
        self.each(text, 0..text.len(), |_, _| {
            found = true;
            false
        });
        found
    }

    /// All that begin within a range of a text, in order, until `take` says no.
    pub fn each(
        &self,
        text: &[u8],
        range: Range<usize>,
        mut take: impl FnMut(Range<usize>, &[T]) -> bool,
    ) {
        let mut at = range.start;
        while at < range.end {
            // Most of a long text by blocks.
            if at > 0
                && let Some(window) = text[at - 1..].first_chunk()
            {
                let mut hits = self.hits(window);
                while hits != 0 {
                    let hit = at + hits.trailing_zeros() as usize;
                    hits &= hits - 1;
                    let form = form(text[hit], text[hit + 1], text[hit + 2]);
                    if hit >= range.end || !self.at(text, hit, form, &mut take) {
                        return;
                    }
                }
                at += BLOCK;
                continue;
            }
            // Where there is a byte before a place, and two behind it, places are passed over quickly.
            let full = range.end.min(text.len().saturating_sub(2));
            if at > 0 && at < full {
                let places = text[at - 1..full + 2].windows(4);
                let is_none = |part: &[u8]| {
                    let form = form(part[1], part[2], part[3]);
                    self.kinds[form] & WANTED_BEHIND[usize::from(part[0])] == 0
                };
                at += places.take_while(|part| is_none(part)).count();
                if at == full {
                    continue;
                }
            }
            let byte = |at: usize| text.get(at).copied().unwrap_or_default();
            let form = form(text[at], byte(at + 1), byte(at + 2));
            let wanted = match at.checked_sub(1) {
                Some(before) => WANTED_BEHIND[usize::from(text[before])],
                None => ANYWHERE | OF_WORD,
            };
            if self.kinds[form] & wanted != 0 && !self.at(text, at, form, &mut take) {
                return;
            }
            at += 1;
        }
    }

    /// The places of a block at which a literal may begin, the first in the lowest bit. `window`: from the byte before the block
    /// to the two behind it.
    fn hits(&self, window: &[u8; BLOCK + 3]) -> u64 {
        let mut form = form(0, window[1], window[2]);
        let mut hits = 0;
        for (at, (before, third)) in window.iter().zip(&window[3..]).enumerate() {
            form = (form << BITS | usize::from(*third) & MASK) & (FORMS - 1);
            let hit = self.kinds[form] & WANTED_BEHIND[usize::from(*before)];
            hits |= u64::from(hit != 0) << at;
        }
        hits
    }

    /// Takes the literals that begin at a place.
    fn at(
        &self,
        text: &[u8],
        at: usize,
        form: usize,
        take: &mut impl FnMut(Range<usize>, &[T]) -> bool,
    ) -> bool {
        let Head { from, fourths } = self.heads[usize::from(self.heads_of[form])];
        let fourth = text.get(at + 3).map_or(0, |byte| usize::from(*byte) & MASK);
        if fourths >> fourth & 1 == 0 {
            return true;
        }
        let order = &self.order[from as usize..];
        let alike = order.iter().take_while(|(other, _)| usize::from(*other) == form);
        let count = alike.clone().take(MANY).count();
        let rest = &text[at..];
        let mut given = |literal: &Literal| {
            take(at..at + literal.text.len(), &self.purposes[literal.purposes.clone()])
        };
        if count < MANY {
            return alike
                .map(|(_, number)| &self.literals[*number as usize])
                .filter(|literal| begins(rest, &literal.text))
                .all(given);
        }
        let mut left = &order[..order.partition_point(|(other, _)| usize::from(*other) == form)];
        while let Some((_, first)) = left.first() {
            let literal = |number: u32| &self.literals[number as usize];
            let length = literal(*first).text.len();
            let same = left.partition_point(|(_, number)| literal(*number).text.len() <= length);
            let Some(part) = rest.get(..length) else { return true };
            let found =
                left[..same].binary_search_by(|(_, number)| compare(&literal(*number).text, part));
            if let Ok(found) = found
                && !given(literal(left[found].1))
            {
                return false;
            }
            left = &left[same..];
        }
        true
    }
}

/// Whether a text begins with a literal, of which the first two bytes are likely the same.
fn begins(text: &[u8], literal: &[u8]) -> bool {
    let part = text.get(..literal.len()).unwrap_or_default();
    part.len() == literal.len()
        && literal.iter().zip(part).rev().all(|(one, other)| *one == other.to_ascii_lowercase())
}

/// By byte: the kinds of literals that may begin behind it.
static WANTED_BEHIND: [u8; 256] = {
    let mut all = [ANYWHERE | OF_WORD; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let byte = at as u8;
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            all[at] = ANYWHERE;
        }
        at += 1;
    }
    all
};

/// The form of three bytes.
fn form(first: u8, second: u8, third: u8) -> usize {
    let part = |byte: u8| usize::from(byte) & MASK;
    part(first) << (2 * BITS) | part(second) << BITS | part(third)
}

/// The forms that a literal begins with: one, or as many as a third byte has where it has but two.
fn forms(literal: &[u8]) -> impl Iterator<Item = u16> + use<> {
    let part = |at: usize| literal.get(at).map_or(0, |byte| u16::from(*byte) & 31);
    let form = part(0) << (2 * BITS) | part(1) << BITS;
    let thirds = if literal.len() > 2 { part(2)..part(2) + 1 } else { 0..32 };
    thirds.map(move |third| form | third)
}

/// A literal in lower case to a part of a text in any.
fn compare(literal: &[u8], part: &[u8]) -> Ordering {
    literal.iter().copied().cmp(part.iter().map(u8::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aho_corasick::AhoCorasick;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_found_as_an_automaton_finds_them(
            literals in proptest::collection::vec("[aAbé_.-]{2,5}", 1..40),
            text in "[aAbBé_. -]{0,60}",
            cut in 0usize..60,
        ) {
            let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(&literals).unwrap();
            let cut = cut.min(text.len());
            let mut theirs: Vec<_> = automaton
                .find_overlapping_iter(&text)
                .filter(|hit| hit.start() >= cut)
                .map(|hit| (hit.range(), hit.pattern().as_usize()))
                .collect();
            let numbered = literals.iter().enumerate().map(|(number, text)| (text.clone(), false, number));
            let mut ours = Vec::new();
            Literals::new(numbered).each(text.as_bytes(), cut..text.len(), |range, numbers| {
                ours.extend(numbers.iter().map(|number| (range.clone(), *number)));
                true
            });
            prop_assert!(ours.is_sorted_by_key(|(range, _)| range.start));
            let key = |(range, number): &(Range<usize>, usize)| (range.start, range.end, *number);
            theirs.sort_by_key(key);
            ours.sort_by_key(key);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn those_of_words_are_found_at_their_start(literal in "[ab_-]{2,3}", text in "[aAb_ -]{0,30}") {
            let mut ours = Vec::new();
            Literals::new([(literal.clone(), true, ())]).each(text.as_bytes(), 0..text.len(), |range, _| {
                ours.push(range.start);
                true
            });
            let bytes = text.as_bytes();
            let is_at = |at: &usize| {
                let is_inside = *at > 0 && is_word_byte(bytes[at - 1]) && is_word_byte(literal.as_bytes()[0]);
                !is_inside && bytes.get(*at..at + literal.len()).is_some_and(|part| part.eq_ignore_ascii_case(literal.as_bytes()))
            };
            let theirs: Vec<usize> = (0..bytes.len()).filter(is_at).collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
