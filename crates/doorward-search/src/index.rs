//! The index of a catalogue, and what one caller may see of it.

use crate::concepts::Concept;
use crate::document::{Counts, Document, FIELDS};
use crate::postings::{Collected, Postings};
use std::sync::Arc;

/// How many tools an index has. Further ones are never found.
pub const MAX_TOOLS: usize = 100_000;

/// A tool that has a term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posting {
    pub(crate) tool: u32,
    pub(crate) counts: Counts,
}

/// A tool whose names have a 4-gram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GramPosting {
    pub(crate) tool: u32,
    pub(crate) count: u8,
}

/// The index of one version of a catalogue. A tool is known by its position in it.
#[derive(Debug)]
pub struct Index {
    pub(crate) words: Postings<Box<str>, Posting>,
    pub(crate) concepts: Postings<Concept, Posting>,
    pub(crate) grams: Postings<Box<str>, GramPosting>,
    pub(crate) lengths: Box<[[u16; FIELDS]]>,
    pub(crate) gram_lengths: Box<[u16]>,
}

impl Index {
    /// Builds the index of a catalogue. Tools with equal scores keep its order.
    pub fn new<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Self {
        let (mut words, mut concepts, mut grams) =
            (Collected::new(), Collected::new(), Collected::new());
        let (mut lengths, mut gram_lengths) = (Vec::new(), Vec::new());
        for (document, tool) in documents.into_iter().take(MAX_TOOLS).zip(0..) {
            for (word, counts) in &document.words {
                words.add(&**word, Posting { tool, counts: *counts });
            }
            for (concept, counts) in &document.concepts {
                concepts.add(concept, Posting { tool, counts: *counts });
            }
            for (gram, count) in &document.grams {
                grams.add(&**gram, GramPosting { tool, count: *count });
            }
            lengths.push(document.lengths);
            gram_lengths.push(document.gram_length);
        }
        Self {
            words: words.finish(),
            concepts: concepts.finish(),
            grams: grams.finish(),
            lengths: lengths.into(),
            gram_lengths: gram_lengths.into(),
        }
    }

    /// How many tools it has.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether it has no tools.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        self.words.size(|word| word.len())
            + self.concepts.size(|_| 0)
            + self.grams.size(|gram| gram.len())
            + size_of_val(&*self.lengths)
            + size_of_val(&*self.gram_lengths)
    }

    /// What a caller may see: the tools for whose position `visible` is true. It is asked once for each tool.
    pub fn view(self: &Arc<Self>, visible: impl FnMut(usize) -> bool) -> View {
        View::new(self, visible)
    }
}

/// What one caller may see of an index.
///
/// Everything that a score depends on is counted among these tools alone: how rare a term is, and how long a field is on
/// average. The answer is the same as that of an index of just these tools, to the last bit of the scores, so it says
/// nothing about the others. (How long a search takes depends on the whole catalogue.) A view takes one bit per tool, and
/// can be kept as long as what the caller may see stays the same.
#[derive(Clone, Debug)]
pub struct View {
    pub(crate) index: Arc<Index>,
    visible: Box<[u64]>,
    /// How many tools are visible.
    pub(crate) count: u32,
    /// How many words each field has on average.
    pub(crate) average: [f32; FIELDS],
    /// How many 4-grams the names have on average.
    pub(crate) average_grams: f32,
}

impl View {
    fn new(index: &Arc<Index>, mut visible: impl FnMut(usize) -> bool) -> Self {
        let mut bits = vec![0_u64; index.len().div_ceil(64)];
        let (mut count, mut sums, mut grams) = (0_u32, [0_u64; FIELDS], 0_u64);
        for (tool, lengths) in index.lengths.iter().enumerate().filter(|(tool, _)| visible(*tool)) {
            bits[tool / 64] |= 1 << (tool % 64);
            count += 1;
            for (sum, length) in sums.iter_mut().zip(lengths) {
                *sum += u64::from(*length);
            }
            grams += u64::from(index.gram_lengths[tool]);
        }
        // A field that no visible tool has cannot match: what its average is does not matter.
        let average = |sum: u64| if sum == 0 { 1.0 } else { sum as f32 / count as f32 };
        Self {
            index: Arc::clone(index),
            visible: bits.into(),
            count,
            average: sums.map(average),
            average_grams: average(grams),
        }
    }

    /// Whether the caller may see the tool at a position.
    pub fn sees(&self, position: usize) -> bool {
        self.visible.get(position / 64).is_some_and(|bits| bits & (1 << (position % 64)) != 0)
    }

    /// How many tools the caller may see.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether the caller may see no tool.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
