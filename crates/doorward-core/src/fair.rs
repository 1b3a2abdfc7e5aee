//! A fair queue: callers take turns, so that a new caller is served after one item of a caller with many. When the
//! queue is full, an item of the caller with the most items is dropped.

use std::collections::VecDeque;

#[derive(Debug)]
pub struct FairQueue<T> {
    /// Waiting items by caller; the next caller is first.
    waiting: VecDeque<(Box<str>, VecDeque<T>)>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new() }
    }
}

impl<T> FairQueue<T> {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn len(&self) -> usize {
        self.waiting.iter().map(|(_, items)| items.len()).sum()
    }

    pub fn push(&mut self, sharer: &str, item: T) {
        match self.waiting.iter_mut().find(|(caller, _)| **caller == *sharer) {
            Some((_, items)) => items.push_back(item),
            None => self.waiting.push_back((sharer.into(), VecDeque::from([item]))),
        }
    }

    /// The oldest item of the next caller.
    pub fn pop(&mut self) -> Option<T> {
        self.pop_if(|_| true)
    }

    /// The oldest item of the next caller whose oldest item passes `may`.
    pub fn pop_if(&mut self, may: impl Fn(&T) -> bool) -> Option<T> {
        let mut all = self.waiting.iter();
        let at = all.position(|(_, items)| items.front().is_some_and(&may))?;
        let (sharer, mut items) = self.waiting.remove(at)?;
        let item = items.pop_front();
        if !items.is_empty() {
            self.waiting.push_back((sharer, items));
        }
        item
    }

    /// Drops and returns the oldest item of the caller with the most items. If several have the most, `newcomer` is
    /// chosen if it is one of them.
    pub fn shed(&mut self, newcomer: &str) -> Option<T> {
        let most = self.waiting.iter().map(|(_, items)| items.len()).max()?;
        let has_most = |(caller, items): &(Box<str>, VecDeque<T>)| {
            (items.len() == most).then_some(**caller == *newcomer)
        };
        let all = self.waiting.iter().enumerate();
        let largest = all.filter_map(|(at, one)| Some((has_most(one)?, at))).max();
        let (_, at) = largest?;
        let (_, items) = self.waiting.get_mut(at)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.waiting.remove(at);
        }
        item
    }

    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.waiting.retain_mut(|(_, items)| {
            items.retain(&keep);
            !items.is_empty()
        });
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter().flat_map(|(_, items)| items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_take_turns_and_the_one_with_the_most_items_loses_one() {
        let mut queue = FairQueue::default();
        for number in 0..5 {
            queue.push("mallory", format!("m{number}"));
        }
        queue.push("alice", "a0".to_owned());
        queue.push("bob", "b0".to_owned());
        queue.push("alice", "a1".to_owned());
        assert_eq!(queue.shed("alice").as_deref(), Some("m0"));
        assert_eq!(queue.shed("mallory").as_deref(), Some("m1"));
        assert_eq!(queue.shed("carol").as_deref(), Some("m2"));
        queue.push("carol", "c0".to_owned());
        queue.push("carol", "c1".to_owned());
        assert_eq!(queue.shed("carol").as_deref(), Some("c0"), "of several, the newcomer");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["m3", "a0", "b0", "c1", "m4", "a1"]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_caller_that_cannot_be_served_yet_keeps_its_turn() {
        let mut queue = FairQueue::default();
        for item in ["m0", "m1", "a0", "b0"] {
            queue.push(&item[..1], item);
        }
        assert_eq!(queue.pop_if(|item| !item.starts_with('m')), Some("a0"));
        assert_eq!(queue.pop_if(|_| false), None);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["m0", "b0", "m1"]);
    }
}
