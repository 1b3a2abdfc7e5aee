//! What holds for any schema.
#![allow(clippy::unwrap_used)]

mod strict;
