//! The log as OTLP log records: an additional layer beside the one that writes it. The number of waiting records is
//! bounded.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use doorward_inspect::written::{self, Keep};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::messages::{AnyValue, KeyValue, LogRecord};

/// Maximum number of queued lines.
const MOST: usize = 5_000;

static WANTED: AtomicBool = AtomicBool::new(false);
static WAITING: Mutex<Vec<LogRecord>> = Mutex::new(Vec::new());

/// Enables or disables the export of logs.
pub fn want(wanted: bool) {
    WANTED.store(wanted, Ordering::Release);
    if !wanted {
        WAITING.lock().clear();
    }
}

/// Takes the queued lines.
pub fn take() -> Vec<LogRecord> {
    std::mem::take(&mut *WAITING.lock())
}

/// The layer that queues log lines for the collector.
#[derive(Debug)]
pub struct Collecting;

impl<S: Subscriber> Layer<S> for Collecting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !WANTED.load(Ordering::Acquire) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(since.as_nanos()).unwrap_or_default();
        let (severity_number, severity_text) = match *event.metadata().level() {
            Level::ERROR => (17, "ERROR"),
            Level::WARN => (13, "WARN"),
            Level::INFO => (9, "INFO"),
            Level::DEBUG => (5, "DEBUG"),
            Level::TRACE => (1, "TRACE"),
        };
        fields.attributes.push(KeyValue::new("code.namespace", event.metadata().target()));
        let record = LogRecord {
            time_unix_nano: nanos,
            observed_time_unix_nano: nanos,
            severity_number,
            severity_text: severity_text.into(),
            body: Some(AnyValue { value: Some(fields.message.into()) }),
            attributes: fields.attributes,
            ..LogRecord::default()
        };
        let mut waiting = WAITING.lock();
        if waiting.len() < MOST {
            waiting.push(record);
        }
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    attributes: Vec<KeyValue>,
}

impl Fields {
    fn text(&mut self, name: &str, value: &str) {
        let value = clean(name, value);
        if name == "message" {
            self.message = value.into_owned();
        } else {
            self.attributes.push(KeyValue::new(name, &*value));
        }
    }
}

/// The cleaned value of a log field: without secrets and personal data. Names of people and agents,
/// and addresses of machines, are unchanged; the output of a server's program is cleaned of them,
/// too.
pub fn clean<'a>(field: &str, value: &'a str) -> Cow<'a, str> {
    match keep(field) {
        Some(keep) => written::text(value, keep),
        None => Cow::Borrowed(value),
    }
}

/// A JSON log line, cleaned in the same way. `None` if it is not JSON.
pub fn clean_json(line: &str) -> Option<Cow<'_, str>> {
    written::members(line, keep).ok()
}

fn keep(field: &str) -> Option<Keep> {
    match field {
        "timestamp" | "level" | "target" | "call" | "id" | "digest" | "sha256" => None,
        "principal" | "user" | "agent" | "tenant" | "key" => Some(Keep::Personal),
        // Fields with text from callers and servers only.
        "stderr" | "method" | "name" | "tool" | "prompt" | "uri" => Some(Keep::Nothing),
        _ => Some(Keep::Addresses),
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(text, "{value:?}");
        self.text(field.name(), &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.attributes.push(KeyValue::new(field.name(), i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }
}
