//! Reads the audit log, and combines the two records that open and close a call.

use std::collections::HashMap;

use doorward_core::pattern;
use doorward_store::{Result, Span, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Openings that wait for the end of their call; beyond, the oldest are told as they are.
const MOST_OPEN: usize = 100_000;

/// One record, with all that is known of its call.
pub type Record = Map<String, Value>;

/// Calls that were opened and not yet closed, as the reading goes.
#[derive(Debug, Default)]
pub struct Joining {
    open: HashMap<String, Record>,
}

impl Joining {
    /// Takes a record; returns what is whole now.
    pub fn take(&mut self, record: Record) -> Option<Record> {
        if record.contains_key("removed") {
            return None;
        }
        let kind = record.get("kind").and_then(Value::as_str);
        match kind {
            Some("opened") if self.open.len() < MOST_OPEN => {
                let id = text(&record, "id").to_owned();
                self.open.insert(id, record);
                None
            }
            Some("closed") => {
                // Opened before what is looked at: only its end is known.
                let Some(opened) = self.open.remove(text(&record, "id")) else {
                    return Some(record);
                };
                Some(joined(opened, record))
            }
            _ => Some(record),
        }
    }

    /// What is still open at the end.
    pub fn rest(self) -> Vec<Record> {
        let mut rest: Vec<Record> = self.open.into_values().collect();
        rest.sort_by(|one, other| text(one, "at").cmp(text(other, "at")));
        rest
    }
}

/// The record of a call, from those that open and close it.
pub fn joined(mut opened: Record, closed: Record) -> Record {
    opened.insert("closed_at".into(), closed.get("at").cloned().unwrap_or_default());
    for (name, value) in closed {
        opened.entry(name).or_insert(value);
    }
    opened.insert("kind".into(), "call".into());
    opened
}

/// Goes through all records of a time until told to stop.
pub async fn each(store: &Store, span: Span, mut take: impl FnMut(Record) -> bool) -> Result<()> {
    let mut joining = Joining::default();
    let mut scan = store.audit_between(span);
    loop {
        let blocks = scan.next().await?;
        if blocks.is_empty() {
            break;
        }
        for line in blocks.iter().flat_map(doorward_store::Block::lines) {
            let read: Option<Record> = serde_json::from_str(line).ok();
            if let Some(record) = read.and_then(|record| joining.take(record))
                && is_within(&record, span)
                && !take(record)
            {
                return Ok(());
            }
        }
    }
    for record in joining.rest() {
        if is_within(&record, span) && !take(record) {
            break;
        }
    }
    Ok(())
}

/// Blocks may hold records from before and after.
fn is_within(record: &Record, span: Span) -> bool {
    let at = text(record, "at").parse::<jiff::Timestamp>();
    at.is_ok_and(|at| (span.from..span.to).contains(&at.as_millisecond()))
}

pub fn text<'a>(record: &'a Record, name: &str) -> &'a str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Who did it, in a word.
pub fn who(record: &Record) -> String {
    if let Some(actor) = record.get("actor") {
        return actor["name"].as_str().unwrap_or_default().to_owned();
    }
    let principal = ["user", "service_account"].map(|name| text(record, name));
    let principal = principal.into_iter().find(|name| !name.is_empty());
    let name = match (principal, text(record, "agent")) {
        (Some(principal), "") => principal.to_owned(),
        (Some(principal), agent) => format!("{principal} by {agent}"),
        (None, agent) => agent.to_owned(),
    };
    match text(record, "tenant") {
        "" => name,
        tenant => format!("{name} ({tenant})"),
    }
}

/// Which records are wanted: those that match everything that is set.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Filter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// A key's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// A tool, prompt or resource; `*` matches any characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Such as `ok`, `tool_error`, `error`, `denied`, `failed`, `refused`, `cancelled`, `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// `writes`, `reads`, `lists`, `events` or `acts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// `allow`, `deny` or `hold`: what the policies decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The id of a policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What inspection found, in the call or in what came back, such as `injection` or `secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// Such as `tools/call`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portal: Option<String>,
    /// The name of a session, as records have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The id of a trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Calls that took this many milliseconds or longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slower_than: Option<u64>,
    /// Text anywhere in the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Filter {
    pub fn fits(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| text(record, name) == wanted)
        };
        is(&self.tenant, "tenant")
            && is(&self.user, "user")
            && is(&self.service_account, "service_account")
            && is(&self.agent, "agent")
            && is(&self.key, "key")
            && is(&self.server, "server")
            && is(&self.outcome, "outcome")
            && is(&self.class, "class")
            && is(&self.decision, "decision")
            && is(&self.method, "method")
            && is(&self.portal, "portal")
            && is(&self.session, "session")
            && is(&self.trace, "trace")
            && self.policy.as_deref().is_none_or(|id| has(record.get("policies"), id))
            && self.finding.as_deref().is_none_or(|finding| has_found(record, finding))
            && self.slower_than.is_none_or(|least| took(record) >= least.saturating_mul(1_000))
            && self
                .tool
                .as_deref()
                .is_none_or(|wanted| pattern::matches(wanted, text(record, "target")))
            && self.text.as_deref().is_none_or(|wanted| {
                serde_json::to_string(record).is_ok_and(|whole| whole.contains(wanted))
            })
    }
}

/// Whether a member of a record is a list with this text.
fn has(list: Option<&Value>, wanted: &str) -> bool {
    list.and_then(Value::as_array)
        .is_some_and(|list| list.iter().any(|item| item.as_str() == Some(wanted)))
}

/// Whether inspection found this in a call or in what came back, among findings or classes of data.
fn has_found(record: &Record, wanted: &str) -> bool {
    let returned = record.get("returned");
    ["findings", "data"].iter().any(|name| {
        has(record.get(*name), wanted) || has(returned.and_then(|it| it.get(name)), wanted)
    })
}

/// How long a call took, in microseconds: here and at the server.
fn took(record: &Record) -> u64 {
    let part = |name: &str| record.get(name).and_then(Value::as_u64).unwrap_or_default();
    part("gateway_us").saturating_add(part("upstream_us"))
}
