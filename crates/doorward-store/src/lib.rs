//! What is kept: principals, API keys, policies, portals, credentials and logins, in one SQLite file or in
//! PostgreSQL.
//!
//! Whoever changes something counts up one number in the same transaction; whoever holds a copy in
//! memory looks at that number ([`Store::revision`]) and reads again when it has changed.

mod amount;
mod audit;
mod backend;
mod clients;
mod counters;
mod credentials;
mod credits;
mod delegated;
pub mod files;
mod grants;
mod hex;
mod keys;
mod policies;
mod portals;
mod principals;
mod quotas;
mod rename;
mod seal;
mod signing;
mod usage;
mod valkey;
mod values;

use std::time::{SystemTime, UNIX_EPOCH};

pub use amount::Amount;
pub use audit::*;
pub(crate) use backend::Change;
pub use backend::{Location, OpenError, Store};
pub use clients::StoredClient;
pub use counters::{Back, CountKind, Counters, Given, Want};
pub use credentials::Credential;
pub use credits::{Account, Books, BudgetPeriod, Entry as CreditEntry};
pub use delegated::Delegated;
pub use grants::{NewGrant, NewTicket, OAuthGrant, Ticket, TicketKind, hash_of};
pub use hex::{hex, random_id};
pub use keys::{Key, KeyId, NewKey, Presented, Scopes};
pub use policies::{Activation, PolicyVersion};
pub use portals::StoredPortal;
pub use principals::{Entry, Kind, NotAName};
pub use quotas::QuotaCount;
pub use seal::{MasterKey, SealError};
pub use signing::SigningKey;
pub use usage::{Tally, Usage, UsageKey};
pub use values::SharedValues;

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("a row of the database cannot be read: {0}")]
    Row(#[from] serde_json::Error),
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    #[error("a secret: {0}")]
    Sealed(#[from] SealError),
    /// What was named does not exist.
    #[error("there is no {what} '{name}'")]
    Absent { what: &'static str, name: String },
    /// What was asked for cannot be done to it.
    #[error("{0}")]
    Refused(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// Seconds since 1970, as everything with a time is kept.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
