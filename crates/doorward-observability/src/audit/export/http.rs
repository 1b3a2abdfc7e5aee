//! Exports records to a service by HTTP, compressed.

use std::io::Write;

use bytes::Bytes;
use doorward_store::hostname;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::Outgoing;
use crate::telemetry::sending::headers_of;
use doorward_config::{HttpExport, HttpExportType};
use doorward_net::outbound::{self, Author};

pub struct HttpSink {
    settings: HttpExport,
    host: String,
}

impl HttpSink {
    pub fn new(settings: &HttpExport) -> Self {
        Self { settings: settings.clone(), host: hostname() }
    }

    pub async fn deliver(&self, records: &[Outgoing]) -> Result<(), String> {
        let mut body = GzEncoder::new(Vec::new(), Compression::fast());
        body.write_all(self.body(records).as_bytes()).map_err(|error| error.to_string())?;
        let body = body.finish().map_err(|error| error.to_string())?;
        let url = &self.settings.url;
        let answer =
            outbound::post(url, Author::OperatorsNetwork, self.headers(), Bytes::from(body));
        let answer = answer.await.map_err(|error| error.to_string())?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(format!("HTTP {}", answer.status.as_u16()))
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = headers_of(&self.settings.headers);
        let kind = match self.settings.kind {
            HttpExportType::Plain => "application/x-ndjson",
            HttpExportType::Splunk | HttpExportType::Datadog => "application/json",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(token) = &self.settings.token {
            let (name, scheme) = match self.settings.kind {
                HttpExportType::Plain => (AUTHORIZATION, "Bearer "),
                HttpExportType::Splunk => (AUTHORIZATION, "Splunk "),
                HttpExportType::Datadog => (HeaderName::from_static("dd-api-key"), ""),
            };
            let value = zeroize::Zeroizing::new(format!("{scheme}{}", token.expose()));
            if let Ok(mut value) = HeaderValue::try_from(&**value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        headers
    }

    fn body(&self, records: &[Outgoing]) -> String {
        match self.settings.kind {
            HttpExportType::Plain => {
                let mut lines = String::new();
                for record in records {
                    lines.push_str(&record.text);
                    lines.push('\n');
                }
                lines
            }
            // One object after the other; times in seconds.
            HttpExportType::Splunk => records
                .iter()
                .map(|record| {
                    let event: Value = serde_json::from_str(&record.text).unwrap_or_default();
                    json!({
                        "time": record.at as f64 / 1e3,
                        "host": self.host,
                        "source": "doorward",
                        "sourcetype": "doorward:audit",
                        "event": event,
                        "fields": { "id": record.id },
                    })
                    .to_string()
                })
                .collect::<Vec<_>>()
                .join("\n"),
            HttpExportType::Datadog => {
                let all = records.iter().map(|record| {
                    json!({
                        "ddsource": "doorward",
                        "service": "doorward",
                        "hostname": self.host,
                        "ddtags": "kind:audit",
                        "message": record.text,
                        "timestamp": record.at,
                        "status": if record.bad { "warn" } else { "info" },
                    })
                });
                Value::Array(all.collect()).to_string()
            }
        }
    }
}
