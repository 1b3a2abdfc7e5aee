//! Rate limits and quotas: what is permitted, and what is used of it at present.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_config::{Dimension, RuleSettings, Settings};
use doorward_limits::rates::{Limiter, Use};
use doorward_policy::Action;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desk::{self, Desk};
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging, no_cursor};
use crate::problem::{Code, Problem};

pub const LIST: Operation<Paging, Page<Limit>> = Operation::new(
    "limits.list",
    (Verb::Get, "/admin/v1/limits"),
    "List rate limits and quotas, and where each is defined",
    (Action::View, On::Gateway),
    |desk, paging| Box::pin(async move { list(&desk, &paging) }),
);

pub const USE: Operation<Wanted, Page<LimitUse>> = Operation::new(
    "limits.use",
    (Verb::Get, "/admin/v1/limits/use"),
    "Show what is used of limits, and when it is reset",
    (Action::View, On::Named(|_, wanted| desk::of_tenant(wanted.tenant.as_deref()))),
    |desk, wanted| Box::pin(async move { used(&desk, &wanted).await }),
);

/// A limit in effect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    pub name: String,
    /// The key of the configuration file that defines it. Limits are changed there.
    pub source: String,
    /// With everything that it inherits.
    pub limit: RuleSettings,
    /// Whether gateways count together, in a shared store.
    pub shared: bool,
}

/// Whose use is wanted: of all, or of what is named.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Wanted {
    /// Only of this limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only of limits that count this tenant separately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only where at least so many percent are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    #[serde(flatten)]
    pub paging: Paging,
}

/// What is used of a limit, for one of what it counts separately. What has used nothing is not listed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LimitUse {
    /// Its name.
    pub name: String,
    /// What is counted, as `overrides` name it: `acme/alice`. Empty if all calls are counted together; `*` for those that
    /// are counted together because there are too many.
    pub subject: String,
    /// The dimensions of the subject and their values.
    pub counts: BTreeMap<Dimension, String>,
    pub measures: Vec<MeasureUse>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MeasureUse {
    /// `rate`, `window`, `sliding`, `daily`, `monthly` or `concurrency`.
    pub measure: String,
    /// Calls that are permitted: for a `rate`, at once.
    pub bound: u64,
    pub used: u64,
    pub remaining: u64,
    /// Milliseconds until everything that is used now is permitted again. 0 for `concurrency`: when calls end.
    pub resets_in_ms: u64,
    /// Where gateways count together: how long ago, in milliseconds, the shared store said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_for_ms: Option<u64>,
}

/// The settings that say what is limited and what costs what: those of the gateway, or of the file that was passed.
pub(super) fn settings_of(desk: &Desk) -> Result<Arc<Settings>, Problem> {
    desk.settings().ok_or_else(|| {
        let why = "this is defined in the configuration: pass --config, or --admin-url";
        Problem::new(Code::NotRunning, why)
    })
}

fn list(desk: &Desk, paging: &Paging) -> Result<Page<Limit>, Problem> {
    let settings = settings_of(desk)?;
    let own = &settings.rate_limits;
    // Those that are not valid were refused with the settings.
    let limits = own.rules.keys().filter_map(|name| {
        Some(Limit {
            name: name.clone(),
            source: format!("rate_limits.rules.{name}"),
            limit: own.whole(name).ok()?,
            shared: own.shared.is_some(),
        })
    });
    paging.of(limits.collect(), |limit| limit.name.clone())
}

async fn used(desk: &Desk, wanted: &Wanted) -> Result<Page<LimitUse>, Problem> {
    let (count, after) = (wanted.paging.count()?, wanted.paging.after()?);
    let after = match &after {
        None => None,
        Some(key) => Some(key.split_once('\n').ok_or_else(no_cursor)?),
    };
    if wanted.percent.is_some_and(|percent| percent > 100) {
        return Err(Problem::invalid("'percent' must be 0 to 100"));
    }
    let fits = |_: &RuleSettings, one: &Use| {
        let tenant = one.names.iter().find(|(dimension, _)| *dimension == Dimension::Tenant);
        let percent = u128::from(wanted.percent.unwrap_or_default());
        wanted.name.as_ref().is_none_or(|name| **name == *one.rule)
            && wanted.tenant.as_ref().is_none_or(|it| tenant.is_some_and(|(_, name)| name == it))
            && one.measures.iter().any(|measured| {
                let bound = u128::from(measured.measure.limit());
                u128::from(measured.used()) * 100 >= percent * bound
            })
    };
    let found = match desk.maybe_gateway() {
        Some(gateway) => gateway.limiter.uses(after, count + 1, fits),
        None => {
            // Without a gateway, only quotas are known: those that one has stored.
            let mut settings = Settings::clone(&*settings_of(desk)?);
            settings.rate_limits.shared = None;
            let limiter = Limiter::new(&settings);
            limiter.resume(desk.store()?).await?;
            limiter.uses(after, count + 1, fits)
        }
    };
    let items = found.into_iter().map(LimitUse::from);
    Ok(Page::cut(items.collect(), count, |one| format!("{}\n{}", one.name, one.subject)))
}

impl From<Use> for LimitUse {
    fn from(one: Use) -> Self {
        let millis =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            name: one.rule.to_string(),
            subject: one.subject,
            counts: one.names.into_iter().collect(),
            measures: one
                .measures
                .iter()
                .map(|measured| MeasureUse {
                    measure: measured.measure.word().to_owned(),
                    bound: measured.measure.limit(),
                    used: measured.used(),
                    remaining: measured.left.remaining,
                    resets_in_ms: millis(measured.left.reset),
                    known_for_ms: measured.known_for.map(millis),
                })
                .collect(),
        }
    }
}
