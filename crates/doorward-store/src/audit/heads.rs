//! The ends of other chains in a checkpoint. A gateway signs only what other gateways have signed before: otherwise,
//! whoever can write to the database could have it sign a forged chain.

use sqlx::{AnyConnection, Row};

use super::act::ACTS;
use super::checkpoint::{AuditKey, Heads, PublicKeys, Said};
use super::dead::some_blocks;
use super::line::{Head, Line};
use super::writer::AuditLog;
use crate::Result;

/// Maximum number of chains per checkpoint; the others follow with the next.
const MOST: usize = 256;

impl AuditLog {
    /// The last records of other chains that have grown since the last check. Omits a chain that its own
    /// gateway never signed, or whose last records are not linked.
    pub async fn heads(&mut self, known: &Heads, key: &AuditKey) -> Result<Heads> {
        let id = self.id().0.clone();
        let mut keys = self.store.audit_public_keys().await?;
        keys.insert(key.id.clone(), key.public_bytes());
        let connection = self.connect().await?;
        let rows =
            sqlx::query("SELECT id, seq, hash FROM audit_writers WHERE id <> $1 AND seq > 0")
                .bind(id)
                .fetch_all(&mut *connection)
                .await?;
        let mut grown = Vec::new();
        for row in &rows {
            let id: String = row.try_get("id")?;
            let head = (row.try_get::<i64, _>("seq")?, row.try_get::<String, _>("hash")?);
            if known.get(&id) != Some(&head) && self.unsigned.get(&id) != Some(&head) {
                grown.push((id, head));
            }
        }
        // Newest first, the chain of administrative actions before all others.
        grown.sort_by(|(one, _), (other, _)| (other == ACTS, other).cmp(&(one == ACTS, one)));
        grown.truncate(MOST);
        let mut heads = Heads::new();
        for (id, (seq, hash)) in grown {
            let connection = self.connect().await?;
            let head = Head { seq, hash: hash.clone() };
            if may_sign(connection, &id, head, known.get(&id), &keys).await? {
                heads.insert(id, (seq, hash));
            } else {
                tracing::warn!(
                    chain = id,
                    seq,
                    "records of another chain are not signed: its own gateway has not signed them, or they do not \
                     follow one another; run 'doorward audit verify'"
                );
                self.unsigned.insert(id, (seq, hash));
            }
        }
        Ok(heads)
    }
}

/// Whether the head of a chain is linked to a record that its own gateway has signed, or to a head
/// that is already known.
async fn may_sign(
    connection: &mut AnyConnection,
    writer: &str,
    head: Head,
    known: Option<&(i64, String)>,
    keys: &PublicKeys,
) -> Result<bool> {
    let mut before = head.seq.saturating_add(1);
    let mut wanted = head;
    loop {
        let backwards = "first_seq < $2 ORDER BY first_seq DESC";
        let blocks = some_blocks(connection, writer, backwards, before).await?;
        for block in &blocks {
            before = block.first;
            for text in block.lines().rev() {
                let Some(line) = Line::read(text) else { return Ok(false) };
                if (&*line.writer, line.last(), &line.hash) != (writer, wanted.seq, &wanted.hash) {
                    return Ok(false);
                }
                if known.is_some_and(|(seq, hash)| (*seq, hash) == (line.last(), &line.hash)) {
                    return Ok(true);
                }
                if line.removed.is_some() {
                    // The retention act that removed the records covers them; nothing earlier can
                    // be checked.
                    return Ok(writer == ACTS);
                }
                if !line.is_intact(text) {
                    return Ok(false);
                }
                if line.kind == "checkpoint" && Said::read(text, keys).is_ok() {
                    return Ok(true);
                }
                wanted = Head { seq: line.seq - 1, hash: line.prev };
            }
        }
        // Acts are signed by other chains only, and there may be many: checking the last ones
        // suffices.
        if blocks.is_empty() || writer == ACTS {
            return Ok(writer == ACTS);
        }
    }
}
