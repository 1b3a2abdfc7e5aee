//! The store on real databases.

mod audit;
mod credits;
mod emergency;
mod forged;
mod servers;
mod pins;
mod store;
mod support;
