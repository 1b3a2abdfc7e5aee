//! The audit log: search, single records, verification, holds.

mod evidence;
mod exports;
mod lines;
mod newest;
pub mod records;
mod retain;
mod verify;

use doorward_policy::{Action, Target};
use doorward_store::{Block, Hold, Span, Store, now_ms};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::evidence::{EVIDENCE, Evidence, Pack};
pub use self::exports::{EXPORTS, Export, Position};
pub use self::lines::{Chains, EXPORT, Exported, LINES, Lines, Recorded};
pub use self::retain::{RETAIN, Retain, Retained};
pub use self::verify::{
    KEYS, KeysOf, PublicKey, SigningKeys, VERIFY, Verified, Verify, public_key, read_key,
};

use self::records::{Filter, Record, each, text};
use super::ById;
use crate::desk::{self, Desk, Who};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging, cursor, no_cursor};
use crate::problem::{Code, Problem};

pub const SEARCH: Operation<Search, Page<Record>> = Operation::new(
    "audit.search",
    (Verb::Get, "/admin/v1/audit"),
    "Search audit records",
    (Action::ReadAudit, On::Named(|_, search| desk::of_tenant(search.filter.tenant.as_deref()))),
    |desk, search| Box::pin(async move { search_records(&desk, search).await }),
);

pub const SHOW: Operation<ById, Found> = Operation::new(
    "audit.show",
    (Verb::Get, "/admin/v1/audit/records/{id}"),
    "Show all records of one call",
    (Action::ReadAudit, On::Decides),
    |desk, input| Box::pin(async move { show(&desk, &input.id).await }),
);

pub const HOLDS: Operation<Holds, Page<Hold>> = Operation::new(
    "audit.holds",
    (Verb::Get, "/admin/v1/audit/holds"),
    "List holds",
    (Action::ReadAudit, On::Decides),
    |desk, input| Box::pin(async move { holds(&desk, input).await }),
);

pub const HOLD: Operation<Place, Hold> = Operation::new(
    "audit.hold",
    (Verb::Post, "/admin/v1/audit/holds"),
    "Place a hold: retention does not remove these records",
    (Action::HoldAudit, On::Named(|_, place: &Place| desk::of_tenant(place.tenant.as_deref()))),
    |desk, place| Box::pin(async move { hold(&desk, &place).await }),
)
.making();

pub const RELEASE: Operation<ById, Hold> = Operation::new(
    "audit.release",
    (Verb::Delete, "/admin/v1/audit/holds/{id}"),
    "Release a hold",
    (Action::HoldAudit, On::Decides),
    |desk, input| Box::pin(async move { release(&desk, &input.id).await }),
);

/// Which records are wanted: those that match everything that is set.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Search {
    /// From this time on, in milliseconds since 1970. Default: a day ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Before this time, in milliseconds since 1970. Default: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    pub order: Order,
    #[serde(flatten)]
    pub filter: Filter,
    #[serde(flatten)]
    pub paging: Paging,
}

/// Which records come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    #[default]
    Oldest,
    /// Each call when it began. A page may have fewer items than asked for, or none, and continue nevertheless: what is
    /// read for one page is bounded.
    Newest,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// In the order in which they were written.
    pub records: Vec<Record>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Holds {
    /// Include released holds.
    pub all: bool,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// All records of a tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// All records of a user, agent or service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    pub reason: String,
}

/// How far a search looks back where nothing is said, in milliseconds.
const A_DAY: i64 = 24 * 60 * 60 * 1_000;
/// Records that one request looks at.
const MOST_SEEN: usize = 1_000_000;

/// Takes what only `read_payloads` permits to see out of a record: arguments and results, also those that policies look
/// at. Before anything is searched, so that a search tells nothing of them.
fn without_payloads(record: &mut Record) {
    for part in ["arguments", "result"] {
        if let Some(part) = record.get_mut(part).and_then(Value::as_object_mut) {
            part.remove("payload");
            part.remove("policy");
        }
    }
}

fn sees_payloads(desk: &Desk, tenant: &str) -> bool {
    let own = (!tenant.is_empty()).then(|| desk::tenant(tenant));
    desk.may(Action::ReadPayloads, &desk::gateway())
        || own.is_some_and(|own| desk.may(Action::ReadPayloads, &own))
}

async fn search_records(desk: &Desk, search: Search) -> Result<Page<Record>, Problem> {
    if search.order == Order::Newest {
        return newest::newest(desk, search).await;
    }
    let paging = search.paging;
    let count = paging.count_at(desk)?;
    // A cursor names the end of the time and how many records came before.
    let (to, passed) = match paging.after()? {
        None => (search.to.unwrap_or_else(now_ms), 0),
        Some(key) => {
            let parts = key.split_once('/');
            let parts = parts.and_then(|(to, at)| Some((to.parse().ok()?, at.parse().ok()?)));
            parts.ok_or_else(no_cursor)?
        }
    };
    let from = search.from.unwrap_or(to.saturating_sub(A_DAY));
    if from >= to {
        return Err(Problem::invalid("'from' must be before 'to'"));
    }
    let filter = search.filter;
    let is_on_machine = matches!(desk.who(), Who::Machine);
    let most_seen = if is_on_machine { usize::MAX } else { MOST_SEEN };
    let (mut items, mut matched, mut seen): (Vec<Record>, usize, usize) = (Vec::new(), 0, 0);
    let mut more = false;
    each(desk.store()?, Span { from, to }, |mut record| {
        seen += 1;
        if !sees_payloads(desk, text(&record, "tenant")) {
            without_payloads(&mut record);
        }
        if filter.fits(&record) {
            matched += 1;
            if matched > passed {
                more = items.len() == count;
                if !more {
                    items.push(record);
                }
            }
        }
        !more && seen < most_seen
    })
    .await?;
    if seen >= most_seen && !more {
        let why = format!("more than {most_seen} records lie in this time: ask for a shorter one");
        return Err(Problem::invalid(why));
    }
    let next = passed + items.len();
    let next_cursor = more.then(|| cursor(&format!("{to}/{next}")));
    Ok(Page { items, next_cursor })
}

pub(super) async fn show(desk: &Desk, id: &str) -> Result<Found, Problem> {
    let mut records = Vec::new();
    let mut is_hidden = false;
    for line in lines_of(desk.store()?, id).await? {
        let Ok(mut record) = serde_json::from_str::<Record>(&line) else { continue };
        let tenant = text(&record, "tenant").to_owned();
        let about = desk::of_tenant((!tenant.is_empty()).then_some(tenant.as_str()));
        let sees = desk.may(Action::ReadAudit, &desk::gateway());
        if !sees && !desk.may(Action::ReadAudit, &about) {
            is_hidden = true;
            continue;
        }
        if !sees_payloads(desk, &tenant) {
            without_payloads(&mut record);
        }
        records.push(record);
    }
    // Somebody else's is not there.
    if records.is_empty() || is_hidden {
        return Err(Problem::absent("record", id));
    }
    Ok(Found { records })
}

/// The lines of a call, or one line as `WRITER/NUMBER`.
pub async fn lines_of(store: &Store, id: &str) -> Result<Vec<String>, Problem> {
    let mut found = Vec::new();
    if let Some((writer, seq)) = id.split_once('/') {
        let wrong = |_| Problem::invalid("expected a call ID, or WRITER/NUMBER");
        let seq: i64 = seq.parse().map_err(wrong)?;
        // The block that has it may begin before.
        let wanted = format!("\"seq\":{seq},");
        return lines_with(store, &[writer.to_owned()], &wanted).await;
    }
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(found);
    }
    let wanted = format!("\"id\":\"{id}\"");
    let run = id.get(..8).unwrap_or(id);
    let (own, others): (Vec<_>, Vec<_>) = store
        .audit_chains()
        .await?
        .into_iter()
        .partition(|writer| writer.rsplit('-').next() == Some(run));
    for writers in [own, others] {
        // If its writer has died, another has closed it.
        found.extend(lines_with(store, &writers, &wanted).await?);
        if found.iter().any(|line| !line.contains("\"kind\":\"opened\"")) {
            break;
        }
    }
    Ok(found)
}

async fn lines_with(
    store: &Store,
    writers: &[String],
    wanted: &str,
) -> Result<Vec<String>, Problem> {
    let mut found = Vec::new();
    for writer in writers {
        let mut scan = store.audit_chain(writer, i64::MIN);
        loop {
            let blocks = scan.next().await?;
            if blocks.is_empty() {
                break;
            }
            let lines = blocks.iter().filter(|block| block.body.contains(wanted));
            let lines = lines.flat_map(Block::lines);
            found.extend(lines.filter(|line| line.contains(wanted)).map(str::to_owned));
        }
    }
    Ok(found)
}

fn about(hold: &Hold) -> Target {
    desk::of_tenant(hold.tenant.as_deref())
}

async fn holds(desk: &Desk, input: Holds) -> Result<Page<Hold>, Problem> {
    let mut all = match desk.maybe_store() {
        Some(store) => store.audit_holds().await?,
        None => Vec::new(),
    };
    all.retain(|hold| input.all || hold.released.is_none());
    let all = desk.visible(Action::ReadAudit, all, about)?;
    input.paging.of(all, |hold| format!("{:012}{}", hold.created, hold.id))
}

async fn hold(desk: &Desk, place: &Place) -> Result<Hold, Problem> {
    if place.reason.trim().is_empty() {
        return Err(Problem::invalid("'reason' must not be empty"));
    }
    let (tenant, principal) = (place.tenant.as_deref(), place.principal.as_deref());
    Ok(desk.store()?.hold_audit(tenant, principal, &place.reason).await?)
}

async fn release(desk: &Desk, id: &str) -> Result<Hold, Problem> {
    let found = desk.store()?.audit_holds().await?.into_iter().find(|hold| hold.id == id);
    let target = found.as_ref().map_or_else(desk::gateway, about);
    desk.require(Action::HoldAudit, &target).map_err(|problem| match problem.code {
        Code::NotFound => Problem::absent("hold", id),
        _ => problem,
    })?;
    Ok(desk.store()?.release_audit(id).await?)
}
