//! Decides which definitions of a server may be served, and in which form. Asked once for each
//! fetched list; the gateway implements it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use doorward_governance::pins::{Kind, OnNew};
use doorward_mcp::server_info::About;
use doorward_mcp::{Era, Object};
use futures_util::future::BoxFuture;

use crate::catalog::Item;

/// The source of definitions: a server with pins.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub server: &'a str,
    /// The replica; empty if the server has none.
    pub replica: &'a str,
    pub era: Era,
    /// The rule for definitions without a pin.
    pub on_new: OnNew,
}

/// The definitions of a list that may be served, and those that may not.
#[derive(Debug, Default)]
pub struct Approved {
    pub items: Vec<Item>,
    /// By name.
    pub withheld: BTreeMap<Box<str>, Withheld>,
}

impl Approved {
    /// Withholds definitions that findings hold or refuse, and serves stripped ones in place of the
    /// originals.
    pub(crate) fn apply(&mut self, mut findings: Findings) {
        if findings.is_empty() {
            return;
        }
        for mut item in std::mem::take(&mut self.items) {
            let finding = findings.remove(&item.key).unwrap_or_default();
            let Finding { stripped, hold, refuse } = finding;
            if let Some(why) = refuse.or(hold) {
                self.withheld.insert(item.key, Withheld { why, is_changed: false });
                continue;
            }
            if let Some(stripped) = stripped {
                item.definition = stripped;
            }
            self.items.push(item);
        }
    }
}

/// Why a definition is not served.
#[derive(Debug, Clone)]
pub struct Withheld {
    pub why: String,
    /// A different definition was approved under its name.
    pub is_changed: bool,
}

/// What was found in a definition, because of which it is not served unchanged.
#[derive(Debug, Clone, Default)]
pub struct Finding {
    /// The definition that is served in its place.
    pub stripped: Option<Object>,
    /// Why it is withheld until somebody accepts it.
    pub hold: Option<String>,
    /// Why it is never served.
    pub refuse: Option<String>,
}

/// Findings in a list, by name.
pub type Findings = HashMap<Box<str>, Finding>;

/// Decides which of a server's definitions may be served.
pub trait Approval: Debug + Send + Sync {
    /// Whether resources and templates of servers without pins may be withheld.
    fn withholds(&self) -> bool;

    /// Inspects a whole list. `list` is the member of the result that holds the items. `has_pins`
    /// says whether a held definition can be accepted by pinning it.
    fn inspect<'a>(
        &'a self,
        server: &'a str,
        list: &'static str,
        has_pins: bool,
        items: Vec<Item>,
    ) -> BoxFuture<'a, (Vec<Item>, Findings)>;

    /// Checks a whole list of a server with pins. Definitions that `findings` hold are pinned by
    /// people only.
    fn list<'a>(
        &'a self,
        source: Source<'a>,
        kind: Kind,
        items: Vec<Item>,
        findings: &'a Findings,
    ) -> BoxFuture<'a, Approved>;

    /// Checks a server's description of itself, once it is known. `pins` is absent if it has none.
    fn about<'a>(
        &'a self,
        server: &'a str,
        pins: Option<Source<'a>>,
        about: &'a About,
    ) -> BoxFuture<'a, ()>;
}
