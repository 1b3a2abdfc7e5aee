//! What servers with pins say and nobody has approved: shown word by word, accepted or refused by its hash.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use doorward_gateway::gateway::looking::Look;
use doorward_governance::pins::diff::{self, Change};
use doorward_policy::Action;
use doorward_store::{DefinitionKey, Store, StoredDefinition, StoredDrift};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::found::find;
use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::{Code, Problem};

/// So many hashes are decided on at once.
const MOST_HASHES: usize = 20_000;

pub const DIFF: Operation<Compare, Page<Withheld>> = Operation::new(
    "servers.diff",
    (Verb::Get, "/admin/v1/servers/{name}/drift"),
    "Show the definitions of a server that are withheld, and how they differ from what was approved",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { compare(&desk, input).await }),
);

pub const ACCEPT: Operation<Decision, Decided> = Operation::new(
    "servers.accept",
    (Verb::Post, "/admin/v1/servers/{name}/drift/accept"),
    "Accept withheld definitions of a server by their hashes",
    (Action::Approve, On::Decides),
    |desk, input| Box::pin(async move { decide(&desk, input, true).await }),
);

pub const REFUSE: Operation<Decision, Decided> = Operation::new(
    "servers.refuse",
    (Verb::Post, "/admin/v1/servers/{name}/drift/refuse"),
    "Refuse withheld definitions of a server by their hashes",
    (Action::Approve, On::Decides),
    |desk, input| Box::pin(async move { decide(&desk, input, false).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Compare {
    pub name: String,
    #[serde(flatten)]
    pub paging: Paging,
}

/// Which definitions are accepted or refused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    pub name: String,
    /// The hashes, as the difference shows them. All of them are decided on, or none.
    pub hashes: Vec<String>,
}

/// What became of a decision.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    pub server: String,
    /// How many definitions were accepted or refused.
    pub decided: usize,
    /// How many are still withheld, refused ones among them.
    pub withheld: usize,
}

/// One definition that is withheld.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Withheld {
    /// `modern` or `handshake`.
    pub era: String,
    /// `identity`, `instructions`, `tool`, `prompt` or `template`.
    pub kind: String,
    /// Empty for identity and instructions.
    pub name: String,
    /// `sha256:` and the SHA-256 of the canonical JSON in hexadecimal.
    pub hash: String,
    /// Whether nothing of this name was approved before.
    pub is_new: bool,
    /// When it was first seen, in seconds since 1970.
    pub seen: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<String>,
    pub changes: Vec<Change>,
}

/// A server to which an administrator may do something: its name, as it is written and as pins have it.
async fn pinned(desk: &Desk, name: &str, action: Action) -> Result<(String, String), Problem> {
    let name = find(desk, name, action).await?.server.life.name;
    if desk.maybe_gateway().is_some_and(|gateway| gateway.pins.is_locked(&name)) {
        let why = format!(
            "the pins of '{name}' are in the file of 'pins.file': compare and change it with 'doorward servers pin'"
        );
        return Err(Problem::new(Code::DefinedInConfiguration, why));
    }
    let key = name.to_ascii_lowercase();
    Ok((name, key))
}

fn order(drift: &StoredDrift) -> String {
    let DefinitionKey { era, kind, name } = &drift.said.key;
    format!("{kind}\0{name}\0{era}\0{}", drift.said.hash)
}

/// What the last look has found, which an approval pins. Another look would be another revision.
pub(super) async fn pins_of(store: &Store, name: &str) -> Result<Vec<StoredDefinition>, Problem> {
    let Some(look) = store.server_look(name).await? else { return Ok(Vec::new()) };
    let found = tokio::task::spawn_blocking(move || {
        let look: Look = serde_json::from_str(&look.found)?;
        let found = look.definitions();
        Ok::<_, serde_json::Error>(
            found.iter().map(|(place, said)| StoredDefinition::of(place, said)).collect(),
        )
    });
    let unreadable =
        || Problem::new(Code::Internal, "what the last look has found cannot be read: look again");
    found.await.map_err(|_| unreadable())?.map_err(|_| unreadable())
}

async fn compare(desk: &Desk, input: Compare) -> Result<Page<Withheld>, Problem> {
    let (_, key) = pinned(desk, &input.name, Action::View).await?;
    let store = desk.store()?;
    let Page { items, next_cursor } = input.paging.of(store.drifts(&key).await?, order)?;
    let places = items.iter().map(|it| &it.said.key);
    let places: BTreeSet<_> = places.flat_map(|key| [key.clone(), key.of_other_era()]).collect();
    let pins = store.pins(&key).await?.into_iter().filter(|pin| places.contains(&pin.said.key));
    let pins = pins.map(|pin| (pin.said.key, Bytes::from(pin.said.definition))).collect();
    let comparing = tokio::task::spawn_blocking(move || {
        items.into_iter().map(|drift| compared(drift, &pins)).collect()
    });
    let items = comparing
        .await
        .map_err(|_| Problem::new(Code::Internal, "the definitions cannot be compared"))?;
    Ok(Page { items, next_cursor })
}

fn compared(drift: StoredDrift, pins: &BTreeMap<DefinitionKey, Bytes>) -> Withheld {
    // Where an era has no pin of its own, the other's counts.
    let key = &drift.said.key;
    let old = pins.get(key).or_else(|| pins.get(&key.of_other_era()));
    let new = Bytes::from(drift.said.definition);
    Withheld {
        is_new: old.is_none(),
        changes: diff::between(old, Some(&new)),
        era: drift.said.key.era,
        kind: drift.said.key.kind,
        name: drift.said.key.name,
        hash: drift.said.hash,
        seen: drift.seen,
        refused_by: drift.refused_by,
    }
}

async fn decide(desk: &Desk, input: Decision, accept: bool) -> Result<Decided, Problem> {
    let Decision { name, hashes } = input;
    let (name, key) = pinned(desk, &name, Action::Approve).await?;
    if hashes.is_empty() || hashes.len() > MOST_HASHES {
        return Err(Problem::invalid(format!("'hashes' must have 1 to {MOST_HASHES} hashes")));
    }
    let store = desk.store()?;
    let mut absent: BTreeSet<String> = hashes.into_iter().collect();
    let wanted = absent.clone();
    let mut decided = Vec::new();
    for drift in store.drifts(&key).await? {
        if wanted.contains(&drift.said.hash) {
            absent.remove(&drift.said.hash);
            decided.push((drift.said.key, drift.said.hash));
        }
    }
    if let Some(absent) = absent.first() {
        let why = format!(
            "no definition of '{name}' with hash '{absent}' is withheld: look at the difference again"
        );
        return Err(Problem::new(Code::Conflict, why));
    }
    match accept {
        true => store.accept_drifts(&key, &decided).await?,
        false => store.refuse_drifts(&key, &decided).await?,
    }
    desk.settle().await?;
    let withheld = store.drifts(&key).await?.len();
    Ok(Decided { server: name, decided: decided.len(), withheld })
}
