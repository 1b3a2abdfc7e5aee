//! Which definitions of a server may be served: decided by the gateway, asked once for each list that was fetched.

use std::collections::BTreeMap;
use std::fmt::Debug;

use doorward_governance::pins::{Kind, OnNew};
use doorward_mcp::Era;
use doorward_mcp::server_info::About;
use futures_util::future::BoxFuture;

use crate::catalog::Item;

/// Who says something: a server with pins.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub server: &'a str,
    /// Which of its replicas; empty where there are none.
    pub replica: &'a str,
    pub era: Era,
    /// What happens to what has no pin.
    pub on_new: OnNew,
}

/// What may be served of a list, and what may not.
#[derive(Debug, Default)]
pub struct Approved {
    pub items: Vec<Item>,
    /// By name.
    pub withheld: BTreeMap<Box<str>, Withheld>,
}

/// Why a definition is not served.
#[derive(Debug, Clone)]
pub struct Withheld {
    pub why: String,
    /// Something else was approved under its name.
    pub is_changed: bool,
}

/// Decides what may be served of what a server with pins says.
pub trait Approval: Debug + Send + Sync {
    /// Judges a whole list.
    fn list<'a>(
        &'a self,
        source: Source<'a>,
        kind: Kind,
        items: Vec<Item>,
    ) -> BoxFuture<'a, Approved>;

    /// Judges what the server says of itself, as soon as it is known.
    fn about<'a>(&'a self, source: Source<'a>, about: &'a About) -> BoxFuture<'a, ()>;
}
