//! Usage and cost, by any dimension.

use std::collections::BTreeMap;
use std::ops::Bound;

use doorward_policy::Action;
use doorward_store::{Amount, Usage, UsageKey, now};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desk::{self, Desk};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging, no_cursor};
use crate::problem::Problem;

pub const REPORT: Operation<Wanted, Page<Row>> = Operation::new(
    "usage.report",
    (Verb::Get, "/admin/v1/usage"),
    "Report usage and cost by tenant, user, agent, server, tool or time",
    (Action::Bill, On::Decides),
    |desk, input| Box::pin(async move { report(&desk, &input).await }),
);

/// A dimension of usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Tenant,
    User,
    Agent,
    Key,
    Server,
    Tool,
    Hour,
    Day,
    Month,
}

impl By {
    pub const ALL: [Self; 9] = [
        Self::Tenant,
        Self::User,
        Self::Agent,
        Self::Key,
        Self::Server,
        Self::Tool,
        Self::Hour,
        Self::Day,
        Self::Month,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::Agent => "agent",
            Self::Key => "key",
            Self::Server => "server",
            Self::Tool => "tool",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// Adds usage up by dimensions: the values of the dimensions, and what was used.
fn sums<'a>(
    by: &[By],
    all: impl Iterator<Item = &'a (UsageKey, Usage)>,
) -> BTreeMap<Vec<String>, Usage> {
    let mut sums: BTreeMap<Vec<String>, Usage> = BTreeMap::new();
    for (key, usage) in all {
        let group = by.iter().map(|by| value(*by, key)).collect();
        sums.entry(group).or_default().add(usage);
    }
    sums
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Wanted {
    /// Dimensions to group by, in this order. Default: `tenant`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<By>,
    /// From this time on, in seconds since 1970. Default: 30 days ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Before this time, in seconds since 1970. Default: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    #[serde(flatten)]
    pub paging: Paging,
}

/// What was used by one group. Rows are sorted by their groups.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The values of the dimensions, in the order of `by`. Empty where a call has none.
    pub group: Vec<String>,
    pub calls: i64,
    pub failed: i64,
    /// Calls with a credential of the caller's own, which cost nothing.
    pub own_key: i64,
    pub price: Amount,
    /// Of results.
    pub bytes: i64,
    /// Time that servers took, in milliseconds.
    pub upstream_ms: i64,
}

/// Seconds that a report looks back where nothing is said.
const USUAL: i64 = 30 * 24 * 60 * 60;

async fn report(desk: &Desk, wanted: &Wanted) -> Result<Page<Row>, Problem> {
    // Who sees no more than a tenant must name it.
    desk.require(Action::Bill, &desk::of_tenant(wanted.tenant.as_deref()))?;
    let is = |wanted: &Option<String>, said: &str| wanted.as_ref().is_none_or(|it| it == said);
    let by = if wanted.by.is_empty() { vec![By::Tenant] } else { wanted.by.clone() };
    let (from, to) = span(wanted.from, wanted.to)?;
    let mut all = desk.store()?.usage(from, to).await?;
    all.retain(|(key, _)| {
        is(&wanted.tenant, &key.tenant)
            && is(&wanted.user, &key.principal)
            && is(&wanted.agent, &key.agent)
            && is(&wanted.server, &key.server)
    });
    let count = wanted.paging.count_at(desk)?;
    rows(&by, &all, &wanted.paging, count)
}

/// The time that a report is about.
pub fn span(from: Option<i64>, to: Option<i64>) -> Result<(i64, i64), Problem> {
    let to = to.unwrap_or_else(|| now().saturating_add(1));
    let from = from.unwrap_or_else(|| to.saturating_sub(USUAL));
    if from >= to {
        return Err(Problem::invalid("'from' must be before 'to'"));
    }
    Ok((from, to))
}

/// A page of the rows of a report.
pub fn rows(
    by: &[By],
    all: &[(UsageKey, Usage)],
    paging: &Paging,
    count: usize,
) -> Result<Page<Row>, Problem> {
    let after: Option<Vec<String>> = match paging.after()? {
        None => None,
        Some(key) => Some(serde_json::from_str(&key).map_err(|_| no_cursor())?),
    };
    let sums = sums(by, all.iter());
    let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
    let rows = sums.range((begin, Bound::Unbounded)).take(count.saturating_add(1)).map(
        |(group, usage)| Row {
            group: group.clone(),
            calls: usage.calls,
            failed: usage.failed,
            own_key: usage.own_key,
            price: usage.price,
            bytes: usage.bytes,
            upstream_ms: usage.upstream_us / 1_000,
        },
    );
    Ok(Page::cut(rows.collect(), count, |row| {
        serde_json::to_string(&row.group).unwrap_or_default()
    }))
}

fn value(by: By, key: &UsageKey) -> String {
    let time = |form: &str| {
        let hour = Timestamp::from_second(key.hour).unwrap_or(Timestamp::UNIX_EPOCH);
        hour.strftime(form).to_string()
    };
    match by {
        By::Tenant => key.tenant.clone(),
        By::User => key.principal.clone(),
        By::Agent => key.agent.clone(),
        By::Key => key.key.clone(),
        By::Server => key.server.clone(),
        By::Tool => key.tool.clone(),
        By::Hour => time("%Y-%m-%dT%H:00Z"),
        By::Day => time("%Y-%m-%d"),
        By::Month => time("%Y-%m"),
    }
}
