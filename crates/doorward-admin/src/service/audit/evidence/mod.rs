//! Evidence packs for auditors, from the store and the audit log, sorted by control.

mod gathered;

use std::collections::BTreeMap;

use doorward_mcp::display::harmless_json;
use doorward_policy::Action;
use doorward_store::{Kind, Span, Store, now_ms, written_at};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::gathered::Gathered;
use super::records::{Record, each, text};
use super::verify::{self, Verified, Verify};
use crate::csv;
use crate::desk::{Desk, Who};
use crate::operation::{On, Operation, Verb};
use crate::problem::Problem;

pub const EVIDENCE: Operation<Pack, Evidence> = Operation::new(
    "audit.evidence",
    (Verb::Get, "/admin/v1/audit/evidence"),
    "Make an evidence pack: access reviews, changes, denied calls and the verification of the audit log",
    (Action::ReadAudit, On::Gateway),
    |desk, input| Box::pin(async move { evidence(&desk, &input).await }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pack {
    /// From this time on, in milliseconds since 1970. Default: 90 days before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Before this time, in milliseconds since 1970. Default: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// Keys whose signatures are trusted. Default: the gateway's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Also trust keys that only the database knows, and unsigned records.
    pub trust_database: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Names and texts of the files of the pack, a `README.md` among them; at most 32 MiB.
    pub files: BTreeMap<String, String>,
    /// Whether no record was changed, removed or truncated.
    pub intact: bool,
    /// Keys of the database that are not trusted.
    pub untrusted_keys: usize,
    /// Files of the gateway that prove nothing, because others may read or write them.
    pub warnings: Vec<String>,
}

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

/// How far a pack goes back where nothing is said, in milliseconds.
const USUAL: i64 = 90 * 24 * 60 * 60 * 1_000;
/// Bytes of a pack, where it is sent to a peer.
const MOST: usize = 32 << 20;

fn is_too_large() -> Problem {
    let why = "the pack would have more than 32 MiB: ask for a shorter time, or run 'doorward evidence' on the \
        machine of the database";
    Problem::invalid(why)
}

async fn evidence(desk: &Desk, input: &Pack) -> Result<Evidence, Problem> {
    let to = input.to.unwrap_or_else(now_ms);
    let span = Span { from: input.from.unwrap_or(to.saturating_sub(USUAL)), to };
    if span.to <= span.from {
        return Err(Problem::invalid("'to' must be after 'from'"));
    }
    let store = desk.store()?;
    let most = if matches!(desk.who(), Who::Machine) { usize::MAX } else { MOST };
    let mut gathered = Gathered::default();
    each(store, span, |record| {
        gathered.take(&record);
        gathered.bytes <= most
    })
    .await?;
    if gathered.bytes > most {
        return Err(is_too_large());
    }
    let mut files = BTreeMap::new();
    let mut put = |name: &str, text: String| _ = files.insert(name.to_owned(), text);
    put("access-review.csv", people(store, &gathered).await?);
    put("keys.csv", keys(store).await?);
    put("grants.csv", grants(store).await?);
    put("policy-changes.jsonl", policies(store, span, &gathered).await?);
    put("administration.jsonl", lines(&gathered.acts));
    let head = ["at", "call", "who", "address", "server", "tool", "outcome", "why"];
    put("denied-calls.csv", csv::table(&head, &gathered.refused));
    let activity: Vec<[String; 5]> = gathered
        .activity
        .iter()
        .map(|([day, server, tool, outcome], count)| {
            [day.clone(), server.clone(), tool.clone(), outcome.clone(), count.to_string()]
        })
        .collect();
    put("activity.csv", csv::table(&["day", "server", "tool", "outcome", "calls"], &activity));
    let wanted = Verify {
        keys: input.keys.clone(),
        trust_database: input.trust_database,
        ..Verify::default()
    };
    let Verified { intact, untrusted_keys, keys, warnings, report } =
        verify::verify(desk, &wanted).await?;
    let at = written_at(now_ms() * 1_000);
    let told = json!({ "verified_at": at, "whole": intact, "keys": keys, "report": report });
    put("record-verification.json", readable(&told));
    let now = desk.settings().map_or(Value::Null, |settings| settings.shown());
    put("configuration.json", readable(&json!({ "now": now, "taken": gathered.taken })));
    put("README.md", summary(span, &gathered, intact));
    if files.values().map(String::len).sum::<usize>() > most {
        return Err(is_too_large());
    }
    Ok(Evidence { files, intact, untrusted_keys, warnings })
}

/// A time as a day and an hour, in UTC.
fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "never".into(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

async fn people(store: &Store, gathered: &Gathered) -> Result<String, Problem> {
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
    Ok(csv::table(&head, &rows))
}

async fn keys(store: &Store) -> Result<String, Problem> {
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
    Ok(csv::table(&head, &rows))
}

async fn grants(store: &Store) -> Result<String, Problem> {
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
    Ok(csv::table(&head, &rows))
}

async fn policies(store: &Store, span: Span, gathered: &Gathered) -> Result<String, Problem> {
    let within = |since: i64| (span.from..span.to).contains(&since.saturating_mul(1_000));
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
    Ok(lines(&changes))
}

fn summary(span: Span, gathered: &Gathered, whole: bool) -> String {
    let mut controls: BTreeMap<&str, Vec<&Piece>> = BTreeMap::new();
    for piece in &PIECES {
        for control in piece.controls {
            controls.entry(control).or_default().push(piece);
        }
    }
    let day = |ms: i64| written_at(ms.saturating_mul(1_000));
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
    out
}

fn readable(value: &Value) -> String {
    format!("{}\n", harmless_json(&format!("{value:#}")))
}

fn lines(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records {
        text.push_str(&harmless_json(&Value::Object(record.clone()).to_string()));
        text.push('\n');
    }
    text
}
