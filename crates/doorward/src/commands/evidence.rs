//! `doorward evidence`: an evidence pack for auditors, from the store and the audit log, sorted by control.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use doorward_store::{Kind, Span, Store, files, now_ms, written_at};
use serde_json::{Value, json};

use super::audit::{verify, who};
use super::keys::date;
use super::{Exit, Failed, open};
use crate::cli::Evidence;
use crate::config;
use crate::terminal::harmless_json;
use doorward_admin::service::audit::records::{Record, each, text};

/// A file of the pack, what it shows, and for which controls.
struct Piece {
    file: &'static str,
    about: &'static str,
    controls: &'static [&'static str],
}

const PIECES: [Piece; 9] = [
    Piece {
        file: "access-review.csv",
        about: "Every user, agent, service account, team and tenant: memberships, whether it is \
            disabled, and when it was last active",
        controls: &["SOC 2 CC6.1", "ISO 27001 A.9.2.5"],
    },
    Piece {
        file: "keys.csv",
        about: "Every API key: owner, restrictions, creation time and expiry",
        controls: &["SOC 2 CC6.1", "ISO 27001 A.9.2.3", "ISO 27001 A.9.2.6"],
    },
    Piece {
        file: "grants.csv",
        about: "OAuth grants of users to clients, including revoked ones",
        controls: &["SOC 2 CC6.1", "ISO 27001 A.9.2.2"],
    },
    Piece {
        file: "policy-changes.jsonl",
        about: "Every version of the policies that was applied, with its text, and by whom",
        controls: &["SOC 2 CC6.1", "ISO 27001 A.9.4.1", "ISO 27001 A.14.2.2"],
    },
    Piece {
        file: "administration.jsonl",
        about: "Every action of administrators, in order",
        controls: &["SOC 2 CC6.1", "ISO 27001 A.12.4.3", "ISO 27001 A.14.2.2"],
    },
    Piece {
        file: "denied-calls.csv",
        about: "Calls that policies denied or limits refused, and failed authentications",
        controls: &["SOC 2 CC6.6", "SOC 2 CC7.2", "ISO 27001 A.9.4.1", "ISO 27001 A.12.4.1"],
    },
    Piece {
        file: "activity.csv",
        about: "Calls by day, server, tool and outcome",
        controls: &["SOC 2 CC7.2", "ISO 27001 A.12.4.1"],
    },
    Piece {
        file: "record-verification.json",
        about: "Verification of the audit log, with the state of each chain and the keys that \
            sign it",
        controls: &["SOC 2 CC7.2", "ISO 27001 A.12.4.2"],
    },
    Piece {
        file: "configuration.json",
        about: "The current configuration without secrets, and when it was changed",
        controls: &["SOC 2 CC6.6", "ISO 27001 A.14.2.2", "ISO 27001 A.14.2.4"],
    },
];

/// What goes through the record once.
#[derive(Default)]
struct Gathered {
    acts: Vec<Record>,
    taken: Vec<Record>,
    refused: Vec<[String; 8]>,
    activity: BTreeMap<[String; 4], u64>,
    active: BTreeMap<String, String>,
    records: u64,
}

pub async fn run(options: Evidence) -> Result<(), Failed> {
    let span = Span { from: options.from.0, to: options.to.map_or_else(now_ms, |to| to.0) };
    if span.to <= span.from {
        return Err(Failed::new(Exit::Usage, "--to must be after --from"));
    }
    let store = open(&options.kept).await?;
    let folder = &options.output;
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .map_err(|error| Failed::new(Exit::Failure, format!("{}: {error}", folder.display())))?;
    let mut gathered = Gathered::default();
    each(&store, span, |record| {
        gathered.take(&record);
        true
    })
    .await?;
    people(&store, folder, &gathered).await?;
    keys(&store, folder).await?;
    grants(&store, folder).await?;
    policies(&store, folder, span, &gathered).await?;
    lines(&folder.join("administration.jsonl"), &gathered.acts)?;
    let head = ["at", "call", "who", "address", "server", "tool", "outcome", "why"];
    csv(&folder.join("denied-calls.csv"), &head, &gathered.refused)?;
    let activity: Vec<[String; 5]> = gathered
        .activity
        .iter()
        .map(|([day, server, tool, outcome], count)| {
            [day.clone(), server.clone(), tool.clone(), outcome.clone(), count.to_string()]
        })
        .collect();
    csv(&folder.join("activity.csv"), &["day", "server", "tool", "outcome", "calls"], &activity)?;
    let whole = verification(&options, &store, folder).await?;
    configuration(&options, folder, &gathered)?;
    summary(folder, span, &gathered, whole)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", folder.display())?;
    if whole {
        Ok(())
    } else {
        Err(Failed::new(Exit::Failure, "THE AUDIT LOG IS NOT INTACT: see record-verification.json"))
    }
}

impl Gathered {
    fn take(&mut self, record: &Record) {
        self.records += 1;
        let part = |name: &str| text(record, name).to_owned();
        match text(record, "kind") {
            "act" => self.acts.push(record.clone()),
            "event" if text(record, "event") == "configuration.loaded" => {
                self.taken.push(record.clone());
            }
            "event" if text(record, "event") == "caller.refused" => self.refused.push([
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
                    self.refused.push(row);
                }
                let day = part("at").chars().take(10).collect();
                let key = [day, part("server"), part("target"), outcome];
                *self.activity.entry(key).or_default() += 1;
            }
            _ => {}
        }
    }
}

async fn people(store: &Store, folder: &Path, gathered: &Gathered) -> Result<(), Failed> {
    let joined = |all: &std::collections::BTreeSet<String>| {
        all.iter().cloned().collect::<Vec<_>>().join(" ")
    };
    let rows: Vec<[String; 7]> = store
        .principals()
        .await?
        .iter()
        .map(|entry| {
            // By name, with or without an agent and a tenant.
            let is = |name: &String| {
                matches!(entry.kind, Kind::User | Kind::Agent | Kind::ServiceAccount)
                    && name.split([' ', '(', ')']).any(|part| part == entry.name)
            };
            let seen =
                gathered.active.iter().filter(|(name, _)| is(name)).map(|(_, at)| at.clone());
            [
                entry.kind.to_string(),
                entry.name.clone(),
                entry.tenant.clone().unwrap_or_default(),
                joined(&entry.teams),
                joined(&entry.roles),
                if entry.disabled { "disabled" } else { "enabled" }.into(),
                seen.max().unwrap_or_default(),
            ]
        })
        .collect();
    let head = ["kind", "name", "tenant", "teams", "roles", "state", "last_active"];
    csv(&folder.join("access-review.csv"), &head, &rows)
}

async fn keys(store: &Store, folder: &Path) -> Result<(), Failed> {
    let time = |time: Option<i64>| time.map(date).unwrap_or_default();
    let rows: Vec<[String; 8]> = store
        .keys()
        .await?
        .iter()
        .map(|key| {
            [
                key.id.to_string(),
                format!("{} {}", key.owner_kind, key.owner),
                key.label.clone(),
                serde_json::to_string(&key.scopes).unwrap_or_default(),
                date(key.created),
                time(key.expires),
                time(key.revoked),
                key.replaced_by.as_ref().map(ToString::to_string).unwrap_or_default(),
            ]
        })
        .collect();
    let head = ["id", "owner", "label", "scopes", "made", "expires", "revoked", "replaced_by"];
    csv(&folder.join("keys.csv"), &head, &rows)
}

async fn grants(store: &Store, folder: &Path) -> Result<(), Failed> {
    let rows: Vec<[String; 7]> = store
        .grants(true)
        .await?
        .iter()
        .map(|grant| {
            [
                grant.id.clone(),
                grant.subject.clone(),
                grant.client_name.clone(),
                grant.scopes.iter().cloned().collect::<Vec<_>>().join(" "),
                date(grant.created),
                date(grant.expires),
                grant.revoked.map(date).unwrap_or_default(),
            ]
        })
        .collect();
    let head = ["id", "user", "client", "scopes", "given", "expires", "revoked"];
    csv(&folder.join("grants.csv"), &head, &rows)
}

async fn policies(
    store: &Store,
    folder: &Path,
    span: Span,
    gathered: &Gathered,
) -> Result<(), Failed> {
    let within = |since: i64| (span.from..span.to).contains(&(since * 1_000));
    let by = |version: i64| {
        gathered.acts.iter().find(|act| {
            text(act, "act").starts_with("policy.") && text(act, "subject") == version.to_string()
        })
    };
    let mut changes = Vec::new();
    for activation in store.policy_activations().await? {
        if within(activation.since) {
            let version = store.policy_version(activation.version).await?;
            changes.push(json!({
                "in_force_since": date(activation.since),
                "version": version.version,
                "digest": version.digest,
                "note": version.note,
                "by": by(activation.version).and_then(|act| act.get("actor")),
                "files": version.files,
            }));
        }
    }
    let changes: Vec<Record> =
        changes.into_iter().filter_map(|change| change.as_object().cloned()).collect();
    lines(&folder.join("policy-changes.jsonl"), &changes)
}

async fn verification(options: &Evidence, store: &Store, folder: &Path) -> Result<bool, Failed> {
    let (report, keys) = verify::of_store(&options.kept, &options.trust, &[], store).await?;
    let names: BTreeMap<&String, String> =
        keys.iter().map(|(id, key)| (id, verify::encode(key))).collect();
    let names = json!(names);
    let told = json!({ "verified_at": written_at(now_ms() * 1_000), "whole": report.is_good(), "keys": names, "report": report });
    write_json(&folder.join("record-verification.json"), &told)?;
    Ok(report.is_good())
}

fn configuration(options: &Evidence, folder: &Path, gathered: &Gathered) -> Result<(), Failed> {
    let settings = match &options.kept.config {
        Some(path) => {
            let loaded = config::load(path).map_err(|report| Failed::report(&report))?;
            loaded.settings.shown()
        }
        None => {
            eprintln!("note: pass the configuration with --config to include it in the pack");
            Value::Null
        }
    };
    let told = json!({ "now": settings, "taken": gathered.taken });
    write_json(&folder.join("configuration.json"), &told)
}

fn summary(folder: &Path, span: Span, gathered: &Gathered, whole: bool) -> Result<(), Failed> {
    let mut controls: BTreeMap<&str, Vec<&Piece>> = BTreeMap::new();
    for piece in &PIECES {
        for control in piece.controls {
            controls.entry(control).or_default().push(piece);
        }
    }
    let day = |ms: i64| written_at(ms * 1_000);
    let mut out = format!(
        "# Evidence of access control and logging at the MCP gateway\n\nFrom {} to {}, created at {} by \
         doorward {}.\n\n{} records were read. The audit log is {}.\n\n",
        day(span.from),
        day(span.to),
        day(now_ms()),
        env!("CARGO_PKG_VERSION"),
        gathered.records,
        if whole { "intact: no record was changed, removed or truncated" } else { "NOT intact" }
    );
    for (control, pieces) in controls {
        out.push_str(&format!("## {control}\n\n"));
        for piece in pieces {
            out.push_str(&format!("- `{}`: {}\n", piece.file, piece.about));
        }
        out.push('\n');
    }
    files::write(&folder.join("README.md"), out)?;
    Ok(())
}

fn write_json(path: &Path, value: &Value) -> Result<(), Failed> {
    files::write(path, format!("{}\n", harmless_json(&format!("{value:#}"))))?;
    Ok(())
}

fn lines(path: &Path, records: &[Record]) -> Result<(), Failed> {
    let mut text = String::new();
    for record in records {
        text.push_str(&harmless_json(&Value::Object(record.clone()).to_string()));
        text.push('\n');
    }
    files::write(path, text)?;
    Ok(())
}

fn csv<const N: usize>(path: &Path, head: &[&str; N], rows: &[[String; N]]) -> Result<(), Failed> {
    let mut text = format!("{}\n", head.join(","));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| super::usage::quoted(cell)).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    files::write(path, text)?;
    Ok(())
}
