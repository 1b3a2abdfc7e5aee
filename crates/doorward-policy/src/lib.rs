//! Policies: one pure function from a request to a decision with its reasons.
//!
//! Policies are written in [Cedar](https://docs.cedarpolicy.com) against the schema of this crate ([`SCHEMA`]). A
//! [`PolicySet`] is compiled from texts, all of which must match the schema; [`PolicySet::decide`] evaluates it.
//! Nothing here reads a clock, a file or the network, so that a decision can be reproduced from the request alone.

mod approval;
mod arguments;
mod case;
mod compile;
mod decide;
mod entities;
mod findings;
mod looks;
pub mod ready_made;
mod request;
mod slices;
mod structured;
mod warnings;

pub use approval::{Approver, Hold, Remember};
pub use case::{Case, Expected, Failed};
pub use compile::PolicySet;
pub use decide::{Code, Deciding, Decision, Effect, Verdict};
pub use findings::Finding;
pub use looks::{Looks, Member};
pub use request::{
    Action, Arguments, Client, Context, Conversation, Facts, Principal, PrincipalKind, Request,
    Target, TargetKind, Time,
};

/// The schema without the arguments that policies name for themselves.
pub const SCHEMA: &str = include_str!("schema.cedarschema");
