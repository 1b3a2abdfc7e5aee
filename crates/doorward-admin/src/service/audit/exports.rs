//! Exports of audit records: where each of them is.

use std::collections::BTreeMap;

use doorward_config::ExportSettings;
use doorward_policy::Action;
use doorward_store::{Store, WriterRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::Problem;

pub const EXPORTS: Operation<Paging, Page<Export>> = Operation::new(
    "audit.exports",
    (Verb::Get, "/admin/v1/audit/exports"),
    "Show exports of audit records: what each has delivered, how far it is behind, and why",
    (Action::ReadAudit, On::Gateway),
    |desk, paging| Box::pin(async move { exports(&desk, &paging).await }),
);

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Export {
    pub name: String,
    /// `file`, `syslog`, `http` or `otlp`; absent if it is not configured any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Records that it has delivered, of all chains that there are.
    pub delivered: i64,
    /// Records that wait.
    pub behind: i64,
    /// When the oldest that waits was written, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<i64>,
    /// The chains that it has not delivered as a whole; at most 100.
    pub chains: Vec<Position>,
    /// The chain of the process that runs it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The machine of that process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether the gateway that answers runs it. Only then is `error` known.
    pub here: bool,
    /// Why the last attempt failed; absent if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far an export is in one chain.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    pub chain: String,
    /// The last record that was delivered.
    pub delivered: i64,
    /// The last record of the chain.
    pub last: i64,
}

/// Chains that are listed for an export.
const MOST_CHAINS: usize = 100;

fn kind_of(settings: &ExportSettings) -> &'static str {
    if settings.file.is_some() {
        "file"
    } else if settings.syslog.is_some() {
        "syslog"
    } else if settings.http.is_some() {
        "http"
    } else {
        "otlp"
    }
}

async fn exports(desk: &Desk, paging: &Paging) -> Result<Page<Export>, Problem> {
    let Some(store) = desk.maybe_store() else {
        return paging.of(Vec::new(), |export: &Export| export.name.clone());
    };
    let (owners, writers) = (store.export_owners().await?, store.audit_writers().await?);
    let settings = desk.settings();
    let configured = settings.iter().flat_map(|settings| &settings.audit.exports);
    let mut kinds: BTreeMap<&str, Option<&str>> =
        owners.keys().map(|name| (name.as_str(), None)).collect();
    kinds.extend(configured.map(|(name, settings)| (name.as_str(), Some(kind_of(settings)))));
    let page = paging.of(kinds.into_iter().collect(), |(name, _)| (*name).to_owned())?;
    let audit = desk.maybe_gateway().map(|gateway| &gateway.shared.audit);
    let (own, broken) = match audit {
        Some(audit) => (audit.writer(), audit.broken_exports()),
        None => (None, BTreeMap::new()),
    };
    let mut items = Vec::new();
    for (name, kind) in page.items {
        let owner = owners.get(name).and_then(|id| {
            writers.iter().find(|writer| writer.id == *id && writer.ended.is_none())
        });
        let here = own.as_ref().zip(owner).is_some_and(|(own, owner)| own.0 == owner.id);
        let mut export = Export {
            name: name.to_owned(),
            kind: kind.map(str::to_owned),
            delivered: 0,
            behind: 0,
            oldest: None,
            chains: Vec::new(),
            owner: owner.map(|owner| owner.id.clone()),
            host: owner.map(|owner| owner.place.host.clone()),
            here,
            error: here.then(|| broken.get(name).cloned()).flatten(),
        };
        locate(store, &writers, &mut export).await?;
        items.push(export);
    }
    Ok(Page { items, next_cursor: page.next_cursor })
}

/// Compares what an export has delivered with what there is.
async fn locate(store: &Store, writers: &[WriterRow], export: &mut Export) -> Result<(), Problem> {
    let positions = store.export_positions(&export.name).await?;
    for writer in writers {
        let last = writer.head.seq;
        let delivered = positions.get(&writer.id).copied().unwrap_or(0).min(last);
        export.delivered += delivered;
        if delivered == last {
            continue;
        }
        export.behind += last - delivered;
        if export.chains.len() < MOST_CHAINS {
            let next = store.audit_chain(&writer.id, delivered).next().await?;
            let oldest = next.first().map(|block| block.first_at);
            export.oldest = [export.oldest, oldest].into_iter().flatten().min();
            export.chains.push(Position { chain: writer.id.clone(), delivered, last });
        }
    }
    Ok(())
}
