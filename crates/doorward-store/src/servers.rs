//! The life of servers: proposals at run time, and the states of servers in the configuration file. The gateway parses
//! their settings.
//!
//! Each step is one transaction with its audit record. Steps are serialized; a step that was decided on an older
//! revision is rejected.

use doorward_governance::lifecycle::{State, Step, check_eyes};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::pins::{self, StoredDefinition};
use crate::{Act, Error, Result, Store, now, sha256_hex};

mod row;

pub use self::row::{Deprecation, ServerLook, ServerOrigin, ServerStep, StoredServer};

use self::row::{By, check_open, check_room, find, forget_look, look_of, note};

/// Maximum size of settings (bytes of JSON), and of a reason.
pub const MOST_SPEC: usize = 256 << 10;
pub const MOST_REASON: usize = 4 << 10;
/// Maximum size of an inspection result, in bytes of JSON.
pub const MOST_LOOK: usize = 8 << 20;

/// A proposed server.
#[derive(Debug, Clone)]
pub struct ServerProposal<'a> {
    pub name: &'a str,
    /// Settings as JSON, checked by the caller.
    pub spec: &'a str,
    pub digest: &'a str,
    pub why: &'a str,
}

/// Parameters of a step.
#[derive(Debug, Clone, Default)]
pub struct Stepping {
    pub why: String,
    /// The revision on which the step was decided; `None` for any.
    pub revision: Option<i64>,
    /// Whether the proposer may not approve.
    pub four_eyes: bool,
    /// For a review or an approval: allows or forbids addresses that are not public.
    pub allow_private: Option<bool>,
    /// For a deprecation.
    pub deprecation: Deprecation,
    /// For an approval: the definitions that the inspection found. They replace all pins of the server.
    pub pins: Vec<StoredDefinition>,
}

impl Store {
    /// Stores a proposal: for a new server, replacing one that awaits review, or for a retired one.
    pub async fn propose_server(&self, proposal: &ServerProposal<'_>) -> Result<StoredServer> {
        if proposal.spec.len() > MOST_SPEC {
            return Err(Error::Refused(format!("a proposal has at most {MOST_SPEC} bytes")));
        }
        check_reason(proposal.why)?;
        let mut change = self.change().await?;
        let who = self.actor.name.as_str();
        let old = find(&mut change, proposal.name).await?;
        let (from, revision) = match &old {
            Some(old) if old.origin == ServerOrigin::File && old.state != State::Retired => {
                let why = format!("the configuration file has a server '{}'", old.name);
                return Err(Error::Refused(why));
            }
            Some(old) => {
                allowed(old.state.after(Step::Propose, None))?;
                // Others' proposals are rejected, not replaced.
                if old.state.is_open() && old.proposed_by != who {
                    let why = format!("'{}' is already proposed by {}", old.name, old.proposed_by);
                    return Err(Error::Refused(why));
                }
                (old.state, old.revision)
            }
            None => {
                check_room(&mut change).await?;
                (State::Proposed, 0)
            }
        };
        if old.is_none_or(|old| !old.state.is_open()) {
            check_open(&mut change, who).await?;
        }
        let mut server =
            StoredServer::new(proposal.name, ServerOrigin::RunTime, State::Proposed, who);
        server.spec = proposal.spec.into();
        server.digest = proposal.digest.into();
        server.revision = revision;
        forget_look(&mut change, proposal.name).await?;
        let by = By { who, via: self.actor.via, why: proposal.why };
        note(&mut change, &mut server, Step::Propose, from, by).await?;
        let act = act(Step::Propose, &server, from, proposal.why);
        let spec: serde_json::Value = serde_json::from_str(proposal.spec)?;
        change.commit(&act.with("spec", spec)).await?;
        Ok(server)
    }

    /// Stores a server from the configuration file that needs review: it is proposed when new, and again when it
    /// differs from the approved one. Returns whether anything changed.
    pub async fn declare_server(&self, name: &str, digest: &str) -> Result<bool> {
        if find(&mut *self.pool.acquire().await?, name)
            .await?
            .is_some_and(|known| known.origin == ServerOrigin::File && known.digest == digest)
        {
            return Ok(false);
        }
        let mut change = self.change().await?;
        let old = find(&mut change, name).await?;
        // Another replica may have stored it in the meantime.
        if old.as_ref().is_some_and(|old| old.origin == ServerOrigin::File && old.digest == digest)
        {
            return Ok(false);
        }
        let from = old.as_ref().map_or(State::Proposed, |old| old.state);
        let why = match &old {
            None => "named in the configuration file",
            Some(old) if old.origin == ServerOrigin::RunTime => {
                "named in the configuration file, which takes precedence"
            }
            Some(_) => "changed in the configuration file",
        };
        let mut server =
            StoredServer::new(name, ServerOrigin::File, State::Proposed, &self.actor.name);
        server.digest = digest.into();
        if let Some(old) = old {
            server.revision = old.revision;
            // It stays in quarantine, and is reviewed once it is released.
            if old.state == State::Quarantined {
                server.state = State::Quarantined;
                server.quarantined_from = Some(State::Proposed);
            }
        }
        forget_look(&mut change, name).await?;
        let by = By { who: &self.actor.name, via: self.actor.via, why };
        note(&mut change, &mut server, Step::Propose, from, by).await?;
        change.commit(&act(Step::Propose, &server, from, why)).await?;
        Ok(true)
    }

    /// Makes a step. `trusted` is the digest of a server from the configuration file that needs no review: it is
    /// active unless decided otherwise.
    pub async fn step_server(
        &self,
        name: &str,
        step: Step,
        stepping: &Stepping,
        trusted: Option<&str>,
    ) -> Result<StoredServer> {
        check_reason(&stepping.why)?;
        let mut change = self.change().await?;
        let who = self.actor.name.as_str();
        let mut server = match (find(&mut change, name).await?, trusted) {
            // It is served regardless of its review.
            (Some(server), Some(digest))
                if server.state.is_open() || server.state == State::Approved =>
            {
                StoredServer { state: State::Active, digest: digest.into(), ..server }
            }
            (Some(server), _) => server,
            (None, Some(digest)) => StoredServer::trusted(name, digest),
            (None, None) => return Err(Error::absent("server", name)),
        };
        if stepping.revision.is_some_and(|revision| revision != server.revision) {
            let why = format!(
                "'{}' has changed meanwhile: it is {} at revision {}",
                server.name,
                server.state.as_str(),
                server.revision
            );
            return Err(Error::Refused(why));
        }
        let from = server.state;
        let to = allowed(from.after(step, server.quarantined_from))?;
        if step == Step::Propose {
            return Err(Error::Refused("a proposal has settings".into()));
        }
        if stepping.four_eyes {
            allowed(check_eyes(step, &server.proposed_by, who))?;
        }
        let mut seen = None;
        if step == Step::Approve {
            let look = look_of(&mut change, name).await?;
            seen = look.filter(|look| look.digest == server.digest);
            if seen.is_none() {
                let why = format!(
                    "'{}' has not been inspected since it was changed: let the gateway inspect it first",
                    server.name
                );
                return Err(Error::Refused(why));
            }
            server.approved_by = Some(who.into());
        }
        if matches!(step, Step::Review | Step::Approve) && server.origin == ServerOrigin::RunTime {
            server.allow_private = stepping.allow_private.unwrap_or(server.allow_private);
        }
        server.quarantined_from = (step == Step::Quarantine).then_some(from);
        match step {
            Step::Deprecate => server.deprecation = Some(stepping.deprecation.clone()),
            Step::Activate => server.deprecation = None,
            _ => {}
        }
        server.state = to;
        let by = By { who, via: self.actor.via, why: &stepping.why };
        note(&mut change, &mut server, step, from, by).await?;
        let mut act = act(step, &server, from, &stepping.why);
        if let Some(look) = seen {
            // Pin the approved definitions, those that this inspection found, in this transaction.
            pins::replace(&mut change, &server.name, &stepping.pins, who).await?;
            act = act
                .with("found", sha256_hex(look.found.as_bytes()))
                .with("pins", stepping.pins.len());
        }
        if stepping.allow_private.is_some() {
            act = act.with("allow_private", server.allow_private);
        }
        change.commit(&act).await?;
        Ok(server)
    }

    /// Stores an inspection result. The server must be unchanged since the inspection began.
    pub async fn keep_look(&self, name: &str, digest: &str, found: &str) -> Result<()> {
        if found.len() > MOST_LOOK {
            let why = format!("the definitions of '{name}' are larger than {MOST_LOOK} bytes");
            return Err(Error::Refused(why));
        }
        let mut change = self.change().await?;
        let server = find(&mut change, name).await?;
        let mut server = server.ok_or_else(|| Error::absent("server", name))?;
        if server.digest != digest {
            return Err(Error::Refused(format!("'{name}' has changed meanwhile")));
        }
        sqlx::query(
            "INSERT INTO server_looks (id, digest, found, who, at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, found = excluded.found, \
             who = excluded.who, at = excluded.at",
        )
        .bind(name.to_ascii_lowercase())
        .bind(digest)
        .bind(found)
        .bind(&self.actor.name)
        .bind(now())
        .execute(&mut *change)
        .await?;
        // A decision based on an earlier inspection is then rejected, because the revision has changed.
        server.write(&mut change).await?;
        let act = Act::new("server.look", server.name);
        change.commit(&act.with("digest", digest).with("found", sha256_hex(found.as_bytes()))).await
    }

    pub async fn servers(&self) -> Result<Vec<StoredServer>> {
        row::all(self).await
    }

    pub async fn server(&self, name: &str) -> Result<StoredServer> {
        let found = find(&mut *self.pool.acquire().await?, name).await?;
        found.ok_or_else(|| Error::absent("server", name))
    }

    /// The steps of a server, oldest first.
    pub async fn server_steps(&self, name: &str) -> Result<Vec<ServerStep>> {
        let rows = sqlx::query(
            "SELECT n, step, from_state, to_state, who, via, why, at FROM server_steps \
             WHERE id = $1 ORDER BY n",
        )
        .bind(name.to_ascii_lowercase())
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &AnyRow| {
            let (from, to): (String, String) =
                (row.try_get("from_state")?, row.try_get("to_state")?);
            Ok(ServerStep {
                n: row.try_get("n")?,
                step: row.try_get("step")?,
                from: State::read(&from),
                to: State::read(&to),
                who: row.try_get("who")?,
                via: row.try_get("via")?,
                why: row.try_get("why")?,
                at: row.try_get("at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The last inspection result of a server; `None` if it was not inspected since it was proposed.
    pub async fn server_look(&self, name: &str) -> Result<Option<ServerLook>> {
        look_of(&mut *self.pool.acquire().await?, name).await
    }

    /// Stores that a server's review was reported as due on a day. Returns false if any replica reported it before.
    pub async fn note_review_due(&self, name: &str, day: &str) -> Result<bool> {
        let mut change = self.write().await?;
        let noted = sqlx::query(
            "INSERT INTO server_reviews_due (id, day) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE \
             SET day = excluded.day WHERE server_reviews_due.day <> excluded.day",
        )
        .bind(name.to_ascii_lowercase())
        .bind(day)
        .execute(&mut *change)
        .await?;
        change.commit_bookkeeping().await?;
        Ok(noted.rows_affected() > 0)
    }
}

fn allowed<T>(
    step: std::result::Result<T, doorward_governance::lifecycle::NotAllowed>,
) -> Result<T> {
    step.map_err(|why| Error::Refused(why.to_string()))
}

fn check_reason(why: &str) -> Result<()> {
    if why.len() > MOST_REASON {
        return Err(Error::Refused(format!("a reason has at most {MOST_REASON} bytes")));
    }
    Ok(())
}

fn act(step: Step, server: &StoredServer, from: State, why: &str) -> Act {
    Act::new(step.act(), &server.name)
        .with("from", from)
        .with("to", server.state)
        .with("why", why)
        .with("digest", &server.digest)
        .with("revision", server.revision)
}
