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

/// Credit unused for this long is returned.
const IDLE: Duration = Duration::from_secs(2);
/// The number of calls to fetch credit for: initially, and at most.
const FIRST: i64 = 16;
const MOST: i64 = 4_096;
/// Timeout of the database.
const PATIENCE: Duration = Duration::from_secs(2);

/// Accounts by name, of those for which this gateway holds credit.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: ArcSwap<HashMap<String, Arc<Purse>>>,
}

/// This gateway's credit of one account.
#[derive(Debug)]
pub struct Purse {
    pub id: Arc<str>,
    held: Mutex<Held>,
    /// One request to the database at a time; waiting calls use the credit it fetches.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Held {
    /// The writer to which the ledger assigns the held credit.
    writer: Option<Arc<WriterId>>,
    /// Neither reserved for a call nor spent.
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

    /// Reserves an amount, if available.
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
        // Credit that another process may have released is no longer held.
        if held.writer.as_ref() == Some(writer) {
            held.free += amount;
        }
    }
}

impl Held {
    /// When the audit log continues in another chain, credit held before is no longer held.
    fn belongs_to(&mut self, writer: &Arc<WriterId>) {
        if self.writer.as_ref() != Some(writer) {
            (self.writer, self.free) = (Some(writer.clone()), 0);
        }
    }
}

/// Credit reserved for a call. Released when dropped.
#[derive(Debug)]
pub struct Reserved {
    price: PriceSettings,
    amount: Amount,
    purses: Vec<Arc<Purse>>,
    writer: Option<Arc<WriterId>>,
    pub own_key: bool,
}

impl Reserved {
    /// The reserved amounts, by account.
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

/// The cost of a call, and the amounts charged by account.
#[derive(Debug, Default)]
pub struct Settled {
    pub price: Amount,
    pub charges: Vec<(Arc<str>, Amount)>,
    pub own_key: bool,
}

/// The result of an attempt to reserve credit.
#[derive(Debug)]
pub enum Reserving {
    /// `None` if the call has no price.
    Done(Option<Reserved>),
    /// More credit must be fetched from the database for these accounts.
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
    /// Updates the accounts; held credit remains.
    pub fn take(&self, accounts: &[Account]) {
        let old = self.accounts.load();
        let kept = |account: &Account| {
            let purse = old.get(&account.id).cloned();
            (account.id.clone(), purse.unwrap_or_else(|| Purse::new(&account.id)))
        };
        self.accounts.store(Arc::new(accounts.iter().map(kept).collect()));
    }

    /// Returns credit that was unused for a while. The end of the chain returns all of it.
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
                // It may have been released all the same. Then the ledger holds more for this
                // gateway than it knows, and releases it when this process has ended.
                tracing::warn!(account = &*purse.id, "reserved credit was not released");
            }
        }
    }
}
