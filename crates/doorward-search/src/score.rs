//! How well a tool fits a question: BM25F over its words and what they mean, and BM25 over the 4-grams of its names.

use crate::concepts::Concept;
use crate::document::{Counts, FIELDS};
use crate::index::{GramPosting, Posting, View};
use crate::terms::{self, Term};
use crate::text::words;
use std::collections::HashSet;

/// How many bytes of a question are read.
pub const MAX_QUESTION: usize = 2 * 1024;
/// How many different words of a question count, and how many concepts.
const MAX_WORDS: usize = 128;
/// How many different 4-grams of a question count.
const MAX_GRAMS: usize = 256;

/// What a word in the name, the server's name, the description, a parameter's name and a parameter's text counts.
const FIELD: [f32; FIELDS] = [4.0, 2.0, 1.0, 1.0, 1.0];
/// How soon further occurrences of a word count less.
const K1: f32 = 1.2;
/// How much a word counts less in longer fields.
const B: f32 = 0.5;
/// How much a longer name counts less for its 4-grams.
const GRAM_B: f32 = 0.75;
/// What a concept counts, compared with the word itself.
const CONCEPT: f32 = 0.6;
/// What a 4-gram counts, compared with a word: a word has several.
const GRAM: f32 = 0.15;

/// The terms of a question, each once.
#[derive(Debug, Default)]
struct Question {
    words: Vec<Box<str>>,
    concepts: Vec<Concept>,
    grams: Vec<Box<str>>,
}

impl Question {
    fn new(text: &str) -> Self {
        let mut question = Self::default();
        let mut seen = HashSet::<Box<str>>::new();
        let mut grams = HashSet::<Box<str>>::new();
        words(text, MAX_QUESTION, |token| {
            terms::of(token, |term| match term {
                Term::Word(word) => question.words.extend(once(&mut seen, word, MAX_WORDS)),
                Term::Concept(concept) => {
                    if question.concepts.len() < MAX_WORDS && !question.concepts.contains(&concept)
                    {
                        question.concepts.push(concept);
                    }
                }
            });
            terms::grams(token, |gram| question.grams.extend(once(&mut grams, gram, MAX_GRAMS)));
        });
        question
    }
}

/// The term, if it is new and there is room for it.
fn once(seen: &mut HashSet<Box<str>>, term: &str, most: usize) -> Option<Box<str>> {
    (seen.len() < most && !seen.contains(term)).then(|| {
        let term: Box<str> = term.into();
        seen.insert(term.clone());
        term
    })
}

/// The score of each tool of the index; 0 for tools that have no term of the question, or that the caller may not see.
pub(crate) fn scores(view: &View, question: &str) -> Vec<f32> {
    let question = Question::new(question);
    let index = &*view.index;
    let mut scores = vec![0.0; index.len()];
    for word in &question.words {
        add(view, index.words.of(&**word), 1.0, &mut scores);
    }
    for concept in &question.concepts {
        add(view, index.concepts.of(concept), CONCEPT, &mut scores);
    }
    for gram in &question.grams {
        add_gram(view, index.grams.of(&**gram), &mut scores);
    }
    scores
}

fn add(view: &View, postings: &[Posting], weight: f32, scores: &mut [f32]) {
    let visible = || postings.iter().filter(|posting| view.sees(posting.tool as usize));
    let weight = weight * rarity(view, visible().count());
    for posting in visible() {
        let tool = posting.tool as usize;
        let frequency = frequency(&posting.counts, &view.index.lengths[tool], &view.average);
        scores[tool] += weight * saturated(frequency);
    }
}

fn add_gram(view: &View, postings: &[GramPosting], scores: &mut [f32]) {
    let visible = || postings.iter().filter(|posting| view.sees(posting.tool as usize));
    let weight = GRAM * rarity(view, visible().count());
    for posting in visible() {
        let tool = posting.tool as usize;
        let length = f32::from(view.index.gram_lengths[tool]) / view.average_grams;
        scores[tool] +=
            weight * saturated(f32::from(posting.count) / (1.0 - GRAM_B + GRAM_B * length));
    }
}

/// The inverse document frequency of a term that `with` of the visible tools have.
fn rarity(view: &View, with: usize) -> f32 {
    let (all, with) = (view.count as f32, with as f32);
    (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
}

/// How often a term occurs, weighted by field and by the length of the field.
fn frequency(counts: &Counts, lengths: &[u16; FIELDS], average: &[f32; FIELDS]) -> f32 {
    let mut frequency = 0.0;
    for field in 0..FIELDS {
        if counts[field] > 0 {
            let length = f32::from(lengths[field]) / average[field];
            frequency += FIELD[field] * f32::from(counts[field]) / (1.0 - B + B * length);
        }
    }
    frequency
}

fn saturated(frequency: f32) -> f32 {
    frequency * (K1 + 1.0) / (frequency + K1)
}
