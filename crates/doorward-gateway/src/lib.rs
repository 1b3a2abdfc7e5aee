//! The gateway: one pipeline between every client and every server.
//!
//! A protocol adapter (`doorward-doors`) converts requests to [calls](call), the [`pipeline`]
//! decides, and an upstream server (`doorward-upstream`) provides the result. Internally there is
//! one protocol only, the stateless form of revision 2026-07-28; other forms are converted at the
//! edge.

pub mod access;
pub mod approvals;
mod attempts;
mod authorization;
pub mod billing;
pub mod call;
mod cutting;
pub mod delegated;
pub mod discovering;
mod discovery;
pub mod endpoint;
pub mod exchange;
pub mod gateway;
pub mod life;
pub mod pins;
pub mod pipeline;
pub mod record;
mod registries;
pub mod sessions;
pub mod stops;
pub mod store_sync;
mod trace;
mod webhooks;

pub use gateway::Gateway;
