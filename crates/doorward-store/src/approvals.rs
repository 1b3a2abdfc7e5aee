//! Calls that wait for approval by a person, votes, and remembered decisions. What is approved is taken by one conditional
//! update, so that the call runs once, on whichever replica.

use doorward_governance::approvals::{Approval, Refused, State, Vote, Voter};
use doorward_inspect::written::{self, Keep};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::{Act, Change, Error, Result, Store};

/// Requests that may wait, of one caller and in all.
pub const MOST_APPROVALS_OF_CALLER: i64 = 20;
pub const MOST_APPROVALS: i64 = 1_000;
/// Decisions that are remembered, of one caller and in all; further ones are not.
const MOST_GRANTS_OF_CALLER: i64 = 200;
const MOST_GRANTS: i64 = 10_000;
/// Requests that are kept once they are over, and for how many seconds.
const MOST_OVER: i64 = 10_000;
const KEPT: i64 = 30 * 24 * 3_600;

const COLUMNS: &str = "id, state, expires, request";

/// What a request for approval found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asking {
    /// It was created.
    Created,
    /// The same call has been requested before.
    Found(Box<Approval>),
    /// So many requests wait, of this caller or in all.
    TooMany(i64),
}

fn read(row: &AnyRow) -> Result<Approval> {
    let mut approval: Approval = serde_json::from_str(row.try_get("request")?)?;
    let state: String = row.try_get("state")?;
    let unreadable = || Error::Refused(format!("a stored approval has the state '{state}'"));
    approval.state = state.parse().map_err(|()| unreadable())?;
    approval.expires = row.try_get("expires")?;
    Ok(approval)
}

async fn with_votes(approval: &mut Approval, connection: &mut AnyConnection) -> Result<()> {
    let rows = sqlx::query("SELECT vote FROM approval_votes WHERE approval = $1")
        .bind(&approval.id)
        .fetch_all(connection)
        .await?;
    for row in &rows {
        approval.votes.push(serde_json::from_str::<Vote>(row.try_get("vote")?)?);
    }
    approval.votes.sort_by(|a, b| (a.at, &a.by).cmp(&(b.at, &b.by)));
    Ok(())
}

async fn count(connection: &mut AnyConnection, query: &'static str, of: &str) -> Result<i64> {
    let row = sqlx::query(query).bind(of).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}

fn act_of(name: &'static str, approval: &Approval) -> Act {
    let asker = &approval.asker;
    let act = Act::new(name, &approval.id)
        .with("server", &approval.subject.server)
        .with("method", &approval.subject.method)
        .with("name", &approval.subject.name)
        .with("asker", &asker.id)
        .with("state", approval.state)
        .with("expires", approval.expires)
        .with("reason", approval.reason())
        .with("approvers", approval.approvers());
    let act = match &asker.agent {
        Some(agent) => act.with("agent", agent),
        None => act,
    };
    match &asker.tenant {
        Some(tenant) => act.with("tenant", tenant),
        None => act,
    }
}

impl Store {
    /// Requests approval of a call, unless that has been done: a request that waits, is approved, or was refused and has not
    /// expired, is returned.
    pub async fn ask_approval(&self, principal: &str, new: &Approval, now: i64) -> Result<Asking> {
        let mut change = self.write().await?;
        sweep(&mut change, now).await?;
        if let Some(found) = open(&new.digest, now, &mut change).await? {
            change.commit_bookkeeping().await?;
            return Ok(Asking::Found(Box::new(found)));
        }
        let own = "SELECT COUNT(*) FROM approvals WHERE state = 'waiting' AND principal = $1";
        let all = "SELECT COUNT(*) FROM approvals WHERE state = $1";
        for (query, of, most) in
            [(own, principal, MOST_APPROVALS_OF_CALLER), (all, "waiting", MOST_APPROVALS)]
        {
            if count(&mut change, query, of).await? >= most {
                change.commit_bookkeeping().await?;
                return Ok(Asking::TooMany(most));
            }
        }
        let made = sqlx::query(
            "INSERT INTO approvals (id, digest, principal, state, created, expires, votes, request) \
             VALUES ($1, $2, $3, $4, $5, $6, 0, $7) ON CONFLICT DO NOTHING",
        )
        .bind(&new.id)
        .bind(&new.digest)
        .bind(principal)
        .bind(new.state.as_str())
        .bind(new.created)
        .bind(new.expires)
        .bind(serde_json::to_string(new)?)
        .execute(&mut *change)
        .await?;
        if made.rows_affected() == 0 {
            // Another replica was first.
            let found = open(&new.digest, now, &mut change).await?;
            change.commit_bookkeeping().await?;
            let found = found.ok_or_else(|| Error::absent("approval", &new.id))?;
            return Ok(Asking::Found(Box::new(found)));
        }
        change.commit(&act_of("approval.request", new)).await?;
        Ok(Asking::Created)
    }

    /// The newest request for a call that waits, is approved, or was refused, unless it has expired.
    pub async fn open_approval(&self, digest: &str, now: i64) -> Result<Option<Approval>> {
        open(digest, now, &mut *self.pool.acquire().await?).await
    }

    /// One approval with its votes.
    pub async fn approval(&self, id: &str) -> Result<Option<Approval>> {
        one(id, &mut *self.pool.acquire().await?).await
    }

    /// Approvals, the newest first, up to a number: of one state at a time, or of all.
    pub async fn approvals(
        &self,
        state: Option<State>,
        now: i64,
        most: i64,
    ) -> Result<Vec<Approval>> {
        let only = match state {
            None => "$1 <> 'x' AND $2 = $2",
            Some(State::Waiting | State::Approved) => "state = $1 AND expires > $2",
            Some(State::Expired) => {
                "(state = $1 OR ((state = 'waiting' OR state = 'approved') AND expires <= $2))"
            }
            Some(_) => "state = $1 AND $2 = $2",
        };
        let query = format!(
            "SELECT {COLUMNS} FROM approvals WHERE {only} ORDER BY created DESC, id LIMIT $3"
        );
        let mut connection = self.pool.acquire().await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(state.map_or("", State::as_str))
            .bind(now)
            .bind(most)
            .fetch_all(&mut *connection)
            .await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut approval = read(row)?;
            with_votes(&mut approval, &mut connection).await?;
            approval.state = approval.state_at(now);
            all.push(approval);
        }
        Ok(all)
    }

    /// How many requests wait.
    pub async fn waiting_approvals(&self, now: i64) -> Result<i64> {
        let query = "SELECT COUNT(*) FROM approvals WHERE state = 'waiting' AND expires > $1";
        let row = sqlx::query(query).bind(now).fetch_one(&self.pool).await?;
        Ok(row.try_get(0)?)
    }

    /// Takes a vote, and what comes of it. Votes of the same approval come one after the other.
    pub async fn vote_approval(
        &self,
        id: &str,
        voter: Voter<'_>,
        approves: bool,
        reason: Option<&str>,
        now: i64,
    ) -> Result<std::result::Result<Approval, Refused>> {
        let mut change = self.write().await?;
        sqlx::query("UPDATE approvals SET votes = votes + 1 WHERE id = $1")
            .bind(id)
            .execute(&mut *change)
            .await?;
        let Some(mut approval) = one(id, &mut change).await? else {
            return Ok(Err(Refused::NotAllowed));
        };
        let reason = reason.map(|reason| written::text(reason, Keep::Addresses));
        match approval.vote(voter, approves, reason.as_deref(), now) {
            Err(refused) => return Ok(Err(refused)),
            Ok(false) => return Ok(Ok(approval)),
            Ok(true) => {}
        }
        let Some(vote) = approval.votes.last() else { return Ok(Ok(approval)) };
        sqlx::query("INSERT INTO approval_votes (approval, voter, vote) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(&vote.by)
            .bind(serde_json::to_string(vote)?)
            .execute(&mut *change)
            .await?;
        sqlx::query("UPDATE approvals SET state = $1, expires = $2 WHERE id = $3")
            .bind(approval.state.as_str())
            .bind(approval.expires)
            .bind(id)
            .execute(&mut *change)
            .await?;
        if approval.state == State::Approved {
            remember(&approval, now, &mut change).await?;
        }
        let name = if approves { "approval.approve" } else { "approval.refuse" };
        let act = act_of(name, &approval).with("by", &vote.by).with("why", &vote.reason);
        change.commit(&act).await?;
        Ok(Ok(approval))
    }

    /// Takes an approval for a call: of all who try, one gets it.
    pub async fn take_approval(&self, approval: &Approval, call: &str, now: i64) -> Result<bool> {
        let mut change = self.write().await?;
        let taken = sqlx::query(
            "UPDATE approvals SET state = 'used', used_by = $1 \
             WHERE id = $2 AND digest = $3 AND state = 'approved' AND expires > $4",
        )
        .bind(call)
        .bind(&approval.id)
        .bind(&approval.digest)
        .bind(now)
        .execute(&mut *change)
        .await?;
        if taken.rows_affected() != 1 {
            return Ok(false);
        }
        let used = Approval { state: State::Used, ..approval.clone() };
        change.commit(&act_of("approval.use", &used).with("call", call)).await?;
        Ok(true)
    }

    /// Gives an approval back that a call has taken whose server was never asked. Nothing is given back that has expired, or
    /// for which another has been requested.
    pub async fn return_approval(&self, approval: &Approval, call: &str, now: i64) -> Result<bool> {
        let mut change = self.write().await?;
        let returned = sqlx::query(
            "UPDATE approvals SET state = 'approved', used_by = NULL \
             WHERE id = $1 AND state = 'used' AND used_by = $2 AND expires > $3 AND NOT EXISTS \
             (SELECT 1 FROM approvals AS other WHERE other.digest = approvals.digest \
             AND (other.state = 'waiting' OR other.state = 'approved'))",
        )
        .bind(&approval.id)
        .bind(call)
        .bind(now)
        .execute(&mut *change)
        .await?;
        if returned.rows_affected() != 1 {
            return Ok(false);
        }
        let open = Approval { state: State::Approved, ..approval.clone() };
        change.commit(&act_of("approval.return", &open).with("call", call)).await?;
        Ok(true)
    }

    /// Ends an approval, because what would be approved has changed. Whether it was still open.
    pub async fn end_approval(&self, approval: &Approval, why: &str) -> Result<bool> {
        let mut change = self.write().await?;
        let ended = sqlx::query(
            "UPDATE approvals SET state = 'ended' \
             WHERE id = $1 AND (state = 'waiting' OR state = 'approved')",
        )
        .bind(&approval.id)
        .execute(&mut *change)
        .await?;
        if ended.rows_affected() != 1 {
            return Ok(false);
        }
        let ended = Approval { state: State::Ended, ..approval.clone() };
        change.commit(&act_of("approval.end", &ended).with("why", why)).await?;
        Ok(true)
    }

    /// Lets an approved call go on once, which its server has answered by asking for input: `hash` is of the call and of what
    /// it continues from.
    pub async fn continue_approval(
        &self,
        principal: &str,
        approval: &str,
        hash: &str,
        expires: i64,
    ) -> Result<()> {
        let mut change = self.write().await?;
        grant(&mut change, hash, principal, approval, "", expires).await?;
        change.commit_bookkeeping().await
    }

    /// Takes what [`continue_approval`](Self::continue_approval) has left, once.
    pub async fn take_continuation(&self, hash: &str, now: i64) -> Result<bool> {
        let taken = sqlx::query("DELETE FROM approval_grants WHERE hash = $1 AND expires > $2")
            .bind(hash)
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(taken.rows_affected() == 1)
    }

    /// Whether a decision is remembered.
    pub async fn is_remembered(&self, hash: &str, now: i64) -> Result<bool> {
        let query = "SELECT hash FROM approval_grants WHERE hash = $1 AND expires > $2";
        let row = sqlx::query(query).bind(hash).bind(now).fetch_optional(&self.pool).await?;
        Ok(row.is_some())
    }
}

async fn open(digest: &str, now: i64, connection: &mut AnyConnection) -> Result<Option<Approval>> {
    let query = format!(
        "SELECT {COLUMNS} FROM approvals WHERE digest = $1 AND expires > $2 \
         AND (state = 'waiting' OR state = 'approved' OR state = 'refused') \
         ORDER BY created DESC, CASE WHEN state = 'refused' THEN 1 ELSE 0 END LIMIT 1"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(digest)
        .bind(now)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut approval = read(&row)?;
    with_votes(&mut approval, connection).await?;
    Ok(Some(approval))
}

async fn one(id: &str, connection: &mut AnyConnection) -> Result<Option<Approval>> {
    let query = format!("SELECT {COLUMNS} FROM approvals WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query)).bind(id);
    let Some(row) = row.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let mut approval = read(&row)?;
    with_votes(&mut approval, connection).await?;
    Ok(Some(approval))
}

async fn remember(approval: &Approval, now: i64, change: &mut Change) -> Result<()> {
    let row = sqlx::query("SELECT principal FROM approvals WHERE id = $1")
        .bind(&approval.id)
        .fetch_one(&mut **change)
        .await?;
    let principal: String = row.try_get(0)?;
    for (hash, policy, expires) in approval.remembered(now) {
        grant(change, hash, &principal, &approval.id, policy, expires).await?;
    }
    Ok(())
}

/// Keeps a decision, if there is room.
async fn grant(
    change: &mut Change,
    hash: &str,
    principal: &str,
    approval: &str,
    policy: &str,
    expires: i64,
) -> Result<()> {
    let own = "SELECT COUNT(*) FROM approval_grants WHERE principal = $1";
    let all = "SELECT COUNT(*) FROM approval_grants WHERE hash <> $1";
    if count(change, own, principal).await? >= MOST_GRANTS_OF_CALLER
        || count(change, all, "").await? >= MOST_GRANTS
    {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO approval_grants (hash, principal, approval, policy, expires) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (hash) DO UPDATE SET \
         approval = excluded.approval, expires = excluded.expires",
    )
    .bind(hash)
    .bind(principal)
    .bind(approval)
    .bind(policy)
    .bind(expires)
    .execute(&mut **change)
    .await?;
    Ok(())
}

/// Removes what is over, and marks what has expired.
async fn sweep(change: &mut Change, now: i64) -> Result<()> {
    let over = "state <> 'waiting' AND state <> 'approved'";
    for (query, at) in [
        (
            "UPDATE approvals SET state = 'expired' \
             WHERE (state = 'waiting' OR state = 'approved') AND expires <= $1"
                .to_owned(),
            now,
        ),
        (
            format!("DELETE FROM approvals WHERE {over} AND created < $1 AND expires < $1"),
            now - KEPT,
        ),
        (
            format!(
                "DELETE FROM approvals WHERE {over} AND created < COALESCE((SELECT created FROM \
                 approvals ORDER BY created DESC LIMIT 1 OFFSET {MOST_OVER}), 0) AND expires <= $1"
            ),
            now,
        ),
        ("DELETE FROM approval_grants WHERE expires <= $1".to_owned(), now),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(query)).bind(at).execute(&mut **change).await?;
    }
    sqlx::query(
        "DELETE FROM approval_votes WHERE NOT EXISTS \
         (SELECT 1 FROM approvals WHERE approvals.id = approval_votes.approval)",
    )
    .execute(&mut **change)
    .await?;
    Ok(())
}
