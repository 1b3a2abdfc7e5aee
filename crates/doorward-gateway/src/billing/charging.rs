//! Reserves the possible cost of a call, and determines its actual cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_mcp::error::Kind;
use doorward_mcp::interaction;
use doorward_policy::PrincipalKind;
use doorward_store::{Amount, Store, WriterId};

use super::{FIRST, MOST, PATIENCE, Purse, Reserved, Reserving, price, price_of};
use crate::call::{Call, CallError, Failure, Reply};
use crate::gateway::Gateway;
use crate::record;
use doorward_config::PriceSettings;

impl Gateway {
    /// Whether any prices are configured.
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

    /// Reserves the possible cost of a call from this gateway's credit.
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

    /// Reserves the rest of the possible cost, with credit from the database.
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

    /// The accounts charged for a caller: the tenant's, and budgets of teams, user and agent.
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

    /// Fetches credit in advance, and reserves the needed amount.
    async fn fetch(
        &self,
        store: &Store,
        purse: &Purse,
        writer: &Arc<WriterId>,
        amount: Amount,
        overdraft: bool,
    ) -> Result<(), CallError> {
        let _asking = purse.asking.lock().await;
        // Another call may have fetched enough in the meantime.
        if purse.set_aside(writer, amount) {
            return Ok(());
        }
        // The available amount is part of it.
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

    /// The cost of a call: nothing if it failed.
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
        // A request for input costs nothing; the call is charged when it completes.
        let charged = interaction::result_type(result) == "complete"
            && (self.settings().billing.charge_errors || !interaction::is_tool_error(result));
        match (charged, call.notes.cached, reserved.price.hit) {
            (false, ..) => Amount::ZERO,
            // A cached response costs nobody less than its price for cache hits.
            (true, Some(_), Some(hit)) => hit,
            (true, ..) => price::cost(&reserved.price, result, call.notes.upstream),
        }
    }
}

fn out_of_credit(message: &str) -> CallError {
    CallError::Refused { failure: Failure::new(Kind::OutOfCredit, message), status: 402 }
}
