//! Exports of audit records.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{ByteSize, Period, Secret};

/// Format of exported records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// As stored: exported records can be verified.
    #[default]
    Native,
    /// Open Cybersecurity Schema Framework, version 1.3: API Activity, Authentication, Entity Management.
    Ocsf,
}

/// One destination of audit records. Each record is delivered at least once, in the order of its chain. Exactly
/// one of `file`, `syslog`, `http` and `otlp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExportSettings {
    pub format: ExportFormat,
    pub file: Option<FileExport>,
    pub syslog: Option<SyslogExport>,
    pub http: Option<HttpExport>,
    pub otlp: Option<OtlpExport>,
    /// How often to check for new records.
    pub every: Period,
    /// Maximum number of records in one request.
    pub batch: usize,
}

impl Default for ExportSettings {
    fn default() -> Self {
        Self {
            format: ExportFormat::default(),
            file: None,
            syslog: None,
            http: None,
            otlp: None,
            every: Period(Duration::from_secs(1)),
            batch: 500,
        }
    }
}

/// JSON lines in a file, which is rotated and compressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileExport {
    /// The file to write. A full file is renamed: its closing time and `.gz` are appended to the name.
    pub path: PathBuf,
    #[serde(default = "rotate_at")]
    pub rotate_at: ByteSize,
    #[serde(default = "a_day")]
    pub rotate_every: Period,
    /// Number of rotated files to keep. Default: all.
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
    /// File with certificate authorities to trust in addition to those of the system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Facility number: 13 is "log audit".
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

/// Service that receives the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpExportType {
    /// JSON lines.
    #[default]
    Plain,
    /// Splunk HTTP Event Collector.
    Splunk,
    /// Datadog log intake.
    Datadog,
}

/// Records posted to a URL, compressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpExport {
    pub url: Url,
    #[serde(default, rename = "type")]
    pub kind: HttpExportType,
    /// Splunk's token, or Datadog's API key; for `plain`, a bearer token.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Additional headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
}

/// Logs over OTLP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtlpExport {
    /// Address of the collector, such as `http://127.0.0.1:4318`; over HTTP `/v1/logs` is appended.
    pub endpoint: Url,
    /// Use gRPC instead of HTTP.
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
                problems.push(("syslog", "'ca' has no effect without 'tls: true'".into()));
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
            && http.kind != HttpExportType::Plain
            && http.token.is_none()
        {
            problems.push(("http", "this 'type' requires a 'token'".into()));
        }
        let headers = self.http.iter().flat_map(|http| &http.headers);
        let headers = headers.chain(self.otlp.iter().flat_map(|otlp| &otlp.headers));
        for (name, _) in headers {
            if http::HeaderName::try_from(name).is_err() {
                problems.push(("", format!("'{name}' is not a valid header name")));
            }
        }
        if self.batch == 0 || self.batch > 10_000 {
            problems.push(("batch", "expected 1 to 10000".into()));
        }
        problems
    }
}
