//! The best tools for a question, best first.

use crate::index::View;
use crate::score;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap, HashSet};

/// How many tools an answer has at most.
pub const MAX_LIMIT: usize = 200;
/// How many tools that the caller used lately count.
pub const MAX_RECENT: usize = 32;
/// How many tools of each ranking are mixed.
const MIXED: usize = MAX_LIMIT;
/// What the tool that was used last gains. Those before it gain less.
const RECENT: f32 = 0.25;
/// How little the first ranks of a ranking differ, when rankings are mixed.
const RANKS: f32 = 60.0;

/// What is searched for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Words, a sentence, or the name of a tool, in any language. The first [`MAX_QUESTION`](crate::MAX_QUESTION) bytes count.
    pub question: &'a str,
    /// How many tools are wanted, at most [`MAX_LIMIT`].
    pub limit: usize,
    /// Positions of tools that this caller used lately, the last one first. Those that fit the question rank higher. The first
    /// [`MAX_RECENT`] that it may see count.
    pub recent: &'a [usize],
    /// Positions of tools by another ranking, such as the distance of embeddings, best first. It is mixed in by reciprocal
    /// rank. It may contain tools that the caller may not see: they are removed before ranks are counted.
    pub similar: &'a [usize],
}

/// A tool that fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Its position in the catalogue.
    pub position: usize,
    /// How well it fits. Comparable within one answer only.
    pub score: f32,
}

/// Better hits are greater: a higher score, or else an earlier position.
struct Better(Hit);

impl Ord for Better {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.score.total_cmp(&other.0.score).then(other.0.position.cmp(&self.0.position))
    }
}

impl PartialOrd for Better {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Better {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Better {}

impl View {
    /// The tools that fit, best first. The order is the same whenever the catalogue, the view and the request are the same.
    pub fn search(&self, request: &Request<'_>) -> Vec<Hit> {
        let limit = request.limit.min(MAX_LIMIT);
        let mut scores = score::scores(self, request.question);
        for (rank, position) in self.listed(request.recent).take(MAX_RECENT).enumerate() {
            scores[position] *= 1.0 + RECENT * (1.0 - rank as f32 / MAX_RECENT as f32);
        }
        let found = scores.iter().enumerate().filter(|(_, score)| **score > 0.0);
        let found = found.map(|(position, score)| Hit { position, score: *score });
        let similar: Vec<usize> = self.listed(request.similar).take(MIXED).collect();
        // Also where all are hidden: the answer is then as if there had been none.
        if similar.is_empty() {
            return best(found, limit);
        }
        best(mixed(&best(found, MIXED), &similar), limit)
    }

    /// The visible tools of a list, each once: ranks count among them, so that they say nothing about the others.
    fn listed(&self, positions: &[usize]) -> impl Iterator<Item = usize> {
        let mut seen = HashSet::new();
        positions
            .iter()
            .copied()
            .filter(move |position| self.sees(*position) && seen.insert(*position))
    }
}

/// Both rankings as one: each gives a tool the reciprocal of its rank.
fn mixed(by_words: &[Hit], similar: &[usize]) -> impl Iterator<Item = Hit> {
    let mut scores: HashMap<usize, f32> = HashMap::with_capacity(by_words.len() + similar.len());
    let positions = |hits: &[Hit]| hits.iter().map(|hit| hit.position).collect::<Vec<_>>();
    for ranking in [&positions(by_words)[..], similar] {
        for (rank, position) in ranking.iter().enumerate() {
            *scores.entry(*position).or_default() += reciprocal(rank);
        }
    }
    scores.into_iter().map(|(position, score)| Hit { position, score })
}

fn reciprocal(rank: usize) -> f32 {
    1.0 / (RANKS + 1.0 + rank as f32)
}

/// The best `limit` hits, best first.
fn best(hits: impl Iterator<Item = Hit>, limit: usize) -> Vec<Hit> {
    let mut heap = BinaryHeap::with_capacity(limit + 1);
    for hit in hits {
        if heap.len() < limit {
            heap.push(Reverse(Better(hit)));
        } else if let Some(mut worst) = heap.peek_mut()
            && worst.0 < Better(hit)
        {
            *worst = Reverse(Better(hit));
        }
    }
    heap.into_sorted_vec().into_iter().map(|Reverse(Better(hit))| hit).collect()
}

#[cfg(test)]
mod tests {
    use super::{Hit, Request};
    use crate::{Document, Index, Tool, View};
    use std::sync::Arc;

    fn view(names: &[&str], hidden: &[usize]) -> View {
        let document = |name: &&str| Document::new(&Tool { name, ..Tool::default() });
        let documents: Vec<Document> = names.iter().map(document).collect();
        Arc::new(Index::new(&documents)).view(|position| !hidden.contains(&position))
    }

    fn positions(hits: &[Hit]) -> Vec<usize> {
        hits.iter().map(|hit| hit.position).collect()
    }

    fn request(question: &str) -> Request<'_> {
        Request { question, limit: 10, ..Request::default() }
    }

    const NAMES: [&str; 4] = ["read_file", "read_mail", "write_file", "delete_branch"];

    #[test]
    fn equal_tools_keep_the_order_of_the_catalogue() {
        let view = view(&["read_file"; 5], &[3]);
        assert_eq!(positions(&view.search(&request("read file"))), [0, 1, 2, 4]);
        assert_eq!(positions(&view.search(&Request { limit: 2, ..request("read file") })), [0, 1]);
    }

    #[test]
    fn hidden_tools_leave_their_place_to_others() {
        let view = view(&NAMES, &[0]);
        let hits = view.search(&Request { limit: 2, ..request("read file") });
        assert_eq!(hits.len(), 2);
        assert!(!positions(&hits).contains(&0), "{hits:?}");
    }

    #[test]
    fn a_tool_that_was_used_lately_ranks_higher_if_it_fits() {
        let view = view(&["read_file", "read_file", "delete_branch"], &[]);
        let hits = view.search(&Request { recent: &[2, 1], ..request("read file") });
        assert_eq!(positions(&hits), [1, 0]);
    }

    #[test]
    fn another_ranking_adds_tools_and_moves_others() {
        let view = view(&NAMES, &[1]);
        assert_eq!(positions(&view.search(&request("delete"))), [3]);
        let hits = view.search(&Request { similar: &[1, 2, 3], ..request("delete") });
        assert_eq!(positions(&hits), [3, 2]);
    }

    #[test]
    fn a_ranking_of_hidden_tools_alone_changes_nothing() {
        let view = view(&NAMES, &[1]);
        assert_eq!(
            view.search(&Request { similar: &[1, 9], ..request("file") }),
            view.search(&request("file"))
        );
    }

    #[test]
    fn a_word_is_as_rare_as_it_is_among_visible_tools() {
        let names = ["alpha_report", "beta_report", "gamma_report", "alpha_mail"];
        let all = view(&names, &[]).search(&request("report"));
        let few = view(&names, &[1, 2]).search(&request("report"));
        assert!(few[0].score > all[0].score, "{few:?} {all:?}");
    }

    #[test]
    fn a_question_of_a_megabyte_is_read_in_part() {
        let view = view(&NAMES, &[]);
        let long = format!("{} delete branch", "read ".repeat(200_000));
        assert_eq!(view.search(&request(&long)), view.search(&request("read")));
    }

    #[test]
    fn an_empty_question_finds_nothing() {
        let view = view(&NAMES, &[]);
        assert!(view.search(&request("")).is_empty());
        assert!(view.search(&request("the of and")).is_empty());
        assert!(self::view(&[], &[]).search(&request("read")).is_empty());
    }
}
