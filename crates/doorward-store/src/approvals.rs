//! Calls that wait for approval by a person, votes, and remembered decisions. What is approved is taken by one conditional
//! update, so that the call runs once, on whichever replica.

use doorward_governance::approvals::{Approval, Ballot, Refused, State, Vote, Voter};
use doorward_inspect::written::{self, Keep};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use self::grants::{count, remember};
use crate::{Act, Change, Error, Result, Store};

mod grants;
mod similar;
mod tasks;

pub use tasks::{ApprovalTask, MOST_KEPT_OF_CALLER, MOST_TASKS_OF_CALLER, TaskState};

/// Requests that may wait, of one caller and in all.
pub const MOST_APPROVALS_OF_CALLER: i64 = 20;
pub const MOST_APPROVALS: i64 = 1_000;
/// Requests that are kept once they are over, and for how many seconds.
const MOST_OVER: i64 = 10_000;
const KEPT: i64 = 30 * 24 * 3_600;

/// How long a call may take from its approval until it is sent, in seconds; then its gateway has ended.
pub const LEASE: i64 = 20;
/// Approvals that are given back in one go.
const MOST_GIVEN_BACK: i64 = 100;

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
        .with("approvers", approval.approvers())
        .with("may_approve", approval.may_approve());
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
        self.give_back_unsent(now).await?;
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
            "INSERT INTO approvals (id, digest, principal, state, created, expires, votes, request, target) \
             VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(&new.id)
        .bind(&new.digest)
        .bind(principal)
        .bind(new.state.as_str())
        .bind(new.created)
        .bind(new.expires)
        .bind(serde_json::to_string(new)?)
        .bind(new.subject.target())
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

    /// The newest request for a call that waits, is approved or taken, or was refused, unless it has expired.
    pub async fn open_approval(&self, digest: &str, now: i64) -> Result<Option<Approval>> {
        let found = open(digest, now, &mut *self.pool.acquire().await?).await?;
        let is_taken = found.as_ref().is_some_and(|found| found.state == State::Taken);
        if is_taken && self.give_back_unsent(now).await? > 0 {
            return open(digest, now, &mut *self.pool.acquire().await?).await;
        }
        Ok(found)
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
        ballot: &Ballot<'_>,
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
        let reason = ballot.reason.map(|reason| written::text(reason, Keep::Addresses));
        let ballot = Ballot { reason: reason.as_deref(), edits: ballot.edits.clone(), ..*ballot };
        match approval.vote(voter, &ballot, now) {
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
        sqlx::query("UPDATE approvals SET state = $1, expires = $2, decided = $3 WHERE id = $4")
            .bind(approval.state.as_str())
            .bind(approval.expires)
            .bind(jiff::Timestamp::now().as_millisecond())
            .bind(id)
            .execute(&mut *change)
            .await?;
        if approval.state == State::Approved {
            remember(&approval, now, &mut change).await?;
        }
        let name = if vote.approves { "approval.approve" } else { "approval.refuse" };
        let act = act_of(name, &approval).with("by", &vote.by).with("why", &vote.reason);
        // Their values are in the record of the call, as far as arguments are.
        let act = match vote.edits.is_empty() {
            true => act,
            false => act.with("edited", vote.edits.keys().collect::<Vec<_>>()),
        };
        change.commit(&act).await?;
        Ok(Ok(approval))
    }

    /// Takes an approval for a call: of all who try, one gets it. It has to be [sent](Self::send_approval) within its lease.
    /// `edited` is the digest of the call with edited arguments.
    pub async fn take_approval(
        &self,
        approval: &Approval,
        call: &str,
        edited: Option<&str>,
        now: i64,
    ) -> Result<bool> {
        let mut change = self.write().await?;
        let taken = sqlx::query(
            "UPDATE approvals SET state = 'taken', used_by = $1, lease = $2 \
             WHERE id = $3 AND digest = $4 AND state = 'approved' AND expires > $5",
        )
        .bind(call)
        .bind(now + LEASE)
        .bind(&approval.id)
        .bind(&approval.digest)
        .bind(now)
        .execute(&mut *change)
        .await?;
        if taken.rows_affected() != 1 {
            return Ok(false);
        }
        let taken = Approval { state: State::Taken, ..approval.clone() };
        let act = act_of("approval.use", &taken).with("call", call);
        let act = act.with("digest", &approval.digest);
        let act = match edited {
            Some(edited) => act.with("edited_digest", edited),
            None => act,
        };
        change.commit(&act).await?;
        Ok(true)
    }

    /// Notes that a call is about to be sent that has taken an approval. Nothing may be sent unless it still has it.
    pub async fn send_approval(&self, approval: &str, call: &str) -> Result<bool> {
        let mut change = self.write().await?;
        let sent = sqlx::query(
            "UPDATE approvals SET state = 'used', lease = NULL \
             WHERE id = $1 AND state = 'taken' AND used_by = $2",
        )
        .bind(approval)
        .bind(call)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await?;
        Ok(sent.rows_affected() == 1)
    }

    /// Gives an approval back that a call has taken whose server was never asked. Nothing is given back that has expired, or
    /// for which another has been requested.
    pub async fn return_approval(&self, approval: &Approval, call: &str, now: i64) -> Result<bool> {
        let mut change = self.write().await?;
        let returned = sqlx::query(
            "UPDATE approvals SET state = 'approved', used_by = NULL, lease = NULL \
             WHERE id = $1 AND used_by = $2 AND (state = 'taken' OR (state = 'used' AND expires > $3 \
             AND NOT EXISTS (SELECT 1 FROM approvals AS other WHERE other.digest = approvals.digest \
             AND (other.state = 'waiting' OR other.state = 'approved' OR other.state = 'taken'))))",
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

    /// Gives back what calls have taken and not sent within their lease: their gateway has ended. Returns how many.
    pub async fn give_back_unsent(&self, now: i64) -> Result<u64> {
        let query = format!(
            "SELECT {COLUMNS} FROM approvals WHERE state = 'taken' AND lease <= $1 LIMIT $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(now)
            .bind(MOST_GIVEN_BACK)
            .fetch_all(&self.pool)
            .await?;
        let mut count = 0;
        for row in &rows {
            let approval = read(row)?;
            let mut change = self.write().await?;
            let returned = sqlx::query(
                "UPDATE approvals SET state = 'approved', used_by = NULL, lease = NULL \
                 WHERE id = $1 AND state = 'taken' AND lease <= $2",
            )
            .bind(&approval.id)
            .bind(now)
            .execute(&mut *change)
            .await?;
            if returned.rows_affected() == 1 {
                let open = Approval { state: State::Approved, ..approval };
                let act = act_of("approval.return", &open);
                change.commit(&act.with("why", "its gateway has not sent it in time")).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Ends an approval, because what would be approved has changed. Whether it was still open.
    pub async fn end_approval(&self, approval: &Approval, why: &str) -> Result<bool> {
        self.end(approval, why, "state = 'waiting' OR state = 'approved'").await
    }

    /// Ends an approval for its caller, who does not want the call any more: a call that has taken it is not sent. Whether
    /// that was in time.
    pub async fn withdraw_approval(&self, approval: &Approval, why: &str) -> Result<bool> {
        self.end(approval, why, "state = 'waiting' OR state = 'approved' OR state = 'taken'").await
    }

    async fn end(&self, approval: &Approval, why: &str, open: &str) -> Result<bool> {
        let mut change = self.write().await?;
        let query = format!(
            "UPDATE approvals SET state = 'ended', lease = NULL WHERE id = $1 AND ({open})"
        );
        let ended = sqlx::query(sqlx::AssertSqlSafe(query))
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
}

async fn open(digest: &str, now: i64, connection: &mut AnyConnection) -> Result<Option<Approval>> {
    let query = format!(
        "SELECT {COLUMNS} FROM approvals WHERE digest = $1 AND ((expires > $2 AND \
         (state = 'waiting' OR state = 'approved' OR state = 'refused')) OR state = 'taken') \
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

/// Removes what is over, and marks what has expired.
async fn sweep(change: &mut Change, now: i64) -> Result<()> {
    let over = "state <> 'waiting' AND state <> 'approved' AND state <> 'taken'";
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
