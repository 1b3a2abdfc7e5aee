//! Cache keys: they contain everything that a result can depend on.

/// Names one answer. Nobody can make another request that has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 32]);

/// The keys under which an answer may be.
#[derive(Debug, Clone)]
pub struct Keys {
    /// This caller's own.
    pub private: Key,
    /// Everybody's.
    pub public: Key,
}
