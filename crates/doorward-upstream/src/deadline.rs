//! How long a call may take.

pub use doorward_core::deadline::{Deadline, jittered};
