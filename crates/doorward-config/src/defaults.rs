//! Defaults that several settings share, and which settings are written: those that differ from theirs.

use std::time::Duration;

use super::Period;

/// Whether a setting has its default.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How long a call waits for its approval.
pub(super) fn an_hour() -> Period {
    Period(Duration::from_secs(60 * 60))
}

/// How many people approve a call.
pub(super) fn one() -> u8 {
    1
}
