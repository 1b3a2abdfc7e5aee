//! Which settings are written: those that differ from their defaults.

/// Whether a setting has its default.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
