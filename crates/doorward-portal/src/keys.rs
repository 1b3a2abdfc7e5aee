//! The caller's API keys. They are for calls alone, and never permit more than the caller may do.

use doorward_admin::service::ById;
use doorward_admin::service::keys::Created;
use doorward_admin::{Code, Desk, Operation, Page, Paging, Problem, Verb};
use doorward_identity::identity::Grant;
use doorward_identity::identity::directory::{People, Said, declared_entries, kind_of};
use doorward_store::{Entry, Error, Key, KeyId, NewKey, Scopes, now};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::visit::Visit;

pub const LIST: Operation<List, Page<Key>> = Operation::own(
    "keys.list",
    (Verb::Get, "/portal/v1/keys"),
    "List your API keys",
    |desk, input| Box::pin(async move { list(&desk, &input).await }),
);

pub const CREATE: Operation<Create, Created> = Operation::own(
    "keys.create",
    (Verb::Post, "/portal/v1/keys"),
    "Create an API key for yourself",
    |desk, input| Box::pin(async move { create(&desk, input).await }),
)
.making();

pub const ROTATE: Operation<Rotate, Created> = Operation::own(
    "keys.rotate",
    (Verb::Post, "/portal/v1/keys/{id}/rotate"),
    "Replace one of your API keys with a new one",
    |desk, input| Box::pin(async move { rotate(&desk, &input).await }),
)
.making();

pub const REVOKE: Operation<ById, Key> = Operation::own(
    "keys.revoke",
    (Verb::Delete, "/portal/v1/keys/{id}"),
    "Revoke one of your API keys",
    |desk, input| Box::pin(async move { revoke(&desk, &input.id).await }),
);

/// Valid keys of one owner, beyond which they create none themselves.
const MOST: usize = 20;
/// Patterns and names in the scopes of a key, and the length of its label and of each of them.
const MOST_SCOPES: usize = 100;
const LONGEST: usize = 200;

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct List {
    /// Include expired and revoked keys.
    pub all: bool,
    #[serde(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Create {
    pub label: String,
    /// Names of portals and servers at whose endpoints alone it is valid. Default: all.
    pub portals: Vec<String>,
    /// Names of servers. Default: all.
    pub servers: Vec<String>,
    /// Tools as `server/tool`; `*` stands for any run of characters. Default: all.
    pub tools: Vec<String>,
    /// Only tools that are known to change nothing.
    pub read_only: bool,
    /// Lifetime in seconds. Default, and at most: `portal.key_lifetime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    pub id: String,
    /// Seconds for which the old key stays valid; at most a day. Default: an hour.
    #[serde(default = "an_hour")]
    pub overlap: i64,
}

fn an_hour() -> i64 {
    60 * 60
}

fn is_mine(visit: &Visit<'_>, key: &Key) -> bool {
    let who = visit.who();
    key.owner_kind == kind_of(who.kind) && key.owner == who.id
}

async fn mine(visit: &Visit<'_>) -> Result<Vec<Key>, Problem> {
    let mut keys = match visit.desk.maybe_store() {
        Some(store) => store.keys().await?,
        None => Vec::new(),
    };
    keys.retain(|key| is_mine(visit, key));
    Ok(keys)
}

async fn list(desk: &Desk, input: &List) -> Result<Page<Key>, Problem> {
    let mut keys = mine(&Visit::of(desk)?).await?;
    keys.retain(|key| input.all || key.is_valid_at(now()));
    input.paging.of(keys, |key| format!("{:012}{}", key.created, key.id))
}

/// Whether the caller may create keys: when a new one expires at the latest.
pub async fn may_create(visit: &Visit<'_>) -> Result<i64, Problem> {
    let no = |why: &str| Err(Problem::new(Code::Forbidden, why));
    let settings = visit.gateway.settings().portal.clone();
    if !settings.self_service_keys {
        return no(
            "users do not create keys here: ask an administrator ('portal.self_service_keys')",
        );
    }
    visit.require_person()?;
    let lifetime = i64::try_from(settings.key_lifetime.0.as_secs()).unwrap_or(i64::MAX);
    let latest = now().saturating_add(lifetime);
    match &visit.caller.principal.grant {
        Grant::Key { id, scopes } => {
            let Scopes { admin, administer, .. } = *scopes;
            if *scopes != (Scopes { admin, administer, ..Scopes::default() }) {
                return no("a restricted key creates no other keys");
            }
            let key = visit.desk.store()?.key(id).await?;
            if !is_mine(visit, &key) {
                return no("keys of a team or tenant are made by administrators");
            }
            // No key lives on in one that it has made.
            Ok(key.expires.map_or(latest, |expires| expires.min(latest)))
        }
        // Without policies, a key permits what a login does not.
        Grant::Token { .. } if visit.gateway.policies().set.is_none() => {
            no("without policies, keys are made by administrators")
        }
        // A key has what the directory says of its owner. With less than that, policies that forbid might not find them.
        Grant::Token { .. } if visit.desk.is_signed_in() => match is_known_as(visit) {
            true => Ok(latest),
            false => no(
                "your teams, roles or tenant come from your login, and a key would not have them: \
                let your clients log in instead",
            ),
        },
        Grant::Token { .. } | Grant::Certificate => no("sign in to the portal to create a key"),
        Grant::Open => no("nobody has to authenticate here yet: no key is needed"),
    }
}

/// Whether the directory says the same of the caller as their login.
fn is_known_as(visit: &Visit<'_>) -> bool {
    let settings = visit.gateway.settings();
    let (stored, who) = (visit.gateway.kept.people(), visit.who());
    let mut declared = declared_entries(&settings.directory).into_iter().chain(stored.clone());
    let kind = kind_of(who.kind);
    if !declared.any(|entry| entry.kind == kind && entry.name == who.id) {
        // They are added with their tenant.
        return who.teams.is_empty() && who.roles.is_empty();
    }
    let people = People::new(&settings.directory, &stored);
    people.find(who.kind, &who.id, Said::default()).as_ref() == Some(who)
}

fn check(input: &Create) -> Result<(), Problem> {
    let all = [&input.portals, &input.servers, &input.tools];
    let count: usize = all.iter().map(|list| list.len()).sum();
    let longest = all.iter().flat_map(|list| list.iter()).map(String::len).max().unwrap_or(0);
    if count > MOST_SCOPES || longest > LONGEST || input.label.len() > LONGEST {
        let why = format!(
            "a key has at most {MOST_SCOPES} names of portals, servers and tools, each of which, as the label, has at \
             most {LONGEST} bytes"
        );
        return Err(Problem::invalid(why));
    }
    if let Some(tool) = input.tools.iter().find(|tool| !tool.contains('/')) {
        let tool = tool.escape_debug();
        let why = format!("tools: '{tool}': expected the server, '/' and the tool");
        return Err(Problem::invalid(why));
    }
    if input.expires_in.is_some_and(|seconds| seconds <= 0) {
        return Err(Problem::invalid("'expires_in' must be positive"));
    }
    Ok(())
}

async fn create(desk: &Desk, input: Create) -> Result<Created, Problem> {
    let visit = Visit::of(desk)?;
    let latest = may_create(&visit).await?;
    check(&input)?;
    let Create { label, portals, servers, tools, read_only, expires_in } = input;
    let expires = expires_in.map_or(latest, |seconds| now().saturating_add(seconds));
    if expires > latest {
        let why = format!(
            "'expires_in' must be at most {} seconds ('portal.key_lifetime', and no longer than the key that you use)",
            latest - now()
        );
        return Err(Problem::invalid(why));
    }
    let (admin, administer) = (false, false);
    let scopes = Scopes { portals, servers, tools, read_only, admin, administer };
    let who = visit.who();
    // What a login says of its user is not stored: it may say otherwise tomorrow.
    let owner = Entry { tenant: who.tenant.clone(), ..Entry::new(kind_of(who.kind), &who.id) };
    let new = NewKey { label, owner, scopes, expires: Some(expires) };
    // Two at the same time count one after the other.
    let store = desk.store()?;
    let revision = match store.pinned() {
        Some(revision) => revision,
        None => store.revision().await?,
    };
    if mine(&visit).await?.iter().filter(|key| key.is_valid_at(now())).count() >= MOST {
        let why = format!("you have {MOST} valid keys, the maximum: revoke one first");
        return Err(Problem::new(Code::Conflict, why));
    }
    let created = store.at_revision(revision).create_key(&new).await;
    let (key, text) = created.map_err(|error| match (error, store.pinned()) {
        (Error::Moved, None) => {
            let why = "something else was changed at the same moment: send the request again";
            Problem::new(Code::Conflict, why)
        }
        (error, _) => error.into(),
    })?;
    made(desk, key, text).await
}

async fn made(desk: &Desk, key: Key, text: String) -> Result<Created, Problem> {
    desk.settle().await?;
    Ok(Created { key, secret: (!desk.is_rehearsal()).then_some(text) })
}

/// A key of the caller's that they can change here.
async fn find(visit: &Visit<'_>, id: &str) -> Result<Key, Problem> {
    visit.require_person()?;
    let found = mine(visit).await?.into_iter().find(|key| key.id.0 == id);
    let key = found.ok_or_else(|| Problem::absent("key", id))?;
    if key.scopes.admin || key.scopes.administer {
        let why = "this key is for administration: rotate and revoke it at the admin API";
        return Err(Problem::new(Code::Forbidden, why));
    }
    Ok(key)
}

async fn rotate(desk: &Desk, input: &Rotate) -> Result<Created, Problem> {
    const A_DAY: i64 = 24 * 60 * 60;
    if !(0..=A_DAY).contains(&input.overlap) {
        return Err(Problem::invalid("'overlap' must be 0 to 86400 seconds"));
    }
    let visit = Visit::of(desk)?;
    let latest = may_create(&visit).await?;
    let key = find(&visit, &input.id).await?;
    // It is followed by one that lives as long.
    let next = key.expires.map(|expires| now() + (expires - key.created));
    if next.is_none_or(|next| next > latest) {
        let why = "the new key would live longer than you may make one: create another, and revoke this one";
        return Err(Problem::new(Code::Conflict, why));
    }
    let (key, text) = desk.store()?.rotate_key(&key.id, input.overlap).await?;
    made(desk, key, text).await
}

async fn revoke(desk: &Desk, id: &str) -> Result<Key, Problem> {
    let visit = Visit::of(desk)?;
    let restricted = match &visit.caller.principal.grant {
        Grant::Key { id: own, scopes } => {
            let Scopes { admin, administer, .. } = *scopes;
            own.0 != id && *scopes != (Scopes { admin, administer, ..Scopes::default() })
        }
        Grant::Open | Grant::Token { .. } | Grant::Certificate => false,
    };
    if restricted {
        let why = "a restricted key revokes no other keys";
        return Err(Problem::new(Code::Forbidden, why));
    }
    find(&visit, id).await?;
    let key = desk.store()?.revoke_key(&KeyId(id.to_owned())).await?;
    desk.settle().await?;
    Ok(key)
}
