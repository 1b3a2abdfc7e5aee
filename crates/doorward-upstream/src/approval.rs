//! Which definitions of a server may be served: decided by the gateway, asked once for each list that was fetched.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;

use doorward_governance::pins::{Kind, OnNew};
use doorward_mcp::Era;
use doorward_mcp::server_info::About;

use crate::catalog::Item;

/// What may be served of a list, and why the rest may not.
pub type Approved = (Vec<Item>, BTreeMap<Box<str>, String>);

/// Decides what may be served of what a server with pins says.
pub trait Approval: Debug + Send + Sync {
    /// Judges a whole list.
    fn list<'a>(
        &'a self,
        server: &'a str,
        on_new: OnNew,
        era: Era,
        kind: Kind,
        items: Vec<Item>,
    ) -> Pin<Box<dyn Future<Output = Approved> + Send + 'a>>;

    /// Judges what the server says of itself, as soon as it is known.
    fn about<'a>(
        &'a self,
        server: &'a str,
        on_new: OnNew,
        era: Era,
        about: &'a About,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}
