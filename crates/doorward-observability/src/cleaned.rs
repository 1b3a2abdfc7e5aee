//! Removes secrets and personal data from what is written: payloads of audit records and spans, and the log.
//!
//! Payloads are always searched by all detectors. The log is always searched for secrets with well-known beginnings, and by
//! all detectors while inspection is on.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;
use doorward_inspect::{Action, Budget, Detectors, Plan, Redactor};

use crate::audit::mask::masked_text;

/// The detectors of the operator: the log belongs to the process, like these.
static OWN: ArcSwapOption<Detectors> = ArcSwapOption::const_empty();

/// The detectors that are built in; `None` never, as its test shows.
static BUILT_IN: LazyLock<Option<Arc<Detectors>>> =
    LazyLock::new(|| Detectors::with(&[]).ok().map(Arc::new));

/// In payloads: everything.
static EVERYTHING: LazyLock<Plan> = LazyLock::new(|| Plan::all(Action::Mask));

/// In the log: addresses, and names that look like an e-mail address, are what it is for.
static IN_LOG: LazyLock<Plan> = LazyLock::new(|| {
    let kept = ["ip", "mac", "email", "phone", "birth_date"];
    let kept = kept.into_iter().map(|class| (class.to_owned(), Action::Ignore));
    Plan { classes: kept.collect(), ..Plan::all(Action::Mask) }
});

/// Uses other detectors from now on; `None` uses the built-in ones for payloads, and only well-known secrets for the log.
pub fn use_detectors(detectors: Option<Arc<Detectors>>) {
    OWN.store(detectors);
}

/// A JSON text without what detectors find in it.
pub fn payload(json: String) -> String {
    let detectors = OWN.load_full().or_else(|| BUILT_IN.clone());
    let Some(detectors) = detectors else { return json };
    let mut budget = Budget::new(json.len().saturating_mul(8).max(1 << 16));
    match Redactor::new(&detectors, &EVERYTHING, None).json(&json, &mut budget) {
        Ok(redacted) if redacted.complete => redacted.text.unwrap_or(json),
        // What was not searched as a whole is not written.
        _ => r#""[too long]""#.to_owned(),
    }
}

/// A line of the log without secrets.
pub fn line(text: &str) -> Cow<'_, str> {
    let masked = masked_text(text).map_or(Cow::Borrowed(text), Cow::Owned);
    let Some(detectors) = OWN.load_full() else { return masked };
    let redactor = Redactor::new(&detectors, &IN_LOG, None);
    let mut budget = Budget::default();
    let redacted = match masked.trim_end() {
        json if json.starts_with('{') => redactor
            .json(json, &mut budget)
            .ok()
            .map(|redacted| redacted.text.map(|text| text + "\n")),
        _ => None,
    };
    match redacted.unwrap_or_else(|| redactor.text(&masked, &mut budget).text) {
        Some(text) => Cow::Owned(text),
        None => masked,
    }
}

/// Writes lines of the log without secrets.
#[derive(Debug)]
pub struct Cleaned<W>(pub W);

impl<W: io::Write> io::Write for Cleaned<W> {
    fn write(&mut self, line_of_log: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line_of_log);
        self.0.write_all(line(&text).as_bytes())?;
        Ok(line_of_log.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ghp_0123456789abcdefABCDEF0123456789abcd";

    #[test]
    fn payloads_have_no_personal_data() {
        let json = format!(r#"{{"to":"dana@example.com","card":4111111111111111,"note":"{KEY}"}}"#);
        assert_eq!(payload(json), r#"{"to":"[EMAIL]","card":null,"note":"[SECRET]"}"#);
        assert_eq!(payload(r#"{"a":1}"#.into()), r#"{"a":1}"#);
    }

    #[test]
    fn lines_of_the_log_have_no_secrets() {
        assert!(!line(&format!("the call failed: {KEY}")).contains("0123456789"));
        use_detectors(Some(Arc::new(Detectors::with(&[]).unwrap())));
        let text = format!(
            "{{\"message\":\"card 4111 1111 1111 1111 of {KEY}\",\"address\":\"192.0.2.7\"}}\n"
        );
        let cleaned = line(&text);
        let read: serde_json::Value = serde_json::from_str(&cleaned).unwrap();
        assert_eq!(read["address"], "192.0.2.7");
        assert!(cleaned.ends_with('\n') && !cleaned.contains("4111") && !cleaned.contains("ghp_"));
        assert_eq!(line("listen=127.0.0.1:7300"), "listen=127.0.0.1:7300");
        use_detectors(None);
    }
}
