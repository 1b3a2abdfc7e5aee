//! The audit log, in hash chains: whoever changes, removes, inserts or reorders a record breaks a chain, and whoever
//! truncates one contradicts a signed checkpoint.
//!
//! Each process writes its own chain, so that none waits for another; administrative actions are one chain that all
//! share, written in the transaction of the change. Records that are written together are one row, a *block*.

mod act;
mod actor;
mod block;
mod chains;
mod checkpoint;
mod dead;
mod heads;
mod hold;
mod line;
mod place;
mod position;
mod removal;
mod report;
mod retention;
mod verify;
mod vouched;
mod writer;

pub use act::{ACTS, Act};
pub use actor::Actor;
pub(crate) use block::unpack;
pub use block::{Block, Scan, Span};
pub use checkpoint::id_of as key_id;
pub(crate) use checkpoint::place as key_place;
pub use checkpoint::{AuditKey, Heads, KeyPlace, PublicKeys, checkpoint};
pub use dead::LeftOpen;
pub use hold::Hold;
pub use line::{Chain, Head, Line, Removed};
pub use place::{Place, hostname};
pub use report::{Fault, Finding, Found, Report};
pub use retention::{Retained, Retention, Rule};
pub use verify::Verifier;
pub use writer::{AuditLog, Commit, Committed, Ended, WriterId, WriterRow, now_ms, written_at};
