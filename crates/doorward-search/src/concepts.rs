//! Words of several languages to what they mean: `Wetter`, `météo` and `天気` are `weather`, and so is `forecast`.
//!
//! The concepts are data: `concepts.tsv`, one a line, made of the verbs and nouns that names of tools are made of. A concept
//! is a term of its own, of texts and queries alike, that weighs less than the word itself. A question in another language
//! finds a tool with an English name by it, and an English question a tool that is described in another language.

use crate::stem::stem;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The number of a concept: its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Concept(u16);

impl From<&Concept> for Concept {
    fn from(concept: &Concept) -> Self {
        *concept
    }
}

/// Words of languages other than English, without `*`, that are read as parts of a compound have at least this length.
const MIN_PART: usize = 5;

static CONCEPTS: LazyLock<Concepts> =
    LazyLock::new(|| Concepts::read(include_str!("concepts.tsv")));

#[derive(Default)]
struct Concepts {
    /// Stems of English words.
    english: HashMap<String, Vec<Concept>>,
    /// Whole words.
    words: HashMap<String, Vec<Concept>>,
    /// Beginnings of words.
    beginnings: HashMap<String, Vec<Concept>>,
    /// Parts of runs of scripts without spaces.
    runs: HashMap<String, Vec<Concept>>,
    longest_beginning: usize,
    longest_run: usize,
}

impl Concepts {
    fn read(table: &str) -> Self {
        let mut concepts = Self::default();
        let lines = table.lines().filter(|line| !line.starts_with('#'));
        for (line, number) in lines.zip(0..) {
            for (column, forms) in line.split('\t').enumerate() {
                for form in forms.split_whitespace() {
                    concepts.add(column, form, Concept(number));
                }
            }
        }
        concepts
    }

    fn add(&mut self, column: usize, form: &str, concept: Concept) {
        let mut folded = String::new();
        crate::text::words(form.trim_end_matches('*'), form.len(), |token| {
            folded = match token {
                crate::text::Token::Word(word)
                | crate::text::Token::Joined(word)
                | crate::text::Token::Run(word) => word.to_owned(),
            };
        });
        let (map, key) = match column {
            0 => (&mut self.english, stem(&folded).to_owned()),
            1..=3 if form.ends_with('*') => {
                self.longest_beginning = self.longest_beginning.max(folded.len());
                (&mut self.beginnings, folded)
            }
            1..=3 => (&mut self.words, folded),
            _ => {
                self.longest_run = self.longest_run.max(folded.len());
                (&mut self.runs, folded)
            }
        };
        let found = map.entry(key).or_default();
        if !found.contains(&concept) {
            found.push(concept);
        }
    }

    /// The longest beginning of `word` that is known, of at least `least` bytes, and its length.
    fn beginning(&self, word: &str, least: usize) -> Option<(usize, &[Concept])> {
        (least..=word.len().min(self.longest_beginning))
            .rev()
            .filter(|end| word.is_char_boundary(*end))
            .find_map(|end| self.beginnings.get(&word[..end]).map(|found| (end, found.as_slice())))
    }
}

/// Calls `each` for the concepts of a word.
pub(crate) fn of_word(word: &str, mut each: impl FnMut(Concept)) {
    let concepts = &*CONCEPTS;
    let mut all = |found: &[Concept]| found.iter().for_each(|concept| each(*concept));
    if let Some(found) = concepts.english.get(stem(word)) {
        all(found);
        return;
    }
    if let Some(found) = concepts.words.get(word) {
        all(found);
    } else if let Some((mut at, found)) = concepts.beginning(word, 3) {
        all(found);
        // What follows in a compound: `Wettervorhersage`.
        while at + MIN_PART <= word.len() {
            let part = word
                .is_char_boundary(at)
                .then(|| concepts.beginning(&word[at..], MIN_PART))
                .flatten();
            at += part.map_or(1, |(length, _)| length);
            if let Some((_, found)) = part {
                all(found);
            }
        }
    }
}

/// Calls `each` for the concepts in a run of a script without spaces: the longest words from left to right.
pub(crate) fn of_run(run: &str, mut each: impl FnMut(Concept)) {
    let concepts = &*CONCEPTS;
    let mut at = 0;
    while at < run.len() {
        let rest = &run[at..];
        let found = (1..=rest.len().min(concepts.longest_run))
            .rev()
            .filter(|end| rest.is_char_boundary(*end))
            .find_map(|end| concepts.runs.get(&rest[..end]).map(|found| (end, found)));
        at += match found {
            Some((length, found)) => {
                found.iter().for_each(|concept| each(*concept));
                length
            }
            None => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
}
