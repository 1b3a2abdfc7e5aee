//! From the offsets of a derived text back to those of the text that it was made from.

use std::ops::Range;

/// A part of a derived text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    /// Where it begins in the derived text.
    at: usize,
    /// Where it comes from.
    from: usize,
    /// The end of the part that it replaces; for a verbatim part, unused.
    to: usize,
    /// Offset for offset the same as the original (it may differ in case).
    verbatim: bool,
}

/// Maps ranges of a derived text to ranges of its original. Parts are appended in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    steps: Vec<Step>,
    length: usize,
}

impl Map {
    /// The map of a text of a length that begins at an offset of the original.
    pub fn shift(from: usize, length: usize) -> Self {
        Self { steps: vec![Step { at: 0, from, to: 0, verbatim: true }], length }
    }

    /// Appends a part that is the same in the original at an offset.
    pub fn verbatim(&mut self, out: &mut String, from: usize, part: &str) {
        out.push_str(part);
        self.same_length(from, part.len());
    }

    /// Appends a part that was already written, and that has the length of the original at an offset.
    pub fn same_length(&mut self, from: usize, length: usize) {
        let continues = self
            .steps
            .last()
            .is_some_and(|last| last.verbatim && last.from + (self.length - last.at) == from);
        if !continues {
            self.steps.push(Step { at: self.length, from, to: 0, verbatim: true });
        }
        self.length += length;
    }

    /// Appends a part that stands for a range of the original.
    pub fn replaced(&mut self, out: &mut String, range: Range<usize>, part: &str) {
        if part.is_empty() {
            return;
        }
        out.push_str(part);
        self.steps.push(Step {
            at: self.length,
            from: range.start,
            to: range.end,
            verbatim: false,
        });
        self.length += part.len();
    }

    /// The range of the original from which a range of the derived text comes. Bounds that are not on a boundary of a
    /// replaced part are widened to it.
    pub fn original(&self, range: Range<usize>) -> Range<usize> {
        let start = self.step(range.start).map_or(0, |step| match step.verbatim {
            true => step.from + (range.start - step.at),
            false => step.from,
        });
        if range.end <= range.start {
            return start..start;
        }
        let end = self.step(range.end - 1).map_or(start, |step| match step.verbatim {
            true => step.from + (range.end - step.at),
            false => step.to,
        });
        start..end.max(start)
    }

    fn step(&self, at: usize) -> Option<Step> {
        let after = self.steps.partition_point(|step| step.at <= at);
        self.steps.get(after.checked_sub(1)?).copied()
    }

    /// The map to the original of the original: `self` maps to a text that `outer` maps further.
    pub fn through(&self, outer: &Self, range: Range<usize>) -> Range<usize> {
        outer.original(self.original(range))
    }
}
