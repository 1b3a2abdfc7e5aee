//! Exports records as OTLP log records.

use prost::Message;

use super::Outgoing;

use crate::telemetry::messages::{
    AnyValue, KeyValue, LogRecord, LogsRequest, ResourceLogs, ScopeLogs, resource, scope,
};
use crate::telemetry::sending::{Collector, Signal};
use doorward_config::OtlpExport;

pub struct OtlpSink {
    collector: Collector,
}

impl OtlpSink {
    pub fn new(settings: &OtlpExport) -> Self {
        Self { collector: Collector::new(&settings.endpoint, &settings.headers, settings.grpc) }
    }

    pub async fn deliver(&self, records: &[Outgoing]) -> Result<(), String> {
        let log_records = records.iter().map(|record| {
            let nanos = u64::try_from(record.at).unwrap_or_default().saturating_mul(1_000_000);
            let (severity_number, severity_text) =
                if record.bad { (13, "WARN") } else { (9, "INFO") };
            LogRecord {
                time_unix_nano: nanos,
                observed_time_unix_nano: nanos,
                severity_number,
                severity_text: severity_text.into(),
                body: Some(AnyValue { value: Some(record.text.as_str().into()) }),
                attributes: vec![KeyValue::new("log.record.uid", record.id.as_str())],
                event_name: "doorward.audit".into(),
                ..LogRecord::default()
            }
        });
        let scope_logs = ScopeLogs { scope: Some(scope()), log_records: log_records.collect() };
        let resource = resource("audit");
        let logs = ResourceLogs { resource: Some(resource), scope_logs: vec![scope_logs] };
        let request = LogsRequest { resource_logs: vec![logs] };
        self.collector.send(Signal::Logs, request.encode_to_vec()).await
    }
}
