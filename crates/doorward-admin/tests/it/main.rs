#![allow(clippy::unwrap_used)]

mod apply;
mod description;
