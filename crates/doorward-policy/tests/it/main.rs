//! Policies, and their decisions.

mod policies;
