//! Prices of tools. They are defined in the configuration file alone.

use doorward_config::PriceSettings;
use doorward_gateway::billing::price_of;
use doorward_policy::Action;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::settings_of;
use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::Problem;

pub const LIST: Operation<Wanted, Page<Price>> = Operation::new(
    "prices.list",
    (Verb::Get, "/admin/v1/prices"),
    "List prices, and where each is defined; with 'tool', the one that calls of the tool cost today",
    (Action::Bill, On::Gateway),
    |desk, input| Box::pin(async move { list(&desk, &input) }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Wanted {
    /// As `server/tool`: only the price that holds for it today.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    pub name: String,
    /// The key of the configuration file that defines it. Prices are changed there.
    pub source: String,
    /// Whether its first day has come.
    pub begun: bool,
    pub price: PriceSettings,
}

fn list(desk: &Desk, input: &Wanted) -> Result<Page<Price>, Problem> {
    let settings = settings_of(desk)?;
    let zone = TimeZone::get(&settings.policy.zone).unwrap_or(TimeZone::UTC);
    let today = Timestamp::now().to_zoned(zone).date();
    let billing = &settings.billing;
    let held = input.tool.as_ref().map(|tool| price_of(billing, tool, || today));
    let prices = billing.prices.iter().filter(|(_, price)| match held {
        None => true,
        Some(held) => held.is_some_and(|held| std::ptr::eq(held, *price)),
    });
    let prices = prices.map(|(name, price)| Price {
        name: name.clone(),
        source: format!("billing.prices.{name}"),
        begun: price.begins().is_none_or(|from| from <= today),
        price: price.clone(),
    });
    input.paging.of(prices.collect(), |price| price.name.clone())
}
