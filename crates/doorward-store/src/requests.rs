//! Requests of users for access: to a tool, a server or a portal, or for a server that is not there yet. Whether what is
//! asked for exists is nothing that a request depends on.

use doorward_inspect::written::{self, Keep};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::{Act, Change, Error, Kind, Result, Store, random_id};

/// Requests that wait, of one requester and in all.
pub const MOST_REQUESTS_OF_REQUESTER: i64 = 10;
const MOST_OPEN: i64 = 5_000;
/// Requests that one requester may make in a day.
const MOST_A_DAY: i64 = 30;
const DAY: i64 = 24 * 60 * 60;
/// How long a request waits, and how long one is kept that is over, in seconds.
const LIFETIME: i64 = 30 * DAY;
const KEPT: i64 = 90 * DAY;
/// Longest name, URL, and text, in bytes.
const LONGEST_NAME: usize = 400;
const LONGEST_URL: usize = 2_000;
const LONGEST_TEXT: usize = 2_000;

/// What somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// A tool, as `server/tool`.
    Tool,
    Server,
    Portal,
    /// A server that is not there yet.
    NewServer,
}

impl RequestKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Server => "server",
            Self::Portal => "portal",
            Self::NewServer => "new_server",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    Open,
    Granted,
    Refused,
    Withdrawn,
    Expired,
}

impl RequestState {
    pub const ALL: [Self; 5] =
        [Self::Open, Self::Granted, Self::Refused, Self::Withdrawn, Self::Expired];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

/// How a request was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granted {
    /// The requester was given this role.
    Role(String),
    /// The requester was added to this team.
    Team(String),
    /// This policy file was added.
    Policy(String),
    /// By other means, as this says.
    Note(String),
}

/// A request for access. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessRequest {
    pub id: String,
    pub kind: RequestKind,
    /// What is asked for: `server/tool`, or the name of a server or portal.
    pub name: String,
    /// Where a new server is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub why: String,
    pub requester_kind: Kind,
    pub requester: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub state: RequestState,
    pub created: i64,
    /// Until when it waits.
    pub expires: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Granted>,
    /// A new server was proposed with it.
    #[serde(default)]
    pub proposed: bool,
}

/// A request to be stored.
#[derive(Debug, Clone)]
pub struct NewRequest<'a> {
    pub kind: RequestKind,
    pub name: &'a str,
    pub url: Option<&'a str>,
    pub why: &'a str,
    pub requester: (Kind, &'a str),
    pub tenant: Option<&'a str>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Granted(Granted),
    Refused(String),
    Withdrawn,
}

const COLUMNS: &str = "state, expires, request";

fn read(row: &AnyRow, now: i64) -> Result<AccessRequest> {
    let mut request: AccessRequest = serde_json::from_str(row.try_get("request")?)?;
    let state: String = row.try_get("state")?;
    let known = RequestState::ALL.into_iter().find(|it| it.as_str() == state);
    let unreadable = || Error::Refused(format!("a stored request has the state '{state}'"));
    request.state = known.ok_or_else(unreadable)?;
    request.expires = row.try_get("expires")?;
    if request.state == RequestState::Open && request.expires <= now {
        request.state = RequestState::Expired;
    }
    Ok(request)
}

async fn one(id: &str, now: i64, on: &mut AnyConnection) -> Result<Option<AccessRequest>> {
    let query = format!("SELECT {COLUMNS} FROM access_requests WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(on).await?;
    row.as_ref().map(|row| read(row, now)).transpose()
}

async fn count(change: &mut Change, query: &'static str, of: &str, from: i64) -> Result<i64> {
    let row = sqlx::query(query).bind(of).bind(from).fetch_one(&mut **change).await?;
    Ok(row.try_get(0)?)
}

fn act_of(name: &'static str, request: &AccessRequest) -> Act {
    let AccessRequest { requester_kind, requester, .. } = request;
    let act = Act::new(name, &request.id)
        .with("asks_for", request.kind.as_str())
        .with("name", &request.name)
        .with("requester", format!("{requester_kind} {requester}"))
        .with("why", &request.why);
    let act = match &request.url {
        Some(url) => act.with("url", url),
        None => act,
    };
    match &request.tenant {
        Some(tenant) => act.with("tenant", tenant),
        None => act,
    }
}

fn requester_of((kind, name): (Kind, &str)) -> String {
    format!("{kind} {name}")
}

/// Free text, without secrets.
fn clean(text: &str) -> String {
    written::text(text, Keep::Addresses).into_owned()
}

fn check(new: &NewRequest<'_>) -> Result<()> {
    let long = |what: &str, most: usize| Error::Refused(format!("{what} has at most {most} bytes"));
    if new.name.len() > LONGEST_NAME {
        return Err(long("a name", LONGEST_NAME));
    }
    if new.url.is_some_and(|url| url.len() > LONGEST_URL) {
        return Err(long("a URL", LONGEST_URL));
    }
    if new.why.len() > LONGEST_TEXT {
        return Err(long("a reason", LONGEST_TEXT));
    }
    Ok(())
}

impl Store {
    /// Stores a request. Refused is one that waits already, and who has too many.
    pub async fn open_request(&self, new: &NewRequest<'_>, now: i64) -> Result<AccessRequest> {
        check(new)?;
        let id = random_id::<9>()?;
        // Those of one requester come one after the other, so that they are counted.
        let mut change = self.change().await?;
        sweep(&mut change, now).await?;
        let requester = requester_of(new.requester);
        let open = "SELECT COUNT(*) FROM access_requests WHERE requester = $1 AND state = 'open' AND expires > $2";
        let all = "SELECT COUNT(*) FROM access_requests WHERE state = $1 AND expires > $2";
        let recent = "SELECT COUNT(*) FROM access_requests WHERE requester = $1 AND created > $2";
        let refused = |why: String| Err(Error::Refused(why));
        if count(&mut change, open, &requester, now).await? >= MOST_REQUESTS_OF_REQUESTER {
            let most = MOST_REQUESTS_OF_REQUESTER;
            return refused(format!("{most} requests of yours wait, the maximum: withdraw one"));
        }
        if count(&mut change, recent, &requester, now - DAY).await? >= MOST_A_DAY {
            return refused(format!("you have made {MOST_A_DAY} requests in a day, the maximum"));
        }
        if count(&mut change, all, "open", now).await? >= MOST_OPEN {
            return refused("too many requests wait for the administrators".into());
        }
        let query = format!(
            "SELECT {COLUMNS} FROM access_requests WHERE requester = $1 AND state = 'open' AND expires > $2"
        );
        let waiting = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(&requester)
            .bind(now)
            .fetch_all(&mut *change)
            .await?;
        for row in &waiting {
            let known = read(row, now)?;
            if known.kind == new.kind && known.name.eq_ignore_ascii_case(new.name) {
                return refused("you have asked for this already, and it waits".into());
            }
        }
        let request = AccessRequest {
            id,
            kind: new.kind,
            name: new.name.to_owned(),
            url: new.url.map(str::to_owned),
            why: clean(new.why),
            requester_kind: new.requester.0,
            requester: new.requester.1.to_owned(),
            tenant: new.tenant.map(str::to_owned),
            state: RequestState::Open,
            created: now,
            expires: now + LIFETIME,
            decided: None,
            decided_by: None,
            reason: None,
            granted: None,
            proposed: false,
        };
        sqlx::query(
            "INSERT INTO access_requests (id, requester, state, created, expires, request) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&request.id)
        .bind(&requester)
        .bind(request.state.as_str())
        .bind(request.created)
        .bind(request.expires)
        .bind(serde_json::to_string(&request)?)
        .execute(&mut *change)
        .await?;
        change.commit(&act_of("request.open", &request)).await?;
        Ok(request)
    }

    /// Notes that a server was proposed with a request.
    pub async fn note_proposed(&self, id: &str, now: i64) -> Result<()> {
        let mut change = self.write().await?;
        let Some(found) = one(id, now, &mut change).await? else { return Ok(()) };
        let noted = AccessRequest { proposed: true, ..found };
        sqlx::query("UPDATE access_requests SET request = $1 WHERE id = $2 AND state = 'open'")
            .bind(serde_json::to_string(&noted)?)
            .bind(id)
            .execute(&mut *change)
            .await?;
        change.commit_bookkeeping().await
    }

    pub async fn request(&self, id: &str, now: i64) -> Result<Option<AccessRequest>> {
        one(id, now, &mut *self.pool.acquire().await?).await
    }

    /// The newest requests, up to a number: those of one requester, or of all.
    pub async fn requests(
        &self,
        requester: Option<(Kind, &str)>,
        state: Option<RequestState>,
        now: i64,
        most: i64,
    ) -> Result<Vec<AccessRequest>> {
        let stored = match state {
            Some(RequestState::Expired) => "state = 'open' AND expires <= $3",
            Some(RequestState::Open) => "state = 'open' AND expires > $3",
            Some(RequestState::Granted) => "state = 'granted' AND $3 = $3",
            Some(RequestState::Refused) => "state = 'refused' AND $3 = $3",
            Some(RequestState::Withdrawn) => "state = 'withdrawn' AND $3 = $3",
            None => "$3 = $3",
        };
        let query = format!(
            "SELECT {COLUMNS} FROM access_requests WHERE ($1 = 0 OR requester = $2) AND {stored} \
             ORDER BY created DESC, id LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(i64::from(requester.is_some()))
            .bind(requester.map(requester_of).unwrap_or_default())
            .bind(now)
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| read(row, now)).collect()
    }

    /// How many requests wait.
    pub async fn waiting_requests(&self, now: i64) -> Result<i64> {
        let query = "SELECT COUNT(*) FROM access_requests WHERE state = 'open' AND expires > $1";
        let row = sqlx::query(query).bind(now).fetch_one(&self.pool).await?;
        Ok(row.try_get(0)?)
    }

    /// Decides about a request that waits, once. In a batch, what grants it is done in the same transaction.
    pub async fn end_request(
        &self,
        id: &str,
        outcome: &Outcome,
        now: i64,
    ) -> Result<AccessRequest> {
        let mut change = self.write().await?;
        let found = one(id, now, &mut change).await?;
        let mut request = found.ok_or_else(|| Error::absent("request", id))?;
        let (act, state) = match outcome {
            Outcome::Granted(how) => {
                request.granted = Some(match how {
                    Granted::Note(note) => Granted::Note(clean(note)),
                    how => how.clone(),
                });
                ("request.grant", RequestState::Granted)
            }
            Outcome::Refused(reason) => {
                request.reason = Some(clean(reason)).filter(|reason| !reason.is_empty());
                ("request.refuse", RequestState::Refused)
            }
            Outcome::Withdrawn => ("request.withdraw", RequestState::Withdrawn),
        };
        request.state = state;
        request.decided = Some(now);
        if state != RequestState::Withdrawn {
            request.decided_by = Some(self.actor.name.clone());
        }
        let ended = sqlx::query(
            "UPDATE access_requests SET state = $1, request = $2 \
             WHERE id = $3 AND state = 'open' AND expires > $4",
        )
        .bind(state.as_str())
        .bind(serde_json::to_string(&request)?)
        .bind(id)
        .bind(now)
        .execute(&mut *change)
        .await?;
        if ended.rows_affected() != 1 {
            let why =
                "the request does not wait any more: it was decided, withdrawn, or has expired";
            return Err(Error::Refused(why.into()));
        }
        let act = act_of(act, &request).with("state", state.as_str());
        let act = match (&request.granted, &request.reason) {
            (Some(granted), _) => act.with("granted", granted),
            (None, Some(reason)) => act.with("reason", reason),
            (None, None) => act,
        };
        change.commit(&act).await?;
        Ok(request)
    }
}

/// Removes requests that are long over.
async fn sweep(change: &mut Change, now: i64) -> Result<()> {
    sqlx::query("DELETE FROM access_requests WHERE expires <= $1")
        .bind(now - KEPT)
        .execute(&mut **change)
        .await?;
    Ok(())
}
