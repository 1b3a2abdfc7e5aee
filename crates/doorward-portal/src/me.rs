//! Who the caller is, and what bounds them.

use std::collections::{BTreeMap, BTreeSet};

use doorward_admin::openapi::Nothing;
use doorward_admin::service::limits::LimitUse;
use doorward_admin::{Desk, Operation, Problem, Verb};
use doorward_config::Dimension;
use doorward_gateway::call::Portal;
use doorward_identity::identity::Grant;
use doorward_limits::rates::Use;
use doorward_store::{Account, Amount, now};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::keys;
use crate::usage;
use crate::visit::{Place, Visit};

pub const SHOW: Operation<Nothing, Me> = Operation::own(
    "me.show",
    (Verb::Get, "/portal/v1/me"),
    "Show who you are, what you may use, and what bounds you",
    |desk, _| Box::pin(async move { show(&desk).await }),
);

/// Limits that are shown.
const MOST_LIMITS: usize = 200;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    pub principal: Whom,
    /// How you have authenticated: `key`, `token` (also with an OpenID provider), `certificate` or `none`.
    pub authentication: String,
    /// Your own budget and credit; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// Accounts of your tenant, teams and agent that your calls are charged to as well.
    pub shared_accounts: Vec<SharedAccount>,
    pub spent: Spent,
    /// Limits of which you have used something, and those of your teams and tenant.
    pub limits: Vec<LimitUse>,
    /// Names of portals with something in them that you may use.
    pub portals: Vec<String>,
    /// Names of servers that you may use.
    pub servers: Vec<String>,
    pub can: Can,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Whom {
    /// As audit records name you.
    pub id: String,
    pub name: String,
    /// `user`, `agent` or `service_account`.
    pub kind: String,
    pub tenant: Option<String>,
    pub teams: BTreeSet<String>,
    pub roles: BTreeSet<String>,
    /// The agent that acts for you.
    pub agent: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SharedAccount {
    /// `tenant`, `team` or `agent`, and the name: `team/eng`.
    pub id: String,
    /// Whether nothing is left.
    pub exhausted: bool,
}

/// What your calls have cost. Days and months are those of UTC.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    pub today: Amount,
    pub this_month: Amount,
    pub calls_today: i64,
    pub calls_this_month: i64,
}

/// What you can do here.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Can {
    /// Create API keys.
    pub create_keys: bool,
    /// How long a key is valid at most, in seconds.
    pub key_lifetime: u64,
    /// Change anything: `false` for a client or agent that acts for you.
    pub change: bool,
}

async fn show(desk: &Desk) -> Result<Me, Problem> {
    let visit = Visit::of(desk)?;
    let principal = &visit.caller.principal;
    let who = visit.who().clone();
    let places = visit.places();
    let (account, shared_accounts) = accounts(&visit).await?;
    let mut servers: BTreeMap<String, String> = BTreeMap::new();
    for server in places.iter().flat_map(|place| &place.servers) {
        servers.insert(server.name.to_ascii_lowercase(), server.name.to_string());
    }
    let lifetime = desk.settings().map(|it| it.portal.key_lifetime.0.as_secs());
    Ok(Me {
        principal: Whom {
            id: principal.id.to_string(),
            kind: visit.kind().into(),
            name: who.id,
            tenant: who.tenant,
            teams: who.teams,
            roles: who.roles,
            agent: principal.agent.clone(),
        },
        authentication: principal.grant.authentication().into(),
        account,
        shared_accounts,
        spent: spent(&visit).await?,
        limits: limits(&visit, &places),
        portals: places
            .iter()
            .filter(|place| matches!(place.portal, Portal::Named(_)))
            .map(|place| place.portal.name().to_owned())
            .collect(),
        servers: servers.into_values().collect(),
        can: Can {
            create_keys: keys::may_create(&visit).await.is_ok(),
            key_lifetime: lifetime.unwrap_or_default(),
            change: visit.require_person().is_ok(),
        },
    })
}

/// The caller's account, and those that they share with others, of which they see whether there is something left.
async fn accounts(visit: &Visit<'_>) -> Result<(Option<Account>, Vec<SharedAccount>), Problem> {
    let Some(store) = visit.desk.maybe_store() else { return Ok((None, Vec::new())) };
    let (who, own) = (visit.who(), format!("{}/{}", visit.kind(), visit.who().id));
    let tenant = who.tenant.iter().map(|name| format!("tenant/{name}"));
    let teams = who.teams.iter().map(|name| format!("team/{name}"));
    let agent = visit.caller.principal.agent.iter().map(|name| format!("agent/{name}"));
    let shared: BTreeSet<String> =
        tenant.chain(teams).chain(agent).filter(|id| *id != own).collect();
    let all = store.credit_accounts().await?;
    let shared = all.iter().filter(|account| shared.contains(&account.id));
    let shared = shared.map(|account| SharedAccount {
        id: account.id.clone(),
        // What gateways have set aside can still be spent.
        exhausted: account.balance.0 + account.held.0 <= 0,
    });
    let shared = shared.collect();
    Ok((all.into_iter().find(|account| account.id == own), shared))
}

async fn spent(visit: &Visit<'_>) -> Result<Spent, Problem> {
    let Some(store) = visit.desk.maybe_store() else { return Ok(Spent::default()) };
    let now = now();
    let day = now - now.rem_euclid(24 * 60 * 60);
    let month = Timestamp::from_second(day).map_or(day, |at| {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        day - i64::from(date.day() - 1) * 24 * 60 * 60
    });
    let mut spent = Spent::default();
    for (key, usage) in usage::of(visit, store, month, now + 1).await? {
        spent.this_month = spent.this_month.plus(usage.price);
        spent.calls_this_month += usage.calls;
        if key.hour >= day {
            spent.today = spent.today.plus(usage.price);
            spent.calls_today += usage.calls;
        }
    }
    Ok(spent)
}

/// The use of limits that count the caller, or a team or tenant of theirs.
fn limits(visit: &Visit<'_>, places: &[Place]) -> Vec<LimitUse> {
    let principal = &visit.caller.principal;
    let who = visit.who();
    let sees = |name: &str| {
        let mut servers = places.iter().flat_map(|place| &place.servers);
        servers.any(|server| server.name.eq_ignore_ascii_case(name))
    };
    let is_own = |one: &Use| {
        let mut counts_them = false;
        let mut is_personal = false;
        let fits = one.names.iter().all(|(dimension, name)| match dimension {
            Dimension::Tenant => {
                counts_them = true;
                who.tenant.as_ref() == Some(name)
            }
            Dimension::Team => {
                counts_them = true;
                who.teams.contains(name)
            }
            Dimension::User => {
                (counts_them, is_personal) = (true, true);
                *principal.counted == **name
            }
            Dimension::Agent => {
                counts_them = true;
                let agent = principal.agent.as_ref().unwrap_or(&who.id);
                agent == name && (principal.agent.is_some() || visit.kind() == "agent")
            }
            Dimension::Key => {
                (counts_them, is_personal) = (true, true);
                matches!(&principal.grant, Grant::Key { id, .. } if id.0 == *name)
            }
            Dimension::Server | Dimension::Tool | Dimension::Address => true,
        });
        // What others use is not for everybody to know.
        let is_visible = one.names.iter().all(|(dimension, name)| match dimension {
            Dimension::Server => sees(name),
            Dimension::Tool | Dimension::Address => is_personal,
            _ => true,
        });
        fits && counts_them && is_visible
    };
    let uses = visit.gateway.limiter.uses(None, MOST_LIMITS, |_, one| is_own(one));
    uses.into_iter().map(LimitUse::from).collect()
}
