//! What callers with the same capabilities see of one server: four independent lists.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_inspect::written::{self, Keep};
use doorward_mcp::Object;
use doorward_mcp::translate::CacheHints;
use doorward_mcp::uri::may_expand;

use super::kinds::{PROMPTS, RESOURCES, TEMPLATES, TOOLS};
use super::tool::ToolEntry;
use crate::call_error::CallError;
use doorward_identity::exposed::Digest;

/// Delay before fetching a failed list is retried; longer if the failure took long.
const RETRY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Item {
    pub key: Box<str>,
    pub definition: Object,
}

/// One fetched list.
#[derive(Debug, Clone)]
pub struct List {
    pub items: Arc<Vec<Item>>,
    pub hints: CacheHints,
    /// Hidden items, and why.
    pub(super) left_out: Arc<BTreeMap<Box<str>, String>>,
    /// Items that differ from their approved definitions.
    pub(crate) changed: Arc<[Box<str>]>,
    /// For the list of tools: their properties.
    pub(super) tools: Arc<HashMap<Box<str>, Arc<ToolEntry>>>,
    /// The size of the server's response.
    pub(super) bytes: usize,
    pub(crate) fresh_until: Instant,
    pub(super) fetched: Instant,
    /// It was fetched at least once: the server does not offer anything that it does not contain.
    pub is_known: bool,
    /// Why the last fetch failed.
    pub problem: Option<CallError>,
}

impl List {
    /// A list that was not fetched yet.
    fn unknown() -> Self {
        let now = Instant::now();
        Self {
            items: Arc::default(),
            hints: CacheHints::NONE,
            left_out: Arc::default(),
            changed: Arc::default(),
            tools: Arc::default(),
            bytes: 0,
            fresh_until: now,
            fetched: now,
            is_known: false,
            problem: None,
        }
    }

    /// Why it could not be fetched, with the cause, for an operator.
    pub(super) fn failure(&self) -> Option<String> {
        Some(match self.problem.as_ref()? {
            CallError::Rpc(error) => {
                let message = written::text(&error.message, Keep::Nothing);
                format!("{message} (code {})", error.code)
            }
            CallError::Gateway(failure) | CallError::Refused { failure, .. } => {
                match &failure.cause {
                    Some(cause) => format!("{failure} ({cause})"),
                    None => failure.to_string(),
                }
            }
            CallError::Denied(_) | CallError::InvalidArguments(_) | CallError::Limited(_) => {
                "The gateway refused it".into()
            }
        })
    }

    /// The list after a failed fetch that took this long.
    pub(super) fn failed(&self, problem: CallError, took: Duration) -> Self {
        let fresh_until = Instant::now() + RETRY.max(took * 4);
        Self { problem: Some(problem), fresh_until, ..self.clone() }
    }

    /// Whether both are equal byte by byte.
    pub(super) fn is_equal(&self, other: &Self) -> bool {
        let same = |(one, other): (&Item, &Item)| {
            one.key == other.key && one.definition.to_bytes() == other.definition.to_bytes()
        };
        self.items.len() == other.items.len()
            && self.left_out == other.left_out
            && self.items.iter().zip(&*other.items).all(same)
    }
}

/// The four lists that callers with the same capabilities see.
#[derive(Debug)]
pub struct View {
    pub lists: [List; 4],
    prompts: Arc<HashSet<Box<str>>>,
    /// For mapping rewritten names to the original ones.
    pub(super) digests: Arc<Digests>,
}

impl View {
    /// A view whose lists were not fetched yet.
    pub(super) fn unknown() -> Arc<Self> {
        let lists = [(); 4].map(|()| List::unknown());
        Arc::new(Self { lists, prompts: Arc::default(), digests: Arc::default() })
    }

    /// The view with other lists. Data derived from unchanged lists is reused.
    pub(super) fn with(&self, server: &str, lists: [List; 4]) -> Self {
        let stays = |kind: usize| Arc::ptr_eq(&self.lists[kind].items, &lists[kind].items);
        let (tools_stay, prompts_stay) = (stays(TOOLS), stays(PROMPTS));
        let (prompts, digests) = (self.prompts.clone(), self.digests.clone());
        let mut view = Self { lists, prompts, digests };
        if !prompts_stay {
            let names = view.lists[PROMPTS].items.iter().map(|item| item.key.clone());
            view.prompts = Arc::new(names.collect());
        }
        if !(tools_stay && prompts_stay) {
            view.digests = Arc::new(Digests::of(server, &view));
        }
        view
    }

    pub fn tool(&self, name: &str) -> Option<&Arc<ToolEntry>> {
        self.lists[TOOLS].tools.get(name)
    }

    /// Whether both share the same lists in memory.
    pub fn shares_lists_with(&self, other: &Self) -> bool {
        let same = |(one, other): (&List, &List)| Arc::ptr_eq(&one.items, &other.items);
        self.lists.iter().zip(&other.lists).all(same)
    }

    /// Whether it contains all of the server's items of a kind.
    pub fn knows(&self, kind: usize) -> bool {
        self.lists[kind].is_known
    }

    /// Why a name is not found in a list: the list itself could not be fetched.
    pub fn problem(&self, kind: usize) -> Option<&CallError> {
        let list = &self.lists[kind];
        list.problem.as_ref().filter(|_| !list.is_known)
    }

    pub fn has_prompt(&self, name: &str) -> bool {
        self.prompts.contains(name)
    }

    /// Whether a resource is withheld itself, or can only belong to a template that is not served:
    /// it is in no list, and no served template matches it.
    pub fn withholds(&self, uri: &str) -> bool {
        let (templates, resources) = (&self.lists[TEMPLATES], &self.lists[RESOURCES]);
        if resources.left_out.contains_key(uri) {
            return true;
        }
        let mut withheld = templates.left_out.keys();
        withheld.any(|template| may_expand(template, uri))
            && !resources.items.iter().any(|item| &*item.key == uri)
            && !templates.items.iter().any(|item| may_expand(&item.key, uri))
    }

    /// When the first of the lists expires.
    pub fn fresh_until(&self) -> Instant {
        self.lists.iter().map(|list| list.fresh_until).min().unwrap_or_else(Instant::now)
    }
}

/// A view's tools and prompts, by the digests that end their rewritten names.
#[derive(Debug, Default)]
pub struct Digests(Vec<(Digest, u8, u32)>);

impl Digests {
    /// For the lists of tools and prompts.
    pub fn of(server: &str, view: &View) -> Self {
        let mut all: Vec<_> = (0..2u8)
            .flat_map(|list| {
                let items = view.lists[usize::from(list)].items.iter().zip(0u32..);
                items.map(move |(item, at)| (Digest::of(server, &item.key), list, at))
            })
            .collect();
        all.sort_unstable();
        Self(all)
    }

    /// The original names that a digest may stand for.
    pub fn find<'a>(&'a self, view: &'a View, digest: Digest) -> impl Iterator<Item = &'a str> {
        let start = self.0.partition_point(|(of, ..)| *of < digest);
        let fitting = self.0[start..].iter().take_while(move |(of, ..)| *of == digest);
        fitting.filter_map(|(_, list, at)| {
            Some(&*view.lists.get(usize::from(*list))?.items.get(*at as usize)?.key)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_of_lists_that_stay_is_not_made_again() {
        let view = View::unknown();
        let mut lists = view.lists.clone();
        lists[PROMPTS + 1].items = Arc::default();
        let next = view.with("s", lists.clone());
        assert!(Arc::ptr_eq(&view.digests, &next.digests));
        assert!(Arc::ptr_eq(&view.prompts, &next.prompts));
        lists[PROMPTS].items = Arc::default();
        let next = view.with("s", lists);
        assert!(!Arc::ptr_eq(&view.digests, &next.digests));
        assert!(!Arc::ptr_eq(&view.prompts, &next.prompts));
    }
}
