//! Servers: detected, connected and called.
//!
//! A [`Server`] takes a call in its modern form and returns a modern result, whatever the server behind it supports.
//! Everything that differs between eras is below here, transports are in `doorward-transport`.

mod api;
pub mod approval;
mod asked;
pub mod call_error;
mod calling;
pub mod catalog;
mod changes;
mod contact;
pub mod exchange;
mod handshake;
mod health;
mod health_checks;
mod listening;
mod modern;
mod notices;
mod opening;
pub mod parking;
mod pool;
pub mod portals;
mod prestarted;
mod probe;
mod programs;
mod questions;
pub mod reliability;
mod replicas;
pub mod sample;
mod server;
pub mod session;
mod shared;
pub mod state;
mod status;
mod subscribing;
mod subscriptions;
mod supervisor;
pub mod switchboard;
mod task_store;
mod task_wait;
mod tasks;
mod twin;
mod way;

pub use self::asked::Asked;
pub use self::contact::{Contact, Link, Transport};
pub use self::pool::declared;
pub use self::programs::Programs;
pub use self::replicas::End;
pub use self::replicas::choice::Chosen;
pub use self::server::Server;
pub use self::shared::Shared;
pub use self::status::State;
pub use self::subscriptions::Subscription;
pub use self::task_store::CallOf;
pub use doorward_core::deadline::{Deadline, jittered};
