//! Values that are never printed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A value that is never printed: not in the log, an error or a dump. It is erased from memory when dropped.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(pub String);

thread_local! {
    static REDACTING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = if REDACTING.get() { HIDDEN } else { self.expose() };
        serializer.serialize_str(shown)
    }
}

/// Whether what is written is shown to people.
pub(crate) fn is_redacting() -> bool {
    REDACTING.get()
}

/// Replaces a secret in output.
const HIDDEN: &str = "[secret]";

/// A value as JSON, with its secrets replaced.
pub fn redacted(of: &impl Serialize) -> serde_json::Value {
    REDACTING.set(true);
    let shown = serde_json::to_value(of).unwrap_or_default();
    REDACTING.set(false);
    shown
}

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Values that examples and templates use as placeholders for a secret.
const PLACEHOLDERS: [&str; 10] = [
    "changeme",
    "change-me",
    "change_me",
    "secret",
    "password",
    "placeholder",
    "todo",
    "xxx",
    "example",
    "your-secret",
];

impl Secret {
    /// Whether it is a placeholder instead of a secret.
    pub fn is_placeholder(&self) -> bool {
        let plain = self.0.trim().to_ascii_lowercase();
        let bracketed = plain.starts_with('<') && plain.ends_with('>');
        bracketed || PLACEHOLDERS.contains(&plain.as_str()) || plain.starts_with("your-")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn secrets_are_never_shown() {
        assert_eq!(format!("{:?}", Secret("hunter2".into())), "[secret]");
        let settings = Settings {
            store_key: Some(Secret("hunter2".into())),
            store: Some(Secret("postgres://me:hunter2@db/x".into())),
            ..Settings::default()
        };
        assert!(!settings.shown().to_string().contains("hunter2"));
        assert!(serde_json::to_string(&settings).unwrap().contains("hunter2"));
    }
}
