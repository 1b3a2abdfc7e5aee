//! What calls cost, and what happens when credit runs out.

use std::collections::{BTreeMap, BTreeSet};

use doorward_store::Amount;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Secret;
use doorward_core::pattern::Pattern;

/// What becomes of the price of a call of which it is not known how it ended: the gateway died meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// What was reserved is charged: the call may have been answered.
    #[default]
    Charge,
    /// Nothing is charged.
    Release,
}

/// Prices and credit. Amounts are numbers with six decimals at most.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BillingSettings {
    /// Prices, by a name of their own. Of those that fit a tool the one with the longest pattern holds,
    /// and of these the one that came into effect last.
    pub prices: BTreeMap<String, PriceSettings>,
    /// Tenants without an account may use priced tools, and are counted only, unless this is set.
    pub require_credit: bool,
    /// Calls go on when credit runs out; it is owed then.
    pub overdraft: bool,
    pub unknown: Unknown,
    /// Calls that a tool answered with an error are charged, too.
    pub charge_errors: bool,
    pub alerts: AlertSettings,
}

/// What a call of some tools costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PriceSettings {
    /// As `server/tool`; `*` stands for any run of characters.
    pub tools: Pattern,
    /// The first day on which it holds, in the zone of policies, such as `2026-01-31`. When absent, always.
    #[schemars(with = "Option<String>")]
    pub from: Option<String>,
    #[schemars(with = "Option<f64>")]
    pub call: Option<Amount>,
    /// For each unit of a number in the result.
    pub unit: Option<UnitPrice>,
    /// For each second that the server took, begun ones in parts.
    #[schemars(with = "Option<f64>")]
    pub second: Option<Amount>,
    /// For each 1,024 bytes of the result, begun ones in parts.
    #[schemars(with = "Option<f64>")]
    pub kb: Option<Amount>,
    /// All that a call costs which is answered from the cache. When absent, what any other costs.
    #[schemars(with = "Option<f64>")]
    pub hit: Option<Amount>,
    /// What is set aside before the call. When absent, the price of a call and of one unit.
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

/// A number in the result, and what one of it costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitPrice {
    /// Names of members, with dots between them, such as `structuredContent.rows`. A number counts as it
    /// is, a list by its length.
    pub field: String,
    #[schemars(with = "f64")]
    pub price: Amount,
}

/// Whom to tell that credit is running out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSettings {
    /// At which percentages of what was granted.
    pub at: BTreeSet<u8>,
    /// An URL to which each alert is posted as JSON, once it is delivered. When absent, it is logged only.
    pub webhook: Option<Url>,
    /// Sent along as a bearer token.
    pub token: Option<Secret>,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self { at: [50, 80, 100].into(), webhook: None, token: None }
    }
}

impl PriceSettings {
    /// The first day; one that cannot be read was refused with the settings.
    pub fn begins(&self) -> Option<Date> {
        self.from.as_ref().and_then(|from| from.parse().ok())
    }
}

impl BillingSettings {
    /// Keys below `billing`, and what is wrong with them.
    pub fn problems(&self, has_store: bool) -> Vec<(Vec<&str>, String)> {
        let mut problems: Vec<(Vec<&str>, String)> = Vec::new();
        if !self.prices.is_empty() && !has_store {
            problems.push((vec![], "needs a 'store', where credit is kept".into()));
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
                wrong("", "costs nothing: give it a price by 'call', 'unit', 'second' or 'kb'");
            }
            if all.iter().chain([&price.hit, &price.reserve]).flatten().any(|amount| amount.0 < 0) {
                wrong("", "a price is not negative");
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
