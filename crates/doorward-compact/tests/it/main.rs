//! What holds for any schema, result and rule.
#![allow(clippy::unwrap_used)]

mod parameters;
mod schemas;
