//! Commands for the audit log.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use doorward_admin::service::audit::records;

use super::stored::Kept;
use super::stored::parse_period;

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show the latest records
    Tail {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        filter: Box<Filter>,
        /// Number of records
        #[arg(short, long, value_name = "COUNT", default_value_t = 20)]
        number: usize,
        /// Follow new records
        #[arg(short, long)]
        follow: bool,
        #[arg(long)]
        json: bool,
    },
    /// Find records
    Search {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        span: Span,
        #[command(flatten)]
        filter: Box<Filter>,
        /// Show the newest first
        #[arg(long)]
        newest: bool,
        /// Maximum number
        #[arg(short, long, value_name = "COUNT", default_value_t = 1_000)]
        limit: usize,
        #[arg(long)]
        json: bool,
    },
    /// Show all records of one call, or one record
    Show {
        #[command(flatten)]
        kept: Kept,
        /// Call id, or a record as WRITER/NUMBER
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Verify that nothing was changed, removed or truncated, in the database or in exported files
    Verify {
        #[command(flatten)]
        kept: Kept,
        /// Exported files in native format [default: the database]
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        trust: Trust,
        /// Additional anchor files with checkpoints
        #[arg(long = "anchor", value_name = "FILE")]
        anchors: Vec<PathBuf>,
        #[arg(long)]
        json: bool,
    },
    /// Write records to a file or to standard output
    Export {
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        span: Span,
        #[arg(long, value_name = "FORM", default_value = "native")]
        form: ExportForm,
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Place a hold: retention does not remove these records
    Hold {
        #[command(flatten)]
        kept: Kept,
        /// All records of a tenant
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// All records of a user, agent or service account
        #[arg(long, value_name = "NAME")]
        principal: Option<String>,
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// List holds
    Holds {
        #[command(flatten)]
        kept: Kept,
        /// Include released holds
        #[arg(long)]
        all: bool,
        #[arg(long)]
        json: bool,
    },
    /// Release a hold
    Release {
        #[command(flatten)]
        kept: Kept,
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Apply retention now
    Retain {
        #[command(flatten)]
        kept: Kept,
        /// Sign unsigned removals of earlier versions, after verifying everything else
        #[arg(long)]
        sign_earlier: bool,
    },
    /// Show exports: what each has delivered, how far it is behind, and why
    Exports {
        #[command(flatten)]
        kept: Kept,
        #[arg(long)]
        json: bool,
    },
    /// Print the public keys that sign checkpoints
    Key {
        #[command(flatten)]
        kept: Kept,
        /// Include keys that only the database knows
        #[arg(long)]
        trust_database: bool,
    },
}

/// Which signatures are trusted.
#[derive(Debug, Clone, Args)]
pub struct Trust {
    /// Keys whose signatures are trusted, as `doorward audit key` prints them [default: those of the
    /// configuration, and of the key file beside the store]
    #[arg(long = "public-key", value_name = "KEY")]
    pub keys: Vec<String>,
    /// Also trust keys that only the database knows, and unsigned records: changes by anyone who can write
    /// to the database are then not detected
    #[arg(long)]
    pub trust_database: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportForm {
    /// As stored: can be verified
    Native,
    /// The Open Cybersecurity Schema Framework
    Ocsf,
}

/// A time range.
#[derive(Debug, Clone, Args)]
pub struct Span {
    /// Start: a time such as 2026-11-21T10:00:00Z or 2026-11-21, or an age such as 7d
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    pub since: Option<When>,
    /// End
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    pub until: Option<When>,
}

/// A time, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When(pub i64);

impl Span {
    pub fn read(&self) -> doorward_store::Span {
        let all = doorward_store::Span::default();
        doorward_store::Span {
            from: self.since.map_or(all.from, |when| when.0),
            to: self.until.map_or(all.to, |when| when.0),
        }
    }
}

pub fn parse_when(text: &str) -> Result<When, String> {
    if let Ok(ago) = parse_period(text) {
        let ago: Duration = ago;
        return Ok(When(doorward_store::now_ms() - i64::try_from(ago.as_millis()).unwrap_or(0)));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(When(time.as_millisecond()));
    }
    let date = text.parse::<jiff::civil::Date>().ok();
    let day = date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let wrong = "expected a time such as 2026-11-21T10:00:00Z, a date, or how long ago, such as 7d";
    day.map(|day| When(day.timestamp().as_millisecond())).ok_or_else(|| wrong.into())
}

/// Filters for records; all given ones must match.
#[derive(Debug, Clone, Default, Args)]
pub struct Filter {
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// A key's id
    #[arg(long, value_name = "ID")]
    pub key_id: Option<String>,
    #[arg(long, value_name = "SERVER")]
    pub server: Option<String>,
    /// Tool, prompt or resource; `*` matches any characters
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// Such as ok, tool_error, error, denied, failed, refused, cancelled, unknown
    #[arg(long, value_name = "OUTCOME")]
    pub outcome: Option<String>,
    /// writes, reads, lists, events, acts
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// What the policies decided: allow, deny, hold
    #[arg(long, value_name = "DECISION")]
    pub decision: Option<String>,
    /// The id of a policy that decided
    #[arg(long, value_name = "ID")]
    pub policy: Option<String>,
    /// What inspection found, such as injection or secret
    #[arg(long, value_name = "NAME")]
    pub finding: Option<String>,
    /// Such as tools/call
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub portal: Option<String>,
    /// The name of a session, as records have it
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// The id of a trace
    #[arg(long, value_name = "ID")]
    pub trace: Option<String>,
    /// Calls that took this many milliseconds or longer
    #[arg(long, value_name = "MILLISECONDS")]
    pub slower_than: Option<u64>,
    /// Text anywhere in the record
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
}

impl Filter {
    /// Converts to a search filter.
    pub fn read(&self) -> records::Filter {
        let all = self.clone();
        records::Filter {
            tenant: all.tenant,
            user: all.user,
            service_account: all.service_account,
            agent: all.agent,
            key: all.key_id,
            server: all.server,
            tool: all.tool,
            outcome: all.outcome,
            class: all.class,
            decision: all.decision,
            policy: all.policy,
            finding: all.finding,
            method: all.method,
            portal: all.portal,
            session: all.session,
            trace: all.trace,
            slower_than: all.slower_than,
            text: all.text,
        }
    }
}
