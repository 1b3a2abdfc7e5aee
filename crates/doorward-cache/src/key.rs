//! Cache keys: they contain everything that a result can depend on.

/// Identifies one result, as a cryptographic hash of everything that it depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 32]);

/// The keys under which a result may be cached.
#[derive(Debug, Clone)]
pub struct Keys {
    /// For this caller only.
    pub private: Key,
    /// Shared by all callers.
    pub public: Key,
}
