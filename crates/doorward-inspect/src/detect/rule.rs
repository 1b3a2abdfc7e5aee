//! Regular expressions that run on a window around a literal.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::assigned;
use super::file::Position;
use super::found::{entropy, is_word_byte};
use crate::budget::Budget;

/// Most bytes of a match.
pub(super) const MAX_REACH: usize = 8192;

/// Bytes between a literal before a match and the match.
const DISTANCE: usize = 64;

/// Bytes of a match before a literal inside it.
const BEHIND: usize = 128;

#[derive(Debug)]
pub(super) struct Rule {
    pub detector: usize,
    pub regex: Arc<Lazy>,
    pub position: Position,
    pub reach: usize,
    pub entropy: f64,
    /// What follows a literal of fewer than four bytes has to look like a token.
    pub guards_short: bool,
}

/// A regular expression that is compiled when it is first used: few of the ready-made ones ever are.
#[derive(Debug)]
pub(super) struct Lazy {
    pattern: String,
    /// `None` inside: it is not valid.
    compiled: OnceLock<Option<Regex>>,
}

impl Lazy {
    /// One that is known to be valid.
    pub fn later(pattern: &str) -> Self {
        Self { pattern: pattern.to_owned(), compiled: OnceLock::new() }
    }

    /// One that may not be valid.
    pub fn now(pattern: &str) -> Result<Self, String> {
        let lazy = Self::later(pattern);
        // It was not set before.
        let _ = lazy.compiled.set(Some(compile(pattern)?));
        Ok(lazy)
    }

    fn get(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(&self.pattern).ok()).as_ref()
    }
}

impl Rule {
    /// The match around a literal, if there is one. `searched`: up to where an earlier match reached.
    pub fn search(
        &self,
        text: &str,
        hit: Range<usize>,
        searched: &mut usize,
        budget: &mut Budget,
    ) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        let (from, to, anchored) = match self.position {
            Position::Start => {
                let before = hit.start.checked_sub(1).and_then(|before| bytes.get(before));
                let is_inside = is_word_byte(bytes[hit.start])
                    && before.is_some_and(|byte| is_word_byte(*byte));
                // Short literals are frequent: what follows has to look like a token before more is done.
                let is_token = |byte: &u8| {
                    byte.is_ascii_graphic()
                        && !matches!(
                            byte,
                            b'"' | b'\''
                                | b'('
                                | b')'
                                | b'<'
                                | b'>'
                                | b'{'
                                | b'}'
                                | b'['
                                | b']'
                                | b','
                                | b';'
                                | b'*'
                                | b'#'
                                | b'?'
                                | b'`'
                                | b'^'
                                | b'\\'
                                | b'|'
                                | b'&'
                                | b'@'
                        )
                };
                let is_short = self.guards_short
                    && hit.len() < 4
                    && !bytes
                        .get(hit.end..hit.end + 8)
                        .is_some_and(|next| next.iter().all(is_token));
                if is_inside || is_short || hit.start < *searched {
                    return None;
                }
                (hit.start, hit.start + self.reach, Anchored::Yes)
            }
            Position::Inside => (
                hit.start.saturating_sub(BEHIND).max(*searched),
                hit.end + self.reach,
                Anchored::No,
            ),
            Position::Before | Position::Near => {
                (hit.end.max(*searched), hit.end + DISTANCE + self.reach, Anchored::No)
            }
        };
        let to = to.min(bytes.len());
        let cost = if anchored == Anchored::Yes && self.reach <= 512 {
            hit.len() + 32
        } else {
            to.saturating_sub(from)
        };
        if from >= to || !budget.take(cost) {
            return None;
        }
        let input = Input::new(bytes).range(from..to).anchored(anchored);
        let found = self.regex.get()?.search(&input)?.range();
        let is_before = matches!(self.position, Position::Before | Position::Near);
        if is_before && found.start > hit.end + DISTANCE
            || self.position == Position::Before && !is_assigned(&bytes[hit.end..found.start])
        {
            return None;
        }
        if self.entropy > 0.0 && entropy(&bytes[found.clone()]) < self.entropy {
            return None;
        }
        *searched = found.end;
        if assigned::is_sample(&bytes[found.clone()]) {
            return None;
        }
        (text.is_char_boundary(found.start) && text.is_char_boundary(found.end)).then_some(found)
    }
}

/// Whether what is between a name and a value assigns the one to the other.
fn is_assigned(between: &[u8]) -> bool {
    let quoted = |byte: &u8| matches!(byte, b'"' | b'\'' | b'`' | b' ' | b'\t' | b'\\' | b'(');
    let length = between.iter().rposition(|byte| !quoted(byte)).map_or(0, |last| last + 1);
    let sign = &between[..length];
    matches!(sign.last(), Some(b'=' | b':' | b'>' | b','))
        || [&b" is"[..], b"key", b"token", b"secret", b"bearer", b"basic"]
            .iter()
            .any(|word| sign.to_ascii_lowercase().ends_with(word))
}

fn compile(regex: &str) -> Result<Regex, String> {
    Regex::builder()
        .configure(Regex::config().nfa_size_limit(Some(4 << 20)).hybrid_cache_capacity(1 << 20))
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build(regex)
        .map_err(|error| format!("the regular expression {regex}: {error}"))
}
