//! Other registries: how far they were read, and what has become of their entries.

use std::collections::BTreeMap;

use doorward_policy::Action;
use doorward_registry::source::Counts;
use doorward_store::{RegistryEntry, now};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::Problem;

pub const LIST: Operation<Paging, Page<Registry>> = Operation::new(
    "registries.list",
    (Verb::Get, "/admin/v1/registries"),
    "List the registries whose entries are proposed as servers",
    (Action::View, On::Gateway),
    |desk, paging| Box::pin(async move { list(&desk, &paging).await }),
);

pub const ENTRIES: Operation<Entries, Page<Entry>> = Operation::new(
    "registries.entries",
    (Verb::Get, "/admin/v1/registries/{name}/entries"),
    "List what has become of the entries of a registry",
    (Action::View, On::Gateway),
    |desk, input| Box::pin(async move { entries(&desk, input).await }),
);

pub const READ: Operation<Named, Requested> = Operation::new(
    "registries.read",
    (Verb::Post, "/admin/v1/registries/{name}/read"),
    "Read a registry now",
    (Action::Operate, On::Gateway),
    |desk, input| Box::pin(async move { read(&desk, input.name).await }),
);

/// A registry of the configuration. Times are in seconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Registry {
    pub name: String,
    /// Known where the configuration is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it was last read to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<i64>,
    /// When it is read next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
    /// Whether a gateway is reading it.
    pub reading: bool,
    /// Why the last reading did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Pages of the last reading.
    pub pages: usize,
    /// Entries of the last reading: all, or those that were updated since the one before.
    pub entries: usize,
    /// Entries of the last reading that `include` and `exclude` leave out.
    pub excluded: usize,
    /// Entries of the last reading that are not valid.
    pub unreadable: usize,
    /// How many entries are `waiting`, `proposed`, `skipped` and `deleted`.
    pub states: BTreeMap<String, i64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Entries {
    pub name: String,
    /// From `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items a page: 1 to 1000. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// An entry of a registry.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Its name in the registry, such as `io.github.acme/weather`.
    pub name: String,
    pub version: String,
    /// `waiting` until there is room for its proposal, `proposed`, `skipped`, or `deleted` from the registry.
    pub state: String,
    /// Why it is so, where there is more to be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The server that was proposed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// When this was stored, in seconds since 1970.
    pub updated: i64,
}

/// A registry that a running gateway reads within seconds, or as soon as the present reading has ended.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Requested {
    pub requested: String,
}

impl From<RegistryEntry> for Entry {
    fn from(it: RegistryEntry) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            name: it.entry,
            version: it.version,
            state: it.state.as_str().into(),
            reason: some(it.reason),
            server: some(it.server),
            updated: it.updated,
        }
    }
}

async fn list(desk: &Desk, paging: &Paging) -> Result<Page<Registry>, Problem> {
    let mut reads = match desk.maybe_store() {
        Some(store) => store.registry_reads().await?,
        None => Vec::new(),
    };
    let names: Vec<(String, Option<String>)> = match desk.settings() {
        Some(settings) => {
            let all = settings.registries.iter();
            all.map(|(name, registry)| (name.clone(), Some(registry.url.to_string()))).collect()
        }
        None => reads.iter().map(|read| (read.registry.clone(), None)).collect(),
    };
    let mut all = Vec::new();
    for (name, url) in names {
        let at = reads.iter().position(|read| read.registry == name);
        let read = at.map(|at| reads.swap_remove(at)).unwrap_or_default();
        let counts: Counts = serde_json::from_str(&read.counts).unwrap_or_default();
        let Counts { pages, entries, excluded, unreadable } = counts;
        let states = match desk.maybe_store() {
            Some(store) => store.count_registry_entries(&name).await?,
            None => Vec::new(),
        };
        all.push(Registry {
            name,
            url,
            read: read.done,
            next: Some(read.due).filter(|due| *due > 0),
            reading: read.busy > now(),
            problem: Some(read.problem).filter(|problem| !problem.is_empty()),
            pages,
            entries,
            excluded,
            unreadable,
            states: states.into_iter().map(|(state, n)| (state.as_str().into(), n)).collect(),
        });
    }
    paging.of(all, |registry| registry.name.clone())
}

/// Refuses a name that no registry has in the configuration, or where that is not known, in the store.
async fn known(desk: &Desk, name: &str) -> Result<(), Problem> {
    let known = match desk.settings() {
        Some(settings) => settings.registries.contains_key(name),
        None => desk.store()?.registry_reads().await?.iter().any(|read| read.registry == name),
    };
    if known { Ok(()) } else { Err(Problem::absent("registry", name)) }
}

async fn entries(desk: &Desk, input: Entries) -> Result<Page<Entry>, Problem> {
    known(desk, &input.name).await?;
    let paging = Paging::new(input.cursor, input.limit);
    let (count, after) = (paging.count()?, paging.after()?.unwrap_or_default());
    let most = i64::try_from(count + 1).unwrap_or(i64::MAX);
    let rows = desk.store()?.registry_entries(&input.name, &after, most).await?;
    let rows = rows.into_iter().map(Entry::from).collect();
    Ok(Page::cut(rows, count, |entry: &Entry| entry.name.clone()))
}

async fn read(desk: &Desk, name: String) -> Result<Requested, Problem> {
    known(desk, &name).await?;
    desk.store()?.request_registry(&name).await?;
    Ok(Requested { requested: name })
}
