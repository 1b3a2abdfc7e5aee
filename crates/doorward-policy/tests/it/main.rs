//! Policies, and their decisions.

mod approval;
mod policies;
