//! Access decisions: what a caller's credential allows, and what policies decide. Lists, calls,
//! subscriptions and endpoints all use them, so that they always agree (attack T27).

pub mod decide;
pub mod targets;
mod tenants;
mod view;

use std::sync::Arc;

use doorward_policy::{PolicySet, Time};
use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

pub use self::tenants::Tenants;

use doorward_config::{Explain, Settings};

/// The active policies, and the settings for evaluating them.
#[derive(Debug)]
pub struct Policies {
    /// `None` if there are no policies.
    pub set: Option<Arc<PolicySet>>,
    /// Identifies the set in logs and audit records.
    pub version: String,
    zone: TimeZone,
    pub zone_name: String,
    pub explain: Explain,
}

impl Policies {
    pub fn new(set: Option<Arc<PolicySet>>, version: String, settings: &Settings) -> Self {
        // The time zone was validated with the settings.
        let zone = TimeZone::get(&settings.policy.zone).unwrap_or(TimeZone::UTC);
        let zone_name = settings.policy.zone.clone();
        Self { set, version, zone, zone_name, explain: settings.policy.explain }
    }

    /// Whether these settings differ at most in the policy set.
    pub fn are_asked_as(&self, settings: &Settings) -> bool {
        self.zone_name == settings.policy.zone && self.explain == settings.policy.explain
    }

    /// Today, in the time zone of policies.
    pub fn today(&self) -> jiff::civil::Date {
        Timestamp::now().to_zoned(self.zone.clone()).date()
    }

    fn now(&self) -> Time {
        let now = Timestamp::now();
        let local = now.to_zoned(self.zone.clone());
        let weekday = match local.weekday() {
            Weekday::Monday => "mon",
            Weekday::Tuesday => "tue",
            Weekday::Wednesday => "wed",
            Weekday::Thursday => "thu",
            Weekday::Friday => "fri",
            Weekday::Saturday => "sat",
            Weekday::Sunday => "sun",
        };
        Time {
            weekday: weekday.into(),
            hour: local.hour().unsigned_abs(),
            minute: local.minute().unsigned_abs(),
            date: local.date().to_string(),
            unix: now.as_second(),
        }
    }
}
