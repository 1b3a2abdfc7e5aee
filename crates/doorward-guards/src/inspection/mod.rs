//! Inspection of calls as the settings want it: invisible characters, suspicious texts, secrets and personal data, in arguments
//! and in what servers return.
//!
//! [`Active`] has the current [`Inspection`], if there is one. A stage of the gateway takes a [`Guard`] for each call, which
//! knows what applies to its target, and uses it for everything that passes in the call. All work is done by the pure
//! functions of `doorward-inspect`, within the budget of one message.

mod answer;
mod compile;
mod found;
mod message;
mod opaque;
mod parts;
mod plan;
mod tokens;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use doorward_config::{ApprovalSettings, InspectionSettings, Secret};
use doorward_inspect::{Detectors, Scanner};
use parking_lot::{Mutex, RwLock};

pub use self::answer::ErrorTexts;
pub use self::compile::{BadInspection, Files, Prepared, Where};
pub use self::found::{Direction, Found, Inspected, NOT_INSPECTED, Refused, Verdict, codes};
pub use self::parts::{InspectedParts, Parts};
pub use self::tokens::Keys;
pub use self::watch::Watch;

use self::plan::{Plans, Which};

/// Messages from this size on, in bytes, are inspected away from the threads that calls are on.
pub const LARGE: usize = 32 << 10;

/// Plans that are cached; others are made for each call.
const MOST_PLANS: usize = 1024;

/// The inspection in force.
#[derive(Debug)]
pub struct Active {
    keys: Arc<Keys>,
    current: ArcSwapOption<Inspection>,
    /// Apart from the settings, which cost more to look at: every call asks.
    is_on: AtomicBool,
}

/// Compiled settings.
#[derive(Debug)]
pub struct Inspection {
    settings: InspectionSettings,
    files: Files,
    scanner: Arc<Scanner>,
    detectors: Arc<Detectors>,
    keys: Arc<Keys>,
    /// What applies where no exception does.
    general: Arc<Plans>,
    plans: RwLock<HashMap<Which, Arc<Plans>>>,
}

/// Inspects what passes in one call.
#[derive(Debug, Clone)]
pub struct Guard {
    inspection: Arc<Inspection>,
    plans: Arc<Plans>,
    /// As `server/tool`.
    target: Arc<str>,
    /// Empty for callers without one.
    tenant: Arc<str>,
    turned: Turned,
}

/// What was turned back from tokens in the arguments of a call. Where they are inspected again, because a check or an
/// approver has changed them, it stays what it is.
#[derive(Clone, Default)]
struct Turned(Arc<Mutex<HashSet<String>>>);

impl std::fmt::Debug for Turned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turned")
    }
}

/// The inspection of one call, and what it has found.
#[derive(Debug)]
pub struct Inspecting {
    pub guard: Guard,
    pub arguments: Found,
    pub returned: Found,
    /// Why the arguments or the answer were refused.
    pub refused: Option<Refused>,
    /// What inspects the notifications of the call.
    pub watch: Option<Arc<Watch>>,
}

impl Inspecting {
    pub fn new(guard: Guard) -> Self {
        let (arguments, returned) = Default::default();
        Self { guard, arguments, returned, refused: None, watch: None }
    }

    /// The inspection of arguments that were inspected before, and have been changed since.
    pub fn again(mut guard: Guard, before: &Self) -> Self {
        guard.turned = before.guard.turned.clone();
        Self { arguments: before.arguments.turned_back(), ..Self::new(guard) }
    }
}

impl Guard {
    /// Who approves calls that are held, if somebody does.
    pub fn approval(&self) -> Option<&ApprovalSettings> {
        self.inspection.settings.approval.as_ref()
    }
}

/// What a call is about.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// A tool, prompt or resource, by the server's own name for it.
    Named(&'a str),
    /// Something of the server of which the name is not known, such as a task: the strictest settings apply.
    Unknown,
}

impl Active {
    /// Nothing is inspected. The key makes hashes and tokens; without one, they are good for this process only. Fails when
    /// the system has no randomness.
    pub fn new(key: Option<&Secret>) -> Result<Self, getrandom::Error> {
        Ok(Self {
            keys: Arc::new(Keys::new(key)?),
            current: ArcSwapOption::empty(),
            is_on: AtomicBool::new(false),
        })
    }

    /// Whether anything is inspected.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// The detectors in force, those of the operator among them.
    pub fn detectors(&self) -> Option<Arc<Detectors>> {
        self.current.load().as_ref().map(|inspection| inspection.detectors.clone())
    }

    /// The scanner in force, with the rules of the operator.
    pub fn scanner(&self) -> Option<Arc<Scanner>> {
        self.current.load().as_ref().map(|inspection| inspection.scanner.clone())
    }

    /// Puts settings and the files that they name in force; `None` turns inspection off. What is not valid changes nothing.
    /// Returns whether something changed. Takes some milliseconds if it did.
    pub fn declare(
        &self,
        settings: Option<&InspectionSettings>,
        files: Files,
    ) -> Result<bool, BadInspection> {
        if self.is_in_force(settings, &files) {
            return Ok(false);
        }
        Ok(self.put(Prepared::of(settings, files)?))
    }

    /// Puts in force what was checked before. Returns whether something changed.
    pub fn put(&self, prepared: Prepared) -> bool {
        let is_same = self.is_in_force(prepared.settings.as_ref(), &prepared.files);
        if !is_same {
            let next = prepared.into_inspection(&self.keys);
            let is_on = next.is_some();
            self.current.store(next.map(Arc::new));
            self.is_on.store(is_on, Ordering::Release);
        }
        !is_same
    }

    fn is_in_force(&self, settings: Option<&InspectionSettings>, files: &Files) -> bool {
        match (&*self.current.load(), settings) {
            (None, None) => true,
            (Some(current), Some(settings)) => {
                current.settings == *settings && current.files == *files
            }
            _ => false,
        }
    }

    /// What inspects a call; `None` where nothing is inspected.
    pub fn guard(&self, server: &str, target: Target<'_>, tenant: Option<&str>) -> Option<Guard> {
        let inspection = self.current.load_full()?;
        let (plans, target) = match target {
            Target::Named(name) => {
                let target = format!("{server}/{name}");
                (inspection.plans_of(&target), target)
            }
            Target::Unknown => (inspection.strictest_of(server), format!("{server}/")),
        };
        let tenant = tenant.unwrap_or_default().into();
        Some(Guard { inspection, plans, target: target.into(), tenant, turned: Turned::default() })
    }
}

impl Inspection {
    /// The plans for a target, as `server/tool`.
    fn plans_of(&self, target: &str) -> Arc<Plans> {
        let which = Which::of(&self.settings, target);
        if which.is_none() {
            return self.general.clone();
        }
        self.cached(which, || {
            Plans::new(&self.settings.arguments_of(target), &self.settings.results_of(target))
        })
    }

    /// The strictest plans of everything that a server has.
    fn strictest_of(&self, server: &str) -> Arc<Plans> {
        let which = Which::possible(&self.settings, server);
        if which.is_none() {
            return self.general.clone();
        }
        self.cached(which, || {
            Plans::new(
                &self.settings.strictest_arguments_of(server),
                &self.settings.strictest_results_of(server),
            )
        })
    }

    fn cached(&self, which: Which, make: impl FnOnce() -> Plans) -> Arc<Plans> {
        if let Some(plans) = self.plans.read().get(&which) {
            return plans.clone();
        }
        let plans = Arc::new(make());
        let mut all = self.plans.write();
        if all.len() < MOST_PLANS {
            all.insert(which, plans.clone());
        }
        plans
    }
}

#[cfg(test)]
mod tests;
