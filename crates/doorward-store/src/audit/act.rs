//! Administrative actions, in one chain that all processes share. Each record is written in the
//! transaction of the change itself, so a change and its record are stored together or not at all.

use doorward_inspect::written::{self, Keep};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::{AnyConnection, Row};

use super::actor::Actor;
use super::block::Block;
use super::line::{Chain, Head};
use super::writer::{now_ms, written_at};
use crate::Result;

/// The chain of administrative actions.
pub const ACTS: &str = "acts";

/// How a member of an act is redacted: free text, such as reasons, is cleaned of secrets and
/// personal data; names of people and things, of secrets only.
fn keep(name: &str) -> Option<Keep> {
    match name {
        // What a removal signs and its signature look like a secret now and then.
        "kind" | "class" | "at" | "act" | "via" | "digest" | "address" | "public" | "removed"
        | "signature" => None,
        "why" | "reason" | "note" | "label" => Some(Keep::Addresses),
        _ => Some(Keep::Personal),
    }
}

/// One administrative action, under a stable name: `key.create`.
#[derive(Debug, Clone)]
pub struct Act {
    name: &'static str,
    /// The object of the action.
    subject: String,
    details: Map<String, Value>,
}

impl Act {
    pub fn new(name: &'static str, subject: impl Into<String>) -> Self {
        Self { name, subject: subject.into(), details: Map::new() }
    }

    /// Adds a detail; never a secret.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.details.insert(name.into(), value);
        self
    }

    /// Appends the act to its chain.
    pub(crate) async fn record(&self, actor: &Actor, connection: &mut AnyConnection) -> Result<()> {
        // Locks the chain: other transactions wait here until this one ends.
        sqlx::query("UPDATE audit_writers SET beats = beats + 1 WHERE id = $1")
            .bind(ACTS)
            .execute(&mut *connection)
            .await?;
        let row = sqlx::query("SELECT seq, hash FROM audit_writers WHERE id = $1")
            .bind(ACTS)
            .fetch_one(&mut *connection)
            .await?;
        let head = Head { seq: row.try_get("seq")?, hash: row.try_get("hash")? };
        let mut chain = Chain::new(ACTS, head);
        let at = now_ms();
        let mut body = String::new();
        chain.append(&[&self.members(actor, at)?], &mut body);
        let Head { seq, hash } = chain.head();
        sqlx::query("UPDATE audit_writers SET seq = $1, hash = $2 WHERE id = $3")
            .bind(seq)
            .bind(hash)
            .bind(ACTS)
            .execute(&mut *connection)
            .await?;
        let block =
            Block { writer: ACTS.into(), first: *seq, last: *seq, first_at: at, last_at: at, body };
        block.insert(connection).await?;
        Ok(())
    }

    fn members(&self, actor: &Actor, at: i64) -> Result<String> {
        #[derive(Serialize)]
        struct Members<'a> {
            kind: &'static str,
            class: &'static str,
            at: String,
            act: &'a str,
            subject: &'a str,
            actor: &'a Actor,
            #[serde(skip_serializing_if = "Map::is_empty")]
            details: &'a Map<String, Value>,
        }
        let members = Members {
            kind: "act",
            class: "acts",
            at: written_at(at * 1_000),
            act: self.name,
            subject: &self.subject,
            actor,
            details: &self.details,
        };
        let text = serde_json::to_string(&members)?;
        let clean = written::members(&text, keep)
            .map_err(|error| crate::Error::Refused(format!("an act is not recorded: {error}")))?;
        Ok(clean[1..clean.len() - 1].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signature that looks like a secret stays as it is, or what it proves could not be verified.
    #[test]
    fn what_is_signed_and_its_signature_are_recorded_as_they_are() {
        let looks = [
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_0123456789abcdefABCDEF0123456789abcd",
            "dana@example.com",
        ];
        for text in looks {
            let act = Act::new("audit.retention", "id")
                .with("removed", [(text, 1, 2, text)])
                .with("proof", serde_json::json!({ "key": "k", "signature": text }))
                .with("why", text);
            let written = act.members(&Actor::gateway(), 0).unwrap();
            assert_eq!(written.matches(text).count(), 3, "{written}");
        }
    }
}
