//! The audit log line by line: as it grows, and as it is exported.

use doorward_policy::Action;
use doorward_store::{Block, Scan, Span, Store, now_ms};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::records::{Record, text};
use super::{sees_payloads, without_payloads};
use crate::desk::{self, Desk};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging, cursor, no_cursor};
use crate::problem::Problem;

pub const LINES: Operation<Lines, Recorded> = Operation::new(
    "audit.lines",
    (Verb::Get, "/admin/v1/audit/lines"),
    "Read records as they were written, and continue with what has been written since",
    (Action::ReadAudit, On::Gateway),
    |desk, input| Box::pin(async move { lines(&desk, &input).await }),
);

pub const EXPORT: Operation<Chains, Page<String>> = Operation::new(
    "audit.export",
    (Verb::Get, "/admin/v1/audit/export"),
    "Export records chain by chain, so that they can be verified; requires 'read_audit', too",
    (Action::ReadPayloads, On::Gateway),
    |desk, input| Box::pin(async move { export(&desk, &input).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lines {
    /// From this time on, in milliseconds since 1970. Default: the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// `position` of the response before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Records in the order in which they were written. A call that takes longer has two: one that opens and one that closes it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    /// None if nothing has been written since.
    pub records: Vec<Record>,
    /// Pass it as `cursor` to continue.
    pub position: String,
    /// When the latest record of all was written, in milliseconds since 1970.
    pub latest: i64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Chains {
    /// From this time on, in milliseconds since 1970, and with the checkpoint before it. Default: the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Before this time, in milliseconds since 1970. Default: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// `next_cursor` of the page before. A page has whole blocks of records, of about 2 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Lines of a chain, as they are stored.
pub type Exported = Page<String>;

/// Bytes of records in a response, beyond which it ends with the block.
const ENOUGH: usize = 2 << 20;

async fn lines(desk: &Desk, input: &Lines) -> Result<Recorded, Problem> {
    let store = desk.store()?;
    let after = Paging::new(input.cursor.clone(), None).after()?;
    let span = Span { from: input.from.unwrap_or_default(), ..Span::default() };
    let latest = store.audit_latest().await?;
    let mut scan = match after {
        None => store.audit_between(span),
        Some(key) => {
            let position = serde_json::from_str(&key).map_err(|_| no_cursor())?;
            store.audit_between_after(span, position)
        }
    };
    let mut records = Vec::new();
    let mut bytes = 0;
    while bytes < ENOUGH {
        let blocks = scan.next().await?;
        if blocks.is_empty() {
            break;
        }
        for line in blocks.iter().flat_map(Block::lines) {
            bytes += line.len();
            let Ok(mut record) = serde_json::from_str::<Record>(line) else { continue };
            if !sees_payloads(desk, text(&record, "tenant")) {
                without_payloads(&mut record);
            }
            records.push(record);
        }
    }
    let position = serde_json::to_string(&scan.position()).unwrap_or_default();
    Ok(Recorded { records, position: cursor(&position), latest })
}

async fn export(desk: &Desk, input: &Chains) -> Result<Exported, Problem> {
    desk.require(Action::ReadAudit, &desk::gateway())?;
    let store = desk.store()?;
    let (from, to) = (input.from.unwrap_or_default(), input.to.unwrap_or_else(now_ms));
    let chains = store.audit_chains().await?;
    // The chain that is read, and its last record that was.
    let (mut at, mut after) = match Paging::new(input.cursor.clone(), None).after()? {
        None => (0, None),
        Some(key) => {
            let (chain, after): (String, i64) =
                serde_json::from_str(&key).map_err(|_| no_cursor())?;
            let at = chains.iter().position(|name| *name == chain).ok_or_else(no_cursor)?;
            (at, Some(after))
        }
    };
    let (mut items, mut bytes) = (Vec::new(), 0);
    while let Some(chain) = chains.get(at) {
        let begin = match after.take() {
            Some(after) => after,
            None => begin_of(store, chain, from).await?,
        };
        let mut scan = store.audit_chain(chain, begin);
        loop {
            let (blocks, is_end) = next_before(&mut scan, to).await?;
            let Some(last) = blocks.last().map(|block| block.last) else { break };
            for line in blocks.iter().flat_map(Block::lines) {
                bytes += line.len();
                items.push(line.to_owned());
            }
            if bytes >= ENOUGH {
                let key = serde_json::to_string(&(chain, last)).unwrap_or_default();
                return Ok(Page { items, next_cursor: Some(cursor(&key)) });
            }
            if is_end {
                break;
            }
        }
        at += 1;
    }
    Ok(Page { items, next_cursor: None })
}

/// The next blocks of a chain, up to the first that begins after a time, and whether that was reached: whole blocks without
/// a gap, since a later block may begin earlier, with a call that took long.
async fn next_before(scan: &mut Scan, to: i64) -> Result<(Vec<Block>, bool), Problem> {
    let mut blocks = scan.next().await?;
    let end = blocks.iter().position(|block| block.first_at >= to);
    blocks.truncate(end.unwrap_or(blocks.len()));
    Ok((blocks, end.is_some()))
}

/// After which record a chain's part of a time begins: with the checkpoint before it, so that it can be verified.
async fn begin_of(store: &Store, chain: &str, from: i64) -> Result<i64, Problem> {
    let mut begin = i64::MIN;
    if from <= 0 {
        return Ok(begin);
    }
    let mut scan = store.audit_chain(chain, i64::MIN);
    loop {
        let blocks = scan.next().await?;
        if blocks.is_empty() {
            return Ok(i64::MAX);
        }
        for block in blocks {
            if block.last_at >= from {
                return Ok(if begin == i64::MIN { block.first - 1 } else { begin });
            }
            if block.body.contains("\"kind\":\"checkpoint\"") {
                begin = block.first - 1;
            }
        }
    }
}
