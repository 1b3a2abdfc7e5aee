//! Credit: the possible price of a call is reserved before it is sent, its actual price is charged with its record, and
//! the rest is released.
//!
//! Each gateway reserves some of an account's credit in advance, so that few calls need the database; reserved credit
//! is deducted from the account, so nothing is spent twice. Charges are made in the same transaction that closes the
//! records.

mod alerts;
mod price;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use doorward_mcp::error::Kind;
use doorward_mcp::interaction;
use doorward_policy::PrincipalKind;
use doorward_store::{Account, Amount, Store, WriterId};
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::call::{Call, CallError, Failure, Reply};
use crate::gateway::Gateway;
use crate::record;
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

impl Gateway {
    /// Whether anything has a price.
    pub fn has_prices(&self) -> bool {
        !self.settings().billing.prices.is_empty()
    }

    /// The price of a call, if its tool has one.
    fn price_of_call(&self, call: &Call) -> Option<PriceSettings> {
        if *call.method != *doorward_mcp::method::TOOLS_CALL {
            return None;
        }
        let settings = self.settings();
        let server = &call.route.as_ref()?.server.name;
        let tool = [&**server, "/", &record::target(call)?].concat();
        price_of(&settings.billing, &tool, || self.policies().today()).cloned()
    }

    /// Sets aside what a call may cost, of what is held here.
    pub fn reserve(&self, call: &Call) -> Result<Reserving, CallError> {
        let Some(price) = self.price_of_call(call) else { return Ok(Reserving::Done(None)) };
        let own_key = call.route.as_ref().is_some_and(|route| {
            matches!(self.given_for(&route.server, &call.caller.principal), Ok(Some(_)))
        });
        let amount = price::estimate(&price);
        let mut reserved = Reserved {
            price,
            amount,
            purses: Vec::new(),
            writer: self.shared.audit.writer(),
            own_key,
        };
        if own_key {
            return Ok(Reserving::Done(Some(reserved)));
        }
        let mut purses = self.purses(call);
        if self.settings().billing.require_credit
            && !purses.iter().any(|purse| purse.id.starts_with("tenant/"))
        {
            return Err(out_of_credit("There is no credit for this tool"));
        }
        let Some(writer) = reserved.writer.clone().filter(|_| self.kept.store().is_some()) else {
            return Ok(Reserving::Done(Some(reserved)));
        };
        let enough = purses.iter().take_while(|purse| purse.set_aside(&writer, amount)).count();
        let asked = purses.split_off(enough);
        reserved.purses = purses;
        Ok(if asked.is_empty() {
            Reserving::Done(Some(reserved))
        } else {
            Reserving::Asks(reserved, asked)
        })
    }

    /// Sets aside the rest of what a call may cost, with credit from the database.
    pub async fn reserve_rest(
        &self,
        mut reserved: Reserved,
        asked: Vec<Arc<Purse>>,
    ) -> Result<Reserved, CallError> {
        let (Some(store), Some(writer)) = (self.kept.store(), reserved.writer.clone()) else {
            return Ok(reserved);
        };
        for purse in asked {
            if !purse.set_aside(&writer, reserved.amount) {
                let overdraft = self.settings().billing.overdraft;
                self.fetch(store, &purse, &writer, reserved.amount, overdraft).await?;
            }
            reserved.purses.push(purse);
        }
        Ok(reserved)
    }

    /// The accounts that pay for a caller: the tenant's, and the budgets of teams, user and agent.
    fn purses(&self, call: &Call) -> Vec<Arc<Purse>> {
        let accounts = self.ledger.accounts.load();
        if accounts.is_empty() {
            return Vec::new();
        }
        let principal = &call.caller.principal;
        let who = &principal.who;
        let kind = match who.kind {
            PrincipalKind::User => "user",
            PrincipalKind::Agent => "agent",
            PrincipalKind::ServiceAccount => "service_account",
        };
        let agent = principal.agent.iter().filter(|_| who.kind != PrincipalKind::Agent);
        let names = who.tenant.iter().map(|tenant| ("tenant", tenant));
        let names = names.chain(who.teams.iter().map(|team| ("team", team)));
        let names = names.chain([(kind, &who.id)]).chain(agent.map(|agent| ("agent", agent)));
        let mut account = String::new();
        let purses = names.filter_map(|(kind, name)| {
            account.clear();
            account.extend([kind, "/", name]);
            accounts.get(&account).cloned()
        });
        purses.collect()
    }

    /// Takes credit ahead, and sets aside what is needed of it.
    async fn fetch(
        &self,
        store: &Store,
        purse: &Purse,
        writer: &Arc<WriterId>,
        amount: Amount,
        overdraft: bool,
    ) -> Result<(), CallError> {
        let _asking = purse.asking.lock().await;
        // Somebody else may have brought enough meanwhile.
        if purse.set_aside(writer, amount) {
            return Ok(());
        }
        // What is there is a part of it.
        let (had, more) = {
            let mut held = purse.held.lock();
            let had = held.free.min(amount.0);
            held.free -= had;
            let soon = held.asked.elapsed() < Duration::from_secs(1);
            held.asked = Instant::now();
            held.ahead = if soon { (held.ahead * 2).min(MOST) } else { FIRST };
            (had, Amount(amount.0.saturating_mul(held.ahead)))
        };
        let short = Amount(amount.0 - had);
        let date = self.policies().today().to_string();
        let asked = store.hold_credit(writer, &purse.id, (short, more), &date, overdraft);
        let asked = tokio::time::timeout(PATIENCE, asked).await;
        let brought = match &asked {
            Ok(Ok(Some(held))) => held.0 - short.0,
            _ => had,
        };
        purse.put_back(writer, brought);
        match asked {
            Ok(Ok(Some(_))) => Ok(()),
            Ok(Ok(None)) => Err(out_of_credit(&format!("The credit of '{}' is used up", purse.id))),
            Ok(Err(error)) => {
                let failure = Failure::new(Kind::CreditUnavailable, "The credit cannot be checked")
                    .because(error);
                Err(CallError::Refused { failure, status: 503 })
            }
            Err(_) => {
                let failure =
                    Failure::new(Kind::CreditUnavailable, "The credit cannot be checked in time");
                Err(CallError::Refused { failure, status: 503 })
            }
        }
    }

    /// What a call has cost: nothing where it failed.
    pub fn cost(
        &self,
        reserved: &Reserved,
        call: &Call,
        reply: &Result<Reply, CallError>,
    ) -> Amount {
        if reserved.own_key {
            return Amount::ZERO;
        }
        let Ok(Reply::Result(result)) = reply else { return Amount::ZERO };
        // What is asked again costs when it is answered.
        let charged = interaction::result_type(result) == "complete"
            && (self.settings().billing.charge_errors || !interaction::is_tool_error(result));
        match (charged, call.notes.cached, reserved.price.hit) {
            (false, ..) => Amount::ZERO,
            // What was asked nobody may cost less.
            (true, Some(_), Some(hit)) => hit,
            (true, ..) => price::cost(&reserved.price, result, call.notes.upstream),
        }
    }
}

fn out_of_credit(message: &str) -> CallError {
    CallError::Refused { failure: Failure::new(Kind::OutOfCredit, message), status: 402 }
}

impl crate::access::Policies {
    /// Today, in the zone of policies.
    pub fn today(&self) -> jiff::civil::Date {
        Timestamp::now().to_zoned(self.zone.clone()).date()
    }
}
