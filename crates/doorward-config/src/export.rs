//! Where records go beside the store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{ByteSize, Period, Secret};

/// In which form a record is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As it is kept: it can be verified.
    #[default]
    Native,
    /// The Open Cybersecurity Schema Framework, version 1.3: API Activity, Authentication, Entity Management.
    Ocsf,
}

/// One place where records go, each at least once, in the order of their chains. Exactly one of `file`,
/// `syslog`, `http` and `otlp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExportSettings {
    pub form: Form,
    pub file: Option<FileExport>,
    pub syslog: Option<SyslogExport>,
    pub http: Option<HttpExport>,
    pub otlp: Option<OtlpExport>,
    /// How often it is looked for new records.
    pub every: Period,
    /// Records that are sent together.
    pub batch: usize,
}

impl Default for ExportSettings {
    fn default() -> Self {
        Self {
            form: Form::default(),
            file: None,
            syslog: None,
            http: None,
            otlp: None,
            every: Period(Duration::from_secs(1)),
            batch: 500,
        }
    }
}

/// Lines of JSON in a file, which is rotated and compressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileExport {
    /// The file that is written to. What is full is renamed to the time it was closed, with `.gz` behind.
    pub path: PathBuf,
    #[serde(default = "rotate_at")]
    pub rotate_at: ByteSize,
    #[serde(default = "a_day")]
    pub rotate_every: Period,
    /// Full files that are kept; when absent, all.
    #[serde(default)]
    pub keep: Option<usize>,
}

fn rotate_at() -> ByteSize {
    ByteSize(64 << 20)
}

fn a_day() -> Period {
    Period(Duration::from_secs(24 * 60 * 60))
}

/// Syslog (RFC 5424), over TCP or TLS, with octet counting (RFC 6587, RFC 5425).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyslogExport {
    /// Host and port.
    pub address: String,
    #[serde(default)]
    pub tls: bool,
    /// A file with certificates that are trusted beside the system's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The facility's number: 13 is "log audit".
    #[serde(default = "log_audit")]
    pub facility: u8,
    #[serde(default = "doorward")]
    pub app_name: String,
}

fn log_audit() -> u8 {
    13
}

fn doorward() -> String {
    "doorward".into()
}

/// Which service the records are posted to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpFlavour {
    /// Lines of JSON.
    #[default]
    Plain,
    /// Splunk's HTTP event collector.
    Splunk,
    /// Datadog's log intake.
    Datadog,
}

/// Records posted to an URL, compressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpExport {
    pub url: Url,
    #[serde(default)]
    pub flavour: HttpFlavour,
    /// Splunk's token, or Datadog's API key; for `plain` what is sent as a bearer token.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
}

/// Logs by OTLP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtlpExport {
    /// The collector's address, such as `http://127.0.0.1:4318`; over HTTP `/v1/logs` is added to it.
    pub endpoint: Url,
    /// Over gRPC rather than HTTP.
    #[serde(default)]
    pub grpc: bool,
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
}

impl ExportSettings {
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let kinds =
            [self.file.is_some(), self.syslog.is_some(), self.http.is_some(), self.otlp.is_some()];
        if kinds.iter().filter(|there| **there).count() != 1 {
            problems.push(("", "expected one of 'file', 'syslog', 'http' and 'otlp'".into()));
        }
        if let Some(syslog) = &self.syslog {
            let port =
                syslog.address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none() {
                problems.push(("syslog", "'address': expected HOST:PORT".into()));
            }
            if syslog.facility > 23 {
                problems.push(("syslog", "'facility': expected 0 to 23".into()));
            }
            if syslog.ca.is_some() && !syslog.tls {
                problems.push(("syslog", "'ca' is of no use without 'tls: true'".into()));
            }
        }
        let urls = [
            ("http", self.http.as_ref().map(|http| &http.url)),
            ("otlp", self.otlp.as_ref().map(|otlp| &otlp.endpoint)),
        ];
        for (key, url) in urls {
            if url.is_some_and(|url| !matches!(url.scheme(), "http" | "https")) {
                problems.push((key, "expected an http:// or https:// URL".into()));
            }
        }
        if let Some(http) = &self.http
            && http.flavour != HttpFlavour::Plain
            && http.token.is_none()
        {
            problems.push(("http", "this flavour needs a 'token'".into()));
        }
        let headers = self.http.iter().flat_map(|http| &http.headers);
        let headers = headers.chain(self.otlp.iter().flat_map(|otlp| &otlp.headers));
        for (name, _) in headers {
            if http::HeaderName::try_from(name).is_err() {
                problems.push(("", format!("'{name}' is no header's name")));
            }
        }
        if self.batch == 0 || self.batch > 10_000 {
            problems.push(("batch", "expected 1 to 10000".into()));
        }
        problems
    }
}
