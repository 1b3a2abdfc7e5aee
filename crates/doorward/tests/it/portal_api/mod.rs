//! The portal's API: what somebody may see and do about themselves, and nothing of anybody else (attacks T7, T16, T27).
#![allow(clippy::unwrap_used)]

mod accounts;
mod clients;
mod keys;
mod reading;
mod requests;
mod world;
