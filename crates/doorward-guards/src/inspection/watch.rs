//! The inspection of what a server sends during a call.

use doorward_core::Filter;
use doorward_mcp::{Object, method};
use parking_lot::Mutex;

use super::found::{Found, Inspected, Refused, Verdict};
use super::split::Ends;
use super::{Guard, LARGE};

/// Inspects the notifications of one call, and remembers what was found in them.
#[derive(Debug)]
pub struct Watch {
    guard: Guard,
    found: Mutex<(Found, Option<Refused>)>,
    ends: Mutex<Ends>,
}

impl Watch {
    pub fn new(guard: Guard) -> Self {
        Self { guard, found: Mutex::default(), ends: Mutex::default() }
    }

    /// What was found until now, and why a notification was refused, if one was.
    pub fn take(&self) -> (Found, Option<Refused>) {
        std::mem::take(&mut *self.found.lock())
    }
}

impl Filter for Watch {
    fn is_slow(&self, params: &Object) -> bool {
        params.size_hint() >= LARGE
    }

    /// Progress is passed on in any case, without its message if that is refused: a call without it may time out.
    fn pass(&self, method: &str, params: Object) -> Option<Object> {
        let bare = (method == method::PROGRESS).then(|| {
            let mut bare = params.clone();
            bare.retain(|name| matches!(name, b"progressToken" | b"progress" | b"total"));
            bare
        });
        let (inspected, mut passed) = self.guard.notification(params.clone());
        let split = passed
            .as_mut()
            .and_then(|passed| self.ends.lock().follow(&self.guard, method, &params, passed));
        let is_split_refused = split.as_ref().is_some_and(Inspected::is_refused);
        let mut found = self.found.lock();
        for inspected in std::iter::once(inspected).chain(split) {
            found.0.add(inspected.found);
            if let Verdict::Refuse(refused) = inspected.verdict {
                found.1.get_or_insert(refused);
            }
        }
        passed.filter(|_| !is_split_refused).or(bare)
    }
}
