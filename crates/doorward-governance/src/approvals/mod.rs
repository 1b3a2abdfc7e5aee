//! Approval of calls by people: what an approval is bound to ([`Bound`]), who may decide, and how votes become a decision
//! ([`Approval`]). Times are in seconds since 1970.

mod bound;
mod request;
#[cfg(test)]
mod tests;

pub use self::bound::Bound;
pub use self::request::{
    Approval, Asker, Ballot, Edits, MOST_EDITED, MOST_REASON, Refused, State, Subject, Vote, Voter,
};
