//! What an evidence pack needs of the audit log, gathered in one pass.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::records::{Record, text, who};

/// What goes through the record once.
#[derive(Debug, Default)]
pub struct Gathered {
    pub acts: Vec<Record>,
    pub taken: Vec<Record>,
    pub refused: Vec<[String; 8]>,
    pub activity: BTreeMap<[String; 4], u64>,
    pub active: BTreeMap<String, String>,
    pub records: u64,
    /// About as many as the files will have.
    pub bytes: usize,
}

impl Gathered {
    /// Takes a record of the time.
    pub fn take(&mut self, record: &Record) {
        self.records += 1;
        let part = |name: &str| text(record, name).to_owned();
        match text(record, "kind") {
            "act" => {
                self.bytes += size(record);
                self.acts.push(record.clone());
            }
            "event" if text(record, "event") == "configuration.loaded" => {
                self.bytes += size(record);
                self.taken.push(record.clone());
            }
            "event" if text(record, "event") == "caller.refused" => self.refuse([
                part("at"),
                String::new(),
                who(record),
                part("address"),
                String::new(),
                part("target"),
                "not let in".into(),
                part("error"),
            ]),
            "call" | "opened" | "closed" => {
                let outcome =
                    if part("outcome").is_empty() { "open".into() } else { part("outcome") };
                let name = who(record);
                let latest = self.active.entry(name.clone()).or_default();
                *latest = latest.clone().max(part("at"));
                if matches!(outcome.as_str(), "denied" | "refused")
                    || text(record, "decision") == "deny"
                {
                    let why = ["code", "limit", "error"].map(part);
                    let why: Vec<String> = why.into_iter().filter(|why| !why.is_empty()).collect();
                    let mut row = [
                        part("at"),
                        part("id"),
                        name,
                        part("address"),
                        part("server"),
                        part("target"),
                        outcome.clone(),
                        why.join(" "),
                    ];
                    if let Some(policies) = record.get("policies").and_then(Value::as_array) {
                        for policy in policies.iter().filter_map(Value::as_str) {
                            row[7].push_str(&format!(" {policy}"));
                        }
                    }
                    self.refuse(row);
                }
                let day = part("at").chars().take(10).collect();
                let key = [day, part("server"), part("target"), outcome];
                *self.activity.entry(key).or_default() += 1;
            }
            _ => {}
        }
    }

    fn refuse(&mut self, row: [String; 8]) {
        self.bytes += row.iter().map(|cell| cell.len() + 1).sum::<usize>();
        self.refused.push(row);
    }
}

fn size(record: &Record) -> usize {
    Value::Object(record.clone()).to_string().len()
}
