//! Definitions pinned by the SHA-256 of their canonical form.
//!
//! A [`Definition`] is what a server says of one tool, prompt or resource template, or of itself; a [`Place`] is where it
//! says so. A [`Book`] holds what was approved for one server and judges what the server says now: a definition that
//! differs from its pin is withheld by itself. [`diff`] shows what has changed, and [`lock`] keeps pins in a file.
//!
//! Direct resources are not pinned: a list of resources is data, which changes with what it lists.

mod book;
mod definition;
pub mod diff;
pub mod lock;
mod place;

pub use book::{Book, Judgement, OnNew, Reason};
pub use definition::{Definition, Hash, NotAHash, hash_of};
pub use lock::{LONGEST, Lock, LockError};
pub use place::{Kind, Place, UnknownKind};
