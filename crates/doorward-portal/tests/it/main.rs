#![allow(clippy::unwrap_used)]

mod description;
