//! The store on real databases.

mod audit;
mod credits;
mod forged;
mod store;
mod support;
