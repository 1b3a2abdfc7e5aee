//! The store: principals, API keys, policies, portals, credentials and logins, in one SQLite file or in PostgreSQL.
//!
//! Every change increments one number in the same transaction; whoever has a copy in memory polls that number
//! ([`Store::revision`]) and reads again when it has changed.

mod agent_tasks;
mod amount;
mod applied;
mod approvals;
mod audit;
mod backend;
mod browser_sessions;
mod call_outcomes;
mod change;
mod claims;
mod clients;
mod clock;
mod counters;
mod credentials;
mod credits;
mod delegated;
mod error;
pub mod files;
mod grants;
mod hex;
mod keys;
mod marks;
mod pins;
mod policies;
mod portals;
mod principals;
mod quotas;
mod registries;
mod rename;
mod requests;
mod seal;
mod servers;
mod signing;
mod stop_journal;
mod stops;
mod terms;
mod usage;
mod valkey;
mod values;
mod webhooks;

pub use agent_tasks::{
    AgentTask, AgentTaskFilter, AgentTaskState, MOST_AGENT_TASK_BYTES, MOST_AGENT_TASKS,
    MOST_OPEN_AGENT_TASKS,
};
pub use amount::Amount;
pub use approvals::{
    ApprovalTask, Asking, LEASE, MOST_APPROVALS, MOST_APPROVALS_OF_CALLER, MOST_KEPT_OF_CALLER,
    MOST_TASKS_OF_CALLER, TaskState,
};
pub use audit::*;
pub use backend::{Location, OpenError, Store};
pub use browser_sessions::{BrowserSession, EndOf};
pub use call_outcomes::{
    Begun, LONGEST_OUTCOME, MOST_OUTCOME_BYTES_OF_CALLER, MOST_OUTCOMES_OF_CALLER, NewOutcome,
    OUTCOME_KEPT,
};
pub(crate) use change::Change;
pub use claims::Claimed;
pub use clients::StoredClient;
pub use clock::now;
pub use counters::{Back, CountKind, Counters, Given, Want};
pub use credentials::Credential;
pub use credits::{Account, Books, BudgetPeriod, Entry as CreditEntry};
pub use delegated::Delegated;
pub use error::{Error, Result};
pub use grants::{NewGrant, NewTicket, OAuthGrant, Ticket, TicketKind, hash_of};
pub use hex::{hex, random_id, sha256_hex};
pub use keys::{Key, KeyId, NewKey, Presented, Scopes};
pub use marks::{SharedMarks, StoredCounts, StoredMarks};
pub use pins::{DefinitionKey, StoredBook, StoredDefinition, StoredDrift, StoredPin};
pub use policies::{Activation, PolicyVersion};
pub use portals::StoredPortal;
pub use principals::{Entry, Kind, NotAName};
pub use quotas::QuotaCount;
pub use registries::{EntryState, MOST_ENTRIES, RegistryEntry, RegistryRead};
pub use requests::{
    AccessRequest, Granted, MOST_REQUESTS_OF_REQUESTER, NewRequest, Outcome, RequestKind,
    RequestState,
};
pub use seal::{MasterKey, SealError};
pub use servers::{
    Deprecation, MOST_SPEC, ServerLook, ServerOrigin, ServerProposal, ServerStep, Stepping,
    StoredServer,
};
pub use signing::SigningKey;
pub use stop_journal::{Hand, StopEntry, StopJournal};
pub use stops::StopWatch;
pub use terms::Claim;
pub use usage::{Tally, Usage, UsageKey};
pub use values::SharedValues;
pub use webhooks::{Attempt, Delivery, MOST_WAITING, NewDelivery};
