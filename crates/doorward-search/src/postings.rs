//! For each term, the tools that have it: lists in one piece of memory, in the order of the catalogue.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Lists of postings by term, while they grow.
#[derive(Debug)]
pub(crate) struct Collected<Key, Posting> {
    numbers: HashMap<Key, usize>,
    lists: Vec<Vec<Posting>>,
}

impl<Key: Eq + Hash, Posting> Collected<Key, Posting> {
    pub(crate) fn new() -> Self {
        Self { numbers: HashMap::new(), lists: Vec::new() }
    }

    /// Adds to the list of a term.
    pub(crate) fn add<Q: Eq + Hash + ?Sized>(&mut self, term: &Q, posting: Posting)
    where
        Key: Borrow<Q>,
        for<'q> &'q Q: Into<Key>,
    {
        if let Some(number) = self.numbers.get(term) {
            self.lists[*number].push(posting);
        } else {
            self.numbers.insert(term.into(), self.lists.len());
            self.lists.push(vec![posting]);
        }
    }

    /// The lists one after the other.
    pub(crate) fn finish(self) -> Postings<Key, Posting> {
        let mut postings = Vec::with_capacity(self.lists.iter().map(Vec::len).sum());
        let mut starts = Vec::with_capacity(self.lists.len() + 1);
        for list in self.lists {
            starts.push(postings.len());
            postings.extend(list);
        }
        starts.push(postings.len());
        Postings { numbers: self.numbers, starts: starts.into(), postings: postings.into() }
    }
}

/// Lists of postings by term.
#[derive(Debug)]
pub(crate) struct Postings<Key, Posting> {
    numbers: HashMap<Key, usize>,
    /// Where each list starts, and where the last one ends.
    starts: Box<[usize]>,
    postings: Box<[Posting]>,
}

impl<Key: Eq + Hash, Posting> Postings<Key, Posting> {
    /// The tools that have a term.
    pub(crate) fn of<Q: Eq + Hash + ?Sized>(&self, term: &Q) -> &[Posting]
    where
        Key: Borrow<Q>,
    {
        self.numbers
            .get(term)
            .map_or(&[], |number| &self.postings[self.starts[*number]..self.starts[*number + 1]])
    }

    /// How many bytes it takes, with `term` for what a term takes outside of the map.
    pub(crate) fn size(&self, term: impl Fn(&Key) -> usize) -> usize {
        let terms: usize = self.numbers.keys().map(term).sum();
        let slots = self.numbers.capacity() * (size_of::<(Key, usize)>() + 1);
        terms + slots + size_of_val(&*self.starts) + size_of_val(&*self.postings)
    }
}
