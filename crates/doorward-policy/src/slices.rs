//! Indexes policies by what they apply to, so that a decision evaluates only those that can matter, and does not take
//! longer because of policies about other tools.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::{ActionConstraint, EntityUid, PolicyId, PolicySet as Cedar, ResourceConstraint};
use parking_lot::RwLock;

use crate::approval::Hold;
use crate::arguments::{self, Members};
use crate::compile::Compiled;
use crate::decide::{Deciding, Effect};
use crate::entities::{action_uid, administer, group_of, server_uid, target_uid};
use crate::looks::Looks;
use crate::request::{Action, Target};

/// Maximum number of cached slices.
const MOST: usize = 4096;

/// All policies, and slices of them.
#[derive(Debug)]
pub(crate) struct Slices {
    all: Vec<Compiled>,
    /// Indexes into `all`, by action and target.
    about: HashMap<Action, Places>,
    made: RwLock<HashMap<Key, Arc<Slice>>>,
}

#[derive(Debug, Default)]
struct Places {
    anything: Vec<usize>,
    /// About one tool, prompt, resource, portal or server.
    one: HashMap<EntityUid, Vec<usize>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    action: Action,
    /// What is asked for, and its server, where policies are about them.
    target: Option<EntityUid>,
    server: Option<EntityUid>,
}

/// The policies that can bear on a request.
#[derive(Debug)]
pub(crate) struct Slice {
    pub policies: Cedar,
    /// The arguments these look at.
    pub arguments: Members,
    /// The members of the context these look at.
    pub looks: Looks,
    /// The metadata that is reported for each deciding policy.
    deciding: HashMap<PolicyId, Deciding>,
    /// Policies that hold calls instead of refusing them, and all others. `None` if there are none that hold.
    pub holding: Option<Holding>,
}

/// The policies of a slice, some of which hold calls.
#[derive(Debug, Default)]
pub(crate) struct Holding {
    pub others: Cedar,
    holds: HashMap<PolicyId, Hold>,
}

impl Holding {
    /// The approvals that the policies require, in the order of ids; `None` if one of them does not hold.
    pub fn all<'a>(&self, ids: impl Iterator<Item = &'a PolicyId>) -> Option<Vec<Hold>> {
        let mut holds = ids.map(|id| self.holds.get(id).cloned()).collect::<Option<Vec<_>>>()?;
        holds.sort_by(|a, b| a.policy.cmp(&b.policy));
        Some(holds).filter(|holds| !holds.is_empty())
    }

    pub fn holds(&self, id: &PolicyId) -> bool {
        self.holds.contains_key(id)
    }
}

impl Slice {
    /// Those of the policies that decided, in the order of their ids.
    pub fn told<'a>(&self, ids: impl Iterator<Item = &'a PolicyId>) -> Vec<Deciding> {
        let mut told: Vec<_> = ids.filter_map(|id| self.deciding.get(id)).cloned().collect();
        told.sort_by(|a, b| a.id.cmp(&b.id));
        told
    }

    pub fn forbids(&self, id: &PolicyId) -> bool {
        self.deciding.get(id).is_none_or(|policy| policy.effect == Effect::Forbid)
    }
}

impl Slices {
    pub fn new(all: Vec<Compiled>) -> Self {
        let mut about: HashMap<Action, Places> = HashMap::new();
        for (at, one) in all.iter().enumerate() {
            for action in Action::all().filter(|action| concerns(one, *action)) {
                let places = about.entry(action).or_default();
                match one.policy.resource_constraint() {
                    ResourceConstraint::Any | ResourceConstraint::Is(_) => places.anything.push(at),
                    ResourceConstraint::Eq(uid)
                    | ResourceConstraint::In(uid)
                    | ResourceConstraint::IsIn(_, uid) => {
                        places.one.entry(uid).or_default().push(at);
                    }
                }
            }
        }
        Self { all, about, made: RwLock::default() }
    }

    /// The policies for an action on a target.
    pub fn find(&self, action: Action, target: &Target) -> Arc<Slice> {
        let places = self.about.get(&action);
        let known = |uid: EntityUid| {
            places.is_some_and(|places| places.one.contains_key(&uid)).then_some(uid)
        };
        let key = Key {
            action,
            target: known(target_uid(target)),
            server: server_uid(target).and_then(known),
        };
        if let Some(slice) = self.made.read().get(&key) {
            return slice.clone();
        }
        let slice = Arc::new(self.make(&key));
        let mut made = self.made.write();
        if made.len() >= MOST {
            made.clear();
        }
        made.insert(key, slice.clone());
        slice
    }

    fn make(&self, key: &Key) -> Slice {
        let mut slice = Slice {
            policies: Cedar::new(),
            arguments: Members::new(),
            deciding: HashMap::new(),
            looks: Looks::default(),
            holding: None,
        };
        let Some(places) = self.about.get(&key.action) else { return slice };
        let of = |uid: &Option<EntityUid>| uid.as_ref().and_then(|uid| places.one.get(uid));
        let both = if key.server == key.target { None } else { of(&key.server) };
        let chosen = places
            .anything
            .iter()
            .chain(of(&key.target).into_iter().flatten())
            .chain(both.into_iter().flatten());
        let chosen: Vec<&Compiled> = chosen.map(|at| &self.all[*at]).collect();
        // Completions and subscriptions cannot wait for approval: holding policies deny them.
        let waits = !matches!(key.action, Action::Complete | Action::Subscribe);
        if waits && chosen.iter().any(|one| one.hold.is_some()) {
            let mut holding = Holding::default();
            for one in &chosen {
                match &one.hold {
                    Some(hold) => drop(holding.holds.insert(one.policy.id().clone(), hold.clone())),
                    None => drop(holding.others.add(one.policy.clone())),
                }
            }
            slice.holding = Some(holding);
        }
        for one in chosen {
            // Ids are unique and types agree: both were checked when the set was made.
            let _ = slice.policies.add(one.policy.clone());
            let _ = arguments::join(&mut slice.arguments, &one.arguments);
            slice.looks = slice.looks.and(one.looks);
            slice.deciding.insert(one.policy.id().clone(), one.deciding.clone());
        }
        slice
    }
}

fn concerns(one: &Compiled, action: Action) -> bool {
    let (uid, group) = (action_uid(action), group_of(action));
    match one.policy.action_constraint() {
        // Who may do anything is no operator by that: to administer is permitted by its name alone.
        ActionConstraint::Any => group != administer() || one.deciding.effect == Effect::Forbid,
        ActionConstraint::Eq(named) => named == uid,
        ActionConstraint::In(named) => named.contains(&uid) || named.contains(&group),
    }
}
