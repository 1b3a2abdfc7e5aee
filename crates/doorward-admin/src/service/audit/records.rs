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
                let Some(mut whole) = self.open.remove(text(&record, "id")) else {
                    return Some(record);
                };
                whole.insert("closed_at".into(), record.get("at").cloned().unwrap_or_default());
                for (name, value) in record {
                    whole.entry(name).or_insert(value);
                }
                whole.insert("kind".into(), "call".into());
                Some(whole)
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
            && is(&self.agent, "agent")
            && is(&self.key, "key")
            && is(&self.server, "server")
            && is(&self.outcome, "outcome")
            && is(&self.class, "class")
            && self
                .tool
                .as_deref()
                .is_none_or(|wanted| pattern::matches(wanted, text(record, "target")))
            && self.text.as_deref().is_none_or(|wanted| {
                serde_json::to_string(record).is_ok_and(|whole| whole.contains(wanted))
            })
    }
}
