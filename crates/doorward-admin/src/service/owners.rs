//! The last owner stays: a change over the admin API that would leave nobody who may do everything is refused. On the
//! machine itself another owner can always be created, so nothing is refused there.

use std::pin::Pin;

use doorward_policy::Action;
use doorward_store::{Entry, Error, Key, Store, now};

use super::directory::{People, principal};
use crate::desk::{self, Desk, Who};
use crate::problem::Problem;

/// How often a change is tried again when something else was changed meanwhile.
const ATTEMPTS: usize = 8;

/// Who may administer, as far as the store says.
#[derive(Debug, Clone)]
pub struct Holders {
    pub keys: Vec<Key>,
    pub people: People,
}

/// A change on its way.
pub type Changing<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Makes a change that takes rights away, if an owner is left after its `effect`.
pub async fn keeping<T>(
    desk: &Desk,
    effect: impl Fn(&mut Holders),
    change: impl Fn(Store) -> Changing<T>,
) -> Result<T, Problem> {
    let store = desk.store()?;
    if matches!(desk.who(), Who::Machine) {
        return Ok(change(store.clone()).await?);
    }
    for _ in 0..ATTEMPTS {
        let pinned = store.pinned();
        let revision = match pinned {
            Some(revision) => revision,
            None => store.revision().await?,
        };
        check(desk, &effect).await?;
        match change(store.at_revision(revision)).await {
            Err(Error::Moved) if pinned.is_none() => {}
            done => return Ok(done?),
        }
    }
    Err(Error::Moved.into())
}

/// Refuses an `effect` that leaves no owner; for changes that are made at the revision that was read before.
pub async fn check(desk: &Desk, effect: impl Fn(&mut Holders)) -> Result<(), Problem> {
    if matches!(desk.who(), Who::Machine) {
        return Ok(());
    }
    let keys = desk.store()?.keys().await?;
    let before = Holders { keys, people: People::read(desk).await? };
    let mut after = before.clone();
    effect(&mut after);
    if count(desk, &before) > 0 && count(desk, &after) == 0 {
        return Err(Error::LastOwner.into());
    }
    Ok(())
}

/// Keys for administrators, and people who may do everything by policies.
fn count(desk: &Desk, holders: &Holders) -> usize {
    let people = &holders.people;
    let is_enabled =
        |key: &Key| people.find(key.owner_kind, &key.owner).is_none_or(|entry| !entry.disabled);
    let is_owner = |entry: &Entry| {
        let Some(who) = principal(entry).filter(|_| !entry.disabled) else { return false };
        desk.maybe_gateway().is_some_and(|gateway| {
            Action::ADMINISTER
                .into_iter()
                .all(|action| gateway.would_administer(&who, action, &desk::gateway()))
        })
    };
    // Somebody who may do everything also needs a credential to do it with.
    let has_issuers = desk.settings().is_some_and(|it| !it.identity.issuers.is_empty());
    let good = holders.keys.iter().filter(|key| key.is_valid_at(now()) && is_enabled(key));
    let mut count = 0;
    let mut administer = Vec::new();
    for key in good {
        if key.scopes.admin {
            count += 1;
        } else if key.scopes.administer {
            administer.push((key.owner_kind, key.owner.as_str()));
        }
    }
    let owners = people.all().filter(|entry| is_owner(entry));
    count
        + owners
            .filter(|entry| has_issuers || administer.contains(&(entry.kind, entry.name.as_str())))
            .count()
}
