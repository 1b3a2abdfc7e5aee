//! Prices of calls, and what happens when credit runs out.

use std::collections::{BTreeMap, BTreeSet};

use doorward_store::Amount;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Secret;
use doorward_core::pattern::Pattern;

/// What happens to the reserved price of a call whose outcome is unknown because the gateway stopped during it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// Charge the reserved amount: the call may have been answered.
    #[default]
    Charge,
    /// Charge nothing.
    Release,
}

/// Prices and credit. Amounts are numbers with at most six decimals.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BillingSettings {
    /// Prices, by name. If several match a tool, the one with the longest pattern applies; of these, the most
    /// recent one.
    pub prices: BTreeMap<String, PriceSettings>,
    /// Require an account for priced tools. If not set, calls of tenants without an account are only counted.
    pub require_credit: bool,
    /// Allow calls after credit has run out; the balance becomes negative.
    pub overdraft: bool,
    pub unknown: Unknown,
    /// Also charge calls that the tool answered with an error.
    pub charge_errors: bool,
    pub alerts: AlertSettings,
}

/// Price of calls of some tools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PriceSettings {
    /// Pattern `server/tool`; `*` matches any characters.
    pub tools: Pattern,
    /// First day on which the price applies, in the time zone of policies, such as `2026-01-31`. Default: always.
    #[schemars(with = "Option<String>")]
    pub from: Option<String>,
    #[schemars(with = "Option<f64>")]
    pub call: Option<Amount>,
    /// Price of each unit of a number in the result.
    pub unit: Option<UnitPrice>,
    /// Price of each second that the server took; partial seconds are charged in proportion.
    #[schemars(with = "Option<f64>")]
    pub second: Option<Amount>,
    /// Price of each 1,024 bytes of the result; partial ones are charged in proportion.
    #[schemars(with = "Option<f64>")]
    pub kb: Option<Amount>,
    /// Total price of a call that is served from cache. Default: the price of any other call.
    #[schemars(with = "Option<f64>")]
    pub hit: Option<Amount>,
    /// Amount to reserve before the call. Default: the price of a call and of one unit.
    #[schemars(with = "Option<f64>")]
    pub reserve: Option<Amount>,
}

impl Default for PriceSettings {
    fn default() -> Self {
        let tools = Pattern("*".into());
        Self {
            tools,
            from: None,
            call: None,
            unit: None,
            second: None,
            kb: None,
            hit: None,
            reserve: None,
        }
    }
}

/// A number in the result, and the price of one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitPrice {
    /// Path of member names, separated by dots, such as `structuredContent.rows`. A number counts as its value, a
    /// list as its length.
    pub field: String,
    #[schemars(with = "f64")]
    pub price: Amount,
}

/// Alerts when credit is running out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSettings {
    /// Percentages of the granted credit at which to send an alert.
    pub at: BTreeSet<u8>,
    /// URL to which each alert is posted as JSON, until it is delivered. Default: alerts are only logged.
    pub webhook: Option<Url>,
    /// Bearer token to send with each alert.
    pub token: Option<Secret>,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self { at: [50, 80, 100].into(), webhook: None, token: None }
    }
}

impl PriceSettings {
    /// The first day; dates that cannot be parsed were rejected with the configuration.
    pub fn begins(&self) -> Option<Date> {
        self.from.as_ref().and_then(|from| from.parse().ok())
    }
}

impl BillingSettings {
    /// Keys below `billing`, and their problems.
    pub fn problems(&self, has_store: bool) -> Vec<(Vec<&str>, String)> {
        let mut problems: Vec<(Vec<&str>, String)> = Vec::new();
        if !self.prices.is_empty() && !has_store {
            problems.push((vec![], "requires a 'store' for accounts".into()));
        }
        for (name, price) in &self.prices {
            let mut wrong = |key, why: &str| {
                let path =
                    ["prices", name.as_str(), key].into_iter().filter(|it: &&str| !it.is_empty());
                problems.push((path.collect(), why.into()));
            };
            if price.from.is_some() && price.begins().is_none() {
                wrong("from", "expected a date such as 2026-01-31");
            }
            let unit = price.unit.as_ref().map(|unit| unit.price);
            let all = [price.call, unit, price.second, price.kb];
            if all.iter().all(Option::is_none) {
                wrong("", "has no price: set 'call', 'unit', 'second' or 'kb'");
            }
            if all.iter().chain([&price.hit, &price.reserve]).flatten().any(|amount| amount.0 < 0) {
                wrong("", "a price must not be negative");
            }
            if price.unit.as_ref().is_some_and(|unit| unit.field.split('.').any(str::is_empty)) {
                wrong("unit", "'field': expected names with dots between them");
            }
        }
        if self.alerts.at.iter().any(|percent| *percent == 0 || *percent > 100) {
            problems.push((vec!["alerts", "at"], "expected percentages from 1 to 100".into()));
        }
        if self.alerts.webhook.as_ref().is_some_and(|url| !matches!(url.scheme(), "http" | "https"))
        {
            problems
                .push((vec!["alerts", "webhook"], "expected an http:// or https:// URL".into()));
        }
        problems
    }
}
