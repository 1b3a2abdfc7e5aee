//! An entry: a server or portal of the gateway as a registry describes it.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{OFFICIAL, SCHEMA};

/// Longest description and message, in characters, by the registry's schema.
const LONGEST_DESCRIPTION: usize = 100;
const LONGEST_MESSAGE: usize = 500;

/// What an entry stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Server,
    Portal,
}

/// Where an entry is in its life. What is neither is not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Active,
    /// With a message for users, which may be empty.
    Deprecated(String),
}

/// A server or portal, as far as clients are to know of it. It has nothing of what is behind the gateway: no URL, command,
/// header or package.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub kind: Kind,
    /// Its name at the gateway.
    pub name: String,
    /// For users; a text that says no more than the name where it is empty.
    pub description: String,
    /// The endpoint of the gateway, such as `https://mcp.example.com/mcp/tickets`.
    pub url: String,
    pub version: String,
    pub status: Status,
    pub published: Timestamp,
    pub updated: Timestamp,
}

impl Entry {
    /// A server or portal of the gateway at `origin`, as of now.
    pub fn new(kind: Kind, name: &str, origin: &str) -> Self {
        let now = Timestamp::now();
        Self {
            kind,
            name: name.into(),
            description: String::new(),
            url: format!("{origin}/mcp/{name}"),
            version: "1.0.0".into(),
            status: Status::Active,
            published: now,
            updated: now,
        }
    }

    /// Takes over what the store knows of a server: how many steps of its life were decided, and when (in seconds since
    /// 1970) the first and the last one were.
    pub fn decided(&mut self, steps: i64, first: i64, last: i64) {
        self.version = format!("1.0.{steps}");
        self.published = Timestamp::from_second(first).unwrap_or(self.published);
        self.updated = Timestamp::from_second(last).unwrap_or(self.updated);
    }

    /// The name in the registry: `com.example.mcp/tickets`.
    pub fn full_name(&self, namespace: &str) -> String {
        format!("{namespace}/{}", self.name)
    }

    /// The entry as `ServerResponse` of the registry's description.
    pub fn response(&self, namespace: &str) -> Value {
        let mut official = json!({
            "status": match self.status {
                Status::Active => "active",
                Status::Deprecated(_) => "deprecated",
            },
            "publishedAt": self.published.to_string(),
            "updatedAt": self.updated.to_string(),
            "isLatest": true,
        });
        if let Status::Deprecated(message) = &self.status
            && !message.is_empty()
        {
            official["statusMessage"] = truncated(message, LONGEST_MESSAGE).into();
        }
        json!({
            "server": {
                "$schema": SCHEMA,
                "name": self.full_name(namespace),
                "title": self.name,
                "description": self.description(),
                "version": self.version,
                "remotes": [{ "type": "streamable-http", "url": self.url }],
            },
            "_meta": { OFFICIAL: official },
        })
    }

    fn description(&self) -> String {
        let said = self.description.trim();
        if !said.is_empty() {
            return truncated(said, LONGEST_DESCRIPTION);
        }
        let kind = match self.kind {
            Kind::Server => "server",
            Kind::Portal => "portal",
        };
        format!("The {kind} '{}' of this gateway", self.name)
    }
}

/// The beginning of a text, of so many characters at most.
fn truncated(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most - 1).chain(['\u{2026}']).collect(),
    }
}
