//! Approval of calls by people: a call that policies hold waits in the store until it is decided, and runs once when it is
//! made again (or goes on, where its client has waited). What is approved is a digest of everything that was shown.

pub mod answer;
pub mod approved;
mod binding;
pub mod decide;
pub mod editing;
pub mod hold;
pub mod signing_in;
