//! Starts a program with nothing but what it may have: the command `doorward confine`.

#![cfg(target_os = "linux")]

mod confine;
mod options;
mod spaces;
mod watch;

pub use confine::run;
pub use options::{Confine, Step};
