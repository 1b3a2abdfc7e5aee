//! What was used, by the hour: added up from the records themselves, in the same transaction.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row};

use crate::amount::Amount;
use crate::{Result, Store};

const HOUR: i64 = 60 * 60;

/// By what usage is told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UsageKey {
    /// When the hour began, in seconds since 1970.
    pub hour: i64,
    pub tenant: String,
    /// The user, service account or agent whose call it was.
    pub principal: String,
    pub agent: String,
    pub key: String,
    pub server: String,
    pub tool: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    pub calls: i64,
    pub failed: i64,
    pub price: Amount,
    /// Calls with a credential of the caller's own, which cost nothing.
    pub own_key: i64,
    /// Of results.
    pub bytes: i64,
    pub upstream_us: i64,
}

impl Usage {
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.price = self.price.plus(other.price);
        self.own_key += other.own_key;
        self.bytes += other.bytes;
        self.upstream_us += other.upstream_us;
    }
}

/// Usage that is being added up.
#[derive(Debug, Clone, Default)]
pub struct Tally(BTreeMap<UsageKey, Usage>);

#[derive(Deserialize)]
#[serde(default)]
struct Record<'a> {
    kind: &'a str,
    at: &'a str,
    class: &'a str,
    tenant: std::borrow::Cow<'a, str>,
    user: std::borrow::Cow<'a, str>,
    service_account: std::borrow::Cow<'a, str>,
    agent: std::borrow::Cow<'a, str>,
    key: std::borrow::Cow<'a, str>,
    server: std::borrow::Cow<'a, str>,
    target: std::borrow::Cow<'a, str>,
    outcome: &'a str,
    result: Option<ResultAbout>,
    price: Option<i64>,
    own_key: bool,
    upstream_us: i64,
}

impl Default for Record<'_> {
    fn default() -> Self {
        let text = || std::borrow::Cow::Borrowed("");
        Self {
            kind: "",
            at: "",
            class: "",
            tenant: text(),
            user: text(),
            service_account: text(),
            agent: text(),
            key: text(),
            server: text(),
            target: text(),
            outcome: "",
            result: None,
            price: None,
            own_key: false,
            upstream_us: 0,
        }
    }
}

#[derive(Deserialize)]
struct ResultAbout {
    #[serde(default)]
    bytes: i64,
}

impl Tally {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what a record says of a call that has ended; others say nothing.
    pub fn add(&mut self, line: &str) {
        let Ok(record) = serde_json::from_str::<Record<'_>>(line) else { return };
        if !matches!(record.kind, "call" | "closed") || !matches!(record.class, "reads" | "writes")
        {
            return;
        }
        let seconds = record.at.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
        let principal = [&record.user, &record.service_account, &record.agent];
        let principal = principal.into_iter().find(|name| !name.is_empty());
        let key = UsageKey {
            hour: seconds - seconds.rem_euclid(HOUR),
            tenant: record.tenant.to_string(),
            principal: principal.map(ToString::to_string).unwrap_or_default(),
            agent: record.agent.to_string(),
            key: record.key.to_string(),
            server: record.server.to_string(),
            tool: record.target.to_string(),
        };
        self.0.entry(key).or_default().add(&Usage {
            calls: 1,
            failed: i64::from(!matches!(record.outcome, "ok" | "input_required" | "task")),
            price: Amount(record.price.unwrap_or(0)),
            own_key: i64::from(record.own_key),
            bytes: record.result.map_or(0, |result| result.bytes),
            upstream_us: record.upstream_us,
        });
    }

    pub(crate) async fn write(&self, connection: &mut AnyConnection) -> Result<()> {
        for (key, usage) in &self.0 {
            sqlx::query(
                "INSERT INTO usage (hour, tenant, principal, agent, api_key, server, tool, calls, \
                 failed, price, own_key, bytes, upstream_us) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
                 ON CONFLICT (hour, tenant, principal, agent, api_key, server, tool) DO UPDATE SET \
                 calls = usage.calls + excluded.calls, failed = usage.failed + excluded.failed, \
                 price = usage.price + excluded.price, own_key = usage.own_key + excluded.own_key, \
                 bytes = usage.bytes + excluded.bytes, \
                 upstream_us = usage.upstream_us + excluded.upstream_us",
            )
            .bind(key.hour)
            .bind(&key.tenant)
            .bind(&key.principal)
            .bind(&key.agent)
            .bind(&key.key)
            .bind(&key.server)
            .bind(&key.tool)
            .bind(usage.calls)
            .bind(usage.failed)
            .bind(usage.price.0)
            .bind(usage.own_key)
            .bind(usage.bytes)
            .bind(usage.upstream_us)
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }
}

impl Store {
    /// What was used between two times, in seconds since 1970, hour by hour.
    pub async fn usage(&self, from: i64, to: i64) -> Result<Vec<(UsageKey, Usage)>> {
        let rows = sqlx::query(
            "SELECT hour, tenant, principal, agent, api_key, server, tool, calls, failed, price, \
             own_key, bytes, upstream_us FROM usage WHERE hour >= $1 AND hour < $2 \
             ORDER BY hour, tenant, principal, agent, api_key, server, tool",
        )
        .bind(from - from.rem_euclid(HOUR))
        .bind(to)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &sqlx::any::AnyRow| {
            let key = UsageKey {
                hour: row.try_get("hour")?,
                tenant: row.try_get("tenant")?,
                principal: row.try_get("principal")?,
                agent: row.try_get("agent")?,
                key: row.try_get("api_key")?,
                server: row.try_get("server")?,
                tool: row.try_get("tool")?,
            };
            let usage = Usage {
                calls: row.try_get("calls")?,
                failed: row.try_get("failed")?,
                price: Amount(row.try_get("price")?),
                own_key: row.try_get("own_key")?,
                bytes: row.try_get("bytes")?,
                upstream_us: row.try_get("upstream_us")?,
            };
            Ok((key, usage))
        };
        rows.iter().map(read).collect()
    }
}
