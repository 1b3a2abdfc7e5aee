//! Hourly usage, summed from audit records in the same transaction.

use std::collections::{BTreeMap, HashMap};

use memchr::memmem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row};

use crate::amount::Amount;
use crate::{Result, Store};

const HOUR: i64 = 60 * 60;

/// The dimensions of usage.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    pub calls: i64,
    pub failed: i64,
    pub price: Amount,
    /// Calls with a user-provided credential, which cost nothing.
    pub own_key: i64,
    /// Of results.
    pub bytes: i64,
    pub upstream_us: i64,
}

impl Usage {
    /// The number of failures, 0 or 1, that a call with this outcome adds.
    pub fn failed(outcome: &str) -> i64 {
        i64::from(!matches!(outcome, "ok" | "input_required" | "task"))
    }

    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.price = self.price.plus(other.price);
        self.own_key += other.own_key;
        self.bytes += other.bytes;
        self.upstream_us += other.upstream_us;
    }
}

/// Usage by hour and by the part of the record that identifies the caller: that part is parsed
/// once for all equal ones.
#[derive(Debug, Clone, Default)]
pub struct Tally(BTreeMap<i64, HashMap<Box<str>, Usage>>);

/// Maximum number of rows per hour; beyond it, a caller's targets at a server share one row.
const MOST_TOLD_APART: usize = 5_000;
/// The text before the target's name.
const TARGET: &str = "\"target\":\"";

/// The members of a record that identify the caller.
#[derive(Deserialize)]
#[serde(default)]
struct Whose {
    class: String,
    tenant: String,
    user: String,
    service_account: String,
    agent: String,
    key: String,
    server: String,
    target: String,
}

impl Default for Whose {
    fn default() -> Self {
        let text = String::new;
        Self {
            class: text(),
            tenant: text(),
            user: text(),
            service_account: text(),
            agent: text(),
            key: text(),
            server: text(),
            target: text(),
        }
    }
}

/// The members of a record that describe the outcome.
#[derive(Deserialize)]
struct Ended<'a> {
    outcome: &'a str,
    #[serde(default)]
    result: ResultAbout,
    #[serde(default)]
    price: i64,
    #[serde(default)]
    own_key: bool,
    #[serde(default)]
    upstream_us: i64,
}

#[derive(Default, Deserialize)]
struct ResultAbout {
    #[serde(default)]
    bytes: i64,
}

/// Positions of the parts of a line: its time up to the hour, the caller, and the outcome. Names within a
/// record cannot match these: their quotes are escaped.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let find = |from: usize, what: &str| {
        Some(from + memmem::find(&line.as_bytes()[from..], what.as_bytes())?)
    };
    let at = find(0, "\"at\":\"")? + 6;
    let begins = find(at, "\"class\":\"")?;
    // Calls without a tool are not counted.
    let target = find(begins, "\"target\":\"")? + 10;
    let mut ends = target;
    let bytes = line.as_bytes();
    while *bytes.get(ends)? != b'"' {
        ends += if bytes[ends] == b'\\' { 2 } else { 1 };
    }
    let outcome = memmem::rfind(line.as_bytes(), b"\"outcome\":\"")?;
    Some((line.get(at..at + 13)?, line.get(begins..=ends)?, line.get(outcome..)?))
}

impl Tally {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the record of a completed call; other records are ignored.
    pub fn add(&mut self, line: &str) {
        let Some((hour, whose, ended)) = parts(line) else { return };
        let is_call =
            whose.starts_with("\"class\":\"reads\"") || whose.starts_with("\"class\":\"writes\"");
        let kind = line.find("\"kind\":\"").map_or("", |at| &line[at + 8..]);
        if !is_call || !(kind.starts_with("call\"") || kind.starts_with("closed\"")) {
            return;
        }
        let ended = format!("{{{ended}");
        let Ok(ended) = serde_json::from_str::<Ended<'_>>(&ended) else { return };
        let Ok(hour) = format!("{hour}:00:00Z").parse::<jiff::Timestamp>() else { return };
        let usage = Usage {
            calls: 1,
            failed: Usage::failed(ended.outcome),
            price: Amount(ended.price),
            own_key: i64::from(ended.own_key),
            bytes: ended.result.bytes,
            upstream_us: ended.upstream_us,
        };
        self.count(hour.as_second(), whose, &usage);
    }

    /// Adds a completed call: its time in seconds since 1970, and its caller in the words
    /// of its record from the class to the target.
    pub fn count(&mut self, at: i64, whose: &str, usage: &Usage) {
        let hour = self.0.entry(at - at.rem_euclid(HOUR)).or_default();
        if let Some(all) = hour.get_mut(whose) {
            return all.add(usage);
        }
        // A caller with many targets, such as resources of a template, has one row for all of them.
        let named = whose.rfind(TARGET).filter(|_| hour.len() >= MOST_TOLD_APART);
        match named.map(|at| format!("{}{TARGET}other\"", &whose[..at])) {
            Some(others) => hour.entry(others.into()).or_default().add(usage),
            None => _ = hour.insert(whose.into(), *usage),
        }
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: &Self) {
        for (hour, all) in &other.0 {
            all.iter().for_each(|(whose, usage)| self.count(*hour, whose, usage));
        }
    }

    /// Parses the key under which usage is stored.
    pub fn by_key(&self) -> BTreeMap<UsageKey, Usage> {
        let mut all: BTreeMap<UsageKey, Usage> = BTreeMap::new();
        let each = self.0.iter().flat_map(|(hour, all)| all.iter().map(move |one| (*hour, one)));
        for (hour, (whose, usage)) in each {
            let Ok(whose) = serde_json::from_str::<Whose>(&format!("{{{whose}}}")) else {
                continue;
            };
            let principal = [whose.user, whose.service_account, whose.agent.clone()];
            let principal = principal.into_iter().find(|name| !name.is_empty());
            let key = UsageKey {
                hour,
                tenant: whose.tenant,
                principal: principal.unwrap_or_default(),
                agent: whose.agent,
                key: whose.key,
                server: whose.server,
                tool: whose.target,
            };
            all.entry(key).or_default().add(usage);
        }
        all
    }

    pub(crate) async fn write(&self, connection: &mut AnyConnection) -> Result<()> {
        for (key, usage) in &self.by_key() {
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
    /// Usage per hour between two times, in seconds since 1970.
    pub async fn usage(&self, from: i64, to: i64) -> Result<Vec<(UsageKey, Usage)>> {
        self.usage_where(from, to, None).await
    }

    /// The same for one principal of a tenant, which is empty where there is none.
    pub async fn usage_of(
        &self,
        (tenant, principal): (&str, &str),
        from: i64,
        to: i64,
    ) -> Result<Vec<(UsageKey, Usage)>> {
        self.usage_where(from, to, Some((tenant, principal))).await
    }

    async fn usage_where(
        &self,
        from: i64,
        to: i64,
        whose: Option<(&str, &str)>,
    ) -> Result<Vec<(UsageKey, Usage)>> {
        let (tenant, principal) = whose.unwrap_or_default();
        let rows = sqlx::query(
            "SELECT hour, tenant, principal, agent, api_key, server, tool, calls, failed, price, \
             own_key, bytes, upstream_us FROM usage WHERE hour >= $1 AND hour < $2 \
             AND ($3 = 0 OR (tenant = $4 AND principal = $5)) ORDER BY hour, tenant, principal, agent, api_key, server, tool",
        )
        .bind(from.saturating_sub(from.rem_euclid(HOUR)))
        .bind(to)
        .bind(i64::from(whose.is_some()))
        .bind(tenant)
        .bind(principal)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_somebody_makes_up_are_one_row() {
        let mut tally = Tally::default();
        let usage = Usage { calls: 1, ..Usage::default() };
        for number in 0..MOST_TOLD_APART + 500 {
            let whose = format!(
                "\"class\":\"reads\",\"user\":\"alice\",\"server\":\"s\",\"target\":\"file:///{number}\""
            );
            tally.count(0, &whose, &usage);
        }
        let rows = tally.by_key();
        assert_eq!(rows.len(), MOST_TOLD_APART + 1);
        let others = rows.iter().find(|(key, _)| key.tool == "other").unwrap();
        assert_eq!((others.1.calls, others.0.principal.as_str()), (500, "alice"));
    }

    #[test]
    fn calls_that_have_ended_are_added_up_and_names_cannot_pose_as_others() {
        let call = |kind: &str, tenant: &str, target: &str, rest: &str| {
            let (tenant, target) = (serde_json::json!(tenant), serde_json::json!(target));
            format!(
                "{{\"writer\":\"w\",\"seq\":1,\"prev\":\"\",\"kind\":\"{kind}\",\"id\":\"1\",\"at\":\"2026-11-21T22:41:32.326807Z\",\
                 \"class\":\"reads\",\"tenant\":{tenant},\"user\":\"alice\",\"server\":\"s\",\"target\":{target},\"method\":\"tools/call\"{rest},\"hash\":\"h\"}}"
            )
        };
        let ok = ",\"outcome\":\"ok\",\"result\":{\"sha256\":\"x\",\"bytes\":7},\"upstream_us\":5,\"price\":3";
        let failed = ",\"outcome\":\"failed\",\"error\":\"timeout\"";
        let evil = "x\",\"outcome\":\"ok\",\"price\":999,\"target\":\"y";
        let mut tally = Tally::default();
        tally.add(&call("call", "acme", "t", ok));
        tally.add(&call("closed", "acme", "t", ok));
        tally.add(&call("call", "acme", "t", failed));
        tally.add(&call("opened", "acme", "t", ""));
        tally.add(&call("call", evil, evil, ok));
        tally.add("{\"kind\":\"act\",\"class\":\"acts\"}");
        tally.add("no json");
        let all: Vec<_> = tally.by_key().into_iter().collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].0.tool.as_str(), all[0].1.calls, all[0].1.failed), ("t", 3, 1));
        assert_eq!((all[0].1.price, all[0].1.bytes, all[0].1.upstream_us), (Amount(6), 14, 10));
        assert_eq!(all[0].0.hour, 1_795_298_400);
        assert_eq!((all[1].0.tool.as_str(), all[1].0.tenant.as_str()), (evil, evil));
        assert_eq!(all[1].1.price, Amount(3));
    }
}
