//! What servers with pins say that nobody has approved: shown word by word, accepted or refused by its hash.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use doorward_governance::pins::diff::{self, Change};
use doorward_policy::Action;
use doorward_store::DefinitionKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;
use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::problem::{Code, Problem};

/// So many hashes are decided on at once.
const MOST_HASHES: usize = 20_000;

pub const DRIFT: Operation<Named, Drift> = Operation::new(
    "pins.drift",
    (Verb::Get, "/admin/v1/servers/{name}/drift"),
    "Show the definitions of a server that are withheld, and how they differ from what was approved",
    (Action::View, On::Decides),
    |desk, input| Box::pin(async move { drift(&desk, &input.name, Action::View).await }),
);

pub const ACCEPT: Operation<Decide, Drift> = Operation::new(
    "pins.accept",
    (Verb::Post, "/admin/v1/servers/{name}/drift/accept"),
    "Accept withheld definitions of a server by their hashes",
    (Action::Approve, On::Decides),
    |desk, input| Box::pin(async move { decide(&desk, input, true).await }),
);

pub const REFUSE: Operation<Decide, Drift> = Operation::new(
    "pins.refuse",
    (Verb::Post, "/admin/v1/servers/{name}/drift/refuse"),
    "Refuse withheld definitions of a server by their hashes",
    (Action::Approve, On::Decides),
    |desk, input| Box::pin(async move { decide(&desk, input, false).await }),
);

/// Which definitions are accepted or refused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    pub name: String,
    /// The hashes, as the difference shows them.
    pub hashes: Vec<String>,
}

/// The definitions of a server that are withheld.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Drift {
    pub server: String,
    pub withheld: Vec<Withheld>,
}

/// One definition that is withheld.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Withheld {
    /// `modern` or `handshake`.
    pub era: String,
    /// `identity`, `instructions`, `tool`, `prompt` or `template`.
    pub kind: String,
    /// Empty for identity and instructions.
    pub name: String,
    /// SHA-256 of the canonical JSON.
    pub hash: String,
    /// Whether nothing of this name was approved before.
    pub is_new: bool,
    /// When it was first seen, in seconds since 1970.
    pub seen: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<String>,
    pub changes: Vec<Change>,
}

/// Where an administrator may do something to the server, its name as pins have it.
fn key_of(desk: &Desk, name: &str, action: Action) -> Result<String, Problem> {
    desk.require(action, &desk.server(name))?;
    Ok(name.to_ascii_lowercase())
}

async fn drift(desk: &Desk, name: &str, action: Action) -> Result<Drift, Problem> {
    let key = key_of(desk, name, action)?;
    let store = desk.store()?;
    let pins: BTreeMap<DefinitionKey, Bytes> = store
        .pins(&key)
        .await?
        .into_iter()
        .map(|pin| (pin.said.key, Bytes::from(pin.said.definition)))
        .collect();
    let drifts = store.drifts(&key).await?;
    let compared = tokio::task::spawn_blocking(move || {
        let shown = drifts.into_iter().map(|drift| {
            let old = pins.get(&drift.said.key);
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
        });
        shown.collect()
    });
    let withheld = compared
        .await
        .map_err(|_| Problem::new(Code::Internal, "the definitions cannot be compared"))?;
    Ok(Drift { server: name.to_owned(), withheld })
}

async fn decide(desk: &Desk, input: Decide, accept: bool) -> Result<Drift, Problem> {
    let Decide { name, hashes } = input;
    let key = key_of(desk, &name, Action::Approve)?;
    if hashes.is_empty() || hashes.len() > MOST_HASHES {
        return Err(Problem::invalid(format!("'hashes' must have 1 to {MOST_HASHES} hashes")));
    }
    let store = desk.store()?;
    let hashes: BTreeSet<String> = hashes.into_iter().collect();
    let mut decided = Vec::new();
    for drift in store.drifts(&key).await? {
        if hashes.contains(&drift.said.hash) {
            decided.push((drift.said.key, drift.said.hash));
        }
    }
    if let Some(absent) = hashes.iter().find(|hash| !decided.iter().any(|(_, it)| it == *hash)) {
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
    drift(desk, &name, Action::Approve).await
}
