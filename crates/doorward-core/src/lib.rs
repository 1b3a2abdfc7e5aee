//! Types that all parts of the gateway use: call ids, failures, events, and the shares of callers. Nothing here reads a
//! file, opens a socket or knows a server.

pub mod address;
pub mod byte_queue;
mod call_id;
pub mod capability_use;
pub mod collect;
pub mod deadline;
mod door_state;
mod events;
mod failure;
pub mod fair;
pub mod flood;
pub mod memory;
mod millis;
pub mod news;
pub mod pattern;
pub mod random;
mod receipt;
mod scope;
pub mod share;

pub use call_id::CallId;
pub use door_state::DoorState;
pub use events::{Events, Filter, Gone, Pauses};
pub use failure::{Challenge, Failure};
pub use millis::millis;
pub use receipt::{Charged, Receipt};
pub use scope::{Portal, Protocol};
