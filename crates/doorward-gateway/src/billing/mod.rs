//! Credit: the possible price of a call is reserved before it is sent, its actual price is charged with its record, and
//! the rest is released.
//!
//! Each gateway reserves some of an account's credit in advance, so that few calls need the database; reserved credit
//! is deducted from the account, so nothing is spent twice. Charges are made in the same transaction that closes the
//! records.

mod alerts;
mod charging;
mod price;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use doorward_store::{Account, Amount, Store, WriterId};
use parking_lot::Mutex;

use doorward_config::PriceSettings;

pub use self::price::price_of;

/// Credit that was not used for so long is given back.
const IDLE: Duration = Duration::from_secs(2);
/// So many calls' worth is taken ahead at first, and so many at most.
const FIRST: i64 = 16;
const MOST: i64 = 4_096;
/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Accounts by their names, as far as this gateway holds something of them.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: ArcSwap<HashMap<String, Arc<Purse>>>,
}

/// What this gateway holds of one account.
#[derive(Debug)]
pub struct Purse {
    pub id: Arc<str>,
    held: Mutex<Held>,
    /// One asks the database at a time; the others find what it has brought.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Held {
    /// Whose it is in the books.
    writer: Option<Arc<WriterId>>,
    /// Neither set aside for a call nor spent.
    free: i64,
    used: Instant,
    asked: Instant,
    ahead: i64,
}

impl Purse {
    fn new(id: &str) -> Arc<Self> {
        let now = Instant::now();
        let held = Held { writer: None, free: 0, used: now, asked: now, ahead: FIRST };
        Arc::new(Self {
            id: id.into(),
            held: Mutex::new(held),
            asking: tokio::sync::Mutex::default(),
        })
    }

    /// Sets an amount aside, if there is as much.
    fn set_aside(&self, writer: &Arc<WriterId>, amount: Amount) -> bool {
        let mut held = self.held.lock();
        held.belongs_to(writer);
        held.used = Instant::now();
        let enough = held.free >= amount.0;
        if enough {
            held.free -= amount.0;
        }
        enough
    }

    fn put_back(&self, writer: &Arc<WriterId>, amount: i64) {
        let mut held = self.held.lock();
        // What another process was told to free is not ours any more.
        if held.writer.as_ref() == Some(writer) {
            held.free += amount;
        }
    }
}

impl Held {
    /// Where the record goes on in another chain, what was held before is not held any more.
    fn belongs_to(&mut self, writer: &Arc<WriterId>) {
        if self.writer.as_ref() != Some(writer) {
            (self.writer, self.free) = (Some(writer.clone()), 0);
        }
    }
}

/// What is set aside for a call. Dropped, it is free again.
#[derive(Debug)]
pub struct Reserved {
    price: PriceSettings,
    amount: Amount,
    purses: Vec<Arc<Purse>>,
    writer: Option<Arc<WriterId>>,
    pub own_key: bool,
}

impl Reserved {
    /// What is set aside, by account.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, Amount)> {
        self.purses.iter().map(|purse| (&*purse.id, self.amount))
    }

    /// Settles a call.
    pub fn settle(mut self, price: Amount) -> Settled {
        let purses = std::mem::take(&mut self.purses);
        if let Some(writer) = &self.writer {
            purses.iter().for_each(|purse| purse.put_back(writer, self.amount.0 - price.0));
        }
        let charged = purses.iter().filter(|_| price != Amount::ZERO);
        let charges = charged.map(|purse| (purse.id.clone(), price)).collect();
        Settled { price, charges, own_key: self.own_key }
    }
}

/// What a call has cost, and what is charged to whom.
#[derive(Debug, Default)]
pub struct Settled {
    pub price: Amount,
    pub charges: Vec<(Arc<str>, Amount)>,
    pub own_key: bool,
}

/// What comes of an attempt to set credit aside.
#[derive(Debug)]
pub enum Reserving {
    /// `None` for what has no price.
    Done(Option<Reserved>),
    /// The database must be asked for the credit of these.
    Asks(Reserved, Vec<Arc<Purse>>),
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            for purse in &self.purses {
                purse.put_back(writer, self.amount.0);
            }
        }
    }
}

impl Ledger {
    /// Takes the accounts that there are; what is held of them stays.
    pub fn take(&self, accounts: &[Account]) {
        let old = self.accounts.load();
        let kept = |account: &Account| {
            let purse = old.get(&account.id).cloned();
            (account.id.clone(), purse.unwrap_or_else(|| Purse::new(&account.id)))
        };
        self.accounts.store(Arc::new(accounts.iter().map(kept).collect()));
    }

    /// Gives back what nobody has used for a while. At the end all is given back with the end of the record.
    pub async fn give_back(&self, store: &Store) {
        for purse in self.accounts.load_full().values() {
            let (writer, amount) = {
                let mut held = purse.held.lock();
                let idle = held.used.elapsed() >= IDLE;
                let Some(writer) = held.writer.clone().filter(|_| idle && held.free > 0) else {
                    continue;
                };
                held.ahead = FIRST;
                (writer, std::mem::take(&mut held.free))
            };
            let amount = Amount(amount);
            let freed =
                tokio::time::timeout(PATIENCE, store.free_credit(&writer, &purse.id, amount)).await;
            if !matches!(freed, Ok(Ok(()))) {
                // It may be freed all the same: then more is held in the books than here, and freed
                // when this process has ended.
                tracing::warn!(account = &*purse.id, "reserved credit was not released");
            }
        }
    }
}
