//! Inspection of what servers say of themselves and of their tools, prompts and resources, when the gateway learns it.
//!
//! Invisible characters are removed, and what looks like instructions to a model is reported, withheld until somebody accepts
//! it, or refused. Every definition is inspected once: what was found is remembered by its bytes until the rules, the
//! settings or the names of other servers' tools change.

mod judged;
mod names;
mod suspicious;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::LazyLock;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use doorward_config::{
    DefinitionInspection, InspectionSettings, InvisibleAction, SuspiciousAction,
};
use doorward_inspect::{Budget, Mentions, Rules, Scanner, strip_json, text};
use parking_lot::Mutex;

pub use judged::{Judged, Kind, Withheld};
pub use names::{Names, Others};
pub use suspicious::{Signal, Suspicious, suspicious};

/// Definitions of which it is remembered what was found.
const MOST: usize = 20_000;

/// Bytes that are searched of one definition, in all forms of its strings.
const BUDGET: usize = 4 << 20;

/// The ready-made rules.
static READY_MADE: LazyLock<Arc<Scanner>> = LazyLock::new(|| {
    let rules = Rules::ready_made().unwrap_or_else(|_| unreachable!("these rules are tested"));
    Arc::new(Scanner::new(rules))
});

/// A scanner with the ready-made rules.
pub fn ready_made() -> &'static Arc<Scanner> {
    &READY_MADE
}

/// What is done with definitions, and what was found in them.
#[derive(Debug, Default)]
pub struct Definitions {
    terms: ArcSwap<Terms>,
    seen: Mutex<Seen>,
    names: Names,
}

#[derive(Debug, Default)]
struct Seen {
    /// By what was inspected, and the names of others that were known.
    found: HashMap<([u8; 32], u64), Arc<Found>>,
    /// What was reported: each once, whatever others' names are.
    reported: HashSet<([u8; 32], u32)>,
}

/// What a definition is inspected by.
#[derive(Debug, Default)]
struct Terms {
    /// Without settings, invisible characters are removed, and nothing is scanned.
    settings: Option<InspectionSettings>,
    /// `None`: the ready-made rules.
    scanner: Option<Arc<Scanner>>,
    /// Whether a definition may be held or refused for what it says.
    withholds: bool,
    scans: bool,
}

/// What was found in a definition.
#[derive(Debug)]
struct Found {
    /// The definition without invisible characters, where it has any.
    stripped: Option<String>,
    /// Without them, two of its names are equal.
    collides: bool,
    suspicious: Option<Suspicious>,
}

impl Terms {
    fn of(&self, server: &str, name: &str) -> DefinitionInspection {
        match &self.settings {
            Some(settings) => settings.definitions_of(&format!("{server}/{name}")),
            None => DefinitionInspection {
                suspicious: Some(SuspiciousAction::Ignore),
                ..DefinitionInspection::default()
            },
        }
    }

    fn scanner(&self) -> &Scanner {
        self.scanner.as_ref().unwrap_or_else(|| ready_made())
    }
}

impl Definitions {
    /// Takes settings and rules. Returns whether definitions have to be inspected again.
    pub fn declare(
        &self,
        settings: Option<&InspectionSettings>,
        scanner: Option<Arc<Scanner>>,
    ) -> bool {
        let all = || {
            let settings = settings.into_iter();
            settings.flat_map(|settings| {
                let exceptions = settings.exceptions.iter().map(|it| &it.definitions);
                std::iter::once(&settings.definitions).chain(exceptions)
            })
        };
        let withholds = all().any(|it| {
            let suspicious = it.suspicious();
            matches!(suspicious, SuspiciousAction::Hold | SuspiciousAction::Refuse)
                || it.invisible() == InvisibleAction::Refuse
        });
        let scans = all().any(|it| it.suspicious() != SuspiciousAction::Ignore);
        let terms = self.terms.load();
        let same_rules = match (&terms.scanner, &scanner) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        let parts = |settings: &InspectionSettings| {
            let exceptions = settings.exceptions.iter();
            let exceptions: Vec<_> =
                exceptions.map(|it| (it.only.clone(), it.definitions.clone())).collect();
            (settings.definitions.clone(), exceptions)
        };
        if same_rules && terms.settings.as_ref().map(parts) == settings.map(parts) {
            return false;
        }
        drop(terms);
        let settings = settings.cloned();
        self.terms.store(Arc::new(Terms { settings, scanner, withholds, scans }));
        self.seen.lock().found.clear();
        true
    }

    /// Whether something that is listed may be withheld for what it says.
    pub fn withholds(&self) -> bool {
        self.terms.load().withholds
    }

    /// Whether the settings accept a definition with this digest, whatever holds it.
    pub fn accepts(&self, server: &str, name: &str, digest: &str) -> bool {
        self.terms.load().of(server, name).accepted.contains(digest)
    }

    /// The names of servers' tools.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What a server's definitions may not name; `None` if nothing is scanned.
    pub fn others(&self, server: &str) -> Option<Others> {
        self.terms.load().scans.then(|| self.names.others(server))
    }

    /// Inspects a definition, which is JSON. `digest` returns what it is accepted by.
    pub fn judge(
        &self,
        server: &str,
        kind: Kind,
        name: &str,
        json: &str,
        others: Option<&Others>,
        digest: impl FnOnce() -> String,
    ) -> Judged {
        let terms = self.terms.load();
        let settings = terms.of(server, name);
        let (invisible, action) = (settings.invisible(), settings.suspicious());
        if invisible == InvisibleAction::Ignore && action == SuspiciousAction::Ignore {
            return Judged::default();
        }
        let scans = action != SuspiciousAction::Ignore;
        let (found, is_new) = self.find(&terms, (server, kind, name), json, others, scans);
        // Without settings, odd names are served as they are.
        let keeps_names = terms.settings.is_none();
        judged::judge(&settings, &found, (kind, name), (is_new, keeps_names), digest)
    }

    fn find(
        &self,
        terms: &Terms,
        (server, kind, name): (&str, Kind, &str),
        json: &str,
        others: Option<&Others>,
        scans: bool,
    ) -> (Arc<Found>, bool) {
        let generation = others.map_or(0, |others| others.generation);
        let scanned = if scans { "scanned" } else { "" };
        let hash = hash_of([server, kind.as_str(), scanned, json].map(str::as_bytes));
        if let Some(found) = self.seen.lock().found.get(&(hash, generation)) {
            return (found.clone(), false);
        }
        let mentions = others.and_then(|others| others.mentions.as_ref());
        let scanner = scans.then(|| terms.scanner());
        let mut found = inspect(scanner, kind, name, json, mentions);
        if let (Some(others), Kind::Tool, true) = (others, kind, scans)
            && let Some(pair) = others.look_alike(name)
        {
            let threshold = terms.scanner().rules().thresholds().definition;
            let suspicious = found
                .suspicious
                .get_or_insert_with(|| Suspicious::none(kind.as_str(), name, threshold));
            suspicious.add(Signal::look_alike(&pair.to_string(), threshold));
        }
        let found = Arc::new(found);
        let mut seen = self.seen.lock();
        if seen.found.len() >= MOST {
            seen.found.clear();
        }
        if seen.reported.len() >= MOST {
            seen.reported.clear();
        }
        seen.found.insert((hash, generation), found.clone());
        let score = found.suspicious.as_ref().map_or(0, |found| found.score);
        (found, seen.reported.insert((hash, score)))
    }
}

/// A hash of parts, of which none can be mistaken for the end of another.
pub fn hash_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Inspects a definition; without a scanner, for invisible characters alone.
fn inspect(
    scanner: Option<&Scanner>,
    kind: Kind,
    name: &str,
    json: &str,
    mentions: Option<&Mentions>,
) -> Found {
    let stripped = strip_json(json).ok().flatten();
    let collides = stripped.as_ref().is_some_and(|cleaned| cleaned.collides);
    let suspicious = scanner.and_then(|scanner| {
        let report = scanner.definition(json, mentions, &mut Budget::new(BUDGET)).ok()?;
        suspicious::found(kind.as_str(), name, report)
    });
    Found { stripped: stripped.map(|cleaned| cleaned.text), collides, suspicious }
}

/// A name as it may be printed.
fn printed(name: &str) -> Cow<'_, str> {
    text::strip(name).map_or(Cow::Borrowed(name), |(clean, _)| Cow::Owned(clean))
}

#[cfg(test)]
mod tests;
