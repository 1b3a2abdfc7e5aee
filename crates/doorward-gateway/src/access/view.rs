//! A short digest of everything that a caller's lists depend on, other than the servers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use doorward_policy::{Arguments, Context, Looks};

use super::Policies;
use super::decide::Asking;
use crate::call::Portal;
use crate::gateway::Gateway;
use doorward_identity::identity::{Grant, Principal};
use doorward_upstream::catalog::ViewKey;

/// Keys cached per thread: about as many as there are concurrently active callers.
const MOST: usize = 16;

/// A key, and everything that it was derived from.
struct Made {
    principal: Weak<Principal>,
    policies: Weak<Policies>,
    portal: Portal,
    context: Context,
    key: ViewKey,
}

thread_local! {
    /// The most recent keys, latest first.
    static MADE: RefCell<VecDeque<Made>> = const { RefCell::new(VecDeque::new()) };
}

impl Made {
    /// Compares by address. That is safe: principals and policies are immutable, and the references
    /// held here keep their addresses from being reused.
    fn is_of(&self, asking: &Asking<'_>, policies: &Arc<Policies>, context: &Context) -> bool {
        std::ptr::eq(self.principal.as_ptr(), Arc::as_ptr(&asking.caller.principal))
            && std::ptr::eq(self.policies.as_ptr(), Arc::as_ptr(policies))
            && self.portal == *asking.portal
            && self.context == *context
    }
}

impl Gateway {
    /// Identifies everything that a list depends on other than the servers; `None` for nothing.
    pub fn view_key(&self, asking: &Asking<'_>) -> Option<ViewKey> {
        let principal = &asking.caller.principal;
        if self.is_unrestricted(principal, asking.portal) {
            return None;
        }
        if self.is_trusted(principal) {
            // All callers see the whole portal.
            return Some(ViewKey::of(asking.portal.name().as_bytes()));
        }
        let policies = self.policies();
        let looks = policies.set.as_ref().map_or_else(Looks::default, |set| set.looks());
        let context = asking.context(&policies, looks, Arguments::Any);
        MADE.with_borrow_mut(|made| {
            if let Some(made) = made.iter().find(|made| made.is_of(asking, &policies, &context)) {
                return Some(made.key);
            }
            let key = key(asking, &policies, &context)?;
            made.truncate(MOST - 1);
            made.push_front(Made {
                principal: Arc::downgrade(principal),
                policies: Arc::downgrade(&policies),
                portal: asking.portal.clone(),
                context,
                key,
            });
            Some(key)
        })
    }
}

fn key(asking: &Asking<'_>, policies: &Policies, context: &Context) -> Option<ViewKey> {
    let principal = &asking.caller.principal;
    let scopes = match &principal.grant {
        Grant::Key { scopes, .. } => Some(scopes),
        Grant::Open | Grant::Token { .. } | Grant::Certificate => None,
    };
    let portal = asking.portal.name();
    let all = serde_json::to_vec(&(&principal.who, context, portal, scopes, &policies.version));
    all.ok().map(|all| ViewKey::of(&all))
}
