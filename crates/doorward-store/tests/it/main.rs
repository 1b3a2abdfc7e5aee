//! The store on real databases.

mod agent_tasks;
mod approval_tasks;
mod approvals;
mod approvals_model;
mod approvals_similar;
mod audit;
mod browser_sessions;
mod call_outcomes;
mod credits;
mod emergency;
mod forged;
mod pins;
mod registries;
mod requests;
mod servers;
mod store;
mod support;
