//! Approval of calls by people: what an approval is bound to ([`Bound`]), who may decide, and how votes become a decision
//! ([`Approval`]); and what holds a call ([`holds_of`]). Times are in seconds since 1970.

mod bound;
pub mod edited;
mod holds;
mod request;
mod similar;
#[cfg(test)]
mod tests;

pub use self::bound::Bound;
pub use self::holds::{facts_shown, holds_of, join};
pub use self::request::{
    Approval, Asker, Ballot, Edits, MOST_EDITED, MOST_REASON, Refused, State, Subject, Vote, Voter,
};
pub use self::similar::Similar;
