//! A body assembled from its chunks, within a limit. A body of one chunk is not copied.

use bytes::{Bytes, BytesMut};

/// The chunks received so far. Collecting may be interrupted and resumed.
#[derive(Debug, Default)]
pub struct Gathered {
    first: Bytes,
    all: BytesMut,
    /// The announced total length, or 0.
    expected: usize,
}

/// The body is larger than the limit.
#[derive(Debug, Clone, Copy)]
pub struct TooLarge;

impl Gathered {
    /// `expected` is the announced length. Memory for it is reserved with the second chunk, so that the body is not
    /// moved as it grows.
    pub fn expecting(expected: u64) -> Self {
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        Self { expected, ..Self::default() }
    }

    pub fn add(&mut self, piece: Bytes, limit: usize) -> Result<(), TooLarge> {
        if self.first.len().max(self.all.len()) + piece.len() > limit {
            return Err(TooLarge);
        }
        if self.first.is_empty() {
            self.first = piece;
            return Ok(());
        }
        if self.all.is_empty() {
            self.all.reserve(self.expected.min(limit));
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&piece);
        Ok(())
    }

    pub fn take(&mut self) -> Bytes {
        let first = std::mem::take(&mut self.first);
        if self.all.is_empty() { first } else { self.all.split().freeze() }
    }
}
