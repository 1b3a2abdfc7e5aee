//! Errors of reading and writing.

use crate::SealError;

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("a row of the database cannot be read: {0}")]
    Row(#[from] serde_json::Error),
    #[error("the random number generator failed: {0}")]
    Randomness(#[from] getrandom::Error),
    #[error("a secret: {0}")]
    Sealed(#[from] SealError),
    /// What was named does not exist.
    #[error("there is no {what} '{name}'")]
    Absent { what: &'static str, name: String },
    /// It has changed since it was read.
    #[error("it was changed in the meantime: read it again, and decide again")]
    Moved,
    /// The change would leave nobody who may administer.
    #[error("nobody would be left who may administer everything: create another owner first")]
    LastOwner,
    /// The idempotency key was used before.
    #[error("a request with this idempotency key was carried out before")]
    Claimed,
    /// What was asked for cannot be done to it.
    #[error("{0}")]
    Refused(String),
}

pub type Result<T> = std::result::Result<T, Error>;
